// SPDX-License-Identifier: MIT

package store

import (
	"cmp"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Look is what a page shows of a store beside its Stats.
type Look struct {
	// Dir and SenderID name the store, as Settings do.
	Dir, SenderID string
	// MaxBackoff bounds the wait between attempts at the server.
	MaxBackoff time.Duration
	// Failure is why no rows can be stored now; nil in health, and before the first try.
	Failure error
	// Open says that some pool takes rows.
	Open bool
	// Details are those of the pool on disk, RAMDetails those of the one in RAM; zero
	// where there is none.
	Details, RAMDetails sfpool.Details
}

// Look returns a snapshot. It does no I/O.
func (s *Store) Look() Look { return s.shared.look() }

func (s *shared) look() Look {
	s.mu.Lock()
	disk, ram := cmp.Or(s.disk, s.counts.failing), s.ram
	l := Look{
		Dir: s.key.dir, SenderID: s.key.senderID, MaxBackoff: s.set.Pool.MaxBackoff,
		Open: s.current() != nil,
	}
	if s.disk == nil {
		l.Failure = s.failure
	}
	s.mu.Unlock()
	if disk != nil {
		l.Details = disk.Details()
	}
	if ram != nil {
		l.RAMDetails = ram.Details()
	}
	return l
}

const (
	// spaceEvery is how long a look at the filesystem counts.
	spaceEvery = 5 * time.Second
	// spaceWait is how long who asks waits for one: a disk may hang.
	spaceWait = time.Second
)

// freeSpace is what was last seen of a filesystem.
type freeSpace struct {
	mu          sync.Mutex // guards what follows; the disk is not asked under it
	at          time.Time
	looking     chan struct{} // closed when the look under way has ended; nil without one
	total, free int64
}

// Space returns the size of the filesystem of the store and what of it is free, in
// bytes, as they were some seconds ago at most; zeros while that is not known, or the
// disk cannot be used. A disk that hangs is waited for a second, and then what was
// known before is returned.
func (s *Store) Space() (total, free int64) { return s.shared.space() }

func (s *shared) space() (total, free int64) {
	s.mu.Lock()
	disk := s.disk
	s.mu.Unlock()
	if disk == nil {
		return 0, 0 // who knows what is mounted there now
	}
	f := &s.free
	f.mu.Lock()
	if f.looking == nil && (f.at.IsZero() || time.Since(f.at) >= spaceEvery) {
		f.looking = make(chan struct{})
		go f.look(disk)
	}
	looking := f.looking
	f.mu.Unlock()
	if looking != nil {
		select {
		case <-looking:
		case <-time.After(spaceWait):
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.total, f.free
}

// look asks the disk, once at a time.
func (f *freeSpace) look(p *sfpool.Pool) {
	total, free, err := p.Space()
	if err != nil {
		total, free = 0, 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.total, f.free, f.at = total, free, time.Now()
	close(f.looking)
	f.looking = nil
}
