// SPDX-License-Identifier: MIT

package ramfs

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math"
	"sync"
	"syscall"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// node is a file or a directory.
type node struct {
	// Of a directory, by name; nil makes it a file.
	names  map[string]*node
	linked bool  // a name leads to it
	opens  int   // open files that lead to it
	owner  *file // of the lock

	mu   sync.RWMutex // guards data
	data []byte
}

func newDir() *node { return &node{names: map[string]*node{}, linked: true} }

func (n *node) isDir() bool { return n.names != nil }

func (n *node) length() int64 {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return int64(len(n.data))
}

// resize sets the size; what is new reads as zeros. What is given back is not
// held in the capacity of the slice. The caller holds mu.
func (n *node) resize(r *ramFS, size int64) error {
	now := int64(len(n.data))
	if err := r.take(size - now); err != nil {
		return err
	}
	switch {
	case size == 0:
		n.data = nil
	case size < now:
		n.data = bytes.Clone(n.data[:size])
	case now == 0:
		n.data = make([]byte, size)
	default:
		n.data = append(n.data, make([]byte, size-now)...)
	}
	return nil
}

// take counts so many bytes more, or less, if they fit.
func (r *ramFS) take(n int64) error {
	for {
		used := r.used.Load()
		if n > r.size-used {
			return syscall.ENOSPC
		}
		if r.used.CompareAndSwap(used, used+n) {
			return nil
		}
	}
}

// file is an open file: it is what owns a lock.
type file struct {
	fs            *ramFS
	n             *node
	name          string
	reads, writes bool
	closed        bool // changed under both mutexes
}

func (f *file) fail(op string, err error) error {
	return &fs.PathError{Op: op, Path: f.name, Err: err}
}

// check says whether a call is in order. The caller holds one of the mutexes.
func (f *file) check(op string, allowed bool, at int64) error {
	switch {
	case f.closed:
		return f.fail(op, fs.ErrClosed)
	case !allowed:
		return f.fail(op, syscall.EBADF)
	case at < 0:
		return f.fail(op, syscall.EINVAL)
	}
	return nil
}

func (f *file) Name() string { return f.name }

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.n.mu.RLock()
	defer f.n.mu.RUnlock()
	if err := f.check("read", f.reads, off); err != nil {
		return 0, err
	}
	n := copy(p, f.n.data[min(off, int64(len(f.n.data))):])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	if err := f.check("write", f.writes, off); err != nil {
		return 0, err
	}
	if off > math.MaxInt64-int64(len(p)) {
		return 0, f.fail("write", syscall.EFBIG)
	}
	if end := off + int64(len(p)); len(p) > 0 && end > int64(len(f.n.data)) {
		if err := f.n.resize(f.fs, end); err != nil {
			return 0, f.fail("write", err)
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	return copy(f.n.data[off:], p), nil
}

func (f *file) Size() (int64, error) {
	f.n.mu.RLock()
	defer f.n.mu.RUnlock()
	if err := f.check("stat", true, 0); err != nil {
		return 0, err
	}
	return int64(len(f.n.data)), nil
}

func (f *file) Owner() (uid int, err error) { return -1, nil }

func (f *file) Truncate(size int64) error { return f.setSize("truncate", size) }

func (f *file) Allocate(size int64) error { return f.setSize("allocate", size) }

func (f *file) setSize(op string, size int64) error {
	f.n.mu.Lock()
	defer f.n.mu.Unlock()
	if err := f.check(op, f.writes, size); err != nil {
		return err
	}
	if err := f.n.resize(f.fs, size); err != nil {
		return f.fail(op, err)
	}
	return nil
}

func (f *file) Sync() error {
	_, err := f.Size()
	return err
}

func (f *file) Lock() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("flock", true, 0); err != nil {
		return err
	}
	if f.n.owner != nil && f.n.owner != f {
		return fmt.Errorf("flock %s: %w", f.name, vfs.ErrLocked)
	}
	f.n.owner = f
	return nil
}

func (f *file) Unlock() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.check("unlock", true, 0); err != nil {
		return err
	}
	f.unlock()
	return nil
}

func (f *file) unlock() {
	if f.n.owner == f {
		f.n.owner = nil
	}
}

// Close drops the lock. The memory of a file without a name goes with the last
// one that has it open.
func (f *file) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	f.n.mu.Lock()
	err := f.check("close", true, 0)
	f.closed = true
	f.n.mu.Unlock()
	if err != nil {
		return err
	}
	f.unlock()
	f.n.opens--
	f.fs.release(f.n)
	return nil
}
