// SPDX-License-Identifier: MIT

// Package vfs is the only way to the disk. The store asks for little: a few
// directory operations, and files that are read and written at offsets. That
// little can be recorded, failed and crashed by the doubles in vfstest.
package vfs

import (
	"errors"
	"io"
	"io/fs"
)

// ErrLocked says that another open file description holds the flock.
var ErrLocked = errors.New("locked by another owner")

// FS is a filesystem. Paths are those of the operating system.
type FS interface {
	// OpenFile opens a file with the flags of package os.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// MkdirAll creates a directory and its parents. One that exists is success.
	MkdirAll(name string, perm fs.FileMode) error
	Remove(name string) error
	// Rename replaces newName atomically; a crash leaves the one or the other.
	Rename(oldName, newName string) error
	// ReadDir lists a directory sorted by name.
	ReadDir(name string) ([]fs.DirEntry, error)
	// Stat does not follow a symbolic link in the last element.
	Stat(name string) (fs.FileInfo, error)
	// SyncDir makes created, renamed and removed names of a directory durable.
	SyncDir(name string) error
	// Space returns the size of the filesystem that holds name, and what of it
	// is free to this process, both in bytes.
	Space(name string) (total, free int64, err error)
	// Device identifies the filesystem that holds name, which may be a symbolic
	// link to there; 0 where the system does not tell.
	Device(name string) (uint64, error)
	// Owner returns the user id that name belongs to, without following a symbolic
	// link in the last element; -1 where there is no such thing.
	Owner(name string) (uid int, err error)
}

// File is an open file. Reads and writes may run concurrently.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Name() string
	Size() (int64, error)
	// Owner returns the user id that the file belongs to; -1 where there is none.
	Owner() (uid int, err error)
	Truncate(size int64) error
	// Allocate sets the size of the file and reserves real blocks for all of it,
	// so that later writes inside it cannot run out of space. What was not
	// written reads as zeros. Where the filesystem cannot reserve, zeros are
	// written; a sparse file is never the result.
	Allocate(size int64) error
	// Sync makes written bytes and the size durable.
	Sync() error
	// Lock takes an exclusive flock without waiting; ErrLocked if it is held.
	// The lock belongs to this open file and drops with Unlock or Close.
	Lock() error
	Unlock() error
}

// WriteZeros overwrites [from, to) with zeros.
func WriteZeros(f io.WriterAt, from, to int64) error {
	if from >= to {
		return nil
	}
	zeros := make([]byte, min(to-from, 64<<10))
	for from < to {
		n, err := f.WriteAt(zeros[:min(to-from, int64(len(zeros)))], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}
