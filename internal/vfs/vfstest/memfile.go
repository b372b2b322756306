// SPDX-License-Identifier: MIT

package vfstest

import (
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// sectorSize is what the model takes as written whole or not at all.
const sectorSize = 512

// node is the content of a file: as every process sees it, as the device has
// it, and which sectors differ.
type node struct {
	data    []byte
	durable []byte
	dirty   map[int64]struct{}
	perm    fs.FileMode
	owner   *memFile
}

func (n *node) info(name string) memInfo {
	return memInfo{name: name, size: int64(len(n.data)), mode: n.perm}
}

// resize changes the size; what is cut off and grown again reads as zeros.
func (n *node) resize(size int64) {
	old := int64(len(n.data))
	if size <= old {
		clear(n.data[size:])
		n.data = n.data[:size]
	} else {
		n.data = append(n.data, make([]byte, size-old)...)
	}
	n.touch(min(old, size), max(old, size))
}

func (n *node) touch(from, to int64) {
	if n.dirty == nil {
		n.dirty = map[int64]struct{}{}
	}
	for s := from / sectorSize; s*sectorSize < to; s++ {
		n.dirty[s] = struct{}{}
	}
}

// sync makes the size and the dirty sectors durable, and no other: what a failed
// sync has lost is not written any more.
func (n *node) sync() {
	size := len(n.data)
	if size < len(n.durable) {
		n.durable = n.durable[:size]
	}
	n.durable = append(n.durable, make([]byte, size-len(n.durable))...)
	for s := range n.dirty {
		from, to := min(s*sectorSize, int64(size)), min((s+1)*sectorSize, int64(size))
		copy(n.durable[from:to], n.data[from:to])
	}
	clear(n.dirty)
}

// memFile is one open file description: it is what owns a lock.
type memFile struct {
	m        *Mem
	n        *node
	name     string
	uid      int
	readOnly bool
	closed   bool
}

func (f *memFile) Name() string { return f.name }

func (f *memFile) Owner() (uid int, err error) { return f.uid, nil }

func (f *memFile) begin(op string) error {
	f.m.mu.Lock()
	if f.closed {
		return pathError(op, f.name, fs.ErrClosed)
	}
	return nil
}

func (f *memFile) beginWrite(op string) error {
	if err := f.begin(op); err != nil {
		return err
	}
	if f.readOnly {
		return pathError(op, f.name, syscall.EBADF)
	}
	return nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	defer f.m.mu.Unlock()
	if err := f.begin("read"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", f.name, syscall.EINVAL)
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	defer f.m.mu.Unlock()
	if err := f.beginWrite("write"); err != nil {
		return 0, err
	}
	end := off + int64(len(p))
	if f.m.full(end - int64(len(f.n.data))) {
		return 0, pathError("write", f.name, syscall.ENOSPC)
	}
	if end > int64(len(f.n.data)) {
		f.n.resize(end)
	}
	copy(f.n.data[off:], p)
	f.n.touch(off, end)
	return len(p), nil
}

func (f *memFile) Size() (int64, error) {
	defer f.m.mu.Unlock()
	if err := f.begin("stat"); err != nil {
		return 0, err
	}
	return int64(len(f.n.data)), nil
}

func (f *memFile) Truncate(size int64) error { return f.resize("truncate", size) }

func (f *memFile) Allocate(size int64) error { return f.resize("allocate", size) }

func (f *memFile) resize(op string, size int64) error {
	defer f.m.mu.Unlock()
	if err := f.beginWrite(op); err != nil {
		return err
	}
	if f.m.full(size - int64(len(f.n.data))) {
		return pathError(op, f.name, syscall.ENOSPC)
	}
	f.n.resize(size)
	return nil
}

func (f *memFile) Sync() error {
	defer f.m.mu.Unlock()
	if err := f.begin("sync"); err != nil {
		return err
	}
	f.n.sync()
	return nil
}

// SyncFailed is what Linux does when a sync fails: the pages count as clean
// though the device never got them, and the next sync reports success.
func (f *memFile) SyncFailed() {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	clear(f.n.dirty)
}

func (f *memFile) Lock() error {
	defer f.m.mu.Unlock()
	if err := f.begin("flock"); err != nil {
		return err
	}
	if f.n.owner != nil && f.n.owner != f {
		return fmt.Errorf("flock %s: %w", f.name, vfs.ErrLocked)
	}
	f.n.owner = f
	return nil
}

func (f *memFile) Unlock() error {
	defer f.m.mu.Unlock()
	if err := f.begin("unlock"); err != nil {
		return err
	}
	f.unlock()
	return nil
}

func (f *memFile) unlock() {
	if f.n.owner == f {
		f.n.owner = nil
	}
}

func (f *memFile) Close() error {
	defer f.m.mu.Unlock()
	if err := f.begin("close"); err != nil {
		return err
	}
	f.unlock()
	f.closed = true
	return nil
}
