// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Open locks the slot, creating it if need be, recovers what is in it, and makes
// it ready for appends. Besides errors of the filesystem, returned as they are,
// it fails with *LockedError, *ForeignError or *DamageError.
func Open(o Options) (*Slot, error) {
	o = o.withDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := makeDir(o); err != nil {
		return nil, fmt.Errorf("open slot %s: %w", o.Dir, err)
	}
	lock, err := lockDir(o.FS, o.Dir)
	if locked := (*LockedError)(nil); errors.As(err, &locked) {
		return nil, err
	} else if err != nil {
		return nil, fmt.Errorf("open slot %s: %w", o.Dir, err)
	}
	s := &Slot{
		o: o, lock: lock, done: make(chan struct{}), token: make(chan struct{}, 1), cursors: map[*Cursor]struct{}{},
	}
	s.token <- struct{}{}
	s.left = s.takeOut
	s.account = o.Budget.open(s.yield)
	whole := false
	defer func() {
		if !whole { // an error or a panic: nobody works in the slot
			s.closeFiles()
			s.account.close()
			_ = lock.abandon()
		}
	}()
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open slot %s: %w", o.Dir, err)
	}
	s.end()
	whole = true
	return s, nil
}

// makeDir creates the directory and makes its name durable, which the one who
// created it may have been kept from.
func makeDir(o Options) error {
	if err := o.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	if o.Durability == Memory {
		return nil
	}
	return o.FS.SyncDir(filepath.Dir(o.Dir))
}

// open does everything behind the lock.
func (s *Slot) open() error {
	r := &recovery{o: s.o}
	if err := r.list(); err != nil {
		return err
	}
	writePID(s.o.FS, s.o.Dir)
	var err error
	if s.target, err = openTarget(s.o.FS, s.o.Dir, s.o.Target); err != nil {
		return err
	}
	entries := int(min(s.o.Budget.max/s.o.SegmentBytes+2, maxEntries))
	if s.settler.state, r.stored, err = openState(s.o.FS, s.o.Dir, entries, s.syncs()); err != nil {
		return err
	}
	if err := r.build(); err != nil {
		return err
	}
	for _, g := range r.chain {
		s.hold(g)
	}
	if err := s.repair(r); err != nil {
		return err
	}
	return s.begin(r)
}

// repair does what recovery has noted. The directory is whole before and after
// each step.
func (s *Slot) repair(r *recovery) error {
	for _, name := range r.names {
		if name == targetName+tempSuffix || name == segmentName(fileGen(name))+tempSuffix {
			r.debris = append(r.debris, name)
		}
	}
	for _, name := range r.debris {
		if err := removeFile(s.o.FS, s.path(name)); err != nil {
			return err
		}
	}
	for _, name := range r.corrupt {
		if err := s.setAside(name); err != nil {
			return err
		}
	}
	for _, g := range r.cut {
		if err := s.cutSealed(g); err != nil {
			return err
		}
	}
	if len(r.debris)+len(r.corrupt) == 0 {
		return nil
	}
	return s.syncDir()
}

// setAside renames a file without a whole frame; its bytes are kept.
func (s *Slot) setAside(name string) error {
	to := name + ".corrupt"
	for n := 2; ; n++ {
		_, err := s.o.FS.Stat(s.path(to))
		if err != nil {
			if err := ignoreMissing(err); err != nil {
				return err
			}
			break
		}
		to = fmt.Sprintf("%s.corrupt.%d", name, n)
	}
	s.recovered.Quarantined = append(s.recovered.Quarantined, to)
	return s.o.FS.Rename(s.path(name), s.path(to))
}

func (s *Slot) cutSealed(g *segment) error {
	f, err := s.o.FS.OpenFile(s.path(g.name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return s.cut(f, g)
}

// begin takes over what recovery found and makes the slot ready.
func (s *Slot) begin(r *recovery) error {
	for _, name := range r.names {
		s.tail.nextGen = max(s.tail.nextGen, fileGen(name)+1)
	}
	steps := []func(*recovery) error{s.takeProgress, s.takeTail, s.takeSummaries, s.takeAck, s.resetState}
	if len(r.chain) == 0 {
		steps = []func(*recovery) error{s.takeNothing, s.takeSummaries, s.takeAck, s.resetState}
	}
	for _, step := range steps {
		if err := step(r); err != nil {
			return err
		}
	}
	s.foundBytes = s.pendingBytes
	s.account.setLast(s.last().size)
	s.prepareAhead(0)
	if s.segs[0].last() <= s.watermark && len(s.segs) > 1 {
		_ = s.trim() // tried again at the next Settle
	}
	return nil
}

// takeNothing begins a chain where no frame is.
func (s *Slot) takeNothing(r *recovery) error {
	base := FSN(0)
	if st := &r.stored.state; r.stored.valid {
		base = max(st.watermark+1, st.next)
		s.ledger = st.ledger
		s.recovered.MissingFrames = int64(base - st.watermark - 1)
	}
	s.recovered.LedgerMoved = -s.ledger.pending()
	s.ledger.accepted = s.ledger.gone()
	s.published, s.watermark = base-1, base-1
	s.account.add(s.o.SegmentBytes)
	spare, err := s.create(initialGen, base)
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
	gone, err := r.settledRows(&p)
	if err != nil {
		return err
	}
	s.segs, s.published = r.chain, r.end()
	s.watermark, s.crc, s.hasCRC, s.floor, s.settled = p.watermark, p.crc, p.hasCRC, p.floor, p.settled
	pending := -gone
	for _, g := range s.segs {
		pending += g.rows
		s.recovered.Frames += g.frames
		if g.entry >= 0 {
			s.recovered.TrustedSegments++
		}
	}
	s.recountBytes()
	s.recovered.Segments, s.recovered.WatermarkReset = len(s.segs), p.reset
	if r.stored.valid {
		s.ledger = r.stored.state.ledger
		s.recovered.MissingFrames = max(0, int64(r.stored.state.next-s.published-1))
	}
	s.recovered.LedgerMoved = pending - s.ledger.pending()
	s.ledger.accepted = s.ledger.gone() + pending
	return nil
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
	s.recovered.TornBytes = r.torn
	if err := vfs.WriteZeros(f, g.end, g.end+r.torn); err != nil {
		return err
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
// the segment that goes on growing, and writes those that are missing.
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
		if sum.created == last.created {
			if err := s.settler.state.summarize(sum.entry, nil); err != nil {
				return err
			}
		}
	}
	for _, g := range s.segs {
		if g != last {
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
	for range 2 {
		if err := s.settler.state.save(s.snapshot(false)); err != nil {
			return err
		}
		if err := s.settler.state.sync(); err != nil {
			return err
		}
	}
	if !s.syncs() {
		return nil
	}
	return errors.Join(s.settler.ack.Sync(), s.syncDir())
}

// closeFiles closes what is open, except for the lock.
func (s *Slot) closeFiles() {
	files := []vfs.File{s.tail.file, s.settler.ack, s.settler.walker.f}
	if s.settler.state != nil {
		files = append(files, s.settler.state.f)
	}
	for _, r := range s.tail.ready {
		files = append(files, r.file)
	}
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
