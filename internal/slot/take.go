// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"os"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// takeStock takes over chain, watermark and ledger, and tells what is missing,
// before anything is changed.
func (s *Slot) takeStock(r *recovery) error {
	if err := r.oldestMissing(); err != nil {
		return err
	}
	take := s.takeProgress
	if len(r.chain) == 0 {
		take = s.takeNumbers
	}
	if err := take(r); err != nil {
		return err
	}
	for _, one := range r.losses {
		one.setSpan(one.span)
		s.tell(one.Incident)
	}
	s.recovered.Incidents = s.incidents
	return nil
}

// takeNumbers takes over what is known where no frame is.
func (s *Slot) takeNumbers(r *recovery) error {
	p := progress{watermark: -1}
	r.weigh(&p)
	base := FSN(0)
	if st := &r.stored.state; r.stored.valid {
		base = max(st.watermark+1, st.next)
		s.ledger = st.ledger
		s.recovered.MissingFrames = int64(base - st.watermark - 1)
	}
	s.published, s.watermark = base-1, base-1
	s.balance(r, 0, 0)
	return nil
}

// balance sets accepted to what is there and what has gone. pending are the rows
// that can still be sent, fresh those among them that the ledger never knew.
func (s *Slot) balance(r *recovery, pending, fresh int64) {
	before := s.ledger.accepted
	r.settleLost(&s.ledger, pending-fresh)
	s.ledger.accepted = s.ledger.gone() + pending
	s.recovered.LedgerMoved = s.ledger.accepted - before
}

// takeNothing begins a chain where no frame is.
func (s *Slot) takeNothing(*recovery) error {
	s.account.add(s.o.SegmentBytes)
	spare, err := s.create(initialGen, s.published+1)
	if err != nil {
		return err
	}
	s.tail.seg, s.tail.file, s.tail.synced = spare.seg, spare.file, spare.seg.extent
	s.segs = []*segment{spare.seg}
	s.floor = startOf(spare.seg)
	s.durableGen, s.durableEnd = spare.seg.gen, spare.seg.end
	return nil
}

// takeProgress takes over chain, watermark and ledger.
func (s *Slot) takeProgress(r *recovery) error {
	p, err := r.progress()
	if err != nil {
		return err
	}
	p.forget(r.doubts)
	gone, err := r.settledRows(&p)
	if err != nil {
		return err
	}
	r.weigh(&p)
	fresh, err := r.unpublished()
	if err != nil {
		return err
	}
	s.segs, s.published = r.chain, r.end()
	s.watermark, s.crc, s.hasCRC, s.floor, s.settled = p.watermark, p.crc, p.hasCRC, p.floor, p.settled
	pending := -gone
	for _, g := range s.segs {
		pending += g.rows - g.lost
		s.recovered.Frames += g.frames - g.lostFrames()
		if g.entry >= 0 && r.views[g] == nil {
			s.recovered.TrustedSegments++
		}
		if _, is := g.doubt(g != s.last()); is {
			s.number(g)
		}
	}
	s.recovered.Segments, s.recovered.WatermarkReset = len(s.segs), p.reset
	if r.stored.valid {
		s.ledger = r.stored.state.ledger
		s.recovered.MissingFrames = max(0, int64(r.stored.state.next-s.published-1))
	}
	s.balance(r, pending, fresh)
	s.takeHoles()
	return nil
}

// takeHoles settles the frames that are lost.
func (s *Slot) takeHoles() {
	before, wounds := s.book, false
	for _, g := range s.segs {
		for _, h := range g.holes {
			s.giveUp(h.fsn, h.next()-1)
			wounds = true
		}
	}
	if wounds {
		s.followAnew(&before)
	}
	for _, g := range s.segs {
		s.ripen(g)
	}
	s.recountBytes()
}

// takeTail opens the last segment for appends. What a crash left behind its last
// frame is overwritten: one day a shorter frame would end in the middle of it.
func (s *Slot) takeTail(r *recovery) error {
	g := s.last()
	f, err := s.o.FS.OpenFile(s.path(g.name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	s.tail.seg, s.tail.file, s.tail.synced = g, f, g.extent
	if s.tail.sealed = len(g.holes) > 0; !s.tail.sealed {
		s.recovered.TornBytes = r.torn
		if err := vfs.WriteZeros(f, g.end, g.end+r.torn); err != nil {
			return err
		}
	}
	s.durableGen, s.durableEnd = g.gen, headerSize
	if !s.syncs() {
		return nil
	}
	if err := s.syncSealed(r); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	s.durableEnd = g.end
	return nil
}

// syncSealed makes durable what was written without syncs, by us under Memory or
// by another client: a power cut may tear no segment but the last.
func (s *Slot) syncSealed(r *recovery) error {
	if r.stored.valid && r.stored.state.synced {
		return nil
	}
	for _, g := range s.segs[:len(s.segs)-1] {
		if err := syncFile(s.o.FS, s.path(g.name)); err != nil {
			return err
		}
	}
	return s.syncDir()
}

// takeSummaries learns which entries of the table are free, clears the one of
// the segment that goes on growing, and writes those that are missing, or do not say
// yet that their segment has lost rows.
func (s *Slot) takeSummaries(r *recovery) error {
	used := map[int]bool{}
	for _, g := range s.segs {
		used[g.entry] = true
	}
	for i := s.settler.state.entries - 1; i >= 0; i-- {
		if !used[i] {
			s.entries = append(s.entries, i)
		}
	}
	last := s.last()
	for _, sum := range r.stored.summaries[last.base] {
		if sum.created == last.created && sum.entry != last.entry {
			if err := s.settler.state.summarize(sum.entry, nil); err != nil {
				return err
			}
		}
	}
	for _, g := range s.segs {
		switch {
		case g.entry >= 0 && len(g.holes) > 0:
			if err := s.settler.state.summarize(g.entry, g); err != nil {
				return err
			}
		case g != last || s.tail.sealed:
			s.summarize(g)
		}
	}
	return nil
}

// takeAck opens .ack-watermark, which is for the eyes of other clients.
func (s *Slot) takeAck(*recovery) error {
	f, err := s.o.FS.OpenFile(s.path(ackName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	s.settler.ack, s.settler.acked = f, -1
	size, err := f.Size()
	if err == nil && size != ackSize {
		err = f.Truncate(ackSize)
	}
	if err != nil {
		return err
	}
	return s.writeAck(s.watermark)
}

// resetState writes what is true now into both records, durably and before the
// first append: frame numbers above the end are about to be used again, and no
// older record may call them settled.
func (s *Slot) resetState(*recovery) error {
	if err := s.saveTwice(); err != nil {
		return err
	}
	if !s.syncs() {
		return nil
	}
	return errors.Join(s.settler.ack.Sync(), s.syncDir())
}

// saveTwice writes both records, durably.
func (s *Slot) saveTwice() error {
	for range 2 {
		if err := s.settler.state.save(s.snapshot(false)); err != nil {
			return err
		}
		if err := s.settler.state.sync(); err != nil {
			return err
		}
	}
	return nil
}
