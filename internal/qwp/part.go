// SPDX-License-Identifier: MIT

package qwp

import "encoding/binary"

// Part selects rows of one block of a message: Table is its index in
// View.Tables, the rows are [First, Last).
type Part struct{ Table, First, Last int }

// WholeMessage is the part that selects everything.
var WholeMessage = Part{Table: -1}

// PartRows returns the number of rows in a part.
func (v *View) PartRows(p Part) int {
	if p.Table < 0 {
		return v.info.Rows
	}
	return p.Last - p.First
}

// Split appends the pieces of a part to dst, in order: the blocks of a message, the
// halves of a block. It appends nothing for what cannot be split, which is a
// single row or none.
func (v *View) Split(dst []Part, p Part) []Part {
	if p.Table < 0 {
		from := len(dst)
		for i := range v.tables {
			if rows := v.tables[i].Rows; rows > 0 {
				dst = append(dst, Part{i, 0, rows})
			}
		}
		if len(dst) != from+1 {
			return dst
		}
		p, dst = dst[from], dst[:from]
	}
	if p.Last-p.First < 2 {
		return dst
	}
	mid := p.First + (p.Last-p.First)/2
	return append(dst, Part{p.Table, p.First, mid}, Part{p.Table, mid, p.Last})
}

// AppendPart appends a frame with the rows of a part to dst: a message that can be
// read alone, whatever the one it comes from was.
//
// A column without a value in the rows of a part of a block is left out. Without
// that, a column the server refuses would take all rows of its block with it.
func (v *View) AppendPart(dst []byte, p Part) []byte {
	v.own.Reset()
	return v.own.AppendMessage(dst, v, p)
}

// partColumns leaves in v.keep the columns of t that go into a part.
func (v *View) partColumns(t *Table, first, last int) []int {
	v.keep = v.keep[:0]
	whole := first == 0 && last == t.Rows
	for i := range t.Columns {
		if whole || v.hasValue(t, &t.Columns[i], first, last) {
			v.keep = append(v.keep, i)
		}
	}
	if len(v.keep) == 0 {
		v.keep = append(v.keep, 0) // rows need a column
	}
	return v.keep
}

func (v *View) hasValue(t *Table, c *Column, first, last int) bool {
	k := v.cursor(t, c, first)
	for range last - first {
		if !k.nextIsNull() {
			return true
		}
	}
	return false
}

// nextIsNull passes over the next row.
func (k *cursor) nextIsNull() bool {
	i := k.row
	k.row++
	if k.bitmap != nil && bit(k.bitmap, i) {
		return true
	}
	switch t := k.c.Type; {
	case t.isTime():
		return k.timestamp() == -1<<63
	case t == TypeUUID, t == TypeLong256, t == TypeIPv4, t == TypeGeohash:
		return k.isNull(k.fixed())
	case t == TypeInt, t == TypeLong, t == TypeDate, t == TypeFloat, t == TypeDouble:
		_, ok := k.number()
		return !ok
	}
	return false
}

// appendRows appends the null flag, the bitmap, and what stands once before the
// values, for the rows of a part; then the values, unless they are symbols. It
// returns a cursor before the first of them and their number.
func (v *View) appendRows(dst []byte, t *Table, c *Column, first, last int) ([]byte, cursor, int) {
	k := v.cursor(t, c, first)
	n := k.valuesBefore(last) - k.valuesBefore(first)
	dst = append(dst, v.msg[c.at])
	if c.nulls {
		dst = appendBits(dst, k.bitmap, first, last-first)
	}
	switch {
	case c.Type.isDecimal():
		dst = append(dst, c.Scale)
	case c.Type == TypeGeohash:
		dst = appendUvarint(dst, int(c.Scale))
	}
	return k.appendValues(dst, n), k, n
}

// appendValues appends the next n values as they go on the wire, symbols excepted.
func (k *cursor) appendValues(dst []byte, n int) []byte {
	switch t := k.c.Type; {
	case t == TypeSymbol:
		return dst
	case t == TypeBoolean:
		return appendBits(dst, k.data, k.pos, n)
	case t == TypeVarchar, t == TypeBinary:
		return k.appendTexts(dst, n)
	case t == TypeDoubleArray, t == TypeLongArray:
		from := k.pos
		k.skip(n)
		return append(dst, k.data[from:k.pos]...)
	case t.isTime() && k.v.flags&FlagGorilla != 0:
		return k.appendTimes(dst, n)
	}
	w := k.c.width()
	return append(dst, k.data[k.pos*w:(k.pos+n)*w]...)
}

func (k *cursor) appendTexts(dst []byte, n int) []byte {
	offsets := k.data[4*k.pos : 4*(k.pos+n+1)]
	base := binary.LittleEndian.Uint32(offsets)
	for i := 0; i < len(offsets); i += 4 {
		dst = binary.LittleEndian.AppendUint32(dst, binary.LittleEndian.Uint32(offsets[i:])-base)
	}
	end := binary.LittleEndian.Uint32(offsets[4*n:])
	return append(dst, k.data[4*(int(k.c.values)+1):][base:end]...)
}

// appendTimes packs the values anew: a gorilla stream cannot be cut.
func (k *cursor) appendTimes(dst []byte, n int) []byte {
	raw := k.v.times[:0]
	for range n {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(k.timestamp()))
	}
	k.v.times = raw
	return appendTimes(dst, raw)
}
