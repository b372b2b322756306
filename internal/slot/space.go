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
	keep  func(total int64) int64
	stale atomic.Bool  // files were unlinked since the last look
	taken atomic.Int64 // bytes of files that are to be made since then

	// mu guards what follows, and is held while the disk is asked.
	mu          sync.Mutex
	at          time.Time
	total, free int64
	unknown     bool // the disk did not say
}

// KeepFree has the budget count as full while new segments would leave less free
// than keep returns, in bytes, for a filesystem of so many bytes. look asks the
// disk; while it fails nothing is kept free. Each slot may have its two segments all
// the same. It is called before the budget is used.
func (b *Budget) KeepFree(look func() (total, free int64, err error), keep func(total int64) int64) {
	b.space.look, b.space.keep = look, keep
}

// low says whether files of add bytes would leave less free than is to be kept.
func (s *space) low(add int64) (low bool, free, keep int64) {
	if s.look == nil || add == 0 {
		return false, 0, 0
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
		return false, 0, 0
	}
	free, keep = s.free-s.taken.Load(), s.keep(s.total)
	return free-add < keep, free, keep
}
