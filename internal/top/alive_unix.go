// SPDX-License-Identifier: MIT

//go:build unix

package top

import (
	"errors"
	"syscall"
)

// isAlive says whether there is a process of a number, whoever's it is.
func isAlive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
