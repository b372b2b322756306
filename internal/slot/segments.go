// SPDX-License-Identifier: MIT

package slot

import "time"

// SegmentInfo tells of one segment file of a slot.
type SegmentInfo struct {
	Name             string // of the file, in the directory of the slot
	First, Last      FSN
	Rows             int64     // pending
	Bytes            int64     // of the file
	Created          time.Time // as its header has it
	MinTime, MaxTime int64     // of all its rows, microseconds since 1970, if HasTime
	HasTime          bool
}

// Segments tells of the segments of the slot, the oldest first; the last is the one
// that is appended to. It does no I/O.
func (s *Slot) Segments() []SegmentInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]SegmentInfo, 0, len(s.segs))
	for _, g := range s.segs {
		list = append(list, SegmentInfo{
			Name: g.name, First: g.base, Last: g.last(), Rows: max(0, g.rows-g.lost-g.gone), Bytes: g.size,
			Created: time.UnixMicro(g.created), MinTime: g.min, MaxTime: g.max, HasTime: g.ok,
		})
	}
	return list
}
