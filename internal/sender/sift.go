// SPDX-License-Identifier: MIT

package sender

import (
	"fmt"
	"math"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// waitForProof leaves rows where they are until the server has taken others.
func (f *flight) waitForProof(t *qwp.Table, part qwp.Part, words string) {
	f.s.parking.revisit, f.s.parking.unproven = true, true
	f.held.add(t.Name, fmt.Errorf("the server refuses rows of table %q, and has not taken others since: %s", t.Name, words), part.Last-part.First)
}

// waitForColumn leaves a row where it is until the server is set up to take it.
func (f *flight) waitForColumn(t *qwp.Table, x *fixed) {
	f.s.parking.revisit = true
	f.held.add(t.Name, fmt.Errorf("the server takes no value of column %q of table %q: %s", x.Column, t.Name, x.Words), 1)
}

// sift sends rows of a block on which there are replies: those that have values which
// nothing but a dead letter helps become one, and a probe goes out as it is.
func (f *flight) sift(t *qwp.Table, part qwp.Part, fixes []fixed, alone bool) {
	from, host := part.First, f.conn.Host()
	send := func(to int) {
		if from < to {
			f.parts = append(f.parts, parcel{Part: qwp.Part{Table: part.Table, First: from, Last: to}, alone: alone, table: t.Name})
		}
	}
	if !f.mustSift(fixes) {
		send(part.Last)
		return
	}
	row := part.First
	for r := range t.All(part.First, part.Last, &f.row) {
		switch x, probing := f.offends(t, r, fixes); {
		case probing:
			send(row)
			one := qwp.Part{Table: part.Table, First: row, Last: row + 1}
			f.parts = append(f.parts, parcel{Part: one, alone: true, table: t.Name, probe: &probe{key: x.Key, column: x.column, name: x.was}})
			from, f.probing = row+1, x.Key
		case x != nil:
			send(row)
			one := qwp.Part{Table: part.Table, First: row, Last: row + 1}
			switch {
			case x.Wait:
				f.waitForColumn(t, x)
			case f.probing != x.Key && f.s.cfg.Book.AcceptedSince(host, "", x.Mark):
				f.condemnRow(r, one, x.Column, x.Type, x.Words)
			default:
				f.waitForProof(t, one, x.Words)
			}
			from = row + 1
		}
		row++
	}
	send(part.Last)
	f.special = f.special || from > part.First
}

// mustSift says whether rows have to be looked at one by one.
func (f *flight) mustSift(fixes []fixed) bool {
	for i := range fixes {
		if fixes[i].To == "" || f.s.cfg.Book.Due(fixes[i].Key) {
			return true
		}
	}
	return false
}

// offends returns the verdict that a row falls under, if it cannot be sent for it or is
// to be sent in spite of it.
func (f *flight) offends(t *qwp.Table, r *qwp.Row, fixes []fixed) (x *fixed, probing bool) {
	for i := range fixes {
		x := &fixes[i]
		if !has(r, t.Columns[x.column].Name) {
			continue
		}
		if f.s.cfg.Book.Probe(x.Key) {
			return x, true
		}
		if x.Wait {
			return x, false
		}
		if x.To == "" {
			return x, !f.s.cfg.Book.AcceptedSince(f.conn.Host(), "", x.Mark) && f.offers()
		}
	}
	return nil, false
}

func has(r *qwp.Row, column string) bool {
	for i := range r.Cells {
		if r.Cells[i].Name == column {
			return true
		}
	}
	return false
}

// condemn makes a dead letter of a row of the frame in view.
func (f *flight) condemn(t *qwp.Table, part qwp.Part, column string, kind qwp.Type, words string) {
	for r := range t.All(part.First, part.Last, &f.row) {
		f.condemnRow(r, part, column, kind, words)
	}
}

func (f *flight) condemnRow(r *qwp.Row, part qwp.Part, column string, kind qwp.Type, words string) {
	own := qwp.Row{Table: r.Table, Time: r.Time, TimeType: r.TimeType}
	own.Cells, _ = qwp.AppendCells(nil, nil, r.Cells)
	// The part of a large block takes long to cut out.
	if f.one == nil {
		f.one = qwp.NewBuilder(math.MaxInt32)
	}
	var frame []byte
	if f.one.Add(&own) == nil {
		frame = f.one.AppendFrame(nil)
	} else {
		frame = f.view.AppendPart(nil, part)
	}
	f.one.Reset()
	f.letters = append(f.letters, Letter{
		FSN: f.fsn, Block: part.Table, Row: part.First, Data: &own, Frame: frame,
		Host: f.conn.Host(), Column: column, Type: kind, Words: words,
	})
}
