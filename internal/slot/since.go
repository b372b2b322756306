// SPDX-License-Identifier: MIT

package slot

import (
	"slices"
	"time"
)

// recent knows when the last frames were published, to the second, whatever arrivals
// has forgotten over a long outage.
type recent []arrival

const (
	recentStep = time.Second
	// recentFor is how far back it is asked about.
	recentFor = 30 * time.Second
)

// add notes frames from a number on.
func (r *recent) add(from FSN) {
	now := time.Now()
	if n := len(*r); n > 0 && now.Sub((*r)[n-1].seen) < recentStep {
		return
	}
	old := 0
	for old < len(*r) && now.Sub((*r)[old].seen) > recentFor {
		old++
	}
	*r = append(slices.Delete(*r, 0, old), arrival{from: from, seen: now})
}

// FirstPending returns the first frame at or behind fsn that is published and not settled;
// the one behind the last if there is none. It does no I/O.
func (s *Slot) FirstPending(fsn FSN) FSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return min(s.behind(max(fsn, s.watermark+1)), s.published+1)
}

// Since returns the first frame that was published at about t or later, on a clock that
// nobody sets; the one behind the last if there is none. t is not more than half a
// minute ago. It does no I/O.
func (s *Slot) Since(t time.Time) FSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.published + 1
	for i := len(s.recent) - 1; i >= 0 && !s.recent[i].seen.Before(t); i-- {
		first = s.recent[i].from
	}
	return first
}
