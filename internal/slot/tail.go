// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// create makes an empty segment file of the configured size, for which room was
// taken: a failure gives that back. Its header is durable before the first frame
// goes in: a file without one is never data.
func (s *Slot) create(gen int64, base FSN) (spare, error) {
	name, f, err := s.newFile(gen, "")
	if err != nil {
		s.account.add(-s.o.SegmentBytes)
		return spare{}, err
	}
	g := &segment{
		extent: extent{end: headerSize}, name: name, gen: fileGen(name), base: base,
		created: s.o.Now().UnixMicro(), size: s.o.SegmentBytes, held: s.o.SegmentBytes, entry: -1,
	}
	err = s.format(f, g, nil)
	if err == nil {
		err = s.syncDir()
	}
	if err != nil {
		return spare{}, errors.Join(err, f.Close(), s.removeOrNote(g))
	}
	return spare{seg: g, file: f}, nil
}

// format gives a file its blocks, its header and records, and syncs it.
func (s *Slot) format(f vfs.File, g *segment, records []byte) error {
	if err := f.Allocate(g.size); err != nil {
		return err
	}
	b := append(appendHeader(nil, header{base: g.base, created: g.created}), records...)
	if _, err := f.WriteAt(b, 0); err != nil {
		return err
	}
	if !s.syncs() {
		return nil
	}
	return f.Sync()
}

// newFile creates a file under a name that is in nobody's way: no number is
// ever used twice, and O_EXCL proves it. The file gets a suffix until it is
// renamed; the name is returned without.
func (s *Slot) newFile(gen int64, suffix string) (string, vfs.File, error) {
	for {
		if gen != initialGen {
			gen = s.tail.nextGen
			s.tail.nextGen++
		}
		name := segmentName(gen)
		f, err := s.o.FS.OpenFile(s.path(name+suffix), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return name, f, err
		}
		gen = 0
	}
}

// prepare makes sure of n empty segments, for which room was taken. The caller
// holds the token.
func (s *Slot) prepare(n int) error {
	for len(s.tail.ready) < n {
		if err := s.prepareOne(); err != nil {
			s.account.add(-int64(n-len(s.tail.ready)-1) * s.o.SegmentBytes)
			return err
		}
	}
	return nil
}

// prepareAhead prepares one more than n, if there is room. Failure means nothing:
// who needs it will ask again. The caller holds the token.
func (s *Slot) prepareAhead(n int) {
	if len(s.tail.ready) <= n && s.account.takeAhead(s.o.SegmentBytes) {
		_ = s.prepareOne()
	}
}

func (s *Slot) prepareOne() error {
	next := s.published + 1 // provisional; the first append writes the true one
	sp, err := s.create(0, next)
	if err != nil {
		return fmt.Errorf("prepare a segment in %s: %w", s.o.Dir, err)
	}
	s.setReady(append(s.tail.ready, sp))
	return nil
}

// keepSpares discards all but n of the prepared segments.
func (s *Slot) keepSpares(n int) error {
	var errs []error
	for _, sp := range s.tail.ready[min(n, len(s.tail.ready)):] {
		_ = sp.file.Close()
		errs = append(errs, s.removeOrNote(sp.seg))
	}
	s.setReady(s.tail.ready[:min(n, len(s.tail.ready))])
	return errors.Join(errs...)
}

// setReady changes which empty segments are prepared. The caller holds the token.
func (s *Slot) setReady(list []spare) {
	s.tail.ready = list
	s.spares.Store(int64(len(list)))
}

// discard unlinks a segment that is not part of the chain.
func (s *Slot) discard(sp spare) error {
	_ = sp.file.Close()
	return s.remove(sp.seg)
}

// remove unlinks the file of a segment, or sets it aside, durably, if it has lost
// rows. Until that is done it counts.
func (s *Slot) remove(g *segment) error {
	s.mu.Lock()
	wounded := g.wounded
	s.mu.Unlock()
	if err := s.removeName(g.name, wounded); err != nil {
		return err
	}
	s.letGo(g, 0)
	return nil
}

func (s *Slot) removeName(name string, wounded bool) error {
	if !wounded {
		return removeFile(s.o.FS, s.path(name))
	}
	to, err := s.asideFor(name)
	if err == nil {
		err = ignoreMissing(s.o.FS.Rename(s.path(name), s.path(to)))
	}
	if err != nil {
		return err
	}
	return s.syncDir()
}

// removeOrNote is remove for what nobody will ask for again: sweep tries once
// more, and the next open. The caller holds the token.
func (s *Slot) removeOrNote(g *segment) error {
	err := s.remove(g)
	if err != nil {
		s.tail.litter = append(s.tail.litter, g)
	}
	return err
}

// sweep unlinks what could not be unlinked before. The caller holds the token.
func (s *Slot) sweep() {
	litter := s.tail.litter
	s.tail.litter = nil
	for _, g := range litter {
		_ = s.removeOrNote(g)
	}
}

// hold counts the file of a segment in the budget.
func (s *Slot) hold(g *segment) {
	g.held = g.size
	s.account.add(g.held)
}

// letGo gives back what the file of a segment no longer has: it was cut at a
// size, or is gone. Both may happen at once, and bytes come back once.
func (s *Slot) letGo(g *segment, size int64) {
	s.mu.Lock()
	freed := max(0, g.held-size)
	g.held -= freed
	s.mu.Unlock()
	s.account.add(-freed)
}

// summarize writes the summary of a sealed segment, unless it has one. Without
// one, it is scanned at the next open.
func (s *Slot) summarize(g *segment) {
	if entry, copied := s.takeEntry(g); entry >= 0 {
		_ = s.settler.state.summarize(entry, &copied)
	}
}

// takeEntry gives a segment of the chain an entry of the table, or -1.
func (s *Slot) takeEntry(g *segment) (entry int, copied segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.entries)
	if n == 0 || g.entry >= 0 || g.frames == 0 || g.isHollow() || s.find(g.base) != g {
		return -1, segment{}
	}
	g.entry = s.entries[n-1]
	s.entries = s.entries[:n-1]
	return g.entry, *g
}
