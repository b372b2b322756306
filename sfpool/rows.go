// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"time"
)

var (
	errNoTable  = errors.New("no row to end: call Table first")
	errNotEnded = errors.New("it was begun with Table and not ended with At")
	errFarTime  = errors.New("the time has no microseconds in 64 bits")
	errFarNanos = errors.New("the time has no nanoseconds in 64 bits, which end in 2262; use microseconds")
)

// RowBuilder builds one row of a Batch, cell by cell, and allocates nothing for
// tables and columns that the batch has seen. [Batch.Table] begins the row; At,
// AtNano or AtNow ends it and says whether it is in the batch:
//
//	err := batch.Table("trades").
//		Symbol("sym", "ETH").
//		Float64Column("price", 2615.54).
//		Int64Column("amount", 3).
//		At(time.Now())
//
// An error on the way is kept until then. The row is dropped whole, and the batch
// is ready for the next one.
//
// A null is a column that is not set; a row needs one that is. The smallest int64
// and NaN may be set, and QuestDB reads them as null, the infinities too; a
// boolean that is not set it reads as false.
//
// What QuestDB would refuse is refused by At as a [*RowError], because in a slot
// it would stand in the way of the rows behind it: names of tables and columns
// that are empty, longer than 127 bytes, have a control character, U+FEFF or one
// of ?,'"\/:)(+*%~ in them, and names of columns with '.' or '-'; the columns
// timestamp and sf_row_id and the table telemetry; two columns whose names differ
// at most in case; text with a NUL or invalid UTF-8; a time before 1970 or after
// 9999; a row larger than a segment.
type RowBuilder struct {
	batch *Batch
	row   Row
	text  int // bytes of text in row
	open  bool
	err   error // the first of this row, and of those before it that were not ended
}

// Table begins a row. A row that was begun before and not ended is dropped, and
// with it the new one: the next At returns an error. So a nil from At always means
// that the row is in the batch, and all rows before it have been heard of.
//
// The RowBuilder belongs to the batch and is good for this row only.
func (b *Batch) Table(name string) *RowBuilder {
	r := &b.row
	switch {
	case !r.open:
		r.err = nil
	case r.err == nil:
		r.err = &RowError{Table: r.row.Table, Err: errNotEnded}
	}
	r.batch, r.open, r.text = b, true, 0
	r.row.Reset(name)
	return r
}

// Symbol sets a SYMBOL column. It may come before, between and after the others.
func (r *RowBuilder) Symbol(name, value string) *RowBuilder {
	if r.hasRoom(name, value) {
		r.row.Symbol(name, value)
	}
	return r
}

// StringColumn sets a VARCHAR column.
func (r *RowBuilder) StringColumn(name, value string) *RowBuilder {
	if r.hasRoom(name, value) {
		r.row.Varchar(name, value)
	}
	return r
}

// hasRoom keeps text out that makes the row too large, so that a batch does not
// hold on to the memory for it.
func (r *RowBuilder) hasRoom(name, value string) bool {
	if r.batch.limit-r.text < len(value) {
		r.fail(name, ErrRowTooLarge)
		return false
	}
	r.text += len(value)
	return true
}

// Int64Column sets a LONG column.
func (r *RowBuilder) Int64Column(name string, value int64) *RowBuilder {
	r.row.Long(name, value)
	return r
}

// Float64Column sets a DOUBLE column.
func (r *RowBuilder) Float64Column(name string, value float64) *RowBuilder {
	r.row.Double(name, value)
	return r
}

// BoolColumn sets a BOOLEAN column.
func (r *RowBuilder) BoolColumn(name string, value bool) *RowBuilder {
	r.row.Bool(name, value)
	return r
}

// TimestampColumn sets a TIMESTAMP column, which has microseconds; the rest of
// the time is cut off. It is not the designated timestamp, which At sets.
func (r *RowBuilder) TimestampColumn(name string, value time.Time) *RowBuilder {
	micros, err := unixMicros(value)
	if err != nil {
		r.fail(name, err)
	}
	r.row.Timestamp(name, micros)
	return r
}

// TimestampNanosColumn sets a TIMESTAMP_NANOS column. The time is between
// September 1677 and April 2262, which is what 64 bits of nanoseconds hold.
func (r *RowBuilder) TimestampNanosColumn(name string, value time.Time) *RowBuilder {
	nanos, err := unixNanos(value)
	if err != nil {
		r.fail(name, err)
	}
	r.row.TimestampNanos(name, nanos)
	return r
}

// At ends the row with its designated timestamp in microseconds, which is what
// QuestDB creates tables with. Without an error the row is in the batch.
func (r *RowBuilder) At(t time.Time) error {
	micros, err := unixMicros(t)
	if err != nil {
		r.fail("", err)
	}
	r.row.At(micros)
	return r.end()
}

// AtNano is At in nanoseconds, up to April 2262, for tables that were made with a
// TIMESTAMP_NS. A table that QuestDB itself created for ILP cuts them off.
func (r *RowBuilder) AtNano(t time.Time) error {
	nanos, err := unixNanos(t)
	if err != nil {
		r.fail("", err)
	}
	r.row.AtNanos(nanos)
	return r.end()
}

// AtNow is At with the clock of this machine, as it is now. The clock of the
// server is no use here: the row may reach it hours later.
func (r *RowBuilder) AtNow() error { return r.At(time.Now()) }

func (r *RowBuilder) end() error {
	err := r.err
	switch {
	case !r.open:
		err = errNoTable
	case err == nil:
		err = r.batch.Add(&r.row)
	}
	r.open, r.err = false, nil
	return err
}

// fail keeps the first error of the row.
func (r *RowBuilder) fail(column string, err error) {
	if r.err == nil {
		r.err = &RowError{Table: r.row.Table, Column: column, Err: err}
	}
}

// unixMicros is time.Time.UnixMicro for which overflow is an error.
func unixMicros(t time.Time) (int64, error) {
	micros := t.UnixMicro()
	if time.UnixMicro(micros).Unix() != t.Unix() {
		return 0, errFarTime
	}
	return micros, nil
}

// unixNanos is time.Time.UnixNano for which overflow is an error.
func unixNanos(t time.Time) (int64, error) {
	nanos := t.UnixNano()
	if time.Unix(0, nanos).Unix() != t.Unix() {
		return 0, errFarNanos
	}
	return nanos, nil
}
