// SPDX-License-Identifier: MIT

package slot

import "time"

// SegmentStats is a snapshot of one file of a slot.
type SegmentStats struct {
	Name   string // of the file, in the directory of the slot
	First  FSN    // of its frames
	Frames int64  // that it holds; those settled are still in the file
	// Settled frames need not be sent any more: acked as a rule.
	Settled int64
	Rows    int64     // of all its frames
	Pending int64     // rows that are not settled
	Used    int64     // bytes up to the end of the last frame
	Size    int64     // of the file
	Created time.Time // as its header has it
	// MinTime and MaxTime are those of all its rows, microseconds since 1970, if HasTime.
	MinTime, MaxTime int64
	HasTime          bool
}

// Last is the number of the last frame.
func (g SegmentStats) Last() FSN { return g.First + FSN(g.Frames) - 1 }

// Segments returns the files with frames, and the one that is appended to, the oldest
// first. It does no I/O.
func (s *Slot) Segments() []SegmentStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]SegmentStats, len(s.segs))
	for i, g := range s.segs {
		list[i] = SegmentStats{
			Name: g.name, First: g.base, Frames: g.frames, Settled: s.settledIn(g.base, g.next()),
			Rows: g.rows, Pending: max(0, g.rows-g.lost-g.gone), Used: g.end, Size: g.size,
			Created: time.UnixMicro(g.created), MinTime: g.min, MaxTime: g.max, HasTime: g.ok,
		}
	}
	return list
}

// settledIn counts the settled frames from first to below next. The owner's mu guards
// the book.
func (b *book) settledIn(first, next FSN) int64 {
	n := max(0, min(b.watermark+1, next)-first)
	for _, i := range b.settled {
		n += max(0, min(i.to+1, next)-max(i.from, first))
	}
	return int64(n)
}
