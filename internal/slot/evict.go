// SPDX-License-Identifier: MIT

package slot

import (
	"fmt"
	"time"
)

// Candidate is the oldest sealed segment of a slot: what Evict gives up first.
type Candidate struct {
	Last   FSN       // its last frame
	Bytes  int64     // of its file
	Stored time.Time // when its oldest pending frame was stored, about
}

// Eviction tells what Evict gave up. Rows were pending; the other figures are those
// of the whole segments.
type Eviction struct {
	Rows             int64
	Frames           int64 // of which rows were pending
	Segments         int
	Bytes            int64 // of files
	MinTime, MaxTime int64 // of rows, microseconds since 1970, if HasTime
	HasTime          bool
}

// Oldest returns the segment that would be given up first. There is none while the
// slot has only the segment that is appended to. It does no I/O.
func (s *Slot) Oldest() (c Candidate, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.segs) < 2 {
		return Candidate{}, false
	}
	g := s.segs[0]
	c = Candidate{Last: g.last(), Bytes: g.held, Stored: time.UnixMicro(g.created)}
	if at, known := s.arrivals.of(s.watermark + 1); known {
		c.Stored = at
	}
	return c, true
}

// Age returns for how long every frame of the oldest sealed segment is stored at
// least, and its last frame; false when there is none. now is the wall clock: it
// counts only for frames from before the slot was opened, and where they seem to
// come from the future the age is negative.
func (s *Slot) Age(now time.Time) (age time.Duration, last FSN, ok bool) {
	s.mu.Lock()
	if s.closed || len(s.segs) < 2 {
		s.mu.Unlock()
		return 0, 0, false
	}
	g, next := s.segs[0], s.segs[1]
	seen, known := s.arrivals.before(g.last())
	s.mu.Unlock()
	if known {
		return time.Since(seen), g.last(), true
	}
	stored := time.UnixMicro(next.created) // which is made before g is full: the file knows better
	if info, err := s.o.FS.Stat(s.path(g.name)); err == nil && info.ModTime().After(stored) {
		stored = info.ModTime()
	}
	return now.Sub(stored), g.last(), true
}

// Evict gives up the sealed segments up to the one that ends with the frame last:
// what is pending in them is settled as evicted, the watermark moves past them, and
// their files are unlinked. Segments that are gone already are none. It needs no
// free space. The caller sees to it that none of their frames is on its way. With
// an error the rows are given up all the same, as after SettleAll.
func (s *Slot) Evict(last FSN) (Eviction, error) {
	s.settling.Lock()
	defer s.settling.Unlock()
	e, err := s.passUpTo(last)
	if err != nil || e.Segments == 0 {
		return e, err
	}
	s.follow()
	if err := s.trim(); err != nil {
		return e, fmt.Errorf("slot %s: note what was evicted: %w", s.o.Dir, err)
	}
	return e, nil
}

// passUpTo books what Evict gives up.
func (s *Slot) passUpTo(last FSN) (e Eviction, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return e, ErrClosed
	}
	var times span
	before := s.pendingFrames()
	for i := 0; i < len(s.segs)-1 && s.segs[i].last() <= last; i++ {
		g := s.segs[i]
		g.evicted = true
		e.Segments++
		e.Bytes += g.held
		times.add(g.span)
		e.Rows += max(0, g.rows-g.lost-g.gone)
		g.gone = max(g.gone, g.rows-g.lost)
		s.pass(g.last())
	}
	e.MinTime, e.MaxTime, e.HasTime = times.min, times.max, times.ok
	e.Frames = before - s.pendingFrames()
	s.ledger.settled[Evicted] += e.Rows
	return e, nil
}

func (s *Slot) pendingFrames() int64 { return s.stats(s.published).PendingFrames }

// takeOut notes that rows of a frame are settled. The caller holds mu.
func (s *Slot) takeOut(fsn FSN, rows int64) {
	if g := s.find(fsn); g != nil {
		g.gone += rows
		s.ripen(g)
	}
}

// Book counts rows that are accepted and settled at once, without ever having been
// in a frame. It is noted in .qsf-state; where that fails, with what is noted next.
func (s *Slot) Book(list ...Share) error {
	if err := checkShares([]Done{{Shares: list}}); err != nil {
		return err
	}
	s.settling.Lock()
	defer s.settling.Unlock()
	if err := s.bookHere(list); err != nil {
		return err
	}
	return s.settler.state.save(s.snapshot(false))
}

func (s *Slot) bookHere(list []Share) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	for _, h := range list {
		s.ledger.accepted += int64(h.Rows)
		s.ledger.settled[h.As] += int64(h.Rows)
	}
	return nil
}

// Audit is an independent count of what is pending in a slot.
type Audit struct {
	Ledger  int64 // rows pending as the ledger has it
	Counted int64 // as the segments have it, less what of them was settled
	// Bytes are those of all frames in the segments, MinTime and MaxTime the times of
	// their rows, microseconds since 1970, if HasTime.
	Bytes            int64
	MinTime, MaxTime int64
	HasTime          bool
}

// Audit counts. A difference between Ledger and Counted is a bug, or rows that
// nobody could count. It does no I/O, and works on a closed slot too.
func (s *Slot) Audit() Audit {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := Audit{Ledger: s.ledger.pending()}
	var times span
	for _, g := range s.segs {
		a.Counted += g.rows - g.lost - g.gone
		a.Bytes += g.end - headerSize
		times.add(g.span)
	}
	a.MinTime, a.MaxTime, a.HasTime = times.min, times.max, times.ok
	return a
}
