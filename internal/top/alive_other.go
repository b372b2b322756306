// SPDX-License-Identifier: MIT

//go:build !unix

package top

import "os"

// isAlive says whether there is a process of a number.
func isAlive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	_ = p.Release()
	return true
}
