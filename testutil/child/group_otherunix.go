// SPDX-License-Identifier: MIT

//go:build unix && !linux

package child

import "syscall"

func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
