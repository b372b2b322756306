// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Framed is a frame that stands in a file.
type Framed struct {
	FSN   FSN
	Bytes []byte    // one QWP message; good until the visit is over
	Dict  *qwp.Dict // resolves symbols that the message does not bring itself; may be nil
	// Settled says that no row of it is pending; Kept, that it stands in a file that is
	// kept of an acked segment.
	Settled, Kept bool
	// Unfinished: another client never wrote its commit, and it is not sent.
	Unfinished bool
	File       string
}

// Wish says which frames are wanted.
type Wish struct {
	From, To         FSN  // both are wanted
	Pending, Settled bool // with both, those that are unfinished too
	// Skipped is told what could not be read, and why.
	Skipped func(file, why string)
}

// Each visits the frames of the slot by their numbers, and those of kept segments
// behind. What its owner takes away meanwhile is left out: it was settled.
func (e *Examination) Each(w Wish, visit func(*Framed) error) error {
	given := map[head]FSN{} // how far frames of a segment were given
	for _, g := range e.chain() {
		if g.next() <= w.From || g.base > w.To || !w.Settled && g.last() <= e.Stats.Watermark {
			continue
		}
		last, err := e.eachIn(g, w, visit)
		if err != nil {
			return err
		}
		given[head{base: g.base, created: g.created}] = last
	}
	if !w.Settled {
		return nil
	}
	return e.eachKept(w, given, visit)
}

func (e *Examination) chain() []*segment {
	switch {
	case e.f != nil:
		return e.f.layout.chain
	case e.s != nil:
		return e.s.segs
	}
	return nil
}

// eachIn visits the frames of a segment, and returns the last that was looked at.
func (e *Examination) eachIn(g *segment, w Wish, visit func(*Framed) error) (last FSN, err error) {
	last = w.From - 1
	each := func(f *Framed, _ int64) error {
		last = f.FSN
		if f.Settled && !w.Settled || !f.Settled && !w.Pending || f.Unfinished && !w.Settled {
			return nil
		}
		return visit(f)
	}
	for range 2 {
		var damage bool
		if damage, err = e.walkOwn(g, last+1, w.To, each); !damage || e.s == nil {
			break
		}
		if err = e.r.examine(g); err != nil { // a wound that a summary has hidden
			break
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return last, nil
	}
	if isWound(err) {
		w.Skipped(g.name, err.Error())
		return last, nil
	}
	return last, err
}

// walkOwn visits the frames from one number to another; damage says that err is a place
// where there should be a frame and is none.
func (e *Examination) walkOwn(g *segment, from, to FSN, visit func(f *Framed, off int64) error) (damage bool, err error) {
	f, err := e.o.FS.OpenFile(filepath.Join(e.o.Dir, g.name), os.O_RDONLY, 0)
	if err != nil {
		return false, err
	}
	defer func() { _ = f.Close() }()
	r := reader{ahead: readAhead}
	r.reset(f)
	for p := startOf(g); p.fsn < g.next() && p.fsn <= to; {
		if h := g.area().holeAt(&p); h != nil {
			p.jump(h)
			continue
		}
		rec, err := r.frame(p.off, g.end)
		if err == nil && rec.bad != "" {
			err = &DamageError{Path: f.Name(), FSN: p.fsn, Offset: p.off, Reason: rec.bad}
		}
		if err != nil {
			return isWound(err), err
		}
		if p.fsn >= from {
			if err := visit(e.framed(g, p.fsn, rec.payload), p.off); err != nil {
				return false, err
			}
		}
		p.off, p.fsn = p.off+rec.size, p.fsn+1
	}
	return false, nil
}

func (e *Examination) framed(g *segment, fsn FSN, payload []byte) *Framed {
	one := &Framed{FSN: fsn, Bytes: payload, File: g.name}
	if e.f != nil {
		one.Bytes, one.Dict = e.f.symbols.resolve(payload)
		one.Settled, one.Unfinished = e.f.isSettled(fsn), fsn > e.f.end
		return one
	}
	one.Settled = e.s.isSettled(fsn)
	return one
}

// eachKept visits what is kept of acked segments, without what was visited already:
// their owner may have put one aside in between.
func (e *Examination) eachKept(w Wish, given map[head]FSN, visit func(*Framed) error) error {
	entries, err := e.o.FS.ReadDir(e.o.Dir)
	if err != nil {
		return ignoreMissing(err)
	}
	for _, entry := range entries {
		if _, is := ackedAt(entry.Name()); !is || !entry.Type().IsRegular() {
			continue
		}
		if err := ignoreMissing(e.keptIn(entry.Name(), w, given, visit)); err != nil {
			return err
		}
	}
	return nil
}

func (e *Examination) keptIn(name string, w Wish, given map[head]FSN, visit func(*Framed) error) error {
	f, err := e.o.FS.OpenFile(filepath.Join(e.o.Dir, name), os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	b, err := readSmall(e.o.FS, filepath.Join(e.o.Dir, name), headerSize)
	if err != nil {
		return err
	}
	if fault, _ := headerFault(b); fault != "" {
		w.Skipped(name, fault)
		return nil
	}
	h := parseHeader(b)
	from := w.From
	if last, was := given[head{base: h.base, created: h.created}]; was {
		from = max(from, last+1)
	}
	return e.keptFrames(name, f, size, h.base, from, w, visit)
}

func (e *Examination) keptFrames(name string, f vfs.File, size int64, fsn, from FSN, w Wish, visit func(*Framed) error) error {
	var stop error
	fsn--
	v, err := survey(f, size, func(rec record) {
		if fsn++; stop == nil && fsn >= from && fsn <= w.To {
			stop = visit(&Framed{FSN: fsn, Bytes: rec.payload, Settled: true, Kept: true, File: name})
		}
	})
	if err == nil && v.lost() > 0 {
		w.Skipped(name, "some of it is no frames")
	}
	return errors.Join(stop, err)
}
