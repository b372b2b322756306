// SPDX-License-Identifier: MIT

package slot

import "time"

// Recovered tells what Open found and did.
type Recovered struct {
	Frames          int64 // whole frames on disk
	Segments        int   // files of the chain
	TrustedSegments int   // of them, not read because their summary agreed
	TornBytes       int64 // behind the last whole frame, overwritten with zeros
	// MissingFrames were published according to .qsf-state and are not there.
	MissingFrames int64
	// WatermarkReset is set when the noted progress could not be trusted: frames
	// may be sent again.
	WatermarkReset bool
	// LedgerMoved is by how many rows accepted was corrected; 0 after a clean close.
	LedgerMoved int64
	// Quarantined are files without a whole frame, under their new names.
	Quarantined []string
	// Incidents were found; those that were told by an earlier run are not counted.
	Incidents int64
}

// Stats is a snapshot of a slot. Rows: Accepted = Pending + Acked + DeadLettered
// + Evicted + Quarantined + Unknown.
type Stats struct {
	Accepted, Pending, Acked, DeadLettered, Evicted, Quarantined, Unknown int64

	PendingFrames int64
	// PendingBytes are the bytes on disk of the frames above the watermark, without
	// sealed segments of which all is settled.
	PendingBytes int64
	// AppendedBytes and AckedBytes are the bytes of frames that were published, and
	// acked, since the slot was opened. Of a frame that was acked in part they are
	// that part, by its rows. Frames that were moved here are not among the former:
	// they were published before. MovedIn of the accepted rows came with them.
	AppendedBytes, AckedBytes int64
	MovedIn                   int64
	Published, Watermark      FSN   // -1 before the first
	Segments                  int   // files with frames, and the one appended to
	SegmentBytes              int64 // sizes of all segment files of this slot
	MaxBytes                  int64 // cap of the budget, for all slots that share it
	// ReservedBytes of SegmentBytes are still empty: the end of the last segment, and
	// those that are prepared to follow it.
	ReservedBytes int64
	// Full is set while the last Reserve found no room.
	Full bool
	// OldestPendingTime is when the oldest pending frame was published, in
	// microseconds since 1970, if HasOldest. Of a frame from before the slot was
	// opened it is about that: the earliest timestamp in its segment, or when that was
	// made if the rows are older or of the future.
	OldestPendingTime int64
	HasOldest         bool
	// OldestPublished is the same as the clock gave it, with its monotonic reading:
	// ages must not follow a clock that jumps. Zero for a frame from before.
	OldestPublished time.Time
	// Incidents were found since the slot was opened, recovery included; see Incident.
	Incidents int64
	Recovered Recovered
}

// Stats returns a snapshot. It does no I/O.
func (s *Slot) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats(s.published)
	st.PendingBytes, st.Segments, st.SegmentBytes = s.pendingBytes, len(s.segs), s.account.bytes()
	st.AppendedBytes, st.MovedIn, st.MaxBytes = s.appendedBytes, s.movedIn, s.o.Budget.max
	st.ReservedBytes = s.last().size - s.last().end + s.spares.Load()*s.o.SegmentBytes
	st.Full, st.Recovered = s.full, s.recovered
	st.Incidents = s.incidents
	if g := s.find(s.watermark + 1); g != nil {
		st.OldestPendingTime, st.HasOldest = storedAbout(g.created, g.min, g.ok), true
		if at, ok := s.arrivals.of(s.watermark + 1); ok {
			st.OldestPendingTime, st.HasOldest, st.OldestPublished = at.UnixMicro(), true, at
		}
	}
	return st
}
