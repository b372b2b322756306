// SPDX-License-Identifier: MIT

package vfs

import (
	"errors"
	"io/fs"
	"os"
)

// ErrReadOnly is what a ReadOnly filesystem answers to a change.
var ErrReadOnly = errors.New("opened to be looked at only")

// ReadOnly returns a filesystem on which nothing can be changed or locked, for those
// who look at what others are working in. Only regular files are opened: a pipe in
// their place would hold up the reader for ever.
func ReadOnly(inner FS) FS {
	if _, is := inner.(readOnly); is {
		return inner
	}
	return readOnly{inner}
}

type readOnly struct{ FS }

func refused(op, name string) error { return &fs.PathError{Op: op, Path: name, Err: ErrReadOnly} }

func notRegular(name string) error {
	return &UntrustedError{Path: name, Why: "is no regular file, and is not read: move it away"}
}

func (r readOnly) OpenFile(name string, flag int, _ fs.FileMode) (File, error) {
	if flag != os.O_RDONLY {
		return nil, refused("open", name)
	}
	info, err := r.FS.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, notRegular(name)
	}
	f, err := r.FS.OpenFile(name, flag, 0)
	if err != nil {
		return nil, err
	}
	return readOnlyFile{f}, nil
}

func (readOnly) MkdirAll(name string, _ fs.FileMode) error { return refused("mkdir", name) }
func (readOnly) Remove(name string) error                  { return refused("remove", name) }
func (readOnly) Rename(oldName, _ string) error            { return refused("rename", oldName) }
func (readOnly) SyncDir(name string) error                 { return refused("sync", name) }

type readOnlyFile struct{ File }

func (f readOnlyFile) WriteAt([]byte, int64) (int, error) { return 0, refused("write", f.Name()) }
func (f readOnlyFile) Truncate(int64) error               { return refused("truncate", f.Name()) }
func (f readOnlyFile) Allocate(int64) error               { return refused("allocate", f.Name()) }
func (f readOnlyFile) Sync() error                        { return refused("sync", f.Name()) }
func (f readOnlyFile) Lock() error                        { return refused("lock", f.Name()) }
func (f readOnlyFile) Unlock() error                      { return refused("unlock", f.Name()) }
