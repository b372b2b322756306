// SPDX-License-Identifier: MIT

package look

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/holder"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Dump says which rows are wanted, and how they are written.
type Dump struct {
	Slots    []string // all without one
	From, To int64    // frames, both wanted; a To below 0 has no end
	Table    string   // all if ""
	// Since and Until bound the times of rows, Until not wanted; zero for no bound. A row
	// without a time is in no bounds.
	Since, Until     time.Time
	Pending, Settled bool
	JSON             bool // one object a line, else line protocol
}

// Dumped counts what was written.
type Dumped struct {
	Rows int64 `json:"rows"`
	// Comments of them are no line protocol, and stand in comments.
	Comments int64    `json:"comments"`
	Frames   int64    `json:"frames"` // that were read
	Skipped  []string `json:"skipped,omitempty"`
}

// Dump writes rows as they are stored. What could not be read is told in Skipped.
func (s Store) Dump(ctx context.Context, w io.Writer, d Dump) (*Dumped, error) {
	s = s.withDefaults()
	names, err := s.named(d.Slots)
	if err != nil {
		return nil, err
	}
	r := &dumper{Dump: d, ctx: ctx, w: bufio.NewWriterSize(w, 64<<10), done: &Dumped{}}
	if r.To < 0 {
		r.To = math.MaxInt64 / 4
	}
	h := holder.Read()
	for _, name := range names {
		if err := r.slot(&s, name, h); err != nil {
			_ = r.w.Flush() // what was read before
			return r.done, err
		}
	}
	return r.done, r.w.Flush()
}

// dumper is a Dump under way.
type dumper struct {
	Dump
	ctx  context.Context
	w    *bufio.Writer
	view qwp.View
	row  qwp.Row
	buf  []byte
	done *Dumped
	name string // of the slot
}

func (d *dumper) slot(s *Store, name string, h *holder.Locks) error {
	d.name = name
	e, _, err := s.examine(name, false, h)
	if err != nil {
		if _, gone := s.FS.Stat(s.path(name)); !errors.Is(gone, fs.ErrNotExist) {
			d.skip("", err.Error())
		}
		return nil
	}
	for _, f := range e.Findings {
		if f.Grade == slot.Wounded {
			d.skip(f.File, f.What)
		}
	}
	return e.Each(slot.Wish{
		From: slot.FSN(d.From), To: slot.FSN(d.To), Pending: d.Pending, Settled: d.Settled, Skipped: d.skip,
	}, d.frame)
}

func (d *dumper) skip(file, why string) {
	d.done.Skipped = append(d.done.Skipped, fmt.Sprintf("%s: %s", filepath.Join(d.name, file), why))
}

func (d *dumper) frame(f *slot.Framed) error {
	if err := d.ctx.Err(); err != nil {
		return err
	}
	if err := d.view.Parse(f.Bytes, f.Dict); err != nil {
		d.skip(f.File, fmt.Sprintf("frame %d is no message: %v", f.FSN, err))
		return nil
	}
	d.done.Frames++
	for i := range d.view.Tables() {
		t := &d.view.Tables()[i]
		if d.Table != "" && t.Name != d.Table {
			continue
		}
		n := 0
		for row := range t.All(0, t.Rows, &d.row) {
			if d.wants(row) {
				if err := d.write(f, i, n, row); err != nil {
					return err
				}
			}
			n++
		}
	}
	return nil
}

// wants says whether the time of a row is within the bounds.
func (d *dumper) wants(row *qwp.Row) bool {
	if d.Since.IsZero() && d.Until.IsZero() {
		return true
	}
	at, ok := timeOf(row)
	return ok && !at.Before(d.Since) && (d.Until.IsZero() || at.Before(d.Until))
}

func timeOf(row *qwp.Row) (at time.Time, ok bool) {
	switch row.TimeType {
	case qwp.TypeTimestamp:
		return time.UnixMicro(row.Time).UTC(), true
	case qwp.TypeTimestampNanos:
		return time.Unix(0, row.Time).UTC(), true
	}
	return at, false
}

func (d *dumper) write(f *slot.Framed, table, n int, row *qwp.Row) (err error) {
	if d.JSON {
		d.buf, err = appendJSON(d.buf[:0], d.name, f, n, row)
		if err != nil {
			return err
		}
	} else {
		frame := func() []byte {
			return d.view.AppendPart(nil, qwp.Part{Table: table, First: n, Last: n + 1})
		}
		isLine := false
		if d.buf, isLine = deadletter.AppendRow(d.buf[:0], row, frame); !isLine {
			d.done.Comments++
		}
	}
	d.done.Rows++
	_, err = d.w.Write(d.buf)
	return err
}
