// SPDX-License-Identifier: MIT

package slot

import "slices"

// wounded is told of a frame that is not what was stored. closed is false if every
// frame of its segment is whole where it should be: then the read went wrong.
func (s *Slot) wounded(w wanted) (closed bool, err error) {
	s.settling.Lock()
	defer s.settling.Unlock()
	if s.moved(w) {
		return true, nil
	}
	return s.heed(w.seg)
}

// heed looks at a whole segment, books what cannot be read as lost, and has cursors
// pass over it. It is false if it finds nothing new. Trouble of the disk itself is
// an error, and changes nothing. The caller holds settling.
func (s *Slot) heed(seg *segment) (found bool, err error) {
	s.mu.Lock()
	as := *seg
	s.mu.Unlock()
	v, err := surveyOf(s.o, as.name, as.end)
	if err != nil {
		return false, err
	}
	before, filled, missing := as.holes, as.extent, as.missing()
	as.number(v, as.frames-missing)
	as.missBehind(missing)
	as.extent = filled
	if slices.Equal(as.holes, before) {
		return false, nil
	}
	list, err := framesOf(s.o, &as)
	if err != nil {
		return false, err
	}
	t := s.reckon(&as, list)
	if len(t.fresh) > 0 {
		if err := s.tellHoles(&as, t); err != nil {
			return false, err
		}
	}
	s.bookHoles(seg, &as, t)
	return true, nil
}

// toll is what the holes of a segment cost.
type toll struct {
	fresh []hole     // with frames that are pending
	rows  int64      // of those; below 0 for rows that are pending again
	left  []interval // what is settled, without frames whose numbers are a guess now
}

// reckon finds out what holes cost, given the frames that can be read. The caller holds
// settling.
func (s *Slot) reckon(as *segment, list []seen) toll {
	s.mu.Lock()
	defer s.mu.Unlock()
	sure := book{watermark: s.watermark, settled: s.settled}
	if d, is := as.doubt(true); is {
		sure.settled = without(s.settled, d)
	}
	t := toll{left: sure.settled, rows: min(sure.hidden(as, list), max(0, s.ledger.pending()))}
	for _, h := range as.holes {
		if max(sure.behind(h.fsn), sure.watermark+1) < h.next() {
			t.fresh = append(t.fresh, h)
		}
	}
	if len(t.fresh) == 0 {
		t.rows = min(t.rows, 0)
	}
	return t
}

// hidden returns how many pending rows of a segment are in none of the frames that
// can be read.
func (b *book) hidden(g *segment, list []seen) int64 {
	rows := g.rows - g.lost - g.gone
	for _, one := range list {
		if !b.isSettled(one.fsn) {
			rows -= one.rows
		}
	}
	return rows
}

// tellHoles tells of holes of a segment.
func (s *Slot) tellHoles(as *segment, t toll) error {
	keptAs, err := s.asideFor(as.name)
	if err != nil {
		return err
	}
	i := as.incident(t.fresh, keptAs, max(0, t.rows))
	i.RowsKnown = true
	i.setSpan(as.span)
	s.tell(i)
	return nil
}

// bookHoles books the holes of a segment, unless mend has cut it meanwhile. The
// caller holds settling.
func (s *Slot) bookHoles(g, as *segment, t toll) {
	s.mu.Lock()
	if s.find(as.base) != g || g.end < as.end {
		s.mu.Unlock()
		return
	}
	before := s.book
	g.holes, g.wounded = as.holes, g.wounded || len(t.fresh) > 0
	if _, is := as.doubt(true); is {
		s.settled = t.left
		s.number(as)
	}
	for _, h := range g.holes {
		s.giveUp(h.fsn, h.next()-1)
	}
	if lost := max(0, t.rows); lost > 0 {
		g.lost += lost
		s.ledger.settled[Quarantined] += lost
	}
	again := min(max(0, -t.rows), g.gone) // will be settled once more
	g.gone -= again
	s.ledger.accepted = max(s.ledger.accepted+again, s.ledger.gone())
	s.ripen(g)
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
