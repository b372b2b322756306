// SPDX-License-Identifier: MIT

package vfs

import (
	"io/fs"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/latency"
)

// Metered is a filesystem that counts what goes to the device: what wears flash
// out. Not counted is what the filesystem writes itself, such as its journal.
type Metered struct {
	FS
	// SyncTimes are those of files.
	SyncTimes latency.Histogram

	mu    sync.Mutex // guards what follows
	began time.Time
	total Wear
	hours [dayHours + 1]Wear // a ring; one hour more, because the oldest is cut off
	hour  int                // since began; its place in the ring is the remainder
}

// Wear is how much was written.
type Wear struct {
	Bytes int64 // of all writes, zeros included; blocks that are only reserved are not written
	Syncs int64 // of files and of directories
}

const dayHours = 24

// Meter counts from now on.
func Meter(inner FS) *Metered {
	return &Metered{FS: inner, began: time.Now()}
}

// Wear returns what was written since Meter, and in the last 24 to 25 hours of that: it
// is counted by the hour.
func (m *Metered) Wear() (all, day Wear) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn()
	for _, h := range m.hours {
		day.Bytes += h.Bytes
		day.Syncs += h.Syncs
	}
	return m.total, day
}

func (m *Metered) note(w Wear) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.turn()
	for _, sum := range []*Wear{&m.total, &m.hours[m.hour%len(m.hours)]} {
		sum.Bytes += w.Bytes
		sum.Syncs += w.Syncs
	}
}

// turn forgets the hours that are more than a day ago. The caller holds mu.
func (m *Metered) turn() {
	hour := int(time.Since(m.began) / time.Hour)
	for n := 0; m.hour < hour && n < len(m.hours); n++ {
		m.hour++
		m.hours[m.hour%len(m.hours)] = Wear{}
	}
	m.hour = max(m.hour, hour)
}

// OpenFile opens a file whose writes count.
func (m *Metered) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := m.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &meteredFile{File: f, m: m}, nil
}

// SyncDir counts as a sync; it is not among SyncTimes.
func (m *Metered) SyncDir(name string) error {
	m.note(Wear{Syncs: 1})
	return m.FS.SyncDir(name)
}

type meteredFile struct {
	File
	m *Metered
}

func (f *meteredFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(b, at)
	f.m.note(Wear{Bytes: int64(n)})
	return n, err
}

// Allocate counts the zeros that a filesystem gets which cannot reserve blocks.
func (f *meteredFile) Allocate(size int64) error {
	if inner, ok := f.File.(*osFile); ok {
		return inner.allocate(size, f)
	}
	return f.File.Allocate(size)
}

func (f *meteredFile) Sync() error {
	f.m.note(Wear{Syncs: 1})
	defer f.m.SyncTimes.Since(time.Now())
	return f.File.Sync()
}
