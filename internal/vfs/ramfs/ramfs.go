// SPDX-License-Identifier: MIT

// Package ramfs is a filesystem in RAM: for a store that must not touch a disk,
// and that ends with its process.
//
// It behaves as package vfs asks, with the errors of package os. Content counts
// towards the size of the filesystem for as long as a name or an open file leads
// to it; then the memory is given back. Relative paths begin at the root.
// Permissions and times are not kept, and a sync has nothing to do.
package ramfs

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

const separator = string(filepath.Separator)

// ramFS is a tree of nodes.
type ramFS struct {
	size int64
	used atomic.Int64 // bytes of content

	// mu guards the names, and of each node all but its content. A node's mu is
	// taken under it, never the other way round.
	mu   sync.Mutex
	root *node
}

// New returns an empty filesystem that holds so many bytes of content. What does
// not fit any more fails with ENOSPC.
func New(size int64) vfs.FS {
	return &ramFS{size: max(0, min(size, math.MaxInt)), root: newDir()}
}

// OpenFile opens a file with the flags of package os, except for O_APPEND.
func (r *ramFS) OpenFile(name string, flag int, _ fs.FileMode) (vfs.File, error) {
	n, err := r.openNode(name, flag)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := &file{fs: r, n: n, name: name, reads: flag&os.O_WRONLY == 0, writes: flag&(os.O_WRONLY|os.O_RDWR) != 0}
	if flag&os.O_TRUNC != 0 && f.writes {
		n.mu.Lock()
		defer n.mu.Unlock()
		_ = n.resize(r, 0) // shrinking cannot fail
	}
	return f, nil
}

func (r *ramFS) openNode(name string, flag int) (*node, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	dir, base, err := r.parent(name)
	if err != nil {
		return nil, err
	}
	n := dir.names[base]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, fs.ErrNotExist
	case n == nil:
		n = &node{linked: true}
		dir.names[base] = n
	case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
		return nil, fs.ErrExist
	case n.isDir():
		return nil, syscall.EISDIR
	}
	n.opens++
	return n, nil
}

// MkdirAll creates a directory and its parents.
func (r *ramFS) MkdirAll(name string, _ fs.FileMode) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.root
	for _, base := range split(name) {
		next := at.names[base]
		switch {
		case next == nil:
			next = newDir()
			at.names[base] = next
		case !next.isDir():
			return &fs.PathError{Op: "mkdir", Path: name, Err: syscall.ENOTDIR}
		}
		at = next
	}
	return nil
}

// Remove unlinks a file or an empty directory.
func (r *ramFS) Remove(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.find(name)
	switch {
	case err != nil:
	case len(n.names) > 0:
		err = syscall.ENOTEMPTY
	case n == r.root:
		err = syscall.EBUSY
	}
	if err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	dir, base, _ := r.parent(name)
	delete(dir.names, base)
	r.unlink(n)
	return nil
}

// Rename replaces newName atomically. A directory takes all in it along, and
// takes no name that is in use.
func (r *ramFS) Rename(oldName, newName string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.rename(oldName, newName); err != nil {
		return &os.LinkError{Op: "rename", Old: oldName, New: newName, Err: err}
	}
	return nil
}

func (r *ramFS) rename(oldName, newName string) error {
	n, err := r.find(oldName)
	if err != nil {
		return err
	}
	dir, base, err := r.parent(newName)
	if err != nil {
		return err
	}
	was := dir.names[base]
	switch {
	case was == n:
		return nil
	case was != nil && was.isDir():
		return fs.ErrExist
	case n.isDir() && was != nil:
		return syscall.ENOTDIR
	case n.isDir() && within(newName, oldName):
		return syscall.EINVAL
	}
	from, old, _ := r.parent(oldName)
	delete(from.names, old)
	dir.names[base] = n
	if was != nil {
		r.unlink(was)
	}
	return nil
}

// unlink notes that no name leads to a node. The caller holds mu.
func (r *ramFS) unlink(n *node) {
	n.linked = false
	r.release(n)
}

// release gives the memory of a node back once nothing leads to it. The caller
// holds mu.
func (r *ramFS) release(n *node) {
	if n.linked || n.opens > 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_ = n.resize(r, 0)
}

// ReadDir lists a directory sorted by name.
func (r *ramFS) ReadDir(name string) ([]fs.DirEntry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.find(name)
	if err == nil && !n.isDir() {
		err = syscall.ENOTDIR
	}
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	list := make([]fs.DirEntry, 0, len(n.names))
	for base, child := range n.names {
		list = append(list, fs.FileInfoToDirEntry(info{name: base, n: child}))
	}
	slices.SortFunc(list, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// Stat describes a path. The size is that of the moment when it is asked for.
func (r *ramFS) Stat(name string) (fs.FileInfo, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n, err := r.find(name)
	if err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return info{name: filepath.Base(name), n: n}, nil
}

// SyncDir checks that there is such a directory.
func (r *ramFS) SyncDir(name string) error {
	_, err := r.ReadDir(name)
	return err
}

// Space returns what New was given, and how much of it is free.
func (r *ramFS) Space(name string) (total, free int64, err error) {
	if _, err := r.Stat(name); err != nil {
		return 0, 0, err
	}
	return r.size, r.size - r.used.Load(), nil
}

// Device returns 0: this filesystem cannot be exchanged for another.
func (r *ramFS) Device(name string) (uint64, error) {
	_, err := r.Stat(name)
	return 0, err
}

// Owner returns -1: it belongs to its process.
func (r *ramFS) Owner(name string) (uid int, err error) {
	_, err = r.Stat(name)
	return -1, err
}

// find returns what a path leads to. The caller holds mu.
func (r *ramFS) find(name string) (*node, error) {
	at := r.root
	for _, base := range split(name) {
		if !at.isDir() {
			return nil, syscall.ENOTDIR
		}
		if at = at.names[base]; at == nil {
			return nil, fs.ErrNotExist
		}
	}
	return at, nil
}

// parent returns the directory of a path, and the name in it. The caller holds mu.
func (r *ramFS) parent(name string) (*node, string, error) {
	name = filepath.Clean(name)
	if len(split(name)) == 0 {
		return nil, "", syscall.EISDIR
	}
	dir, err := r.find(filepath.Dir(name))
	if err == nil && !dir.isDir() {
		err = syscall.ENOTDIR
	}
	return dir, filepath.Base(name), err
}

func split(name string) []string {
	name = strings.Trim(filepath.Clean(name), separator)
	if name == "" || name == "." {
		return nil
	}
	return strings.Split(name, separator)
}

// within says whether a path lies in a directory.
func within(name, dir string) bool {
	parts := split(dir)
	return len(split(name)) > len(parts) && slices.Equal(split(name)[:len(parts)], parts)
}

// info describes a node.
type info struct {
	name string
	n    *node
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.n.length() }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.n.isDir() }
func (i info) Sys() any           { return nil }

func (i info) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | 0o700
	}
	return 0o600
}
