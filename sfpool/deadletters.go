// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"math"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

// refusedRows takes the rows that a server refused from the senders of a pool.
type refusedRows struct{ p *Pool }

// Keep writes the rows to the file of refused rows; without sf_dir they are only
// counted.
func (r refusedRows) Keep(slot string, rows []sender.Letter) error {
	if r.p.letters == nil {
		return r.p.keepLetters(nil, len(rows))
	}
	list := make([]deadletter.Letter, len(rows))
	for i := range rows {
		x := &rows[i]
		list[i] = deadletter.Letter{
			Key: &deadletter.Key{Slot: slot, FSN: int64(x.FSN), CRC: x.CRC, Block: x.Block, Row: x.Row},
			Row: x.Data, Frame: x.Frame, Reason: x.Words, Class: deadletter.Refused,
			Host: x.Host, Column: x.Column, Type: x.Type,
		}
	}
	return r.p.letters.Add(list)
}

// lifted feeds rows back that a server has come to take.
func (p *Pool) lifted(k verdict.Key) { p.Accepted(k.Host, k.Table, k.Column, k.Type) }

// addLetter adds the row of a letter as it was. What a slot once held it may hold
// again, so nothing is refused that a frame can say.
//
// The row is in the last frame of the batch or, if that was not packed yet, in the
// one to come.
func (b *Batch) addLetter(l *deadletter.Letter) error {
	if l.Row == nil {
		return errors.New("its row is kept in words only")
	}
	err := b.Add(l.Row)
	if err == nil {
		return nil
	}
	frame := l.Frame
	if frame == nil {
		any := qwp.NewBuilder(math.MaxInt32)
		if any.Add(l.Row) != nil {
			return err
		}
		frame = any.AppendFrame(nil)
	}
	var v qwp.View
	if err := v.Parse(frame, nil); err != nil {
		return err
	}
	if len(frame) > b.limit {
		return ErrRowTooLarge
	}
	b.pack()
	b.addFrame(frame, v.Info())
	return nil
}
