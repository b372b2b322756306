// SPDX-License-Identifier: MIT

package slot

import (
	"fmt"
	"slices"
)

// wounded is told of a frame that is not what was stored. It looks at the whole
// segment, books what cannot be read as lost, and has cursors pass over it. closed
// is false if every frame of the segment is whole where it should be: then the read
// went wrong. Trouble of the disk itself is an error, and changes nothing.
func (s *Slot) wounded(w wanted) (closed bool, err error) {
	s.settling.Lock()
	defer s.settling.Unlock()
	if s.moved(w) {
		return true, nil
	}
	s.mu.Lock()
	g := *w.seg
	s.mu.Unlock()
	v, err := surveyOf(s.o, g.name, g.end)
	if err != nil {
		return false, err
	}
	before, end := g.holes, g.end
	g.number(v, g.frames)
	g.end = end
	if slices.Equal(g.holes, before) {
		return false, nil
	}
	fresh, rows := s.freshHoles(&g), int64(0)
	if len(fresh) > 0 {
		if rows, err = s.tellHoles(w.seg, &g, fresh, v.rows); err != nil {
			return false, err
		}
	}
	s.bookHoles(w.seg, &g, fresh, rows)
	return true, nil
}

// tellHoles tells of holes of a segment, and returns how many rows were in them.
func (s *Slot) tellHoles(g, as *segment, fresh []hole, readable int64) (rows int64, err error) {
	keptAs, err := s.asideFor(g.name)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	rows = min(max(0, g.rows-g.lost-readable), max(0, g.rows-g.lost-g.gone), max(0, s.ledger.pending()))
	span := g.span
	s.mu.Unlock()
	i := as.incident(fresh, keptAs, rows)
	i.RowsKnown = true
	i.setSpan(span)
	s.tell(i)
	return rows, nil
}

// freshHoles returns the holes of a segment with frames that are pending.
func (s *Slot) freshHoles(g *segment) []hole {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(g.holes), func(h hole) bool {
		return max(s.behind(h.fsn), s.watermark+1) >= h.next()
	})
}

// bookHoles books the holes of a segment. The caller holds settling.
func (s *Slot) bookHoles(g, as *segment, fresh []hole, rows int64) {
	s.mu.Lock()
	before := s.book
	g.holes, g.wounded = as.holes, g.wounded || len(fresh) > 0
	g.lost += rows
	if d, is := as.doubt(true); is {
		s.settled = without(s.settled, d)
		s.number(as)
	}
	for _, h := range fresh {
		s.giveUp(h.fsn, h.next()-1)
	}
	s.ledger.settled[Quarantined] += rows
	s.ledger.accepted = max(s.ledger.accepted, s.ledger.gone())
	entry, marked := g.entry, *g
	s.mu.Unlock()
	if entry >= 0 {
		_ = s.settler.state.summarize(entry, &marked)
	}
	s.followAnew(&before)
	_ = s.trim() // tried again at the next Settle
}

// followAnew is follow where the place of the watermark may be another than was
// thought: lengths may be damaged that it was found by. The checksum of its frame
// stays what it was unless the watermark has moved.
func (s *Slot) followAnew(before *book) {
	s.mu.Lock()
	s.floor = position{}
	s.mu.Unlock()
	s.follow()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watermark == before.watermark {
		s.crc, s.hasCRC = before.crc, before.hasCRC
	}
}

// sealWounded has no frame follow in a segment that has lost some, once all of it is
// on the device. The caller holds the token.
func (s *Slot) sealWounded() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tail.sealed = s.tail.sealed || s.tail.seg.wounded && len(s.tail.ram) == 0
}

// number remembers that the intervals reckon with the holes of a segment. The caller
// holds mu, or is alone.
func (s *Slot) number(g *segment) {
	if hash := g.holesHash(); !slices.Contains(s.numbered[:], hash) {
		copy(s.numbered[1:], s.numbered[:])
		s.numbered[0] = hash
	}
}

// giveUp settles frames that are lost; some of them may be settled already.
func (b *book) giveUp(from, to FSN) {
	if from = max(from, b.watermark+1); from > to {
		return
	}
	b.settled = without(b.settled, interval{from: from, to: to})
	i := 0
	for i < len(b.settled) && b.settled[i].from < from {
		i++
	}
	b.settled = slices.Insert(b.settled, i, interval{from: from, to: to})
	if i+1 < len(b.settled) && b.settled[i+1].from == to+1 {
		b.settled[i].to = b.settled[i+1].to
		b.settled = slices.Delete(b.settled, i+1, i+2)
	}
	if i > 0 && b.settled[i-1].to+1 == from {
		b.settled[i-1].to = b.settled[i].to
		b.settled = slices.Delete(b.settled, i, i+1)
	}
	if first := b.settled[0]; first.from == b.watermark+1 {
		b.watermark, b.hasCRC = first.to, false
		b.settled = slices.Delete(b.settled, 0, 1)
	}
}

// without cuts frames out of intervals.
func without(list []interval, d interval) []interval {
	var left []interval
	for _, i := range list {
		if i.from < d.from {
			left = append(left, interval{from: i.from, to: min(i.to, d.from-1)})
		}
		if i.to > d.to {
			left = append(left, interval{from: max(i.from, d.to+1), to: i.to})
		}
	}
	return left
}

// asideFor returns the name under which a file is set aside.
func (s *Slot) asideFor(name string) (string, error) {
	var failure error
	to := asideName(name, func(to string) bool {
		_, err := s.o.FS.Stat(s.path(to))
		failure = ignoreMissing(err)
		return err == nil
	})
	return to, failure
}

// Quarantine sets one frame aside that is whole, but not a message: its bytes go to
// <segment>.<fsn>.corrupt, an incident tells of it, and it is settled. why is for
// whoever reads the incident, and says nothing of what is in the rows. Rows that can
// be counted are quarantined; others are unknown, as many as the segment has more
// than can be counted. Where the bytes cannot be kept the frame stays pending, and
// the error says so. A frame that is settled already is left as it is.
func (s *Slot) Quarantine(fsn FSN, why string) error {
	s.settling.Lock()
	defer s.settling.Unlock()
	s.mu.Lock()
	g, settled, closed := s.find(fsn), s.isSettled(fsn), s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case settled:
		return nil
	case g == nil:
		return fmt.Errorf("quarantine frame %d of slot %s: it was never published", fsn, s.o.Dir)
	}
	share, err := s.keepFrame(g, fsn, why)
	if err != nil {
		return fmt.Errorf("quarantine frame %d of slot %s: %w", fsn, s.o.Dir, err)
	}
	if err := s.note([]Done{{FSN: fsn, Shares: []Share{share}}}); err != nil {
		return err
	}
	s.follow()
	return s.trim()
}

// keepFrame writes the bytes of a frame beside its segment, and the incident.
func (s *Slot) keepFrame(g *segment, fsn FSN, why string) (Share, error) {
	s.mu.Lock()
	view := *g
	s.mu.Unlock()
	b, off, err := frameAt(s.o, &view, fsn)
	if err != nil {
		return Share{}, err
	}
	name := fmt.Sprintf("%s.%d%s", g.name, fsn, corruptSuffix)
	if err := writeWhole(s.o.FS, s.path(name), b); err != nil {
		return Share{}, err
	}
	share := Share{As: Quarantined}
	var one extent
	if rows, low, high, ok, err := s.o.Inspect(b); err == nil {
		share.Rows, one.span = rows, span{min: low, max: high, ok: ok}
	} else if share, err = s.uncounted(&view); err != nil {
		return Share{}, err
	}
	i := Incident{
		What: "a frame that is whole but not a message: " + why, File: g.name, KeptAs: name,
		Offset: off, Bytes: int64(len(b)), FirstFSN: fsn, LastFSN: fsn, Frames: 1,
		Rows: int64(share.Rows), RowsKnown: share.As == Quarantined, WhatToDo: keptText,
	}
	i.setSpan(one.span)
	s.tell(i)
	return share, nil
}

// uncounted is what the rows of a segment are more than those that can be counted.
func (s *Slot) uncounted(g *segment) (Share, error) {
	list, err := framesOf(s.o, g)
	if err != nil {
		return Share{}, err
	}
	rows := g.rows - g.lost
	for _, one := range list {
		rows -= one.rows
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return Share{As: Unknown, Rows: int(min(max(0, rows), max(0, s.ledger.pending())))}, nil
}
