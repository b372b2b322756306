// SPDX-License-Identifier: MIT

//go:build unix

package child

import (
	"errors"
	"os"
	"syscall"
)

// killGroup ends the program and its children. The group keeps its number as
// long as any of them lives, even if the program itself is gone; where none does
// there is nothing to end.
func killGroup(p *os.Process) error {
	err := syscall.Kill(-p.Pid, syscall.SIGKILL)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}
