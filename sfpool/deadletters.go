// SPDX-License-Identifier: MIT

package sfpool

import (
	"github.com/questdb-sf/questdb_sf/internal/deadletter"
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
