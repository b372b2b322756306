// SPDX-License-Identifier: MIT

package qwp

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
)

// All yields the rows [first, last) one after the other, each in row, which keeps
// no reference to the message. Nulls are absent cells; a designated timestamp that
// is null leaves TimeType 0.
func (t *Table) All(first, last int, row *Row) iter.Seq[*Row] {
	t.check(first, last)
	return func(yield func(*Row) bool) {
		cursors := t.cursors(first)
		defer func() { t.v.cursors = cursors }()
		for range last - first {
			row.Reset(t.Name)
			for i := range cursors {
				cursors[i].appendCell(row)
			}
			if !yield(row) {
				return
			}
		}
	}
}

func (t *Table) check(first, last int) {
	if first < 0 || last < first || last > t.Rows {
		panic(fmt.Sprintf("bug: rows [%d, %d) of a block of %d", first, last, t.Rows))
	}
}

// cursors takes the cursors of the View, so that a loop inside a loop gets its own.
func (t *Table) cursors(first int) []cursor {
	list := t.v.cursors[:0]
	t.v.cursors = nil
	for i := range t.Columns {
		list = append(list, t.v.cursor(t, &t.Columns[i], first))
	}
	return list
}

// cursor walks over a column row by row. Symbols, arrays and gorilla streams can
// be read in order only.
type cursor struct {
	v      *View
	c      *Column
	bitmap []byte // nil: every row has a value
	data   []byte // the values
	row    int    // the next one
	pos    int    // next value: its index, or its offset where sizes differ
	time   gorilla
}

// cursor returns a cursor that stands before row first.
func (v *View) cursor(t *Table, c *Column, first int) cursor {
	k := cursor{v: v, c: c, data: v.msg[c.data:c.end], row: first}
	if c.nulls {
		k.bitmap = v.msg[c.at+1:][:bitmapSize(t.Rows)]
	}
	if c.gorilla {
		k.time.buf = k.data
	}
	k.skip(k.valuesBefore(first))
	return k
}

// valuesBefore counts the values of the rows before row n.
func (k *cursor) valuesBefore(n int) int {
	if k.bitmap == nil {
		return n
	}
	return n - ones(k.bitmap, n)
}

// skip passes over n values.
func (k *cursor) skip(n int) {
	switch {
	case k.c.Type == TypeSymbol:
		for range n {
			_, size := binary.Uvarint(k.data[k.pos:])
			k.pos += size
		}
	case k.c.Type == TypeDoubleArray || k.c.Type == TypeLongArray:
		for range n {
			k.array()
		}
	case k.c.gorilla:
		for range n {
			k.time.next()
		}
	default:
		k.pos += n
	}
}

// array returns the bytes of the next array and passes over it.
func (k *cursor) array() []byte {
	rest := k.data[k.pos:]
	head := 1 + 4*int(rest[0])
	size, _ := arraySize(rest[1:head], len(rest))
	k.pos += head + size
	return rest[:head+size]
}

// appendCell adds the value of the next row to row, unless it is null.
func (k *cursor) appendCell(row *Row) {
	i := k.row
	k.row++
	if k.bitmap != nil && bit(k.bitmap, i) {
		return
	}
	switch c := k.c; c.Type {
	case TypeSymbol:
		row.addBytes(c.Name, TypeSymbol, k.symbol())
	case TypeVarchar, TypeBinary:
		row.addBytes(c.Name, c.Type, k.text())
	case TypeDoubleArray, TypeLongArray:
		row.addBytes(c.Name, c.Type, k.array())
	case TypeUUID, TypeLong256, TypeIPv4, TypeGeohash, TypeDecimal64, TypeDecimal128, TypeDecimal256:
		k.appendFixed(row)
	case TypeTimestamp, TypeTimestampNanos:
		k.appendTime(row)
	default:
		if n, ok := k.number(); ok {
			row.addNum(c.Name, c.Type, n)
		}
	}
}

func (k *cursor) symbol() []byte { return k.v.text(int(k.c.dict) + k.symbolID()) }

func (k *cursor) symbolID() int {
	if b := k.data[k.pos]; b < 0x80 {
		k.pos++
		return int(b)
	}
	id, size := binary.Uvarint(k.data[k.pos:])
	k.pos += size
	return int(id)
}

// text returns the next VARCHAR or BINARY.
func (k *cursor) text() []byte {
	at := 4 * k.pos
	k.pos++
	from := binary.LittleEndian.Uint32(k.data[at:])
	to := binary.LittleEndian.Uint32(k.data[at+4:])
	base := 4 * (int(k.c.values) + 1)
	return k.data[base:][from:to]
}

// fixed returns the bytes of the next value of a type of fixed size.
func (k *cursor) fixed() []byte {
	w := k.c.width()
	k.pos++
	return k.data[(k.pos-1)*w : k.pos*w]
}

func (k *cursor) appendFixed(row *Row) {
	b := k.fixed()
	if k.isNull(b) {
		return
	}
	row.addBytes(k.c.Name, k.c.Type, b)
	row.Cells[len(row.Cells)-1].Scale = k.c.Scale
}

// isNull knows the nulls of the types that are kept as bytes.
func (k *cursor) isNull(b []byte) bool {
	switch k.c.Type {
	case TypeUUID, TypeLong256:
		for ; len(b) > 0; b = b[8:] {
			if binary.LittleEndian.Uint64(b) != 1<<63 {
				return false
			}
		}
		return true
	case TypeIPv4:
		return binary.LittleEndian.Uint32(b) == 0
	case TypeGeohash:
		for _, x := range b {
			if x != 0xFF {
				return false
			}
		}
		return k.bitmap == nil
	}
	return false
}

func (k *cursor) appendTime(row *Row) {
	t := k.timestamp()
	switch {
	case t == math.MinInt64:
	case k.c.Name == "":
		row.Time, row.TimeType = t, k.c.Type
	default:
		row.addNum(k.c.Name, k.c.Type, uint64(t))
	}
}

func (k *cursor) timestamp() int64 {
	if k.c.gorilla {
		t, _ := k.time.next()
		return t
	}
	k.pos++
	return int64(binary.LittleEndian.Uint64(k.data[8*(k.pos-1):]))
}

// number returns the next value as Cell.Num holds it, false for null.
func (k *cursor) number() (uint64, bool) {
	if k.c.Type == TypeBoolean {
		k.pos++
		return uint64(k.data[(k.pos-1)>>3] >> ((k.pos - 1) & 7) & 1), true
	}
	b := k.fixed()
	switch k.c.Type {
	case TypeByte:
		return uint64(int8(b[0])), true
	case TypeShort:
		return uint64(int16(binary.LittleEndian.Uint16(b))), true
	case TypeChar:
		return uint64(binary.LittleEndian.Uint16(b)), true
	case TypeInt:
		n := int32(binary.LittleEndian.Uint32(b))
		return uint64(n), n != math.MinInt32
	case TypeFloat:
		f := float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		return math.Float64bits(f), f == f
	case TypeDouble:
		n := binary.LittleEndian.Uint64(b)
		f := math.Float64frombits(n)
		return n, f == f
	}
	n := binary.LittleEndian.Uint64(b) // LONG, DATE
	return n, n != 1<<63
}
