// SPDX-License-Identifier: MIT

//go:build unix

package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// hungUp tells whether the writer of a pipe is gone and nothing is left in it,
// without reading.
func hungUp(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	if n, err := unix.Poll(fds, 0); err != nil || n == 0 {
		return false
	}
	return fds[0].Revents&unix.POLLHUP != 0 && fds[0].Revents&unix.POLLIN == 0
}
