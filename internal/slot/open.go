// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Open locks the slot, creating it if need be, recovers what is in it, and makes
// it ready for appends. Besides errors of the filesystem, returned as they are,
// it fails with *LockedError or *ForeignError. Damage does not keep it from opening:
// see "Wounds".
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
	if err := s.o.Retain.Look(s.o.Dir); err != nil {
		return err
	}
	if err := s.asideOdd(r); err != nil {
		return err
	}
	entries := int(min(s.o.Budget.max/s.o.SegmentBytes+2, maxEntries))
	var err error
	if s.settler.state, r.stored, err = openState(s.o.FS, s.o.Dir, entries, s.syncs()); err != nil {
		return err
	}
	if err := s.openTarget(r); err != nil {
		return err
	}
	if err := r.build(); err != nil {
		return err
	}
	for _, g := range r.chain {
		s.hold(g)
	}
	if err := s.takeStock(r); err != nil {
		return err
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
		_, receipt := aboutOf(strings.TrimSuffix(name, vfs.TempSuffix))
		if name == targetName+vfs.TempSuffix || name == segmentName(fileGen(name))+vfs.TempSuffix ||
			receipt && strings.HasSuffix(name, vfs.TempSuffix) {
			r.debris = append(r.debris, name)
		}
	}
	for _, name := range r.debris {
		if err := removeFile(s.o.FS, s.path(name)); err != nil {
			return err
		}
	}
	for _, f := range r.done {
		if err := s.putAway(segmentOf(f)); err != nil {
			return err
		}
	}
	for _, f := range r.husks {
		r.corrupt = append(r.corrupt, f.name)
	}
	for _, name := range r.corrupt {
		if err := s.setAside(name); err != nil {
			return err
		}
	}
	if r.newTarget {
		if err := SetTarget(s.o.FS, s.o.Dir, s.target); err != nil {
			return err
		}
	}
	for _, g := range r.cut {
		if err := s.cutSealed(g); err != nil {
			return err
		}
	}
	if len(r.debris)+len(r.corrupt)+len(r.done) == 0 {
		return nil
	}
	return s.syncDir()
}

// setAside renames a file; its bytes are kept.
func (s *Slot) setAside(name string) error {
	to, err := s.asideFor(name)
	if err != nil {
		return err
	}
	s.recovered.Quarantined = append(s.recovered.Quarantined, to)
	return s.o.FS.Rename(s.path(name), s.path(to))
}

// asideOdd sets aside what stands in the place of a side file and is no file: a
// directory, or a link that leads out of the slot.
func (s *Slot) asideOdd(r *recovery) error {
	for _, name := range r.odd {
		if name == stateName || name == ackName || name == targetName {
			if err := s.setAside(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// rewriteHeaders writes the headers that say something wrong. That comes last: from
// then on nobody sees that the numbers of these frames were a guess.
func (s *Slot) rewriteHeaders(r *recovery) error {
	for _, g := range r.headers {
		if err := s.rewriteHeader(g); err != nil {
			return err
		}
	}
	return nil
}

// rewriteHeader writes the header that a segment should have, durably.
func (s *Slot) rewriteHeader(g *segment) error {
	f, err := s.o.FS.OpenFile(s.path(g.name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(appendHeader(nil, header{base: g.base, created: g.created}), 0); err != nil {
		return err
	}
	if !s.syncs() {
		return nil
	}
	return f.Sync()
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
	steps := []func(*recovery) error{s.takeTail, s.takeSummaries, s.takeAck, s.resetState, s.rewriteHeaders}
	if len(r.chain) == 0 {
		steps[0] = s.takeNothing
	}
	for _, step := range steps {
		if err := step(r); err != nil {
			return err
		}
	}
	s.account.setLast(s.last().size)
	s.prepareAhead(0)
	if s.segs[0].last() <= s.watermark && len(s.segs) > 1 || len(s.ripe) > 0 {
		_ = s.trim() // tried again at the next Settle
	}
	return nil
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
