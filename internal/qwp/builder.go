// SPDX-License-Identifier: MIT

package qwp

import (
	"errors"
	"strings"
	"unicode/utf8"
)

const frameFlags = FlagGorilla | FlagDeltaDict

// Sizes that do not depend on rows: a dictionary section begins with id 0 and the
// number of its entries, a block has a name length, its rows and its columns.
const (
	frameBytes = headerSize + 1 + 3
	blockBytes = 1 + 3 + 2
)

// columnLimit leaves one column to AppendMessageWith.
const columnLimit = MaxColumns - 1

// idleFrames is for how many frames a table or column without rows is remembered.
const idleFrames = 16

var (
	errNoValues  = errors.New("has neither values nor a time")
	errTimeType  = errors.New("time is neither TIMESTAMP nor TIMESTAMP_NANOS")
	errType      = errors.New("type cannot be encoded")
	errDuplicate = errors.New("has two values in one row")
	errNoColumn  = errors.New("has a column without a name")
	errTextUTF8  = errors.New("text is not valid UTF-8")
	errTooWide   = errors.New("has more than 2046 values beside the time")
)

// Builder packs rows into one frame: a message that can be read alone. It carries
// every string it uses and no other, and begins its dictionary at id 0.
//
// Tables, columns and buffers outlive Reset, so that frames of the same shape are
// built without allocating. A Builder is not safe for concurrent use.
type Builder struct {
	// StrictNames makes Add refuse the names that CheckTableName and
	// CheckColumnName do, each when it comes up for the first time. Without it
	// Add takes whatever the format can say.
	StrictNames bool

	limit  int
	tables map[string]*table
	last   *table   // of the row before
	used   []*block // with rows, in order of their first
	syms   symtab
	blocks int // encoded size of the used blocks
	info   Info
	serial uint64 // of the row, to see a column twice
	cols   []int  // column of each cell of the row being added
	ids    []int  // symbol id of each cell
}

// table is what the Builder knows of a table, with rows in this frame or not.
type table struct {
	name   string
	blocks []*block // tried in this order
}

// NewBuilder returns an empty Builder whose frames have limit bytes at most.
func NewBuilder(limit int) *Builder {
	return &Builder{limit: min(limit, maxMessage), tables: make(map[string]*table)}
}

// Rows returns the number of rows in the frame.
func (b *Builder) Rows() int { return b.info.Rows }

// Size returns an upper bound of the encoded size in bytes. The frame is smaller
// where gorilla packs timestamps and columns have no nulls.
func (b *Builder) Size() int { return frameBytes + len(b.syms.text) + b.blocks }

// Info sums up the frame as View.Info will.
func (b *Builder) Info() Info { return b.info }

// Add adds the whole row or nothing of it. ErrFrameFull: the frame has rows and
// this one does not fit; take the frame, Reset, add the row again. A *RowError: the
// row can never be stored, with ErrRowTooLarge if it does not even fit alone.
func (b *Builder) Add(r *Row) error {
	t, err := b.table(r)
	if err != nil {
		return err
	}
	known := b.syms.len()
	k, body, err := b.plan(t, r)
	if err != nil {
		b.syms.truncate(known)
		if err != ErrFrameFull {
			b.forget(t)
		}
		return err
	}
	b.store(k, r, body)
	return nil
}

func (b *Builder) plan(t *table, r *Row) (*block, int, error) {
	k, err := b.place(t, r)
	if err != nil {
		return nil, 0, err
	}
	body, err := b.measure(k, r)
	return k, body, err
}

// forget drops a table that has no rows: a table of which all rows are refused
// shall not stay.
func (b *Builder) forget(t *table) {
	for _, k := range t.blocks {
		if k.rows > 0 {
			return
		}
	}
	delete(b.tables, t.name)
	b.last = nil
}

// table finds or makes the table of a row.
func (b *Builder) table(r *Row) (*table, error) {
	if len(r.Cells) == 0 && r.TimeType == 0 {
		return nil, &RowError{Table: r.Table, Err: errNoValues}
	}
	if r.TimeType != 0 && !r.TimeType.isTime() {
		return nil, &RowError{Table: r.Table, Err: errTimeType}
	}
	if len(r.Cells) >= columnLimit {
		return nil, &RowError{Table: r.Table, Err: errTooWide}
	}
	if b.last != nil && b.last.name == r.Table {
		return b.last, nil
	}
	t := b.tables[r.Table]
	if t == nil {
		if err := b.checkTable(r.Table); err != nil {
			return nil, &RowError{Table: r.Table, Err: err}
		}
		t = &table{name: strings.Clone(r.Table)}
		b.tables[t.name] = t
	}
	b.last = t
	return t, nil
}

func (b *Builder) checkTable(name string) error {
	if b.StrictNames {
		return CheckTableName(name)
	}
	return checkName(name)
}

func (b *Builder) checkColumn(name string) error {
	switch {
	case name == "":
		return errNoColumn // it is the designated timestamp on the wire
	case b.StrictNames:
		return CheckColumnName(name)
	}
	return checkName(name)
}

// place finds the block of a table that takes the row without a conflict of
// types, and leaves the columns of the cells in b.cols.
func (b *Builder) place(t *table, r *Row) (*block, error) {
	for _, k := range t.blocks {
		if ok, err := b.fits(k, r); ok || err != nil {
			return k, err
		}
	}
	k := newBlock(t)
	t.blocks = append(t.blocks, k)
	_, err := b.fits(k, r)
	return k, err
}

func (b *Builder) fits(k *block, r *Row) (bool, error) {
	if r.TimeType != 0 && k.time.count > 0 && k.time.kind != r.TimeType {
		return false, nil
	}
	b.serial++
	b.cols = b.cols[:0]
	added := 1 // the designated timestamp, come or to come
	for i := range r.Cells {
		c := &r.Cells[i]
		at, ok := k.column(c.Name, i)
		if !ok {
			if err := b.checkColumn(c.Name); err != nil {
				return false, &RowError{Table: r.Table, Column: c.Name, Err: err}
			}
			at = k.addColumn(c.Name)
		}
		col := &k.cols[at]
		if col.row == b.serial {
			return false, &RowError{Table: r.Table, Column: c.Name, Err: errDuplicate}
		}
		col.row = b.serial
		if col.count == 0 {
			added++
		} else if col.kind != c.Type {
			return false, nil
		}
		b.cols = append(b.cols, at)
	}
	return k.live+added <= columnLimit, nil
}

// measure returns the body of the block with the row in it, numbers the symbols of
// the row, and refuses what does not fit into the frame.
func (b *Builder) measure(k *block, r *Row) (int, error) {
	body, cols := k.body, k.live
	b.ids = b.ids[:0]
	for i := range r.Cells {
		c, col := &r.Cells[i], &k.cols[b.cols[i]]
		if col.count == 0 {
			body += columnBytes(c.Name, c.Type)
			cols++
		}
		n, err := b.cellBytes(c)
		if err != nil {
			return 0, &RowError{Table: r.Table, Column: c.Name, Err: err}
		}
		body += n
	}
	if r.TimeType != 0 {
		body += 8
		if k.time.count == 0 {
			body += columnBytes("", r.TimeType)
			cols++
		}
	}
	return body, b.checkSize(k, r, blockSize(k.table.name, body, cols, k.rows+1))
}

func (b *Builder) checkSize(k *block, r *Row, size int) error {
	tooLarge := frameBytes+len(b.syms.text)+b.blocks-k.size+size > b.limit
	switch {
	case b.info.Rows == 0 && tooLarge:
		return &RowError{Table: r.Table, Err: ErrRowTooLarge}
	case tooLarge, k.rows == MaxRows, b.syms.len() > MaxDictEntries,
		k.rows == 0 && len(b.used) == MaxTables:
		return ErrFrameFull
	}
	return nil
}

// cellBytes returns the size of a value and appends its symbol id to b.ids.
func (b *Builder) cellBytes(c *Cell) (int, error) {
	id, size := -1, 8
	switch c.Type {
	case TypeSymbol:
		var isNew bool
		id, isNew = b.syms.intern(c.Text)
		if isNew && !utf8.Valid(c.Text) {
			return 0, errTextUTF8
		}
		size = uvarintSize(id)
	case TypeVarchar:
		if !utf8.Valid(c.Text) {
			return 0, errTextUTF8
		}
		size = 4 + len(c.Text)
	case TypeBoolean:
		size = 0 // its bit counts as that of a null bitmap
	case TypeLong, TypeDouble, TypeTimestamp, TypeTimestampNanos:
	default:
		return 0, errType
	}
	b.ids = append(b.ids, id)
	return size, nil
}

// store cannot fail: everything was checked.
func (b *Builder) store(k *block, r *Row, body int) {
	if k.rows == 0 {
		b.used = append(b.used, k)
		b.info.Tables++
	}
	for i := range r.Cells {
		k.add(&k.cols[b.cols[i]], &r.Cells[i], b.ids[i])
	}
	if r.TimeType != 0 {
		k.addTime(r.TimeType, r.Time)
		b.info.addTime(r.TimeType, r.Time)
	}
	k.rows++
	b.info.Rows++
	b.blocks -= k.size
	k.body, k.size = body, blockSize(k.table.name, body, k.live, k.rows)
	b.blocks += k.size
}

// AppendFrame appends the encoded frame to dst and changes nothing.
func (b *Builder) AppendFrame(dst []byte) []byte {
	start := len(dst)
	dst = appendHeader(dst, frameFlags)
	dst = appendUvarint(dst, 0)
	dst = appendUvarint(dst, b.syms.len())
	dst = append(dst, b.syms.text...)
	for _, k := range b.used {
		dst = k.append(dst)
	}
	sealMessage(dst[start:], len(b.used))
	return dst
}

// Reset empties the frame. What later frames are likely to need again is kept,
// within a small multiple of the limit.
func (b *Builder) Reset() {
	held := 0
	for name, t := range b.tables {
		if t.reset() {
			delete(b.tables, name)
		} else {
			held += t.held()
		}
	}
	if held/4 > b.limit {
		clear(b.tables)
	}
	clear(b.used)
	b.used, b.last, b.blocks, b.info = b.used[:0], nil, 0, Info{}
	b.syms.reset()
}
