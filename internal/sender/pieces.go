// SPDX-License-Identifier: MIT

package sender

import (
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// piece is a run of rows of one block that is still to be settled.
type piece struct {
	qwp.Part
	fault *fault // why its single row is set aside; nil for rows that may be sent
	alone int    // how often its single row was refused by itself
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
		out = p.clip(out, piece{Part: qwp.Part{First: p.First, Last: part.First}})
		for _, b := range by {
			out = p.clip(out, b)
		}
		out = p.clip(out, piece{Part: qwp.Part{First: part.Last, Last: p.Last}})
	}
	return out
}

// clip appends what a piece has of the rows of another, which tells the rest.
func (p piece) clip(dst []piece, of piece) []piece {
	of.Table, of.First, of.Last = p.Table, max(of.First, p.First), min(of.Last, p.Last)
	if of.First >= of.Last {
		return dst
	}
	return append(dst, of)
}

// refusedAlone returns how often a row was.
func (l *lot) refusedAlone(row qwp.Part) int {
	for _, p := range l.todo {
		if p.Part == row {
			return p.alone
		}
	}
	return 0
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
