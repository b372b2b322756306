// SPDX-License-Identifier: MIT

package store

import "syscall"

// osFaults are those that only this system has a number for.
var osFaults = []fault{
	{syscall.EUCLEAN, "its filesystem is damaged and has to be checked (fsck)"},
	{syscall.EREMOTEIO, "its device reports I/O errors"},
}
