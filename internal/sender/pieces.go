// SPDX-License-Identifier: MIT

package sender

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// piece is a run of rows of one block that is still to be settled.
type piece struct {
	qwp.Part
	fault *fault // why its single row is set aside; nil for rows that may be sent
	alone int    // how often its single row was refused by itself
	again int    // how often it was offered once more after the server had taken others
	// tasted: a row with a value in the column that was refused goes first, by itself.
	tasted bool
}

// rows counts those of a piece.
func (p piece) rows() int { return p.Last - p.First }

// blocks appends a piece for each block of a frame.
func blocks(dst []piece, tables []qwp.Table) []piece {
	for i := range tables {
		if n := tables[i].Rows; n > 0 {
			dst = append(dst, piece{Part: qwp.Part{Table: i, Last: n}})
		}
	}
	return dst
}

// without returns the list without the rows of a part.
func without(list []piece, part qwp.Part) []piece {
	if part.Table < 0 {
		return nil
	}
	return replaced(list, part)
}

// replaced puts pieces in the place of the rows of a part, as far as these are in the
// list: what has left is not to come back.
func replaced(list []piece, part qwp.Part, by ...piece) []piece {
	var out []piece
	for _, p := range list {
		if p.Table != part.Table || p.Last <= part.First || part.Last <= p.First {
			out = append(out, p)
			continue
		}
		out = p.clip(out, piece{Part: qwp.Part{First: p.First, Last: part.First}, tasted: p.tasted})
		for _, b := range by {
			out = p.clip(out, b)
		}
		out = p.clip(out, piece{Part: qwp.Part{First: part.Last, Last: p.Last}, tasted: p.tasted})
	}
	return out
}

// lose takes the rows of letters, each of which is in the list, out of it.
func (l *lot) lose(letters []Letter) {
	slices.SortFunc(letters, func(x, y Letter) int { return cmp.Or(x.Block-y.Block, x.Row-y.Row) })
	slices.SortFunc(l.todo, func(x, y piece) int { return cmp.Or(x.Table-y.Table, x.First-y.First) })
	out := make([]piece, 0, len(l.todo)+len(letters))
	next := 0
	for _, p := range l.todo {
		from := p.First
		for ; next < len(letters) && letters[next].Block == p.Table && letters[next].Row < p.Last; next++ {
			out = p.clip(out, piece{Part: qwp.Part{First: from, Last: letters[next].Row}, tasted: p.tasted})
			from = letters[next].Row + 1
		}
		if from == p.First {
			out = append(out, p)
			continue
		}
		out = p.clip(out, piece{Part: qwp.Part{First: from, Last: p.Last}, tasted: p.tasted})
	}
	l.todo = out
	l.letters += len(letters)
}

// clip appends what a piece has of the rows of another, which tells the rest.
func (p piece) clip(dst []piece, of piece) []piece {
	of.Table, of.First, of.Last = p.Table, max(of.First, p.First), min(of.Last, p.Last)
	if of.First >= of.Last {
		return dst
	}
	return append(dst, of)
}

// pieceAt returns the piece with the first row of a part.
func (l *lot) pieceAt(part qwp.Part) piece {
	for _, p := range l.todo {
		if p.Table == part.Table && p.First <= part.First && part.First < p.Last {
			return p
		}
	}
	return piece{}
}

// lot returns what is known of the frame in view, for more to be noted.
func (f *flight) lot() *lot {
	l := f.s.parking.lot(f.fsn)
	if l.rows == 0 {
		l.rows, l.todo = f.view.Info().Rows, blocks(nil, f.view.Tables())
	}
	return l
}

// todo returns what is to be settled of the frame in view. What has left of it is
// acked, or a dead letter.
func (f *flight) todo(known *lot) []piece {
	if known != nil && known.rows > 0 {
		return known.todo
	}
	f.fresh = blocks(f.fresh[:0], f.view.Tables())
	return f.fresh
}

// shares says how the rows of a frame have left.
func (l *lot) shares() []slot.Share {
	list := []slot.Share{{As: slot.Acked, Rows: l.rows - l.letters}}
	if l.letters > 0 {
		list = append(list, slot.Share{As: slot.DeadLettered, Rows: l.letters})
	}
	return list
}

// part makes something of a part that the connection does not take: its pieces, where
// it is too large, or all of it but a row that cannot be sent at all.
func (f *flight) part(ctx context.Context, cause error) error {
	p := f.parts[0]
	var unsupported *link.UnsupportedError
	if !errors.As(cause, &unsupported) || !f.covers(p.Part, unsupported) {
		if f.spare = f.view.Split(f.spare[:0], p.Part); len(f.spare) > 0 {
			f.lot()
			f.instead(f.spare...)
			return nil
		}
		unsupported = &link.UnsupportedError{Block: f.blockOf(p.Part), Row: p.First}
	}
	row := qwp.Part{Table: unsupported.Block, First: unsupported.Row, Last: unsupported.Row + 1}
	why := &link.Refusal{Host: f.conn.Host(), Class: link.RowFault, Message: cause.Error()}
	f.setAside(f.lot(), row, why, unsupported.Column)
	f.s.parking.revisit, f.s.parking.unproven = true, true
	if !f.begun {
		return f.plan(ctx)
	}
	f.instead(qwp.Part{Table: p.Table, First: p.First, Last: row.First}, qwp.Part{Table: p.Table, First: row.Last, Last: p.Last})
	return nil
}

// covers says whether the row that an error names is one of a part.
func (f *flight) covers(p qwp.Part, e *link.UnsupportedError) bool {
	if p.Table < 0 {
		tables := f.view.Tables()
		return e.Block < len(tables) && e.Row < tables[e.Block].Rows
	}
	return p.Table == e.Block && p.First <= e.Row && e.Row < p.Last
}

// blockOf returns the block that a part without pieces is of.
func (f *flight) blockOf(p qwp.Part) int {
	if p.Table >= 0 {
		return p.Table
	}
	return slices.IndexFunc(f.view.Tables(), func(t qwp.Table) bool { return t.Rows > 0 })
}

// instead puts parts in the place of the first one; empty ones are left out.
func (f *flight) instead(parts ...qwp.Part) {
	list := make([]parcel, 0, len(parts)+len(f.parts))
	for _, part := range parts {
		if part.First < part.Last {
			p := f.parts[0]
			p.Part, p.probe, p.last = part, nil, false
			list = append(list, p)
		}
	}
	f.parts = append(list, f.parts[1:]...)
	f.begun = f.begun && len(f.parts) > 0
}
