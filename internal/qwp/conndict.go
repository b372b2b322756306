// SPDX-License-Identifier: MIT

package qwp

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// ConnDict is the dictionary of one connection on the side that sends: strings get
// ids in the order of their first use, and each is sent once. The zero value is the
// dictionary of a fresh connection.
//
// It has no limit of its own. The sender asks Len and TextBytes, and begins a new
// connection before the server's limit is reached (MaxDictEntries at most).
type ConnDict struct {
	syms symtab
	sent int // strings of messages that went out

	// Ids of the message being translated: connection id + 1 for each of its own
	// ids, 0 where none was looked up yet. Those in touched are set.
	ids     []uint32
	touched []uint32
}

// AddLong is asked for each block of a message and returns a LONG column to add to
// it: one value for each of the rows [first, last) of t. No name adds none.
type AddLong func(t *Table, first, last int) (name string, values []int64)

// AppendMessage appends the message that sends the rows of a part of v on this
// connection. Strings that are new in it stay provisional until Commit or Rollback;
// messages appended before that build on each other. FlagDeferCommit is kept, what
// else is in AppendPart holds here, too.
func (d *ConnDict) AppendMessage(dst []byte, v *View, p Part) []byte {
	return d.AppendMessageWith(dst, v, p, nil)
}

// AppendMessageWith is AppendMessage with a column more in the blocks that add
// wants one for.
func (d *ConnDict) AppendMessageWith(dst []byte, v *View, p Part, add AddLong) []byte {
	start, known := len(dst), d.syms.len()
	d.begin(v)
	dst = appendHeader(dst, v.flags|FlagDeltaDict)
	dst = appendUvarint(dst, known)
	count := len(dst)
	dst = append(dst, 0) // new strings
	blocks := 0
	if p.Table >= 0 {
		dst = d.appendBlock(dst, v, p, add)
		blocks++
	}
	for i := range v.tables {
		if rows := v.tables[i].Rows; p.Table < 0 && rows > 0 {
			dst = d.appendBlock(dst, v, Part{i, 0, rows}, add)
			blocks++
		}
	}
	if n := d.syms.len() - known; n > 0 {
		dst = insertDelta(dst, count, n, d.syms.from(known))
	}
	sealMessage(dst[start:], blocks)
	return dst
}

// insertDelta puts the new strings where the section was left empty: which they are
// is known only once all symbols were looked at.
func insertDelta(dst []byte, count, n int, text []byte) []byte {
	grow := uvarintSize(n) - 1 + len(text)
	end := len(dst)
	dst = slices.Grow(dst, grow)[:end+grow]
	copy(dst[count+1+grow:], dst[count+1:end])
	at := count + binary.PutUvarint(dst[count:], uint64(n))
	copy(dst[at:], text)
	return dst
}

// begin makes room for the ids of a message.
func (d *ConnDict) begin(v *View) {
	for _, id := range d.touched {
		d.ids[id] = 0
	}
	d.touched = d.touched[:0]
	if n := v.ids(); n > len(d.ids) {
		d.ids = append(d.ids, make([]uint32, n-len(d.ids))...)
	}
}

// id translates an id of the message.
func (d *ConnDict) id(v *View, id int) int {
	if n := d.ids[id]; n != 0 {
		return int(n - 1)
	}
	n, _ := d.syms.intern(v.text(id))
	d.ids[id] = uint32(n + 1)
	d.touched = append(d.touched, uint32(id))
	return n
}

func (d *ConnDict) appendBlock(dst []byte, v *View, p Part, add AddLong) []byte {
	t := &v.tables[p.Table]
	t.check(p.First, p.Last)
	extra, values := "", []int64(nil)
	if add != nil {
		extra, values = add(t, p.First, p.Last)
	}
	if extra != "" && len(values) != p.Last-p.First {
		panic(fmt.Sprintf("bug: %d values for %d rows of column %q", len(values), p.Last-p.First, extra))
	}
	columns := v.partColumns(t, p.First, p.Last)
	dst = appendSchema(dst, t, p.Last-p.First, columns, extra)
	for _, i := range columns {
		dst = d.appendColumn(dst, v, t, &t.Columns[i], p)
	}
	if extra != "" {
		dst = append(dst, 0)
		for _, n := range values {
			dst = binary.LittleEndian.AppendUint64(dst, uint64(n))
		}
	}
	return dst
}

func appendSchema(dst []byte, t *Table, rows int, columns []int, extra string) []byte {
	dst = appendText(dst, t.Name)
	dst = appendUvarint(dst, rows)
	n := len(columns)
	if extra != "" {
		n++
	}
	dst = appendUvarint(dst, n)
	for _, i := range columns {
		c := &t.Columns[i]
		dst = append(appendText(dst, c.Name), byte(c.Type))
	}
	if extra != "" {
		dst = append(appendText(dst, extra), byte(TypeLong))
	}
	return dst
}

func (d *ConnDict) appendColumn(dst []byte, v *View, t *Table, c *Column, p Part) []byte {
	if c.Type != TypeSymbol && p.First == 0 && p.Last == t.Rows {
		return append(dst, v.msg[c.at:c.end]...)
	}
	dst, k, n := v.appendRows(dst, t, c, p.First, p.Last)
	if c.Type == TypeSymbol {
		for range n {
			dst = appendUvarint(dst, d.id(v, int(c.dict)+k.symbolID()))
		}
	}
	return dst
}

// Commit says that the messages appended since the last Commit go out.
func (d *ConnDict) Commit() { d.sent = d.syms.len() }

// Rollback says that the messages appended since the last Commit do not go out: the
// strings that were new in them are forgotten.
func (d *ConnDict) Rollback() { d.syms.truncate(d.sent) }

// Reset makes the dictionary that of a fresh connection and keeps its memory.
func (d *ConnDict) Reset() {
	d.syms.reset()
	d.sent = 0
}

// Len returns the number of strings, provisional ones included.
func (d *ConnDict) Len() int { return d.syms.len() }

// TextBytes returns the size of the strings with their lengths in bytes,
// provisional ones included.
func (d *ConnDict) TextBytes() int { return len(d.syms.text) }
