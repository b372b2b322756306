// SPDX-License-Identifier: MIT

package slot

// Publish makes the frames visible to cursors and returns their numbers; last is
// first-1 if there are none. It cannot fail: what it still writes are hints
// that recovery can do without. Under Flush, Sync must have come before.
func (t *Tx) Publish() (first, last FSN) {
	switch {
	case t.ended:
		panic("bug: Publish after the end of the Tx")
	case t.err != nil:
		panic("bug: Publish of a Tx that failed: " + t.err.Error())
	case t.dirty && t.s.o.Durability == Flush:
		panic("bug: Publish before Sync")
	}
	s := t.s
	t.ended = true
	sealed := s.sealedBy(t)
	first, last = t.show()
	t.handOver()
	for _, g := range sealed {
		if g.frames == 0 {
			_ = s.removeOrNote(g)
			continue
		}
		s.summarize(g)
	}
	_ = s.keepSpares(1)
	s.hint()
	s.startSyncer()
	s.end()
	return first, last
}

// sealedBy returns the segments that take no more frames once t is published.
func (s *Slot) sealedBy(t *Tx) []*segment {
	var list []*segment
	if s.tail.sealed && len(t.parts) > 0 {
		list = append(list, s.tail.seg)
	}
	for i := range len(t.parts) - 1 {
		list = append(list, t.parts[i].seg)
	}
	return list
}

// show is the moment of publishing.
func (t *Tx) show() (first, last FSN) {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	first = s.published + 1
	before := s.last()
	for _, p := range t.parts {
		s.ledger.accepted += p.rows - p.seg.rows
		s.pendingBytes += p.end - p.seg.end
		s.appendedBytes += p.end - p.seg.end
		p.seg.extent, p.seg.firstCRC = p.extent, p.first
		if p.fresh {
			s.dropEmptyLast()
			s.segs = append(s.segs, p.seg)
		}
	}
	s.appendedBytes -= t.movedBytes
	s.movedIn += t.movedRows
	s.published = s.last().last()
	s.ripen(before) // if it is sealed now
	s.account.setLast(s.last().size)
	if s.published >= first {
		s.arrivals.add(first, s.watermark+1, s.o.Now())
		s.recent.add(first)
		s.changed.ring()
	}
	return first, s.published
}

// dropEmptyLast takes a last segment without frames, which mend has sealed, out
// of the chain: the next one begins with the same number. The caller holds mu.
func (s *Slot) dropEmptyLast() {
	if g := s.last(); g.frames == 0 {
		s.segs = s.segs[:len(s.segs)-1]
	}
}

// handOver makes the last part the one that the next Tx goes on with.
func (t *Tx) handOver() {
	s, p := t.s, t.current()
	if p == nil {
		return
	}
	for _, old := range t.parts[:len(t.parts)-1] {
		_ = old.file.Close()
	}
	if s.tail.sealed {
		_ = s.tail.file.Close()
	}
	s.tail.seg, s.tail.file, s.tail.sealed = p.seg, p.file, false
	switch {
	case p.synced != nil:
		s.tail.synced = *p.synced
	case p.fresh:
		s.tail.synced = extent{end: headerSize}
	}
}

// hint notes how much of the last segment is on the device. Recovery needs it
// only to tell a wound from an append that a crash tore, so it is neither
// synced nor waited for.
func (s *Slot) hint() {
	if !s.syncs() {
		return
	}
	s.mu.Lock()
	g, end := s.tail.seg, s.tail.synced.end
	changed := g.gen != s.durableGen || end != s.durableEnd
	s.durableGen, s.durableEnd = g.gen, end
	s.mu.Unlock()
	if changed && s.settling.TryLock() {
		_ = s.settler.state.save(s.snapshot(false))
		s.settling.Unlock()
	}
}
