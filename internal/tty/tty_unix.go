// SPDX-License-Identifier: MIT

//go:build linux || darwin || freebsd

package tty

import (
	"os"

	"golang.org/x/sys/unix"
)

// Size returns columns and lines; false for what is no terminal.
func Size(f *os.File) (width, height int, ok bool) {
	err := control(f, func(fd int) error {
		w, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ)
		if err == nil {
			width, height = int(w.Col), int(w.Row)
		}
		return err
	})
	return width, height, err == nil
}

// Keys has a terminal give each key at once and show none. Ctrl-C stays a signal. restore
// undoes it.
func Keys(f *os.File) (restore func(), err error) {
	var before unix.Termios
	err = control(f, func(fd int) error {
		t, err := unix.IoctlGetTermios(fd, getTermios)
		if err != nil {
			return err
		}
		before = *t
		t.Lflag &^= unix.ICANON | unix.ECHO
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		return unix.IoctlSetTermios(fd, setTermios, t)
	})
	return func() {
		_ = control(f, func(fd int) error { return unix.IoctlSetTermios(fd, setTermios, &before) })
	}, err
}

// control runs a call on the descriptor without making it a blocking one.
func control(f *os.File, call func(fd int) error) error {
	c, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := c.Control(func(fd uintptr) { result = call(int(fd)) }); err != nil {
		return err
	}
	return result
}
