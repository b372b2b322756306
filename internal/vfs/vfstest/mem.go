// SPDX-License-Identifier: MIT

// Package vfstest has the doubles of package vfs: Mem, a filesystem in memory
// that knows what a power cut would leave, and Wrap, which records, counts and
// fails the calls of any filesystem.
//
// Mem blocks on nothing but its own mutex, so it may be used inside a bubble of
// testing/synctest. Its model of a disk: a sync makes the content and the size
// of that file durable and nothing else; SyncDir does the same for names; what
// is not synced is kept or lost in sectors of 512 bytes and in single directory
// operations, in any combination. Directories themselves are durable at once.
package vfstest

import (
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Mem is a filesystem in memory.
type Mem struct {
	// mu guards everything below, the nodes included.
	mu       sync.Mutex
	dirs     map[string]*memDir
	capacity int64
	device   uint64
	owners   map[string]int
}

type memDir struct {
	perm    fs.FileMode
	now     map[string]*node
	durable map[string]*node
	pending []dirOp
}

// dirOp is one directory operation that SyncDir has not made durable yet. A
// create has only to, a removal only from, a rename both.
type dirOp struct {
	from, to string
	n        *node
}

// NewMem returns an empty filesystem with a root directory and no size limit.
func NewMem() *Mem {
	m := &Mem{dirs: map[string]*memDir{}, device: 1}
	m.dirs[string(filepath.Separator)] = newMemDir(0o755)
	m.dirs["."] = newMemDir(0o755)
	return m
}

func newMemDir(perm fs.FileMode) *memDir {
	return &memDir{perm: perm, now: map[string]*node{}, durable: map[string]*node{}}
}

// SetCapacity limits the sum of all file sizes; what would exceed it fails with
// ENOSPC. Zero is no limit.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// OpenFile opens a file with the flags of package os.
func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, base, err := m.parent("open", name)
	if err != nil {
		return nil, err
	}
	n := d.now[base]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, pathError("open", name, syscall.ENOENT)
	case n != nil && flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0:
		return nil, pathError("open", name, syscall.EEXIST)
	case n == nil:
		n = &node{perm: perm}
		d.now[base] = n
		d.pending = append(d.pending, dirOp{to: base, n: n})
	case flag&os.O_TRUNC != 0:
		n.resize(0)
	}
	return &memFile{m: m, n: n, name: name, uid: m.owner(name), readOnly: flag&(os.O_WRONLY|os.O_RDWR) == 0}, nil
}

// MkdirAll creates a directory and its parents.
func (m *Mem) MkdirAll(name string, perm fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p := filepath.Clean(name); m.dirs[p] == nil; p = filepath.Dir(p) {
		m.dirs[p] = newMemDir(perm)
	}
	return nil
}

// Remove unlinks a file or an empty directory.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.dirs[filepath.Clean(name)]; d != nil {
		return m.removeDir(name, d)
	}
	d, base, err := m.parent("remove", name)
	if err != nil {
		return err
	}
	n := d.now[base]
	if n == nil {
		return pathError("remove", name, syscall.ENOENT)
	}
	delete(d.now, base)
	d.pending = append(d.pending, dirOp{from: base, n: n})
	return nil
}

func (m *Mem) removeDir(name string, d *memDir) error {
	if len(d.now) > 0 || len(m.children(name)) > 0 {
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	delete(m.dirs, filepath.Clean(name))
	return nil
}

// Rename replaces newName atomically. Both must be in the same directory; a
// directory is renamed with all that is in it, durably.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dirs[filepath.Clean(oldName)] != nil {
		return m.renameDir(filepath.Clean(oldName), filepath.Clean(newName))
	}
	d, from, err := m.parent("rename", oldName)
	if err != nil {
		return err
	}
	to := filepath.Base(newName)
	n := d.now[from]
	switch {
	case n == nil:
		return pathError("rename", oldName, syscall.ENOENT)
	case filepath.Dir(oldName) != filepath.Dir(newName):
		return pathError("rename", oldName, syscall.EXDEV)
	}
	delete(d.now, from)
	d.now[to] = n
	d.pending = append(d.pending, dirOp{from: from, to: to, n: n})
	return nil
}

func (m *Mem) renameDir(from, to string) error {
	if m.dirs[to] != nil {
		return pathError("rename", to, syscall.EEXIST)
	}
	for p, d := range m.dirs {
		if p == from || strings.HasPrefix(p, from+string(filepath.Separator)) {
			delete(m.dirs, p)
			m.dirs[to+p[len(from):]] = d
		}
	}
	return nil
}

// ReadDir lists a directory sorted by name.
func (m *Mem) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dirs[filepath.Clean(name)]
	if d == nil {
		return nil, pathError("readdir", name, syscall.ENOENT)
	}
	list := m.children(name)
	for base, n := range d.now {
		list = append(list, fs.FileInfoToDirEntry(n.info(base)))
	}
	sort.Slice(list, func(i, k int) bool { return list[i].Name() < list[k].Name() })
	return list, nil
}

func (m *Mem) children(name string) []fs.DirEntry {
	var list []fs.DirEntry
	for p, d := range m.dirs {
		if p != filepath.Clean(name) && filepath.Dir(p) == filepath.Clean(name) {
			list = append(list, fs.FileInfoToDirEntry(memInfo{name: filepath.Base(p), mode: d.perm | fs.ModeDir}))
		}
	}
	return list
}

// Stat describes a path.
func (m *Mem) Stat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.dirs[filepath.Clean(name)]; d != nil {
		return memInfo{name: filepath.Base(name), mode: d.perm | fs.ModeDir}, nil
	}
	d, base, err := m.parent("stat", name)
	if err != nil {
		return nil, err
	}
	if d.now[base] == nil {
		return nil, pathError("stat", name, syscall.ENOENT)
	}
	return d.now[base].info(base), nil
}

// SyncDir makes the names of a directory durable.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dirs[filepath.Clean(name)]
	if d == nil {
		return pathError("syncdir", name, syscall.ENOENT)
	}
	for _, op := range d.pending {
		op.apply(d.durable)
	}
	d.pending = nil
	return nil
}

// Space returns the capacity, or 1 TiB where none is set.
func (m *Mem) Space(string) (total, free int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.capacity == 0 {
		return 1 << 40, 1<<40 - m.used(), nil
	}
	return m.capacity, max(0, m.capacity-m.used()), nil
}

// SetDevice lets the filesystem look like another one, as after a mount.
func (m *Mem) SetDevice(device uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.device = device
}

// Device returns what SetDevice set, 1 before.
func (m *Mem) Device(name string) (uint64, error) {
	if _, err := m.Stat(name); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.device, nil
}

// SetOwner gives a file or directory to a user; all others have no owner.
func (m *Mem) SetOwner(name string, uid int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.owners == nil {
		m.owners = map[string]int{}
	}
	m.owners[filepath.Clean(name)] = uid
}

// Owner returns what SetOwner set, -1 before.
func (m *Mem) Owner(name string) (uid int, err error) {
	if _, err := m.Stat(name); err != nil {
		return -1, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.owner(name), nil
}

// owner needs mu.
func (m *Mem) owner(name string) (uid int) {
	if uid, ok := m.owners[filepath.Clean(name)]; ok {
		return uid
	}
	return -1
}

func (m *Mem) used() int64 {
	var sum int64
	for _, d := range m.dirs {
		for _, n := range d.now {
			sum += int64(len(n.data))
		}
	}
	return sum
}

// full says whether growing by so many bytes would exceed the capacity.
func (m *Mem) full(growth int64) bool {
	return m.capacity > 0 && growth > 0 && m.used()+growth > m.capacity
}

func (m *Mem) parent(op, name string) (*memDir, string, error) {
	d := m.dirs[filepath.Dir(filepath.Clean(name))]
	if d == nil {
		return nil, "", pathError(op, name, syscall.ENOENT)
	}
	return d, filepath.Base(name), nil
}

func (op dirOp) apply(names map[string]*node) {
	if op.from != "" && names[op.from] == op.n {
		delete(names, op.from)
	}
	if op.to != "" {
		names[op.to] = op.n
	}
}

func pathError(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: name, Err: err}
}

type memInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return time.Time{} }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
