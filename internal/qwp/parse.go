// SPDX-License-Identifier: MIT

package qwp

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

const (
	maxDims    = 32 // of an array
	maxGeoBits = 60
)

// column reads the data of a column and leaves in c where things are. Nothing is
// kept for a row.
func (v *View) column(r *reader, c *Column, rows int) {
	c.at = int32(r.pos)
	n := rows
	if r.byte() != 0 {
		bitmap := r.take(bitmapSize(rows), "null bitmap")
		if r.err != nil {
			return
		}
		c.nulls = true
		n -= ones(bitmap, rows)
	}
	c.values = int32(n)
	v.prefix(r, c)
	c.data = int32(r.pos)
	if r.err == nil {
		v.values(r, c, n)
	}
	c.end = int32(r.pos)
	if c.Name == "" && r.err == nil {
		v.span(c)
	}
}

// prefix reads what stands once before the values of a column.
func (v *View) prefix(r *reader, c *Column) {
	at := r.pos
	switch {
	case c.Type.isTime() && v.flags&FlagGorilla != 0:
		encoding := r.byte()
		if encoding > encodingGorilla {
			r.fail(at, "timestamp encoding %d is not known", encoding)
		}
		c.gorilla = encoding == encodingGorilla
	case c.Type.isDecimal():
		c.Scale = r.byte()
	case c.Type == TypeGeohash:
		c.Scale = uint8(r.count(maxGeoBits, "precision of a geohash"))
		if c.Scale == 0 {
			r.fail(at, "precision of a geohash is 0")
		}
	case c.Type == TypeSymbol && v.flags&FlagDeltaDict == 0:
		c.dict = uint32(len(v.texts))
		c.dictLen = uint32(v.textList(r))
	}
}

func (v *View) values(r *reader, c *Column, n int) {
	switch c.Type {
	case TypeBoolean:
		r.take(bitmapSize(n), "values")
	case TypeSymbol:
		limit := int(c.dictLen)
		if v.flags&FlagDeltaDict != 0 {
			limit = v.ids()
		}
		r.symbolIDs(n, limit)
	case TypeVarchar, TypeBinary:
		r.texts(n, c.Type == TypeVarchar)
	case TypeDoubleArray, TypeLongArray:
		r.arrays(n)
	default:
		if c.gorilla {
			r.gorilla(n)
			return
		}
		r.take(n*c.width(), "values")
	}
}

// width is the size of a value of a type that has a fixed one, else 0.
func (c *Column) width() int {
	if c.Type == TypeGeohash {
		return bitmapSize(int(c.Scale))
	}
	return int(fixedWidth[c.Type])
}

func (r *reader) symbolIDs(n, limit int) {
	for range n {
		at := r.pos
		if at < len(r.buf) && r.buf[at] < 0x80 && int(r.buf[at]) < limit {
			r.pos++
			continue
		}
		if id := r.count(math.MaxInt32, "symbol id"); r.err == nil && id >= limit {
			r.fail(at, "symbol id %d is outside the dictionary of %d", id, limit)
		}
		if r.err != nil {
			return
		}
	}
}

// texts reads offsets and bytes of n values.
func (r *reader) texts(n int, isUTF8 bool) {
	at := r.pos
	offsets := r.take(4*(n+1), "offsets")
	if r.err != nil {
		return
	}
	if first := binary.LittleEndian.Uint32(offsets); first != 0 {
		r.fail(at, "first offset is %d, not 0", first)
		return
	}
	size := binary.LittleEndian.Uint32(offsets[4*n:])
	if uint64(size) > uint64(r.left()) {
		r.fail(at+4*n, "values: %d bytes wanted, %d left", size, r.left())
		return
	}
	from := r.pos
	data := r.take(int(size), "values")
	if isUTF8 && !utf8.Valid(data) {
		r.fail(from, "text is not valid UTF-8")
		return
	}
	r.offsets(at, offsets, data, isUTF8)
}

// offsets checks that the values lie one behind the other and, where the data is
// valid UTF-8 as a whole, that no value begins inside a character.
func (r *reader) offsets(at int, offsets, data []byte, isUTF8 bool) {
	prev := uint32(0)
	for i := 4; i < len(offsets); i += 4 {
		o := binary.LittleEndian.Uint32(offsets[i:])
		if o < prev || o > uint32(len(data)) {
			r.fail(at+i, "offset %d is not between %d and %d", o, prev, len(data))
			return
		}
		if isUTF8 && o < uint32(len(data)) && !utf8.RuneStart(data[o]) {
			r.fail(at+i, "offset %d is inside a character", o)
			return
		}
		prev = o
	}
}

func (r *reader) arrays(n int) {
	for range n {
		at := r.pos
		dims := int(r.byte())
		if r.err == nil && (dims == 0 || dims > maxDims) {
			r.fail(at, "array has %d dimensions", dims)
		}
		lengths := r.take(4*dims, "lengths of an array")
		if r.err != nil {
			return
		}
		size, ok := arraySize(lengths, r.left())
		if !ok {
			r.fail(at, "array has a negative length or is larger than the %d bytes left", r.left())
			return
		}
		r.pos += size
	}
}

// arraySize returns the bytes of the elements of an array, false when a length is
// negative or they are more than limit. One length of 0 makes the array empty
// however long the others are.
func arraySize(lengths []byte, limit int) (int, bool) {
	size, empty := int64(8), false
	for i := 0; i < len(lengths); i += 4 {
		n := int32(binary.LittleEndian.Uint32(lengths[i:]))
		if n < 0 {
			return 0, false
		}
		empty = empty || n == 0
		// Both factors are below 2^31 here.
		size = min(size*max(int64(n), 1), math.MaxInt32)
	}
	if empty {
		return 0, true
	}
	return int(size), size <= int64(limit) && size < math.MaxInt32
}

func (r *reader) gorilla(n int) {
	g := gorilla{buf: r.buf[r.pos:]}
	for range n {
		if _, ok := g.next(); !ok {
			r.fail(len(r.buf), "gorilla stream ends after %d of %d values", g.count-1, n)
			return
		}
	}
	r.pos += g.size()
}

// span adds a designated timestamp to the summary of the message.
func (v *View) span(c *Column) {
	if c.gorilla {
		g := gorilla{buf: v.msg[c.data:c.end]}
		for range c.values {
			t, _ := g.next()
			v.info.addTime(c.Type, t)
		}
		return
	}
	for at := c.data; at < c.end; at += 8 {
		v.info.addTime(c.Type, int64(binary.LittleEndian.Uint64(v.msg[at:])))
	}
}
