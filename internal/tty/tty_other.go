// SPDX-License-Identifier: MIT

//go:build !linux && !darwin && !freebsd

package tty

import (
	"errors"
	"os"
)

// Size is not known here.
func Size(*os.File) (width, height int, ok bool) { return 0, 0, false }

// Keys are not heard here.
func Keys(*os.File) (restore func(), err error) { return func() {}, errors.ErrUnsupported }
