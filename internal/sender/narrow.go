// SPDX-License-Identifier: MIT

package sender

import (
	"context"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

// narrow goes on with the pieces of what was refused, tables first, then rows.
func (f *flight) narrow(ctx context.Context, l *lot, c *complaint) error {
	l.alone = true
	part, pieces := c.part, f.view.Split(nil, c.part)
	if n := len(f.view.Tables()); part.Table < 0 && n == 1 {
		part = qwp.Part{Table: 0, Last: f.view.Tables()[0].Rows}
	}
	if part.Table < 0 {
		return nil // its blocks go out one by one
	}
	t := &f.view.Tables()[part.Table]
	if column := mentioned(t, c.Message); column != nil && c.Class != link.Unclear {
		return f.taste(ctx, l, part, column, c.Refusal)
	}
	switch {
	case ofServer(c.Refusal) && !f.s.cfg.Book.AcceptedSince(f.conn.Host(), t.Name, l.mark):
		f.passOver(t.Name, c.Refusal)
	case len(pieces) == 0:
		f.setAside(l, part, c.Refusal, "")
	default:
		l.halve(part, pieces)
	}
	return nil
}

func (l *lot) halve(part qwp.Part, pieces []qwp.Part) {
	tasted := l.pieceAt(part).tasted
	l.todo = replaced(l.todo, part, piece{Part: pieces[0], tasted: tasted}, piece{Part: pieces[1], tasted: tasted})
}

// taste goes on with rows of a block that were refused for a column. Over QWP a server
// tells neither the row nor whether it is the type that it refuses or a value: whole
// numbers of type DOUBLE are taken by a LONG column, a LONG that is too large is not by
// an INT one. So one of the rows goes out by itself; if that is refused it is the type.
func (f *flight) taste(ctx context.Context, l *lot, part qwp.Part, c *qwp.Column, r *link.Refusal) error {
	t := &f.view.Tables()[part.Table]
	pieces := f.view.Split(nil, part)
	tasted := l.pieceAt(part).tasted
	switch {
	case ofServer(r):
		f.await(t, c, r)
	case len(pieces) == 0 && !(tasted && f.ofValue(f.key(t, c))):
		return f.learn(ctx, t, c, r)
	case len(pieces) == 0:
		f.setAside(l, part, r, c.Name)
	case tasted:
		l.halve(part, pieces)
	default:
		one := f.firstWith(t, part, c.Name)
		l.todo = replaced(l.todo, part, piece{Part: qwp.Part{First: part.First, Last: one}},
			piece{Part: qwp.Part{First: one, Last: one + 1}}, piece{Part: qwp.Part{First: one + 1, Last: part.Last}, tasted: true})
	}
	return nil
}

// ofValue counts the rows that were refused for their value, as far as can be told. Of
// many it is treated as the type: to find each costs more requests than it is worth.
func (f *flight) ofValue(k verdict.Key) bool {
	s := f.s
	if s.values == nil || len(s.values) >= maxReplies {
		s.values = map[verdict.Key]int{}
	}
	s.values[k]++
	if s.values[k] < s.cfg.rejections() {
		return true
	}
	delete(s.values, k)
	return false
}

// firstWith returns the first row of a part that has a value in a column.
func (f *flight) firstWith(t *qwp.Table, part qwp.Part, column string) int {
	row := part.First
	for r := range t.All(part.First, part.Last, &f.row) {
		if has(r, column) {
			return row
		}
		row++
	}
	return part.First
}

// setAside takes a row out of what is sent. What stands before it goes out by itself,
// and settles the question whether the server takes anything.
func (f *flight) setAside(l *lot, row qwp.Part, r *link.Refusal, column string) {
	t := &f.view.Tables()[row.Table]
	x := &fault{Refusal: r, column: column, mark: f.s.cfg.Book.Mark(), spell: f.s.spells}
	if c := named(t, column); c != nil {
		x.kind = c.Type
	}
	p := piece{Part: row, fault: x, alone: 1}
	if was := l.pieceAt(row); was.Part == row {
		p.alone, p.again = was.alone+1, was.again
	}
	l.todo = replaced(l.todo, row, p)
	if ofServer(r) {
		f.s.suspect(t.Name)
	}
	f.behind = row
}
