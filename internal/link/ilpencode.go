// SPDX-License-Identifier: MIT

package link

import (
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// encoder writes rows in QuestDB's dialect of line protocol, one line a row.
//
// The dialect, probed on 9.3.4 (TestDialectIsWhatQuestDBStores): a backslash
// escapes space, comma, equals, backslash, line feed and carriage return in
// names and tags, and quote, backslash, line feed and carriage return in
// strings. An empty tag value is stored as the empty symbol, not as null. Times
// carry their unit as a suffix, t for microseconds and n for nanoseconds, which
// overrides precision= and so needs no conversion that could overflow.
type encoder struct {
	limit int // bytes at which a request is full
	hard  int // bytes at which a part has to be split

	buf   []byte
	lines int
	row   qwp.Row
}

// resize sets how large requests are to be; most is what they are on a good link.
func (e *encoder) resize(limit, most int) {
	e.limit, e.hard = limit, narrowCap(limit)
	if limit >= most {
		e.hard = hardCapFactor * limit
	}
}

func (e *encoder) reset() {
	if cap(e.buf) > e.hard+hardCapFactor*e.limit {
		e.buf = nil // one huge row must not stay in memory for ever
	}
	e.buf, e.lines = e.buf[:0], 0
}

// add appends the rows of p, all or none.
func (e *encoder) add(v *qwp.View, p qwp.Part, more qwp.AddLong) error {
	if len(e.buf) >= e.limit {
		return ErrRequestFull
	}
	start, lines := len(e.buf), e.lines
	err := e.addPart(v, p, more)
	if err != nil {
		e.buf, e.lines = e.buf[:start], lines
	}
	if _, ok := err.(*TooLargeError); ok && start > 0 {
		return ErrRequestFull // it may fit into a request of its own
	}
	return err
}

func (e *encoder) addPart(v *qwp.View, p qwp.Part, more qwp.AddLong) error {
	tables := v.Tables()
	if p.Table >= 0 {
		return e.addRows(&tables[p.Table], p, more)
	}
	for i := range tables {
		if err := e.addRows(&tables[i], qwp.Part{Table: i, Last: tables[i].Rows}, more); err != nil {
			return err
		}
	}
	return nil
}

// addRows stops early when the part outgrows one request. A single row that
// fills the request alone goes out whatever its size: nothing could split it.
func (e *encoder) addRows(t *qwp.Table, p qwp.Part, more qwp.AddLong) error {
	var id added
	var ids []int64
	if more != nil {
		id.name, ids = more(t, p.First, p.Last)
	}
	r := p.First
	for row := range t.All(p.First, p.Last, &e.row) {
		if id.name != "" {
			id.value = ids[r-p.First]
		}
		buf, bad := appendLine(e.buf, row, id)
		e.buf = buf
		if bad != nil {
			bad.Table, bad.Block, bad.Row = row.Table, p.Table, r
			return bad
		}
		e.lines++
		r++
		if size := len(e.buf); size > e.hard && (e.lines > 1 || r < p.Last) {
			return &TooLargeError{Size: size, Limit: e.hard}
		}
	}
	return nil
}

// added is a LONG column that the frame does not hold; no name means none.
type added struct {
	name  string
	value int64
}

// appendLine appends one line. The error is an allocation that only bad rows
// cost; its place in the frame is for the caller to fill in.
func appendLine(dst []byte, row *qwp.Row, id added) ([]byte, *UnsupportedError) {
	dst, ok := appendEscaped(dst, row.Table, &nameEscapes)
	if !ok || row.Table == "" {
		return dst, &UnsupportedError{Reason: "the table name is empty or contains NUL"}
	}
	dst, bad := appendTags(dst, row)
	if bad != nil {
		return dst, bad
	}
	head := len(dst)
	dst, bad = appendFields(dst, row, id)
	if bad != nil {
		return dst, bad
	}
	if len(dst) == head && !hasTags(row) {
		return dst, &UnsupportedError{Reason: "it has neither a symbol nor a value"}
	}
	dst, ok = appendTime(dst, row)
	if !ok {
		return dst, &UnsupportedError{Type: row.TimeType, Reason: "its designated timestamp has no known unit"}
	}
	return append(dst, '\n'), nil
}

func hasTags(row *qwp.Row) bool {
	for i := range row.Cells {
		if row.Cells[i].Type == qwp.TypeSymbol {
			return true
		}
	}
	return false
}

func appendTags(dst []byte, row *qwp.Row) ([]byte, *UnsupportedError) {
	for i := range row.Cells {
		c := &row.Cells[i]
		if c.Type != qwp.TypeSymbol {
			continue
		}
		var ok bool
		if dst, ok = appendName(append(dst, ','), c.Name); !ok {
			return dst, unsupported(c, badName)
		}
		if dst, ok = appendEscaped(dst, c.Text, &nameEscapes); !ok {
			return dst, unsupported(c, "the symbol contains NUL")
		}
	}
	return dst, nil
}

func appendFields(dst []byte, row *qwp.Row, id added) ([]byte, *UnsupportedError) {
	separator := byte(' ')
	for i := range row.Cells {
		c := &row.Cells[i]
		if c.Type == qwp.TypeSymbol {
			continue
		}
		var ok bool
		if dst, ok = appendName(append(dst, separator), c.Name); !ok {
			return dst, unsupported(c, badName)
		}
		var reason string
		if dst, reason = appendValue(dst, c); reason != "" {
			return dst, unsupported(c, reason)
		}
		separator = ','
	}
	if id.name != "" {
		dst, _ = appendName(append(dst, separator), id.name)
		dst = append(strconv.AppendInt(dst, id.value, 10), 'i')
	}
	return dst, nil
}

const badName = "the column name is empty or contains NUL"

func unsupported(c *qwp.Cell, reason string) *UnsupportedError {
	return &UnsupportedError{Column: c.Name, Type: c.Type, Reason: reason}
}

// appendTime appends the designated timestamp; without one the server takes its
// own time.
func appendTime(dst []byte, row *qwp.Row) ([]byte, bool) {
	switch row.TimeType {
	case 0:
		return dst, true
	case qwp.TypeTimestamp:
		return append(strconv.AppendInt(append(dst, ' '), row.Time, 10), 't'), true
	case qwp.TypeTimestampNanos:
		return append(strconv.AppendInt(append(dst, ' '), row.Time, 10), 'n'), true
	}
	return dst, false
}

func appendName(dst []byte, name string) ([]byte, bool) {
	dst, ok := appendEscaped(dst, name, &nameEscapes)
	return append(dst, '='), ok && name != ""
}

// appendValue appends a field. The types that the mapping writes come first; the
// others are found in frames of other clients only. A reason means that there
// is no way to say the value.
func appendValue(dst []byte, c *qwp.Cell) (out []byte, reason string) {
	switch c.Type {
	case qwp.TypeLong, qwp.TypeInt, qwp.TypeShort, qwp.TypeByte:
		return append(strconv.AppendInt(dst, c.Int(), 10), 'i'), ""
	case qwp.TypeDouble, qwp.TypeFloat:
		return appendFloat(dst, c.Float()), ""
	case qwp.TypeBoolean:
		return append(dst, "ft"[c.Num&1]), ""
	case qwp.TypeVarchar:
		dst, _ = appendEscaped(append(dst, '"'), c.Text, &stringEscapes)
		return append(dst, '"'), ""
	case qwp.TypeTimestamp:
		return append(strconv.AppendInt(dst, c.Int(), 10), 't'), ""
	case qwp.TypeTimestampNanos:
		return append(strconv.AppendInt(dst, c.Int(), 10), 'n'), ""
	}
	return appendForeign(dst, c)
}

func appendForeign(dst []byte, c *qwp.Cell) (out []byte, reason string) {
	switch {
	case c.Type == qwp.TypeDate:
		return appendDate(dst, c.Int())
	case c.Type == qwp.TypeChar:
		return appendChar(dst, rune(uint16(c.Num)))
	case c.Type == qwp.TypeUUID && len(c.Text) == 16:
		return appendUUID(dst, c.Text), ""
	case c.Type == qwp.TypeLong256 && len(c.Text) == 32:
		return append(appendHexReversed(append(dst, "0x"...), c.Text), 'i'), ""
	}
	return dst, "line protocol has no such type"
}

func appendFloat(dst []byte, f float64) []byte {
	if math.IsInf(f, 0) {
		// QuestDB stores null for either infinity; only this spelling is sure.
		f = math.NaN()
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

// appendDate writes milliseconds as microseconds, which QuestDB converts back
// for a DATE column.
func appendDate(dst []byte, millis int64) ([]byte, string) {
	if millis > math.MaxInt64/1000 || millis < math.MinInt64/1000 {
		return dst, "the date does not fit into microseconds"
	}
	return append(strconv.AppendInt(dst, millis*1000, 10), 't'), ""
}

func appendChar(dst []byte, r rune) ([]byte, string) {
	if utf16.IsSurrogate(r) {
		return dst, "half of a surrogate pair is no character"
	}
	var text [utf8.UTFMax]byte
	n := utf8.EncodeRune(text[:], r)
	dst, _ = appendEscaped(append(dst, '"'), text[:n], &stringEscapes)
	return append(dst, '"'), ""
}

// appendUUID writes the text form; on the wire both halves are little-endian,
// the low one first (QWP ingress specification, "UUID").
func appendUUID(dst, wire []byte) []byte {
	dst = append(dst, '"')
	for i := range wire {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = appendHexByte(dst, wire[len(wire)-1-i])
	}
	return append(dst, '"')
}

func appendHexReversed(dst, wire []byte) []byte {
	for i := range wire {
		dst = appendHexByte(dst, wire[len(wire)-1-i])
	}
	return dst
}

func appendHexByte(dst []byte, b byte) []byte {
	const digits = "0123456789abcdef"
	return append(dst, digits[b>>4], digits[b&15])
}

// escapes marks the bytes that need a backslash.
type escapes [256]bool

var (
	nameEscapes   = escapes{' ': true, ',': true, '=': true, '\\': true, '\n': true, '\r': true, 0: true}
	stringEscapes = escapes{'"': true, '\\': true, '\n': true, '\r': true}
)

// appendEscaped appends s, runs of plain bytes at a time. ok is false when s
// holds a NUL and special marks NUL: QuestDB refuses the line for a NUL outside
// of strings.
func appendEscaped[T string | []byte](dst []byte, s T, special *escapes) (out []byte, ok bool) {
	from := 0
	for i := 0; i < len(s); i++ {
		if !special[s[i]] {
			continue
		}
		if s[i] == 0 {
			return dst, false
		}
		dst = append(dst, s[from:i]...)
		dst = append(dst, '\\')
		from = i
	}
	return append(dst, s[from:]...), true
}
