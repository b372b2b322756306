// SPDX-License-Identifier: MIT

package vfstest

import (
	"errors"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// wrapFile embeds the file for Name alone.
type wrapFile struct {
	vfs.File
	fs *wrapFS
}

func (f *wrapFile) tell(kind Kind, off, length int64) error {
	return f.fs.tell(Op{Kind: kind, Path: f.Name(), Off: off, Len: length})
}

func (f *wrapFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.tell(OpRead, off, int64(len(p))); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *wrapFile) WriteAt(p []byte, off int64) (int, error) {
	err := f.tell(OpWrite, off, int64(len(p)))
	if err == nil {
		return f.File.WriteAt(p, off)
	}
	var short *ShortWrite
	if !errors.As(err, &short) {
		return 0, err
	}
	n, _ := f.File.WriteAt(p[:min(short.N, len(p))], off)
	return n, err
}

func (f *wrapFile) Size() (int64, error) {
	if err := f.tell(OpSize, 0, 0); err != nil {
		return 0, err
	}
	return f.File.Size()
}

func (f *wrapFile) Truncate(size int64) error {
	if err := f.tell(OpTruncate, 0, size); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *wrapFile) Allocate(size int64) error {
	if err := f.tell(OpAllocate, 0, size); err != nil {
		return err
	}
	return f.File.Allocate(size)
}

func (f *wrapFile) Sync() error {
	if err := f.tell(OpSync, 0, 0); err != nil {
		if lossy, ok := f.File.(interface{ SyncFailed() }); ok {
			lossy.SyncFailed()
		}
		return err
	}
	return f.File.Sync()
}

func (f *wrapFile) Lock() error {
	if err := f.tell(OpLock, 0, 0); err != nil {
		return err
	}
	return f.File.Lock()
}

func (f *wrapFile) Unlock() error {
	if err := f.tell(OpUnlock, 0, 0); err != nil {
		return err
	}
	return f.File.Unlock()
}

func (f *wrapFile) Close() error {
	failed := f.tell(OpClose, 0, 0)
	if err := f.File.Close(); err != nil {
		return err
	}
	return failed
}

func (f *wrapFile) Owner() (uid int, err error) {
	if err := f.tell(OpOwner, 0, 0); err != nil {
		return -1, err
	}
	return f.File.Owner()
}
