// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

var (
	errNotTimes = errors.New("the designated timestamp is neither Timestamps, TimestampMicros nor TimestampNanos")
	errNoTime   = errors.New("the designated timestamp is null")
	errTextUTF8 = errors.New("text is not valid UTF-8")
)

// Column is a named column of values for [Batch.AddColumns], one for each row. It
// refers to the slice it was made of, which must not change until AddColumns has
// returned.
type Column struct {
	name  string
	kind  qwp.Type
	rows  int
	valid []bool

	// One of these holds the values.
	texts   []string
	longs   []int64
	doubles []float64
	bools   []bool
	times   []time.Time
}

// Symbols is a SYMBOL column.
func Symbols(name string, values []string) Column {
	return Column{name: name, kind: qwp.TypeSymbol, rows: len(values), texts: values}
}

// Strings is a VARCHAR column.
func Strings(name string, values []string) Column {
	return Column{name: name, kind: qwp.TypeVarchar, rows: len(values), texts: values}
}

// Int64s is a LONG column. QuestDB reads the smallest int64 as null.
func Int64s(name string, values []int64) Column {
	return Column{name: name, kind: qwp.TypeLong, rows: len(values), longs: values}
}

// Float64s is a DOUBLE column. QuestDB reads NaN and the infinities as null.
func Float64s(name string, values []float64) Column {
	return Column{name: name, kind: qwp.TypeDouble, rows: len(values), doubles: values}
}

// Bools is a BOOLEAN column. QuestDB reads null as false.
func Bools(name string, values []bool) Column {
	return Column{name: name, kind: qwp.TypeBoolean, rows: len(values), bools: values}
}

// Timestamps is a TIMESTAMP column, which has microseconds; the rest of a time is
// cut off.
func Timestamps(name string, values []time.Time) Column {
	return Column{name: name, kind: qwp.TypeTimestamp, rows: len(values), times: values}
}

// TimestampMicros is a TIMESTAMP column given in microseconds since 1970. QuestDB
// reads the smallest int64 as null.
func TimestampMicros(name string, values []int64) Column {
	return Column{name: name, kind: qwp.TypeTimestamp, rows: len(values), longs: values}
}

// TimestampNanos is a TIMESTAMP_NANOS column given in nanoseconds since 1970.
// QuestDB reads the smallest int64 as null.
func TimestampNanos(name string, values []int64) Column {
	return Column{name: name, kind: qwp.TypeTimestampNanos, rows: len(values), longs: values}
}

// Valid returns the column with nulls: in row i there is a value if valid[i], and
// what stands in the values is not looked at otherwise. nil means no nulls.
func (c Column) Valid(valid []bool) Column {
	c.valid = valid
	return c
}

func (c *Column) null(i int) bool { return c.valid != nil && !c.valid[i] }

// ColumnsError says which row kept [Batch.AddColumns] from adding any.
type ColumnsError struct {
	Row int   // from 0
	Err error // a *RowError
}

func (e *ColumnsError) Error() string { return fmt.Sprintf("row %d of the columns: %v", e.Row, e.Err) }

// Unwrap gives errors.As the *RowError.
func (e *ColumnsError) Unwrap() error { return e.Err }

// AddColumns adds rows to a table, all of them or, with an error, none. at holds
// the designated timestamp of each row and is made by Timestamps, TimestampMicros
// or TimestampNanos; its name is not used, QuestDB calls that column timestamp.
// What makes a row invalid is said at [RowBuilder]: a *ColumnsError if it is the
// values of one row, a *RowError if it is a name. Columns of different lengths are
// another error.
//
// Nothing is allocated for a table and columns that the batch has seen.
func (b *Batch) AddColumns(table string, at Column, cols ...Column) error {
	if err := b.checkColumns(table, &at, cols); err != nil {
		return err
	}
	for i := range at.rows {
		b.fill(table, &at, cols, i)
		if err := b.add(&b.scratch); err != nil {
			return fmt.Errorf("bug: %d of %d rows are in the batch; Reset it: %w", i, at.rows, err)
		}
	}
	return nil
}

// fill makes the scratch row the one at index i.
func (b *Batch) fill(table string, at *Column, cols []Column, i int) {
	b.scratch.Reset(table)
	for j := range cols {
		if c := &cols[j]; !c.null(i) {
			c.set(&b.scratch, i)
		}
	}
	b.scratch.Time, b.scratch.TimeType = at.time(i), at.kind
}

func (c *Column) set(r *Row, i int) {
	switch c.kind {
	case qwp.TypeSymbol:
		r.Symbol(c.name, c.texts[i])
	case qwp.TypeVarchar:
		r.Varchar(c.name, c.texts[i])
	case qwp.TypeLong:
		r.Long(c.name, c.longs[i])
	case qwp.TypeDouble:
		r.Double(c.name, c.doubles[i])
	case qwp.TypeBoolean:
		r.Bool(c.name, c.bools[i])
	case qwp.TypeTimestamp:
		r.Timestamp(c.name, c.time(i))
	case qwp.TypeTimestampNanos:
		r.TimestampNanos(c.name, c.longs[i])
	}
}

// time is the value of a column of times, in the unit of its kind.
func (c *Column) time(i int) int64 {
	if c.times != nil {
		return c.times[i].UnixMicro()
	}
	return c.longs[i]
}

// checkColumns finds whatever Add would find in any of the rows, because rows that
// are packed cannot be taken out again.
func (b *Batch) checkColumns(table string, at *Column, cols []Column) error {
	if err := b.checkShape(table, at, cols); err != nil {
		return err
	}
	for i := range at.rows {
		if err := at.checkDesignated(i); err != nil {
			return rowError(table, "", i, err)
		}
	}
	for j := range cols {
		if err := cols[j].checkAll(table); err != nil {
			return err
		}
	}
	return b.checkSizes(table, at, cols)
}

func rowError(table, column string, row int, err error) error {
	return &ColumnsError{Row: row, Err: &RowError{Table: table, Column: column, Err: err}}
}

// checkShape checks what does not depend on values.
func (b *Batch) checkShape(table string, at *Column, cols []Column) error {
	if at.kind != qwp.TypeTimestamp && at.kind != qwp.TypeTimestampNanos {
		return &RowError{Table: table, Err: errNotTimes}
	}
	if err := at.checkLength(table, at.rows); err != nil {
		return err
	}
	b.scratch.Reset(table)
	b.scratch.At(0)
	for j := range cols {
		c := &cols[j]
		if err := c.checkLength(table, at.rows); err != nil {
			return err
		}
		b.scratch.Cells = append(b.scratch.Cells, qwp.Cell{Name: c.name, Type: c.kind})
	}
	// A row with no null may be too large where the real ones are not.
	if err := b.try(&b.scratch); !errors.Is(err, ErrRowTooLarge) {
		return err
	}
	return nil
}

func (c *Column) checkLength(table string, rows int) error {
	switch {
	case c.rows != rows:
		return fmt.Errorf("table %q, column %q: %d values, but the designated timestamp has %d", table, c.name, c.rows, rows)
	case c.valid != nil && len(c.valid) != rows:
		return fmt.Errorf("table %q, column %q: Valid has %d entries for %d values", table, c.name, len(c.valid), rows)
	}
	return nil
}

// try says what Add would say of the row and adds it to nothing.
func (b *Batch) try(row *Row) error {
	if err := sendable(row); err != nil {
		return err
	}
	if b.trial == nil {
		b.trial = newBuilder(b.limit)
	}
	defer b.trial.Reset()
	return b.trial.Add(row)
}

// checkDesignated checks a time as that of a row.
func (c *Column) checkDesignated(i int) error {
	if c.null(i) {
		return errNoTime
	}
	if err := c.check(i); err != nil {
		return err
	}
	return checkTime(c.time(i), c.kind)
}

// checkAll checks all values of a column, of which most types have no bad ones.
func (c *Column) checkAll(table string) error {
	if c.texts == nil && c.times == nil {
		return nil
	}
	for i := range c.rows {
		if err := c.check(i); err != nil {
			return rowError(table, c.name, i, err)
		}
	}
	return nil
}

// check checks a value but for its size.
func (c *Column) check(i int) error {
	if c.null(i) {
		return nil
	}
	switch {
	case c.texts != nil:
		return checkText(c.texts[i])
	case c.times != nil:
		_, err := unixMicros(c.times[i])
		return err
	}
	return nil
}

func checkText(s string) error {
	switch {
	case strings.IndexByte(s, 0) >= 0:
		return errTextNUL
	case !utf8.ValidString(s):
		return errTextUTF8
	}
	return nil
}

// cellBytes is more than a cell takes in a frame beside its name and text:
// schema, dictionary entry, value and bitmap; rowBytes more than a row of its own
// takes beside its cells.
const (
	cellBytes = 32
	rowBytes  = 128
)

// checkSizes finds rows without a value, and those that are too large.
func (b *Batch) checkSizes(table string, at *Column, cols []Column) error {
	room := b.limit - rowBytes - len(table)
	for j := range cols {
		room -= cellBytes + len(cols[j].name)
	}
	for i := range at.rows {
		values, text := weigh(cols, i)
		switch {
		case values == 0:
			return rowError(table, "", i, errNoValue)
		case text <= int64(room):
		case text > int64(b.limit):
			return rowError(table, "", i, ErrRowTooLarge)
		default: // only a frame can tell
			b.fill(table, at, cols, i)
			if err := b.try(&b.scratch); err != nil {
				return &ColumnsError{Row: i, Err: err}
			}
		}
	}
	return nil
}

// weigh counts the values of a row and the bytes of its text.
func weigh(cols []Column, i int) (values int, text int64) {
	for j := range cols {
		c := &cols[j]
		if c.null(i) {
			continue
		}
		values++
		if c.texts != nil {
			text += int64(len(c.texts[i]))
		}
	}
	return values, text
}
