// SPDX-License-Identifier: MIT

package holder

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Read reads the list of locks of the system.
func Read() *Locks {
	b, err := os.ReadFile("/proc/locks")
	return &Locks{locks: parseLocks(b), known: err == nil}
}

// identity returns the numbers that the list has for a file.
func identity(name string) (device string, inode uint64, ok bool) {
	info, err := os.Stat(name)
	if err != nil {
		return "", 0, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", 0, false
	}
	dev := uint64(st.Dev)
	return fmt.Sprintf("%02x:%02x", unix.Major(dev), unix.Minor(dev)), st.Ino, true
}

func isAlive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
