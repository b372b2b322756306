// SPDX-License-Identifier: MIT

package vfstest

import (
	"io/fs"
	"sync/atomic"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Kind says what an Op does. Zero is no kind.
type Kind uint8

// The calls of vfs.FS and vfs.File.
const (
	OpOpen Kind = iota + 1
	OpMkdir
	OpRemove
	OpRename
	OpReadDir
	OpStat
	OpSyncDir
	OpSpace
	OpRead
	OpWrite
	OpSize
	OpTruncate
	OpAllocate
	OpSync
	OpLock
	OpUnlock
	OpClose
	OpDevice
	OpOwner
)

var kindNames = [...]string{
	OpOpen: "open", OpMkdir: "mkdir", OpRemove: "remove", OpRename: "rename",
	OpReadDir: "readdir", OpStat: "stat", OpSyncDir: "syncdir", OpSpace: "space",
	OpRead: "read", OpWrite: "write", OpSize: "size", OpTruncate: "truncate",
	OpAllocate: "allocate", OpSync: "sync", OpLock: "lock", OpUnlock: "unlock",
	OpClose: "close", OpDevice: "device", OpOwner: "owner",
}

// String returns the name of the call.
func (k Kind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "unknown"
}

// Op is one call, told before it is carried out.
type Op struct {
	Kind Kind
	// Path is the file or directory, the old name of a rename.
	Path string
	// To is the new name of a rename.
	To string
	// Flag holds the flags of an open.
	Flag int
	// Off and Len are the range of a read or write; Len is the size of a
	// truncate or allocate.
	Off, Len int64
	// N counts the calls of one Wrap, beginning with 1.
	N int64
}

// ShortWrite, returned by a hook for an OpWrite, lets the first N bytes through
// and fails the call with Err.
type ShortWrite struct {
	N   int
	Err error
}

// Error is the message of Err.
func (e *ShortWrite) Error() string { return e.Err.Error() }

// Unwrap gives Err.
func (e *ShortWrite) Unwrap() error { return e.Err }

// Wrap passes every call on to inner after hook has seen it. A hook that
// returns an error keeps the call from happening, and the caller gets an
// *fs.PathError around it. As with the kernel, a failed close still closes, and a
// failed sync of a file of Mem loses what was to be written.
func Wrap(inner vfs.FS, hook func(op Op) error) vfs.FS {
	return &wrapFS{inner: inner, hook: hook}
}

type wrapFS struct {
	inner vfs.FS
	hook  func(op Op) error
	n     atomic.Int64
}

func (w *wrapFS) tell(op Op) error {
	op.N = w.n.Add(1)
	if err := w.hook(op); err != nil {
		return &fs.PathError{Op: op.Kind.String(), Path: op.Path, Err: err}
	}
	return nil
}

func (w *wrapFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	if err := w.tell(Op{Kind: OpOpen, Path: name, Flag: flag}); err != nil {
		return nil, err
	}
	f, err := w.inner.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &wrapFile{File: f, fs: w}, nil
}

func (w *wrapFS) MkdirAll(name string, perm fs.FileMode) error {
	if err := w.tell(Op{Kind: OpMkdir, Path: name}); err != nil {
		return err
	}
	return w.inner.MkdirAll(name, perm)
}

func (w *wrapFS) Remove(name string) error {
	if err := w.tell(Op{Kind: OpRemove, Path: name}); err != nil {
		return err
	}
	return w.inner.Remove(name)
}

func (w *wrapFS) Rename(oldName, newName string) error {
	if err := w.tell(Op{Kind: OpRename, Path: oldName, To: newName}); err != nil {
		return err
	}
	return w.inner.Rename(oldName, newName)
}

func (w *wrapFS) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := w.tell(Op{Kind: OpReadDir, Path: name}); err != nil {
		return nil, err
	}
	return w.inner.ReadDir(name)
}

func (w *wrapFS) Stat(name string) (fs.FileInfo, error) {
	if err := w.tell(Op{Kind: OpStat, Path: name}); err != nil {
		return nil, err
	}
	return w.inner.Stat(name)
}

func (w *wrapFS) SyncDir(name string) error {
	if err := w.tell(Op{Kind: OpSyncDir, Path: name}); err != nil {
		return err
	}
	return w.inner.SyncDir(name)
}

func (w *wrapFS) Space(name string) (total, free int64, err error) {
	if err := w.tell(Op{Kind: OpSpace, Path: name}); err != nil {
		return 0, 0, err
	}
	return w.inner.Space(name)
}

func (w *wrapFS) Device(name string) (uint64, error) {
	if err := w.tell(Op{Kind: OpDevice, Path: name}); err != nil {
		return 0, err
	}
	return w.inner.Device(name)
}

func (w *wrapFS) Owner(name string) (uid int, err error) {
	if err := w.tell(Op{Kind: OpOwner, Path: name}); err != nil {
		return -1, err
	}
	return w.inner.Owner(name)
}
