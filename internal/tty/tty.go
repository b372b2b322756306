// SPDX-License-Identifier: MIT

// Package tty does to a terminal what a live view needs: ask for its size, and hear keys
// as they are pressed. On systems where it cannot, nothing is a terminal.
package tty

import "os"

// Is says whether a file is a terminal on which a view can be drawn.
func Is(f *os.File) bool {
	_, _, ok := Size(f)
	return ok && os.Getenv("TERM") != "dumb"
}
