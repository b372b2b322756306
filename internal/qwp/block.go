// SPDX-License-Identifier: MIT

package qwp

import (
	"encoding/binary"
	"strings"
	"unsafe"
)

// block is a table block being built. Columns outlive the frame; one without a
// value in it (count 0) is not sent, and may take another type or spelling.
type block struct {
	table *table
	rows  int
	cols  []column
	time  column         // the designated timestamp, sent last
	live  int            // columns with values, the designated timestamp included
	index map[string]int // columns by the spellings seen, and folded
	body  int            // bytes of schema and values, bitmaps apart
	size  int            // upper bound of the encoded size, 0 without rows
	idle  int            // frames in a row without rows
}

// column is one column of a block: its values as they go out, and which rows
// have one.
type column struct {
	name    string
	kind    Type
	count   int    // values
	present []byte // bit of each row with a value, up to the last that has one
	data    []byte
	ends    []byte // VARCHAR: end of each value in data, 32 bits each
	row     uint64 // serial of the row that used it last
	idle    int    // frames in a row without a value
}

func newBlock(t *table) *block {
	return &block{table: t, index: make(map[string]int)}
}

// column finds a column by its name. Cells mostly come in the same order, so the
// column at the place of the cell is tried first.
func (k *block) column(name string, hint int) (int, bool) {
	if hint < len(k.cols) && k.cols[hint].name == name {
		return hint, true
	}
	i, ok := k.index[name]
	return i, ok
}

// addColumn makes a column, or finds it by another spelling of its name.
func (k *block) addColumn(name string) int {
	folded := strings.ToLower(name)
	i, ok := k.index[folded]
	if !ok {
		i = len(k.cols)
		k.cols = append(k.cols, column{name: strings.Clone(name)})
		k.index[folded] = i
	}
	// There are 2^n spellings of a name: only so many are worth remembering.
	if len(k.index) < 4*MaxColumns {
		k.index[strings.Clone(name)] = i
	}
	return i
}

// columnBytes is what a column takes apart from its values and its bitmap: schema,
// null flag, and the encoding byte or the first offset.
func columnBytes(name string, t Type) int {
	n := 1 + len(name) + 1 + 1
	switch t {
	case TypeVarchar:
		return n + 4
	case TypeTimestamp, TypeTimestampNanos:
		return n + 1
	}
	return n
}

// blockSize counts a bitmap for each column.
func blockSize(table string, body, cols, rows int) int {
	return blockBytes + len(table) + body + cols*bitmapSize(rows)
}

// add stores the cell as the value of the row that comes next.
func (k *block) add(col *column, c *Cell, id int) {
	if col.count == 0 {
		if col.name != c.Name {
			col.name = strings.Clone(c.Name) // the caller's may be part of something large
		}
		col.kind = c.Type
		k.live++
	}
	col.count++
	switch c.Type {
	case TypeBoolean:
		// It has no nulls on the wire: absent is false.
		if c.Num != 0 {
			col.data = setBit(col.data, k.rows)
		}
		return
	case TypeSymbol:
		col.data = appendUvarint(col.data, id)
	case TypeVarchar:
		col.data = append(col.data, c.Text...)
		col.ends = binary.LittleEndian.AppendUint32(col.ends, uint32(len(col.data)))
	default:
		col.data = binary.LittleEndian.AppendUint64(col.data, c.Num)
	}
	col.present = setBit(col.present, k.rows)
}

func (k *block) addTime(t Type, v int64) {
	k.add(&k.time, &Cell{Type: t, Num: uint64(v)}, -1)
}

func (k *block) append(dst []byte) []byte {
	dst = appendText(dst, k.table.name)
	dst = appendUvarint(dst, k.rows)
	dst = appendUvarint(dst, k.live)
	for i := range k.cols {
		dst = k.cols[i].appendSchema(dst)
	}
	dst = k.time.appendSchema(dst)
	for i := range k.cols {
		dst = k.cols[i].append(dst, k.rows)
	}
	return k.time.append(dst, k.rows)
}

func (c *column) appendSchema(dst []byte) []byte {
	if c.count == 0 {
		return dst
	}
	return append(appendText(dst, c.name), byte(c.kind))
}

func (c *column) append(dst []byte, rows int) []byte {
	switch {
	case c.count == 0:
		return dst
	case c.kind == TypeBoolean:
		return c.appendBools(dst, rows)
	case c.count == rows:
		dst = append(dst, 0)
	default:
		dst = appendInverse(append(dst, 1), c.present, rows)
	}
	switch c.kind {
	case TypeTimestamp, TypeTimestampNanos:
		return appendTimes(dst, c.data)
	case TypeVarchar:
		dst = append(append(dst, 0, 0, 0, 0), c.ends...)
	}
	return append(dst, c.data...)
}

func (c *column) appendBools(dst []byte, rows int) []byte {
	dst = append(append(dst, 0), c.data...)
	for range bitmapSize(rows) - len(c.data) {
		dst = append(dst, 0)
	}
	return dst
}

// reset makes the table ready for the next frame and forgets blocks and columns
// that were not used for long. It reports whether nothing is left.
func (t *table) reset() bool {
	for _, k := range t.blocks {
		k.reset()
	}
	for n := len(t.blocks); n > 0 && t.blocks[n-1].idle > idleFrames; n-- {
		t.blocks[n-1] = nil
		t.blocks = t.blocks[:n-1]
	}
	return len(t.blocks) == 0
}

func (k *block) reset() {
	k.idle++
	if k.rows > 0 {
		k.idle = 0
	}
	stale := false
	for i := range k.cols {
		stale = k.cols[i].reset() || stale
	}
	k.time.reset()
	k.rows, k.live, k.body, k.size = 0, 0, 0, 0
	if stale && k.idle == 0 {
		k.forget()
	}
}

// forget drops the columns that are idle. The index fills again by itself.
func (k *block) forget() {
	kept := make([]column, 0, len(k.cols))
	clear(k.index)
	for i := range k.cols {
		if k.cols[i].idle <= idleFrames {
			k.index[strings.ToLower(k.cols[i].name)] = len(kept)
			kept = append(kept, k.cols[i])
		}
	}
	k.cols = kept
}

// reset reports whether the column is idle for too long.
func (c *column) reset() bool {
	c.idle++
	if c.count > 0 {
		c.idle = 0
	}
	c.count, c.present, c.data, c.ends = 0, c.present[:0], c.data[:0], c.ends[:0]
	return c.idle > idleFrames
}

// held is about how much memory the table keeps.
func (t *table) held() int {
	n := int(unsafe.Sizeof(*t))
	for _, k := range t.blocks {
		n += int(unsafe.Sizeof(*k)) + len(k.index)*int(unsafe.Sizeof(""))
		for i := range k.cols {
			n += k.cols[i].held()
		}
		n += k.time.held()
	}
	return n
}

func (c *column) held() int {
	return int(unsafe.Sizeof(*c)) + len(c.name) + cap(c.present) + cap(c.data) + cap(c.ends)
}
