// SPDX-License-Identifier: MIT

// Package mapping turns a metric into the row that QuestDB can store.
//
//	tag              SYMBOL, or VARCHAR as Symbol says; an empty value is left
//	                 out, ILP cannot say it
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
//
// All this depends on nothing but the metric, and it is idempotent: mapping a
// mapped row changes nothing, so dead letters can be fed back. Which times are
// believed (Times) also depends on the clock; a letter for its time comes back as
// one, unless that is kept. Three options of
// the table's name are not: Table and TablePrefix would be applied again, and the
// tag of TableTag is gone. Feed such letters back without them. MaxColumns and
// MergeRows look at other rows too.
package mapping

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Mapper maps one metric at a time: Start, then tags and fields in any order,
// then Finish, then Excess. It allocates nothing for names it has seen before, and
// must not be used by two goroutines at once.
type Mapper struct {
	opts   Options
	counts Counts
	names  nameTable
	said   map[saidKey]struct{}

	measurement string
	tableTag    string // value of the tag that names the table
	tags        []input
	fields      []input
	text        []byte
	time        time.Time
	odd         [2]time.Time // of the last rows out of range, by Side
	rowID       uint64

	row     qwp.Row
	tagged  int      // cells of row that are tags
	ids     []uint64 // of the columns of row, for a Merger
	columns *columns // of the table, nil without a limit
	over    []qwp.Cell
	overTag bool // a tag is among them
	excess  qwp.Row

	view metricView
	name bytes.Buffer // what a template made
	key  []byte
}

// saidKey is what was told about a name of a table.
type saidKey struct {
	table, from string
	what        saidWhat
}

type saidWhat uint8

const (
	saidTable saidWhat = iota + 1
	saidColumn
	saidUntagged
	saidFull
)

// New returns a Mapper.
func New(o Options) *Mapper {
	if o.Table != nil && o.Table.plain {
		o.Table = nil
	}
	m := &Mapper{opts: o, said: map[saidKey]struct{}{}}
	m.names, m.view.m = newNameTable(&m.opts), m
	return m
}

// Counts returns what was altered so far.
func (m *Mapper) Counts() Counts { return m.counts }

// Start begins a metric.
func (m *Mapper) Start(measurement string) {
	m.measurement, m.tableTag = measurement, ""
	m.tags, m.fields, m.text = m.tags[:0], m.fields[:0], m.text[:0]
	m.rowID++
}

// Intern returns b as a string that may be kept, without allocating for bytes
// it has seen.
func (m *Mapper) Intern(b []byte) string { return m.names.intern(b) }

// Finish maps the metric. The row is valid until the next Finish. With a
// *RowError the row holds what could be mapped, for a dead letter.
func (m *Mapper) Finish(t time.Time) (*qwp.Row, error) {
	m.begin(t)
	table, err := m.table()
	m.row.Reset(table.clean)
	if timeErr := m.takeTime(t); timeErr != nil {
		err = timeErr
	}
	if err == nil { // a dead letter shall not use up columns
		m.columns = m.names.columnsOf(table)
	}
	m.addCells(m.tags)
	m.tagged, m.overTag = len(m.row.Cells), len(m.over) > 0
	m.addCells(m.fields)
	switch {
	case err != nil:
	case len(m.over) > 0:
		return m.cut()
	case len(m.row.Cells) == 0:
		err = m.fail("it has neither a tag nor a value that QuestDB can hold")
	}
	return &m.row, err
}

// begin forgets the row before.
func (m *Mapper) begin(t time.Time) {
	m.time = t
	m.ids, m.over = m.ids[:0], m.over[:0]
	m.excess.Reset("")
	m.columns = nil
	m.names.bound()
}

func (m *Mapper) addCells(in []input) {
	byName := func(a, b input) int { return cmp.Compare(a.name, b.name) }
	if !slices.IsSortedFunc(in, byName) {
		slices.SortStableFunc(in, byName)
	}
	for i := range in {
		c := &in[i]
		n := m.column(c.name)
		kind := c.kind
		if kind == qwp.TypeSymbol && !n.symbol {
			kind = qwp.TypeVarchar
		}
		m.addCell(n, qwp.Cell{Name: n.clean, Type: kind, Num: c.num, Text: c.text})
	}
}

// column returns the name under which a column is stored, and takes it for this
// row.
func (m *Mapper) column(raw string) name {
	n := m.names.column(raw)
	if n.fold.row != m.rowID {
		n.fold.take(m.rowID, raw)
		if n.why != "" {
			m.renamed(saidKey{m.row.Table, raw, saidColumn}, n.clean, n.why, "")
		}
		return n
	}
	owner := n.fold
	for {
		free := m.numbered(n.clean, owner.next)
		owner.next++
		if free.fold.row != m.rowID {
			free.fold.take(m.rowID, raw)
			m.renamed(saidKey{m.row.Table, raw, saidColumn}, free.clean, whyMeets, owner.owner)
			return free
		}
	}
}

// numbered returns the name with the suffix _i.
func (m *Mapper) numbered(clean string, i int) name {
	m.key = appendNumbered(m.key[:0], clean, i)
	return m.names.columnBytes(m.key)
}

func (m *Mapper) renamed(key saidKey, to, why, other string) {
	m.counts.Renamed++
	if m.opts.Renamed == nil || !m.first(key) {
		return
	}
	if other != "" {
		why = fmt.Sprintf(why, other)
	}
	m.opts.Renamed(key.table, key.from, to, why)
}

// note says once what the user of a table should know.
func (m *Mapper) note(table string, what saidWhat) {
	if m.opts.Noted == nil || !m.first(saidKey{table: table, what: what}) {
		return
	}
	text := fmt.Sprintf("max_columns_per_table = %d is reached; values of further columns go to the dead-letter file", m.opts.MaxColumns)
	if what == saidUntagged {
		text = fmt.Sprintf("a metric has no tag %q, which table_tag names; it goes to this table", m.opts.TableTag)
	}
	m.opts.Noted(table, text)
}

// first tells whether it is time to say something, which is once.
func (m *Mapper) first(key saidKey) bool {
	if _, done := m.said[key]; done || len(m.said) >= maxNames {
		return false
	}
	m.said[key] = struct{}{}
	return true
}

// lastMicro is the last microsecond of the year 9999.
const lastMicro = 253402300799999999

// takeTime sets the time of the row. What no table can hold is told before what
// is not believed, unless the present is stored in its place.
func (m *Mapper) takeTime(t time.Time) error {
	stored, odd := m.judge(t)
	return cmp.Or(m.setTime(stored), odd)
}

func (m *Mapper) setTime(t time.Time) error {
	micros := microsOf(t)
	m.row.At(micros)
	if micros < 0 || micros > lastMicro {
		return m.failTime("is not between 1970 and 9999; check the clock of the source")
	}
	if !m.opts.Nanos {
		return nil
	}
	if micros >= math.MaxInt64/1000 {
		return m.failTime(`has no nanoseconds in 64 bits; use timestamp_precision = "us"`)
	}
	m.row.AtNanos(t.UnixNano())
	return nil
}

// microsOf is UnixMicro, which of times too far away makes any number; they become
// the farthest here.
func microsOf(t time.Time) int64 {
	const farthest = math.MaxInt64/1000000 - 1
	switch sec := t.Unix(); {
	case sec < -farthest:
		return math.MinInt64
	case sec > farthest:
		return math.MaxInt64
	}
	return t.UnixMicro()
}

func (m *Mapper) failTime(what string) error {
	return m.fail(fmt.Sprintf("its time %s %s", m.time.UTC().Format(time.RFC3339), what))
}

func (m *Mapper) fail(reason string) error {
	return &RowError{Table: m.measurement, Reason: reason}
}
