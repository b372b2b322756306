// SPDX-License-Identifier: MIT

//go:build !linux && !darwin && !freebsd

package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
)

const noFollow, noWait = 0, 0

var errUnsupported = errors.New("the store is not supported on " + runtime.GOOS + " yet: run it on Linux, macOS or FreeBSD")

// Supported says why the store cannot run on this system; nil if it can.
func Supported() error { return errUnsupported }

func flock(f *os.File) error { return fmt.Errorf("lock %s: %w", f.Name(), errUnsupported) }

func funlock(f *os.File) error { return fmt.Errorf("unlock %s: %w", f.Name(), errUnsupported) }

func syncDir(*os.File) error { return nil }

func device(fs.FileInfo) uint64 { return 0 }

func owner(fs.FileInfo) (uid int) { return -1 }

func space(name string) (total, free int64, err error) {
	return 0, 0, fmt.Errorf("space of %s: %w", name, errUnsupported)
}
