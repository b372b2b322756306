// SPDX-License-Identifier: MIT

package qwp

import (
	"math"
	"slices"
	"unicode/utf8"
)

// maxNames bounds the names a View remembers from message to message.
const maxNames = 4096

// View is a parsed message. Parse checks it to the last bit, so that whatever is
// asked afterwards cannot fail. A View reads from the message and from the Dict
// given to Parse: both must stay as they are while it is in use. Its memory is
// reused by the next Parse. A View is not safe for concurrent use.
type View struct {
	msg    []byte
	flags  byte
	tables []Table
	cols   []Column // of all tables
	texts  []uint32 // where in msg each text of its dictionaries begins
	start  int      // id of the first text
	dict   *Dict    // of the ids that are not in the message
	info   Info

	names   map[string]string
	cursors []cursor
	keep    []int // columns that go into a part
	times   []byte
	own     ConnDict // of AppendPart
}

// Table is one table block.
type Table struct {
	Name    string
	Rows    int
	Columns []Column

	v           *View
	first, last int // its columns in View.cols
}

// Column is one column of a block.
type Column struct {
	Name  string // empty: the designated timestamp
	Type  Type
	Scale uint8 // of a DECIMAL; the precision in bits of a GEOHASH

	gorilla bool
	nulls   bool   // a bitmap follows the null flag
	values  int32  // values in the data
	at      int32  // offset of the null flag
	data    int32  // offset of the first value
	end     int32  // offset behind the last value
	dict    uint32 // its own dictionary in View.texts, with dictLen entries
	dictLen uint32
}

// Tables returns the table blocks in the order of the message.
func (v *View) Tables() []Table { return v.tables }

// Info sums up the message.
func (v *View) Info() Info { return v.info }

// Flags returns the flags byte of the header.
func (v *View) Flags() byte { return v.flags }

// DeferCommit reports whether the server shall wait for a later message before it
// commits the rows of this one.
func (v *View) DeferCommit() bool { return v.flags&FlagDeferCommit != 0 }

// Parse reads a message. Without dict the message must bring every string it uses;
// with dict the ids of a connection are resolved, and the strings the message brings
// are added to dict once all of the message was found valid. The error is a
// *FormatError, or a *GapError where the message builds on strings that dict lacks;
// the View is empty then.
func (v *View) Parse(msg []byte, dict *Dict) error {
	v.reset(msg, dict)
	r := reader{buf: msg}
	blocks := v.header(&r)
	v.delta(&r)
	for i := 0; i < blocks && r.err == nil; i++ {
		v.block(&r)
	}
	r.end("last table block")
	if r.err != nil {
		v.reset(nil, nil)
		return r.err
	}
	for i := range v.tables {
		t := &v.tables[i]
		t.Columns = v.cols[t.first:t.last:t.last]
	}
	if dict != nil && v.flags&FlagDeltaDict != 0 {
		dict.learn(msg, v.start, v.texts)
	}
	return nil
}

func (v *View) reset(msg []byte, dict *Dict) {
	v.msg, v.dict, v.flags, v.start, v.info = msg, dict, 0, 0, Info{}
	clear(v.tables)
	clear(v.cols)
	v.tables, v.cols, v.texts = v.tables[:0], v.cols[:0], v.texts[:0]
}

// header returns the number of table blocks.
func (v *View) header(r *reader) int {
	if len(r.buf) > maxMessage {
		r.fail(0, "message of %d bytes is larger than 2 GiB", len(r.buf))
	}
	if m := r.uint32(); m != magic {
		r.fail(0, "magic is 0x%08x, not QWP1", m)
	}
	if b := r.byte(); b != version {
		r.fail(4, "version %d is not known", b)
	}
	v.flags = r.byte()
	if bad := v.flags &^ knownFlags; bad != 0 {
		r.fail(flagsAt, "flags 0x%02x are not known", bad)
	}
	blocks := int(r.uint16())
	if n := r.uint32(); r.err == nil && uint64(n) != uint64(r.left()) {
		r.fail(payloadAt, "payload length is %d, %d bytes follow the header", n, r.left())
	}
	return blocks
}

// delta reads the dictionary section of the message.
func (v *View) delta(r *reader) {
	if v.flags&FlagDeltaDict == 0 || r.err != nil {
		return
	}
	at := r.pos
	v.start = r.count(math.MaxInt32, "first id of the dictionary")
	n := v.textList(r)
	switch {
	case r.err != nil:
	case v.start > v.dict.Len():
		r.err = &GapError{Start: v.start, Len: v.dict.Len()}
	case v.start+n > MaxDictEntries:
		r.fail(at, "dictionary of %d strings is above the limit of %d", v.start+n, MaxDictEntries)
	case v.dict.textBytes()+r.pos-at > maxDictText:
		r.fail(at, "text of the dictionary is above the limit of %d bytes", maxDictText)
	}
}

// textList reads a dictionary and returns the number of its entries, which stand
// at the end of v.texts.
func (v *View) textList(r *reader) int {
	n := r.count(MaxDictEntries, "dictionary entries")
	if !r.need(n, "dictionary") {
		return 0
	}
	v.texts = slices.Grow(v.texts, n)
	for range n {
		at := r.pos
		text := r.take(r.count(math.MaxInt32, "length of a symbol"), "symbol")
		if r.err == nil && !utf8.Valid(text) {
			r.fail(at, "symbol is not valid UTF-8")
		}
		if r.err != nil {
			return 0
		}
		v.texts = append(v.texts, uint32(at))
	}
	return n
}

// ids is the number of ids a SYMBOL column of this message may use.
func (v *View) ids() int { return max(v.dict.Len(), v.start+len(v.texts)) }

// text resolves an id of the message, or the place in v.texts of an entry of a
// column's own dictionary.
func (v *View) text(id int) []byte {
	if i := id - v.start; i >= 0 && i < len(v.texts) {
		return textAt(v.msg, v.texts[i])
	}
	return v.dict.text(id)
}

// block reads one table block.
func (v *View) block(r *reader) {
	at := r.pos
	t := Table{v: v, first: len(v.cols)}
	t.Name = v.name(r, "table name")
	if r.err == nil && t.Name == "" {
		r.fail(at, "table name is empty")
	}
	t.Rows = r.count(MaxRows, "rows")
	cols := r.count(MaxColumns, "columns")
	// A column has a schema of 2 bytes, a null flag, and a bit for each row.
	if r.need(cols*(3+t.Rows/8), "columns") {
		v.schema(r, &t, cols)
		v.columns(r, &t)
	}
	if f, ok := r.err.(*FormatError); ok {
		f.Table = t.Name
		return
	}
	v.tables = append(v.tables, t)
	v.info.Tables++
	if v.info.Rows > math.MaxInt32-t.Rows {
		r.fail(at, "more than %d rows in a message", math.MaxInt32)
	}
	v.info.Rows += t.Rows
}

func (v *View) schema(r *reader, t *Table, cols int) {
	if cols == 0 && t.Rows > 0 {
		r.fail(r.pos, "%d rows without a column", t.Rows)
	}
	v.cols = slices.Grow(v.cols, cols)
	designated := false
	for i := 0; i < cols && r.err == nil; i++ {
		at := r.pos
		c := Column{Name: v.name(r, "column name"), Type: Type(r.byte())}
		switch {
		case r.err != nil:
		case !c.Type.known():
			r.fail(r.pos-1, "column %q has the unknown %v", c.Name, c.Type)
		case c.Name != "":
		case !c.Type.isTime():
			r.fail(at, "designated timestamp has the type %v", c.Type)
		case designated:
			r.fail(at, "second designated timestamp")
		default:
			designated = true
		}
		v.cols = append(v.cols, c)
	}
	t.last = len(v.cols)
}

func (v *View) columns(r *reader, t *Table) {
	for i := t.first; i < t.last && r.err == nil; i++ {
		c := &v.cols[i]
		v.column(r, c, t.Rows)
		if f, ok := r.err.(*FormatError); ok {
			f.Column = c.Name
		}
	}
}

// name reads a name, the same string for the same bytes as long as it is
// remembered.
func (v *View) name(r *reader, what string) string {
	at := r.pos
	b := r.take(r.count(MaxName, what), what)
	if len(b) == 0 {
		return ""
	}
	if s, ok := v.names[string(b)]; ok {
		return s
	}
	if !utf8.Valid(b) {
		r.fail(at, "%s is not valid UTF-8", what)
		return ""
	}
	if v.names == nil {
		v.names = make(map[string]string)
	}
	if len(v.names) >= maxNames {
		clear(v.names)
	}
	s := string(b)
	v.names[s] = s
	return s
}
