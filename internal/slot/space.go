// SPDX-License-Identifier: MIT

package slot

import (
	"sync"
	"sync/atomic"
	"time"
)

// spaceAge is how long a look at the free space of the filesystem counts, as long
// as this process unlinks nothing.
const spaceAge = time.Second

// space watches the free space of the filesystem. It looks only when segment files
// are to be made: a store in its steady state asks nothing.
type space struct {
	look  func() (total, free int64, err error)
	keep  func(total int64) int64 // nil for a filesystem that may be filled
	stale atomic.Bool             // files were unlinked since the last look
	taken atomic.Int64            // bytes of files that are to be made since then

	// mu guards what follows, and is held while the disk is asked.
	mu          sync.Mutex
	at          time.Time
	total, free int64
	unknown     bool // the disk did not say
}

// KeepFree has the budget count as full while new segments would leave less free
// than keep returns, in bytes, for a filesystem of so many bytes; with nil nothing is
// kept free. look asks the disk; while it fails nothing is kept free either. Each slot
// may have its two segments all the same. It is called before the budget is used.
func (b *Budget) KeepFree(look func() (total, free int64, err error), keep func(total int64) int64) {
	b.space.look, b.space.keep = look, keep
}

// freeSpace is what is known of the filesystem.
type freeSpace struct {
	free, keep int64
	known      bool
}

// see returns what is known before files of add bytes are made.
func (s *space) see(add int64) freeSpace {
	if s.look == nil || add == 0 {
		return freeSpace{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale.Swap(false) || s.at.IsZero() || time.Since(s.at) >= spaceAge {
		var err error
		s.total, s.free, err = s.look()
		s.at, s.unknown = time.Now(), err != nil
		s.taken.Store(0)
	}
	if s.unknown {
		return freeSpace{}
	}
	return freeSpace{free: s.free - s.taken.Load(), keep: s.kept(s.total), known: true}
}

// kept is what is to be kept free of a filesystem.
func (s *space) kept(total int64) int64 {
	if s.keep == nil {
		return 0
	}
	return s.keep(total)
}

// low says whether files of add bytes would leave less free than is to be kept.
func (s *space) low(at freeSpace, add int64) bool {
	return at.known && s.keep != nil && at.free-add < at.keep
}

// Look asks the disk what is free, in bytes, and lets Reach know: others fill it, too. It
// may hang as the disk does.
func (b *Budget) Look() (total, free int64, err error) {
	total, free, err = b.space.look()
	if err != nil {
		return 0, 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reaches(freeSpace{free: free, keep: b.space.kept(total), known: true})
	return total, free, nil
}

// reaches notes how far the files can grow. That does not change when ours are made or
// unlinked, so that an old look is good enough while nobody else needs the disk. The
// caller holds mu.
func (b *Budget) reaches(at freeSpace) {
	if at.known {
		b.reach, b.looked = max(0, b.used+at.free-at.keep), true
	}
}

// Reach returns up to where Used can grow, in bytes: Max, or less where the filesystem
// had no room for more when it was looked at last. It does no I/O.
func (b *Budget) Reach() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.looked {
		return b.max
	}
	return min(b.max, b.reach)
}
