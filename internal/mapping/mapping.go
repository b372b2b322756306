// SPDX-License-Identifier: MIT

// Package mapping turns a metric into the row that QuestDB can store. It is a
// pure function of the metric and idempotent: mapping a mapped row changes
// nothing, so dead letters can be fed back.
//
//	tag              SYMBOL; an empty value is left out, ILP cannot say it
//	int64            LONG; the minimum is QuestDB's null and becomes minimum + 1
//	uint64           LONG, clamped to the largest int64
//	float64          DOUBLE; NaN and the infinities are left out and read as null
//	bool             BOOLEAN
//	string           VARCHAR; NUL and invalid UTF-8 become U+FFFD
//	time             designated timestamp, in microseconds or nanoseconds
//
// A character that QuestDB refuses in a name becomes '_', a reserved name gets
// the suffix '_', a name longer than 127 bytes is cut. Where two names of a row
// then meet, ignoring case, the later one in the order tags before fields, each
// sorted by name, gets the suffix _2, _3 and so on.
package mapping

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Options say how metrics become rows.
type Options struct {
	// Nanos keeps nanoseconds in the designated timestamp. The default is
	// microseconds, which is what QuestDB creates for ILP.
	Nanos bool
	// Renamed is told once a table and name when a name had to change: with what
	// it was, what it became, and why. It may be nil.
	Renamed func(table, from, to, why string)
}

// Counts says what mapping had to alter, since the Mapper was made.
type Counts struct {
	Clamped  int64 // unsigned values above the largest int64
	Shifted  int64 // int64 minima stored as minimum + 1
	Replaced int64 // texts with NUL or invalid UTF-8
	Renamed  int64 // names of columns or tables, each time
}

// RowError says why a row can never be stored.
type RowError struct {
	Table  string
	Reason string
}

func (e *RowError) Error() string {
	return fmt.Sprintf("row of table %q cannot be stored: %s", e.Table, e.Reason)
}

// Mapper maps one metric at a time: Start, then tags and fields in any order,
// then Finish. It allocates nothing for names it has seen before, and must not
// be used by two goroutines at once.
type Mapper struct {
	opts   Options
	counts Counts
	names  nameTable
	said   map[saidKey]struct{}

	measurement string
	tags        []input
	fields      []input
	text        []byte
	row         qwp.Row
	rowID       uint64
}

// saidKey is a name that was told to be changed.
type saidKey struct {
	table, from string
	column      bool
}

// input is a tag or field as the metric has it.
type input struct {
	name string
	kind qwp.Type
	num  uint64
	text []byte
}

// New returns a Mapper.
func New(o Options) *Mapper {
	return &Mapper{opts: o, names: newNameTable(), said: map[saidKey]struct{}{}}
}

// Counts returns what was altered so far.
func (m *Mapper) Counts() Counts { return m.counts }

// Start begins a metric.
func (m *Mapper) Start(measurement string) {
	m.measurement = measurement
	m.tags, m.fields, m.text = m.tags[:0], m.fields[:0], m.text[:0]
	m.rowID++
}

// Intern returns b as a string that may be kept, without allocating for bytes
// it has seen.
func (m *Mapper) Intern(b []byte) string { return m.names.intern(b) }

// Tag adds a tag.
func (m *Mapper) Tag(name, value string) {
	m.text = append(m.text, value...)
	m.addTag(name, len(value))
}

// TagBytes adds a tag; the value may change afterwards.
func (m *Mapper) TagBytes(name string, value []byte) {
	m.text = append(m.text, value...)
	m.addTag(name, len(value))
}

func (m *Mapper) addTag(name string, n int) {
	if n > 0 {
		m.tags = append(m.tags, input{name: name, kind: qwp.TypeSymbol, text: m.cleanText(n)})
	}
}

// String adds a string field.
func (m *Mapper) String(name, value string) {
	m.text = append(m.text, value...)
	m.addString(name, len(value))
}

// StringBytes adds a string field; the value may change afterwards.
func (m *Mapper) StringBytes(name string, value []byte) {
	m.text = append(m.text, value...)
	m.addString(name, len(value))
}

func (m *Mapper) addString(name string, n int) {
	m.fields = append(m.fields, input{name: name, kind: qwp.TypeVarchar, text: m.cleanText(n)})
}

// Int adds an integer field.
func (m *Mapper) Int(name string, v int64) {
	if v == math.MinInt64 {
		v++
		m.counts.Shifted++
	}
	m.addNum(name, qwp.TypeLong, uint64(v))
}

// Uint adds an unsigned field.
func (m *Mapper) Uint(name string, v uint64) {
	if v > math.MaxInt64 {
		v = math.MaxInt64
		m.counts.Clamped++
	}
	m.addNum(name, qwp.TypeLong, v)
}

// Float adds a floating point field.
func (m *Mapper) Float(name string, v float64) {
	if !math.IsNaN(v) && !math.IsInf(v, 0) {
		m.addNum(name, qwp.TypeDouble, math.Float64bits(v))
	}
}

// Bool adds a boolean field.
func (m *Mapper) Bool(name string, v bool) {
	var n uint64
	if v {
		n = 1
	}
	m.addNum(name, qwp.TypeBoolean, n)
}

func (m *Mapper) addNum(name string, kind qwp.Type, n uint64) {
	m.fields = append(m.fields, input{name: name, kind: kind, num: n})
}

// cleanText returns the last n bytes of m.text with everything replaced that
// QuestDB drops a whole request for.
func (m *Mapper) cleanText(n int) []byte {
	from := len(m.text) - n
	raw := m.text[from:]
	if !clean(raw) {
		m.counts.Replaced++
		fixed := strings.ReplaceAll(strings.ToValidUTF8(string(raw), "\uFFFD"), "\x00", "\uFFFD")
		m.text = append(m.text[:from], fixed...)
	}
	return m.text[from:len(m.text):len(m.text)]
}

func clean(b []byte) bool {
	return utf8.Valid(b) && !slices.Contains(b, 0)
}

// Finish maps the metric. The row is valid until the next Finish. With a
// *RowError the row holds what could be mapped, for a dead letter.
func (m *Mapper) Finish(t time.Time) (*qwp.Row, error) {
	r := &m.row
	table := m.names.table(m.measurement)
	r.Reset(table.clean)
	if table.clean != m.measurement {
		m.renamed(saidKey{table: table.clean, from: m.measurement}, table.clean, table.why)
	}
	m.addCells(table.clean, m.tags)
	m.addCells(table.clean, m.fields)
	if err := m.setTime(t); err != nil {
		return r, err
	}
	switch {
	case m.measurement == "":
		return r, m.fail("the metric has no name; give it one with name_override")
	case len(r.Cells) == 0:
		return r, m.fail("it has neither a tag nor a value that QuestDB can hold")
	}
	return r, nil
}

func (m *Mapper) addCells(table string, in []input) {
	byName := func(a, b input) int { return cmp.Compare(a.name, b.name) }
	if !slices.IsSortedFunc(in, byName) {
		slices.SortStableFunc(in, byName)
	}
	for i := range in {
		c := &in[i]
		name := m.column(table, c.name)
		m.row.Cells = append(m.row.Cells, qwp.Cell{Name: name, Type: c.kind, Num: c.num, Text: c.text})
	}
}

// column returns the name under which a column is stored, and takes it for this
// row.
func (m *Mapper) column(table, raw string) string {
	n := m.names.column(raw)
	if n.fold.row != m.rowID {
		n.fold.row, n.fold.owner = m.rowID, raw
		if n.clean != raw {
			m.renamed(saidKey{table, raw, true}, n.clean, n.why)
		}
		return n.clean
	}
	owner := n.fold.owner
	for i := 2; ; i++ {
		free := m.names.column(suffixed(n.clean, i))
		if free.fold.row != m.rowID {
			free.fold.row, free.fold.owner = m.rowID, raw
			m.renamed(saidKey{table, raw, true}, free.clean, fmt.Sprintf("it meets %q in one row", owner))
			return free.clean
		}
	}
}

func (m *Mapper) renamed(key saidKey, to, why string) {
	m.counts.Renamed++
	if _, done := m.said[key]; done || m.opts.Renamed == nil {
		return
	}
	if len(m.said) < maxNames {
		m.said[key] = struct{}{}
		m.opts.Renamed(key.table, key.from, to, why)
	}
}

// lastMicro is the last microsecond of the year 9999.
const lastMicro = 253402300799999999

func (m *Mapper) setTime(t time.Time) error {
	micros := t.UnixMicro()
	m.row.At(micros)
	if micros < 0 || micros > lastMicro {
		return m.fail(fmt.Sprintf("its time %s is not between 1970 and 9999; check the clock of the source",
			t.UTC().Format(time.RFC3339)))
	}
	if !m.opts.Nanos {
		return nil
	}
	if micros > math.MaxInt64/1000 {
		return m.fail(fmt.Sprintf("its time %s has no nanoseconds in 64 bits; use timestamp_precision = \"us\"",
			t.UTC().Format(time.RFC3339)))
	}
	m.row.AtNanos(t.UnixNano())
	return nil
}

func (m *Mapper) fail(reason string) error {
	return &RowError{Table: m.measurement, Reason: reason}
}
