// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// create makes an empty segment file of the configured size. Its header is
// durable before the first frame goes in: a file without one is never data.
func (s *Slot) create(gen int64, base FSN) (spare, error) {
	name, f, err := s.newFile(gen, "")
	if err != nil {
		return spare{}, err
	}
	g := &segment{
		extent: extent{end: headerSize}, name: name, gen: fileGen(name), base: base,
		created: s.o.Now().UnixMicro(), size: s.o.SegmentBytes, entry: -1,
	}
	if err := s.format(f, g, nil); err != nil {
		return spare{}, errors.Join(err, f.Close(), removeFile(s.o.FS, s.path(name)))
	}
	if err := s.syncDir(); err != nil {
		return spare{}, errors.Join(err, f.Close(), removeFile(s.o.FS, s.path(name)))
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

// prepare makes sure of n empty segments, and of one more ahead if that fits
// under the cap. The caller holds the token and knows that n fit.
func (s *Slot) prepare(n int, ahead bool) error {
	for len(s.tail.ready) < n {
		if err := s.prepareOne(); err != nil {
			return err
		}
	}
	if !ahead || len(s.tail.ready) > n || !s.fits(1) {
		return nil
	}
	return s.prepareOne()
}

func (s *Slot) prepareOne() error {
	next := s.published + 1 // provisional; the first append writes the true one
	sp, err := s.create(0, next)
	if err != nil {
		return fmt.Errorf("prepare a segment in %s: %w", s.o.Dir, err)
	}
	s.tail.ready = append(s.tail.ready, sp)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total += sp.seg.size
	return nil
}

// fits says whether so many new segments are under the cap now.
func (s *Slot) fits(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total+int64(n)*s.o.SegmentBytes <= s.limit()
}

// limit is the cap. Besides the last segment there may always be one more, or a
// recovered file above the cap would stop the slot for ever. The caller holds mu.
func (s *Slot) limit() int64 { return max(s.o.MaxBytes, s.last().size+s.o.SegmentBytes) }

// keepOne discards all but one of the prepared segments.
func (s *Slot) keepOne() error {
	var errs []error
	for len(s.tail.ready) > 1 {
		n := len(s.tail.ready) - 1
		errs = append(errs, s.discard(s.tail.ready[n]))
		s.tail.ready = s.tail.ready[:n]
	}
	return errors.Join(errs...)
}

// discard unlinks a segment that is not part of the chain. What cannot be
// unlinked still counts, and goes at the next open.
func (s *Slot) discard(sp spare) error {
	_ = sp.file.Close()
	if err := removeFile(s.o.FS, s.path(sp.seg.name)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total -= sp.seg.size
	s.room.ring()
	return nil
}

// summarize writes the summary of a sealed segment, unless it has one. Without
// one, it is scanned at the next open.
func (s *Slot) summarize(g *segment) {
	if entry := s.takeEntry(g); entry >= 0 {
		_ = s.settler.state.summarize(entry, g)
	}
}

// takeEntry gives a segment of the chain an entry of the table, or -1.
func (s *Slot) takeEntry(g *segment) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.entries)
	if n == 0 || g.entry >= 0 || g.frames == 0 || s.find(g.base) != g {
		return -1
	}
	g.entry = s.entries[n-1]
	s.entries = s.entries[:n-1]
	return g.entry
}
