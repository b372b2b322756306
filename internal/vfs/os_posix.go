// SPDX-License-Identifier: MIT

//go:build linux || darwin || freebsd

package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	noFollow = unix.O_NOFOLLOW
	noWait   = unix.O_NONBLOCK
)

// Supported says why the store cannot run on this system; nil if it can.
func Supported() error { return nil }

func flock(f *os.File) error {
	err := control(f, "flock", func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("flock %s: %w", f.Name(), ErrLocked)
	}
	return err
}

func funlock(f *os.File) error {
	return control(f, "unlock", func(fd int) error { return unix.Flock(fd, unix.LOCK_UN) })
}

func syncDir(d *os.File) error { return d.Sync() }

func space(name string) (total, free int64, err error) {
	var st unix.Statfs_t
	for {
		err = unix.Statfs(name, &st)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: name, Err: err}
	}
	block := int64(st.Bsize)
	return int64(st.Blocks) * block, int64(st.Bavail) * block, nil
}

// device returns the number of the filesystem that a file is on.
func device(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev)
	}
	return 0
}

func owner(info fs.FileInfo) (uid int) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// control runs a system call on the descriptor of f, again after EINTR, and
// names the file in its error.
func control(f *os.File, op string, call func(fd int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := conn.Control(func(fd uintptr) { result = retryEINTR(int(fd), call) }); err != nil {
		return err
	}
	if result != nil {
		return &os.PathError{Op: op, Path: f.Name(), Err: result}
	}
	return nil
}

func retryEINTR(fd int, call func(fd int) error) error {
	for {
		if err := call(fd); err != unix.EINTR {
			return err
		}
	}
}
