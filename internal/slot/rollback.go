// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"slices"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Rollback takes the append back: the slot is as it was before Reserve. It does
// nothing after Publish or a first Rollback. An error means that the bytes could
// not be removed; Err says so until a later Reserve or Close has removed them.
// If the process dies before, the append may turn up at the next open.
func (t *Tx) Rollback() error {
	if t.ended {
		return nil
	}
	t.ended = true
	defer t.s.end()
	t.s.tail.ram = t.s.tail.ram[:t.ram]
	t.s.tail.undoing = t
	return t.s.heal()
}

// heal finishes what an earlier failure has left: first an append that is to be
// undone, then a last segment that cannot be trusted. The caller holds the token.
func (s *Slot) heal() error {
	if t := s.tail.undoing; t != nil {
		if err := t.undo(); err != nil {
			return s.fail(err, false)
		}
		s.tail.undoing = nil
	}
	if s.tail.suspect != nil {
		if fatal, err := s.mend(); err != nil {
			return s.fail(errors.Join(s.tail.suspect, err), fatal)
		}
		s.tail.suspect = nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fatal {
		s.failure = nil
	}
	return nil
}

// undo goes backwards: the segments that were begun go first, each durably before
// the next, because without them the frames before look like the end of the
// chain, and with them but without those frames like a gap.
func (t *Tx) undo() error {
	s := t.s
	for p := t.current(); ; p = t.current() {
		if t.removed {
			if err := s.syncDir(); err != nil {
				return err
			}
			t.removed = false
		}
		if p == nil || !p.fresh {
			break
		}
		if err := s.discard(spare{seg: p.seg, file: p.file}); err != nil {
			return err
		}
		t.parts = t.parts[:len(t.parts)-1]
		t.removed = true
	}
	_ = s.keepSpares(1)
	if p := t.current(); p != nil {
		s.wipe(p)
	}
	return nil
}

// wipe zeroes what was written behind the end of the last segment, durably: a
// frame that stayed would be read as the next one behind a shorter append.
func (s *Slot) wipe(p *part) {
	if p.wrote <= p.seg.end {
		return
	}
	err := vfs.WriteZeros(p.file, p.seg.end, min(p.wrote, p.seg.size))
	if err == nil && s.syncs() && s.tail.suspect == nil {
		if err = p.file.Sync(); err == nil {
			s.tail.synced, s.tail.ram = p.seg.extent, s.tail.ram[:0]
		}
	}
	if err != nil {
		s.tail.suspect = errors.Join(s.tail.suspect, err)
	}
}

// mend puts a last segment right that could not be written or synced: what is
// published but not on the device is written again, from RAM, into a segment of
// its own; then the old one is cut behind what is on the device, and sealed. A
// sync of the same file is never trusted again. fatal says that only the next
// open can put right what failed here.
func (s *Slot) mend() (fatal bool, err error) {
	if len(s.tail.ram) > 0 {
		return s.rewrite()
	}
	return false, s.sealHere()
}

// sealHere cuts the last segment at its end and lets nothing follow there.
func (s *Slot) sealHere() error {
	if err := s.cut(s.tail.file, s.tail.seg); err != nil {
		return err
	}
	s.tail.sealed = true
	s.account.setLast(s.tail.seg.size)
	return nil
}

// cut ends the file of a segment behind its last frame, durably.
func (s *Slot) cut(f vfs.File, g *segment) error {
	if err := f.Truncate(g.end); err != nil {
		return err
	}
	s.endsAt(g)
	s.letGo(g, g.end)
	if !s.syncs() {
		return nil
	}
	return f.Sync()
}

// endsAt notes that the file of a segment has nothing behind its last frame.
func (s *Slot) endsAt(g *segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.size = g.end
}

// rewrite replaces the unsynced end of the last segment by a new segment. The
// new one appears under its name only when it is whole and on the device; until
// the old one is cut the frames stand in both, which recovery knows. Spares go
// before: what is appended later must lie in files with later numbers, by which
// recovery tells what a crash may have torn.
func (s *Slot) rewrite() (fatal bool, err error) {
	if err := s.dropSpares(); err != nil {
		return false, err
	}
	old := s.tail.seg
	sp, fatal, err := s.copyUnsynced(old)
	if err != nil {
		return fatal, err
	}
	s.swap(old, sp)
	if s.tail.synced.frames == 0 {
		_ = s.tail.file.Close()
		if err = s.remove(old); err == nil {
			err = s.syncDir() // the hint below moves past it
		}
	} else {
		err = errors.Join(s.cut(s.tail.file, old), s.tail.file.Close())
	}
	s.tail.seg, s.tail.file, s.tail.synced = sp.seg, sp.file, sp.seg.extent
	s.tail.ram, s.tail.sealed = s.tail.ram[:0], false
	if err != nil {
		return true, err
	}
	s.summarize(old)
	s.hint()
	return false, nil
}

// copyUnsynced makes the new segment out of what is in RAM.
func (s *Slot) copyUnsynced(old *segment) (sp spare, fatal bool, err error) {
	name, f, err := s.newFile(0, vfs.TempSuffix)
	if err != nil {
		return spare{}, false, err
	}
	done := s.tail.synced
	g := &segment{
		name: name, gen: fileGen(name), base: old.base + FSN(done.frames),
		created:  old.created, // if old is the first segment, this one can stand for it
		size:     max(s.o.SegmentBytes, headerSize+int64(len(s.tail.ram))),
		firstCRC: little.Uint32(s.tail.ram), entry: -1,
	}
	g.extent = extent{
		end: headerSize + int64(len(s.tail.ram)), frames: old.frames - done.frames,
		rows: old.rows - done.rows, span: old.span,
	}
	s.hold(g)
	g.name += vfs.TempSuffix
	err = s.format(f, g, s.tail.ram)
	if err == nil {
		err = s.o.FS.Rename(s.path(g.name), s.path(name))
	}
	if err != nil {
		return spare{}, false, errors.Join(err, f.Close(), s.removeOrNote(g))
	}
	g.name = name
	if err := s.syncDir(); err != nil {
		return spare{}, true, errors.Join(err, f.Close())
	}
	return spare{seg: g, file: f}, false, nil
}

// swap puts the new segment in the place of the end of the old one.
func (s *Slot) swap(old *segment, sp spare) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.splitGone(old, sp.seg)
	old.extent = s.tail.synced
	old.holes = old.area().below(old.end)
	if old.frames == 0 {
		s.segs = s.segs[:len(s.segs)-1]
	}
	s.segs = append(s.segs, sp.seg)
	s.account.setLast(sp.seg.size)
	s.floor = position{fsn: s.watermark + 1}
	s.ripen(old)
	s.recountBytes()
}

// splitGone tells the settled and lost rows of the new segment from those of the old
// one, both in their new extents. The caller holds the token and mu.
func (s *Slot) splitGone(old, g *segment) {
	if old.gone+old.lost == 0 {
		return
	}
	var settled, lost extent
	fsn := g.base
	for b := s.tail.ram; len(b) >= recordHead; fsn++ {
		size := recordHead + int(little.Uint32(b[4:]))
		switch {
		case !s.isSettled(fsn):
		case slices.ContainsFunc(old.holes, func(h hole) bool { return h.fsn <= fsn && fsn < h.next() }):
			lost.count(b[recordHead:size], s.o.Inspect)
		default:
			settled.count(b[recordHead:size], s.o.Inspect)
		}
		b = b[size:]
	}
	g.lost = min(lost.rows, old.lost)
	g.gone = min(settled.rows+lost.rows-g.lost, old.gone)
	old.lost -= g.lost
	old.gone -= g.gone
}
