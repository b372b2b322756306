// SPDX-License-Identifier: MIT

package slot

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Entry is a published frame.
type Entry struct {
	FSN   FSN
	Bytes []byte // one QWP message; valid until the next call of Next
	// Dict resolves the symbols of a message that does not bring them itself.
	// Nil for one that does, which all of ours do.
	Dict *qwp.Dict
}

// source is what a cursor reads from.
type source interface {
	// nextFor returns the first pending frame at or behind fsn.
	nextFor(fsn FSN) (w wanted, ok bool, err error)
	// moved says whether a frame is not any more where it was: then a failed
	// read means nothing.
	moved(w wanted) bool
	// wounded has a frame that is not what was stored counted as lost, so that the
	// next one can be read; false if it finds nothing wrong with it, or must not.
	wounded(w wanted) (closed bool, err error)
	// gone is told that the file of a frame is not there any more.
	gone(err error)
	// forget takes a cursor out of those that are closed with the source.
	forget(c *Cursor)
}

// Cursor reads the frames of a slot in order, over settled ones. A slot may have
// several; the methods of one are called by one goroutine.
type Cursor struct {
	s source
	o Options

	// mu guards what follows against Slot.Close. Reading happens under it.
	mu     sync.Mutex
	at     position // of the next frame
	r      reader
	closed bool
}

// NewCursor returns a cursor before the first frame that is not settled. It is
// closed with the slot, or by Close. It checks the settled frames that it passes over
// inside a segment: a damaged length must not shift the numbers of those behind.
func (s *Slot) NewCursor() *Cursor {
	c := &Cursor{s: s, o: s.o, r: reader{ahead: readAhead, whole: true}}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.closed = s.closed
	if !s.closed {
		s.cursors[c] = struct{}{}
	}
	return c
}

// Rewind goes back to the first frame that is not settled.
func (c *Cursor) Rewind() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = position{}
}

// Seek goes to the first frame at or behind fsn that is not settled.
func (c *Cursor) Seek(fsn FSN) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = position{fsn: fsn}
}

// Next returns the next published frame that is not settled; false when there is
// none now. Frames of our own slots that are not what was stored are set aside as
// the package comment says, and passed over. A *DamageError tells of one in the
// slot of another client; the cursor stays before it.
func (c *Cursor) Next() (Entry, bool, error) { return c.NextBelow(math.MaxInt64) }

// NextBelow is Next for frames before end.
func (c *Cursor) NextBelow(end FSN) (Entry, bool, error) {
	for {
		want, e, err := c.next(end)
		if err == nil || want.seg == nil {
			return e, err == nil && want.seg != nil, err
		}
		if err := c.pass(want, err); err != nil {
			return Entry{}, false, err
		}
	}
}

// next reads the next frame; want has no segment where there is none, or none is
// to be read.
func (c *Cursor) next(end FSN) (want wanted, e Entry, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return wanted{}, Entry{}, ErrClosed
	}
	want, ok, err := c.s.nextFor(c.at.fsn)
	if !ok || err != nil || want.fsn >= end {
		return wanted{}, Entry{}, err
	}
	rec, err := c.read(want)
	if err != nil {
		return want, Entry{}, err
	}
	c.at.off += rec.size
	c.at.fsn++
	e = Entry{FSN: want.fsn, Bytes: rec.payload}
	if want.symbols != nil {
		e.Bytes, e.Dict = want.symbols.resolve(rec.payload)
	}
	return want, e, nil
}

// pass says whether it is worth trying again after a frame could not be read: nil
// if it is somewhere else now, or its loss is booked. The lock of the cursor is not
// held: Slot.Close takes it behind that of settling.
func (c *Cursor) pass(want wanted, err error) error {
	if c.s.moved(want) {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		c.s.gone(err)
		return err
	}
	if !isWound(err) {
		return err
	}
	closed, e := c.s.wounded(want)
	if e != nil || !closed {
		return cmp.Or(e, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drop()
	c.at = position{fsn: c.at.fsn} // where the frames stand is known anew
	return nil
}

// isWound says whether a read failed because of the bytes, or of their absence, and
// not because of the disk.
func isWound(err error) bool {
	return errors.As(err, new(*DamageError)) || errors.Is(err, io.ErrUnexpectedEOF)
}

// wanted is a frame that is to be read, and how much of its segment is published.
type wanted struct {
	fsn FSN
	seg *segment
	area
	floor position
	// symbols belong to the slot of another client, where frames may need them.
	symbols *symbols
}

func (s *Slot) nextFor(fsn FSN) (w wanted, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return wanted{}, false, ErrClosed
	}
	fsn = s.behind(max(fsn, s.watermark+1))
	g := s.find(fsn)
	if g == nil {
		return wanted{}, false, nil
	}
	return wanted{fsn: fsn, seg: g, area: g.area(), floor: s.floor}, true, nil
}

// moved is true of a frame that was settled and trimmed, or written anew by mend.
func (s *Slot) moved(w wanted) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed || s.find(w.fsn) != w.seg || s.isSettled(w.fsn)
}

// gone ends the appends: who took the file away may have taken the directory, and
// what is written behind an open file that has no name is lost.
func (s *Slot) gone(err error) { _ = s.fail(err, true) }

func (c *Cursor) read(w wanted) (record, error) {
	if err := c.seek(w); err != nil {
		return record{}, err
	}
	rec, err := c.r.frame(c.at.off, w.end)
	if err == nil && rec.bad != "" {
		err = &DamageError{Path: c.r.f.Name(), FSN: w.fsn, Offset: c.at.off, Reason: rec.bad}
	}
	return rec, err
}

// seek moves to a frame: on from where the cursor is, or from the watermark, or
// from the begin of the segment.
func (c *Cursor) seek(w wanted) error {
	if c.at.seg == w.seg && c.at.fsn <= w.fsn && c.r.f != nil {
		return c.at.walk(&c.r, w.fsn, w.area)
	}
	f, err := c.o.FS.OpenFile(filepath.Join(c.o.Dir, w.seg.name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	c.drop()
	c.r.reset(f)
	at := startOf(w.seg)
	if w.floor.seg == w.seg && w.floor.fsn <= w.fsn {
		at = w.floor
	}
	if err := at.walk(&c.r, w.fsn, w.area); err != nil {
		c.drop() // the cursor stays where it was, and does not go back
		return err
	}
	c.at = at
	return nil
}

// drop closes the file.
func (c *Cursor) drop() {
	if c.r.f != nil {
		_ = c.r.f.Close()
	}
	c.r.reset(nil)
}

// Close ends the cursor. It may be called again.
func (c *Cursor) Close() {
	c.s.forget(c)
	c.shut()
}

func (s *Slot) forget(c *Cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.cursors, c)
}

func (c *Cursor) shut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.drop()
}
