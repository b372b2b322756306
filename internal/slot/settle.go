// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sort"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// settler is what settling needs to know.
type settler struct {
	state  *stateFile
	ack    vfs.File
	acked  FSN        // what ack says
	doomed []*segment // out of the chain, to be unlinked
	walker reader     // over record heads, behind the watermark
	untold []untold   // incidents that could not be written
	toldAt time.Time  // when that was tried last
	// hollowAfter is when a disk that has refused is tried again.
	hollowAfter time.Time
}

// Done is a frame of which no row is pending any more.
type Done struct {
	FSN FSN
	// Bytes are those of its message, for Stats.AckedBytes; who acks nothing may leave
	// them out.
	Bytes  int
	Shares []Share
}

// acked is what of the bytes of a frame on disk was acked, by its rows.
func (d *Done) acked() int64 {
	rows, acked := 0, 0
	for _, h := range d.Shares {
		rows += h.Rows
		if h.As == Acked {
			acked += h.Rows
		}
	}
	if d.Bytes == 0 || rows == 0 {
		return 0
	}
	return int64(float64(recordHead+d.Bytes) * float64(acked) / float64(rows))
}

// checkShares refuses what no ledger can book.
func checkShares(list []Done) error {
	for _, d := range list {
		for _, h := range d.Shares {
			if h.As < Acked || h.As > Unknown || h.Rows < 0 {
				return fmt.Errorf("settle frame %d: %d rows as %s", d.FSN, h.Rows, h.As)
			}
		}
	}
	return nil
}

// Settle is SettleAll for one frame whose rows left the slot in one way.
func (s *Slot) Settle(fsn FSN, rows int, as Settlement) error {
	return s.SettleAll([]Done{{FSN: fsn, Shares: []Share{{As: as, Rows: rows}}}})
}

// SettleAll says that no row of these frames is pending any more, as a cumulative
// ack does: what is noted is written once. Frames may be settled in any order;
// one that is settled already is left as it is. It moves the watermark, notes it,
// and unlinks segments at or below it. Where a frame was never published, or a
// share is none, nothing is settled. Any other error means that progress could not
// be written: nothing is lost by it but progress after a restart, and the next
// call tries again. The list is not kept.
func (s *Slot) SettleAll(list []Done) error {
	if err := checkShares(list); err != nil {
		return err
	}
	s.settling.Lock()
	defer s.settling.Unlock()
	if err := s.note(list); err != nil {
		return err
	}
	s.follow()
	return s.trim()
}

// note books frames and moves the watermark.
func (s *Slot) note(list []Done) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	return s.enter(list, s.o.Dir, s.published)
}

// follow walks to the watermark, to learn the checksum of its frame and how many
// bytes are behind it. Where that fails the state is written without, which
// costs a replay after a restart.
func (s *Slot) follow() {
	s.mu.Lock()
	p, to := s.floor, s.watermark+1
	s.mu.Unlock()
	if p.fsn >= to {
		return
	}
	err := s.followTo(&p, to)
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.floor
	s.floor = p
	switch {
	case err != nil:
		s.floor = position{fsn: to}
		s.recountBytes()
		return
	case before.seg == nil:
		s.recountBytes()
	default:
		s.pendingBytes -= s.distance(before, p)
	}
	s.crc, s.hasCRC = p.crc, true
}

// distance returns the bytes of frames between two places, without those of spent
// segments, which are not pending any more. The caller holds mu.
func (s *Slot) distance(from, to position) int64 {
	i := sort.Search(len(s.segs), func(i int) bool { return s.segs[i].base >= from.seg.base })
	sum := int64(0)
	for ; i < len(s.segs) && s.segs[i].base <= to.seg.base; i++ {
		g, low, high := s.segs[i], int64(headerSize), s.segs[i].end
		if g == from.seg { // else that was trimmed, and from was its end
			low = from.off
		}
		if g == to.seg {
			high = to.off
		}
		if !g.spent {
			sum += high - low
		}
	}
	return sum
}

func (s *Slot) followTo(p *position, to FSN) error {
	s.mu.Lock()
	g := s.find(to - 1)
	if g == nil { // trimmed already
		s.mu.Unlock()
		return fs.ErrNotExist
	}
	a := g.area()
	s.mu.Unlock()
	if p.seg != g || s.settler.walker.f == nil {
		f, err := s.o.FS.OpenFile(s.path(g.name), os.O_RDONLY, 0)
		if err != nil {
			return err
		}
		if s.settler.walker.f != nil {
			_ = s.settler.walker.f.Close()
		}
		s.settler.walker.reset(f)
		if p.seg != g {
			*p = startOf(g)
		}
	}
	return p.walk(&s.settler.walker, to, a)
}

// recountBytes sets pendingBytes. The caller holds mu, or is alone.
func (s *Slot) recountBytes() {
	s.pendingBytes = 0
	for i := len(s.segs) - 1; i >= 0 && s.segs[i].next() > s.watermark+1; i-- {
		from := int64(headerSize)
		if s.segs[i] == s.floor.seg {
			from = s.floor.off
		}
		if !s.segs[i].spent {
			s.pendingBytes += s.segs[i].end - from
		}
	}
}

// find returns the segment that holds a frame; nil if none does. The caller
// holds mu.
func (s *Slot) find(fsn FSN) *segment {
	i := sort.Search(len(s.segs), func(i int) bool { return s.segs[i].next() > fsn })
	if i == len(s.segs) || s.segs[i].base > fsn {
		return nil
	}
	return s.segs[i]
}

// trim notes the watermark and unlinks what is at or below it; a segment that has
// lost rows is set aside instead. The order is
// what recovery relies on: the state, synced if anything is to be unlinked, so
// that a crash that undoes some of the unlinks leaves no gap unexplained; then
// the watermark of the others; then the files, the oldest first, and what is hollow
// from now on. The caller holds settling.
func (s *Slot) trim() error {
	s.retell(false)
	s.mu.Lock()
	n := 0
	for n < len(s.segs)-1 && s.segs[n].last() <= s.watermark {
		n++
	}
	s.settler.doomed = append(s.settler.doomed, s.segs[:n]...)
	s.segs = slices.Delete(s.segs, 0, n)
	s.mu.Unlock()
	st, ripe := s.settler.state, s.anyRipe()
	if err := st.save(s.snapshot(false)); err != nil {
		return err
	}
	if ripe || len(s.settler.doomed) > 0 {
		if err := st.sync(); err != nil {
			return err
		}
	}
	if err := errors.Join(s.writeAck(s.markedHere()), s.unlinkDoomed()); err != nil || !ripe {
		return err
	}
	s.hollowOut()
	return nil
}

func (s *Slot) markedHere() FSN {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watermark
}

// writeAck writes .ack-watermark, unless it says so already.
func (s *Slot) writeAck(watermark FSN) error {
	if watermark == s.settler.acked && watermark >= 0 {
		return nil
	}
	if _, err := s.settler.ack.WriteAt(appendAck(nil, watermark), 0); err != nil {
		return err
	}
	s.settler.acked = watermark
	return nil
}

func (s *Slot) unlinkDoomed() error {
	for len(s.settler.doomed) > 0 {
		g := s.settler.doomed[0]
		if err := s.putAway(g); err != nil {
			return err
		}
		s.settler.doomed = s.settler.doomed[1:]
		s.mu.Lock()
		if g.entry >= 0 {
			s.entries = append(s.entries, g.entry)
		}
		s.mu.Unlock()
	}
	return nil
}

// snapshot is what .qsf-state has to say now.
func (s *Slot) snapshot(clean bool) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := state{
		watermark: s.watermark, crc: s.crc, hasCRC: s.hasCRC, clean: clean, synced: s.syncs(), next: s.published + 1,
		durableGen: s.durableGen, durableEnd: s.durableEnd,
		ledger: s.ledger, settled: slices.Clone(s.settled), target: s.targetCRC, numbered: s.numbered,
	}
	first := s.segs[0]
	st.head = head{base: first.base, created: first.created, gen: first.gen}
	return st
}
