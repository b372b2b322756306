// SPDX-License-Identifier: MIT

package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// dataSync is fdatasync: it skips the access and modification times, not the size.
func dataSync(f *os.File) error { return control(f, "fdatasync", unix.Fdatasync) }

func reserve(f *os.File, size int64) (bool, error) {
	err := control(f, "fallocate", func(fd int) error { return unix.Fallocate(fd, 0, 0, size) })
	if cannotReserve(err) {
		return false, nil
	}
	return err == nil, err
}

func cannotReserve(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL)
}
