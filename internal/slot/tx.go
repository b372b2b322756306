// SPDX-License-Identifier: MIT

package slot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Frame is one QWP message on its way into the slot, with what is in it.
type Frame struct {
	Bytes            []byte // not kept
	Rows             int
	MinTime, MaxTime int64 // of the designated timestamps, microseconds since 1970
	HasTime          bool
	Moved            bool // from another slot, where it counts as stored: see Stats.MovedIn
}

// Tx is an append that nobody sees yet. It ends with Publish or Rollback, and
// must not be used by two goroutines at once.
type Tx struct {
	s     *Slot
	sizes []int   // of the frames still to come
	parts []*part // the segments it writes to; the last is written now
	ram   int     // len(tail.ram) when it began
	err   error   // of the step that failed
	dirty bool    // something was appended since the last sync
	ended bool
	// movedRows and movedBytes are those of frames that were moved here.
	movedRows, movedBytes int64
	// removed says that Rollback has unlinked segments.
	removed bool
}

// part is what a Tx does to one segment.
type part struct {
	seg    *segment
	file   vfs.File
	extent         // as it will be after Publish
	first  uint32  // checksum of the first frame of the segment
	fresh  bool    // the segment was empty and not in the chain
	wrote  int64   // no byte at or behind this offset was touched
	synced *extent // up to where the file was synced within this Tx
}

// Reserve makes room for frames of these sizes and begins an append. While the
// budget leaves no room it waits for trimming, in any of its slots, until ctx is
// done; then the error is ErrFull. Nobody has a place in that queue: who asks
// first when bytes come back has them, and who waits keeps no spare. One Tx is
// open at a time, the others wait here; for an instant they also wait for a slot
// that takes the spare of this one.
func (s *Slot) Reserve(ctx context.Context, frames []int) (*Tx, error) {
	return s.reserve(ctx, frames, true)
}

// ReserveNow is Reserve for who can make room itself: it waits for another append
// to end, but where there is no room it fails at once, with a *FullError that has
// no cause.
func (s *Slot) ReserveNow(ctx context.Context, frames []int) (*Tx, error) {
	return s.reserve(ctx, frames, false)
}

func (s *Slot) reserve(ctx context.Context, frames []int, wait bool) (*Tx, error) {
	for _, n := range frames {
		if n <= 0 || int64(n) > s.o.SegmentBytes-SegmentOverhead {
			return nil, fmt.Errorf("%w: %d bytes, allowed are 1 to %d", ErrFrameTooLarge, n, s.o.SegmentBytes-SegmentOverhead)
		}
	}
	for {
		if err := s.acquire(ctx); err != nil {
			return nil, err
		}
		if err := s.usable(); err != nil {
			s.end()
			return nil, err
		}
		n := s.segmentsFor(frames)
		full, room := s.takeRoom(n)
		if full == nil {
			t, err := s.newTx(frames, n)
			if s.giveWay(err) {
				continue
			}
			return t, err
		}
		if full.Never {
			s.end()
			return nil, full
		}
		s.release()
		// No nudge here: two that wait would wake each other for ever. Instead a
		// spare that is not enough goes to one for whom it is, who found us busy.
		if s.giveWay(full) || s.trimAgain() || s.account.reclaim() || s.yield() {
			continue
		}
		if !wait {
			return nil, full
		}
		if err := s.awaitRoom(ctx, full, room); err != nil {
			return nil, err
		}
	}
}

// trimAgain unlinks what an earlier Settle could not, and says whether that made
// a difference. With everything settled no other Settle would come.
func (s *Slot) trimAgain() bool {
	s.settling.Lock()
	defer s.settling.Unlock()
	return s.trimDoomed()
}

// trimDoomed is trim if there is something to unlink or to hollow out, and says
// whether bytes came back. The caller holds settling.
func (s *Slot) trimDoomed() bool {
	if len(s.settler.doomed) == 0 && !s.anyRipe() {
		return false
	}
	before := s.account.bytes()
	return s.trim() == nil && s.account.bytes() < before
}

// acquire takes the token. A free one is taken even when ctx is done: who does
// not want to wait passes such a context.
func (s *Slot) acquire(ctx context.Context) error {
	select {
	case <-s.done:
		return ErrClosed
	default:
	}
	select {
	case s.token <- struct{}{}:
		return nil
	default:
	}
	select {
	case s.token <- struct{}{}:
		return nil
	case <-s.done:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("slot %s: waiting for another append: %w", s.o.Dir, ctx.Err())
	}
}

func (s *Slot) release() { <-s.token }

// end gives the token back where a spare may be left, which another slot may be
// waiting for.
func (s *Slot) end() {
	s.release()
	s.account.nudge()
}

// yield gives up what is not needed here: spares, and what could not be unlinked
// before. It does nothing while an append is under way, or a settlement, which
// unlinks by itself. It says whether bytes came back.
func (s *Slot) yield() bool {
	select {
	case s.token <- struct{}{}:
	default:
		return false
	}
	defer s.release()
	before := s.account.bytes()
	s.sweep()
	_ = s.keepSpares(0)
	if s.settling.TryLock() {
		defer s.settling.Unlock()
		_ = s.trimDoomed()
	}
	return s.account.bytes() < before
}

// usable says whether appends are possible, mending what can be mended.
func (s *Slot) usable() error {
	s.sweep()
	if err := s.fatalErr(); err != nil {
		return err
	}
	if s.tail.suspect != nil || s.tail.undoing != nil {
		return s.heal()
	}
	s.sealWounded()
	return nil
}

func (s *Slot) fatalErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fatal {
		return s.failure
	}
	return nil
}

// newTx prepares the segments and begins. It gives the token back on failure.
func (s *Slot) newTx(frames []int, n int) (*Tx, error) {
	if err := s.prepare(n); err != nil {
		_ = s.keepSpares(1)
		s.end()
		return nil, s.orFull(err, n)
	}
	if n > 0 {
		s.prepareAhead(n)
	}
	t := &Tx{s: s, sizes: slices.Clone(frames), ram: len(s.tail.ram)}
	if !s.tail.sealed {
		g := s.tail.seg
		t.parts = []*part{{seg: g, file: s.tail.file, extent: g.extent, first: g.firstCRC, wrote: g.end}}
	}
	return t, nil
}

// Append writes frames behind the last, in the sizes and the order of Reserve,
// one write for all that go into one segment. They stay invisible. After an
// error the Tx can only be rolled back.
func (t *Tx) Append(frames ...Frame) error {
	if t.err != nil {
		return t.err
	}
	if t.ended {
		panic("bug: Append after the end of the Tx")
	}
	t.err = t.append(frames)
	return t.err
}

func (t *Tx) append(frames []Frame) error {
	buf := t.s.tail.buf[:0]
	for _, f := range frames {
		if len(t.sizes) == 0 || len(f.Bytes) != t.sizes[0] {
			return fmt.Errorf("slot %s: append of a frame of %d bytes that was not reserved", t.s.o.Dir, len(f.Bytes))
		}
		t.sizes = t.sizes[1:]
		full := !t.fits(len(f.Bytes))
		if full || len(buf) >= maxWrite {
			if err := t.write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		if full {
			if err := t.rotate(); err != nil {
				return err
			}
		}
		buf = t.put(t.current(), buf, f)
		if f.Moved {
			t.movedRows += int64(f.Rows)
			t.movedBytes += int64(recordHead + len(f.Bytes))
		}
	}
	if err := t.write(buf); err != nil {
		return err
	}
	return t.boundUnsynced()
}

// maxWrite bounds the memory that gathers frames for one write.
const maxWrite = 1 << 20

// fits says whether a frame goes into the current segment.
func (t *Tx) fits(size int) bool {
	p := t.current()
	return p != nil && p.end+int64(recordHead+size) <= p.seg.size
}

func (t *Tx) current() *part {
	if len(t.parts) == 0 {
		return nil
	}
	return t.parts[len(t.parts)-1]
}

// put adds the record of a frame to the buffer. The first frame of a segment
// goes together with the header, which now learns its base.
func (t *Tx) put(p *part, buf []byte, f Frame) []byte {
	if p.fresh && p.frames == 0 {
		buf = appendHeader(buf, header{base: p.seg.base, created: p.seg.created})
	}
	at := len(buf)
	buf = appendRecord(buf, f.Bytes)
	if p.frames == 0 {
		p.first = little.Uint32(buf[at:])
	}
	p.end += int64(len(buf) - at)
	p.frames++
	p.rows += int64(f.Rows)
	p.add(span{min: f.MinTime, max: f.MaxTime, ok: f.HasTime})
	if t.s.o.Durability == Periodic {
		t.s.tail.ram = append(t.s.tail.ram, buf[at:]...)
	}
	return buf
}

// write puts the buffer where the current part ends.
func (t *Tx) write(buf []byte) error {
	if cap(buf) <= 2*maxWrite {
		t.s.tail.buf = buf
	}
	if len(buf) == 0 {
		return nil
	}
	p := t.current()
	p.wrote, t.dirty = p.end, true
	_, err := p.file.WriteAt(buf, p.end-int64(len(buf)))
	return err
}

// rotate goes on in the next segment. The one before is synced first: then only
// the last segment of a chain can have a torn tail.
func (t *Tx) rotate() error {
	s := t.s
	base := s.published + 1
	if p := t.current(); p != nil {
		base = p.seg.base + FSN(p.frames)
		if s.syncs() && (p.wrote > p.seg.end || len(s.tail.ram) > 0) {
			if err := t.sync(p); err != nil {
				return err
			}
		}
	}
	sp := s.tail.ready[0]
	s.setReady(s.tail.ready[1:])
	sp.seg.base = base
	t.parts = append(t.parts, &part{seg: sp.seg, file: sp.file, extent: sp.seg.extent, fresh: true})
	return nil
}

// sync makes a part durable, and with it all that was published before in the
// same segment. Failure makes that segment suspect: the kernel reports lost
// pages once, a second sync would claim success.
func (t *Tx) sync(p *part) error {
	if err := p.file.Sync(); err != nil {
		if !p.fresh {
			t.s.tail.suspect = err
		}
		return err
	}
	done := p.extent
	p.synced = &done
	t.s.tail.ram, t.ram, t.dirty = t.s.tail.ram[:0], 0, false
	if !p.fresh {
		t.s.tail.synced = p.seg.extent
	}
	return nil
}

// boundUnsynced keeps what Periodic has to remember in RAM below SyncBytes.
func (t *Tx) boundUnsynced() error {
	if len(t.s.tail.ram) < SyncBytes {
		return nil
	}
	return t.sync(t.current())
}

// Sync makes the appended frames durable under Flush, and does nothing
// otherwise. After an error the Tx can only be rolled back.
func (t *Tx) Sync() error {
	if t.err == nil && t.s.o.Durability == Flush && t.dirty {
		if t.err = t.sync(t.current()); t.err == nil {
			t.err = t.s.hasName(t.current().seg)
		}
	}
	return t.err
}

// hasName looks, once a sync, whether the file of a segment was removed: it can be
// written and synced all the same, but nobody would find it again.
func (s *Slot) hasName(g *segment) error {
	if _, err := s.o.FS.Stat(s.path(g.name)); errors.Is(err, fs.ErrNotExist) || errors.Is(err, vfs.ErrRemounted) {
		return s.fail(err, true)
	}
	return nil
}
