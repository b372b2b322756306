// SPDX-License-Identifier: MIT

package vfs

import (
	"io"
	"io/fs"
	"os"
)

// OS is the filesystem of the operating system. Files are opened close-on-exec
// and, where the system can, without following a symbolic link in the last
// element of the path, and without waiting for somebody at the other end of a pipe:
// nobody can plant one inside a slot.
var OS FS = osFS{reserve: reserve}

type osFS struct {
	// reserve sets the size of a file with real blocks behind it. False without
	// an error means that the filesystem cannot, and that zeros must be written.
	reserve func(f *os.File, size int64) (bool, error)
}

func (o osFS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := os.OpenFile(name, flag|noFollow|noWait, perm)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket|fs.ModeDevice) != 0 {
		_ = f.Close()
		return nil, notRegular(name)
	}
	return &osFile{File: f, reserve: o.reserve}, nil
}

func (osFS) MkdirAll(name string, perm fs.FileMode) error { return os.MkdirAll(name, perm) }

func (osFS) Remove(name string) error { return os.Remove(name) }

func (osFS) Rename(oldName, newName string) error { return os.Rename(oldName, newName) }

func (osFS) ReadDir(name string) ([]fs.DirEntry, error) { return os.ReadDir(name) }

func (osFS) Stat(name string) (fs.FileInfo, error) { return os.Lstat(name) }

func (osFS) SyncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	if err := syncDir(d); err != nil {
		_ = d.Close()
		return err
	}
	return d.Close()
}

func (osFS) Device(name string) (uint64, error) {
	info, err := os.Stat(name)
	if err != nil {
		return 0, err
	}
	return device(info), nil
}

func (osFS) Owner(name string) (uid int, err error) {
	info, err := os.Lstat(name)
	if err != nil {
		return -1, err
	}
	return owner(info), nil
}

func (osFS) Space(name string) (total, free int64, err error) { return space(name) }

type osFile struct {
	*os.File
	reserve func(f *os.File, size int64) (bool, error)
}

func (f *osFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func (f *osFile) Owner() (uid int, err error) {
	info, err := f.Stat()
	if err != nil {
		return -1, err
	}
	return owner(info), nil
}

func (f *osFile) Sync() error { return dataSync(f.File) }

func (f *osFile) Lock() error { return flock(f.File) }

func (f *osFile) Unlock() error { return funlock(f.File) }

func (f *osFile) Allocate(size int64) error { return f.allocate(size, f) }

// allocate is Allocate that writes zeros, where it has to, through to: that counts them.
func (f *osFile) allocate(size int64, to io.WriterAt) error {
	now, err := f.Size()
	if err != nil {
		return err
	}
	if now > size {
		return f.Truncate(size)
	}
	if done, err := f.reserve(f.File, size); done || err != nil {
		return err
	}
	// A hole would turn a full disk into an error in the middle of a frame.
	return WriteZeros(to, now, size)
}
