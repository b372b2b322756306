// SPDX-License-Identifier: MIT

//go:build darwin || freebsd

package tty

import "golang.org/x/sys/unix"

const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETA
)
