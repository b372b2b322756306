// SPDX-License-Identifier: MIT

package mapping

import "fmt"

// Options say how metrics become rows. The zero value stores a metric as it is,
// in the table of its measurement.
type Options struct {
	// Nanos keeps nanoseconds in the designated timestamp. The default is
	// microseconds, which is what QuestDB creates for ILP.
	Nanos bool
	// TimestampColumn is the designated timestamp of the tables where it is not
	// called timestamp. No column gets that name, nor timestamp, in whatever case.
	TimestampColumn string
	// Times says which times are believed; the zero value believes all.
	Times TimeRange

	// TableTag is the tag whose value names the table; it is not stored. A metric
	// without it, or with an empty one, gets the table it would have otherwise.
	TableTag string
	// Table makes the name of the table where TableTag does not; nil is the name
	// of the measurement.
	Table *Template
	// TablePrefix stands before the name of every table, whatever made it.
	TablePrefix string

	// Symbol tells whether a tag is stored as SYMBOL, else as VARCHAR; nil is
	// always. It is asked once a name, and for the name that is stored, as only
	// that one can come back from a dead letter: see [Pattern].
	Symbol func(column string) bool
	// IntegersAsDouble stores integers as DOUBLE. Those beyond 2^53 lose digits.
	IntegersAsDouble bool
	// Bool is what booleans are stored as; 0 is BoolBoolean.
	Bool BoolType

	// MergeRows asks the owner of the Mapper to send rows through a [Merger].
	MergeRows bool
	// MaxColumns is how many columns this Mapper gives a table, whatever the table
	// has already, tags included and the designated timestamp not; 0 is no limit.
	// See [Mapper.Excess].
	MaxColumns int

	// Renamed is told once a table and name when a name had to change: with what
	// it was, what it became, and why. It may be nil.
	Renamed func(table, from, to, why string)
	// Noted is told once a table what else its user should know: that the tag of
	// TableTag is missing, that MaxColumns is reached. It may be nil.
	Noted func(table, what string)
}

// BoolType is what booleans are stored as. A boolean that a row does not have
// reads false in a BOOLEAN column and null in the others.
type BoolType uint8

const (
	BoolBoolean BoolType = iota + 1
	BoolLong             // 1 and 0, or 1.0 and 0.0 with IntegersAsDouble
	BoolSymbol           // the texts true and false, stored as a tag would be
)

// ParseBoolType reads the option bool_type: boolean, long or symbol.
func ParseBoolType(text string) (BoolType, error) {
	switch text {
	case "boolean":
		return BoolBoolean, nil
	case "long":
		return BoolLong, nil
	case "symbol":
		return BoolSymbol, nil
	}
	return 0, fmt.Errorf(`%q is no type for booleans: use "boolean", "long" or "symbol"`, text)
}

// ParseIntegers reads the option integers_as, long or double, and tells whether
// integers become DOUBLE.
func ParseIntegers(text string) (double bool, err error) {
	switch text {
	case "long":
		return false, nil
	case "double":
		return true, nil
	}
	return false, fmt.Errorf(`%q is no type for integers: use "long" or "double"`, text)
}

// Counts says what mapping had to alter, since the Mapper was made.
type Counts struct {
	Clamped  int64 // unsigned values above the largest int64
	Shifted  int64 // int64 minima stored as minimum + 1
	Replaced int64 // texts with NUL or invalid UTF-8
	Renamed  int64 // names of columns or tables, each time
	Untagged int64 // metrics without the tag of TableTag
	Excess   int64 // values left out of their row because of MaxColumns
	Merged   int64 // rows that a Merger joined to another one

	Early, Late int64 // rows before Times.Min, and beyond Times.MaxFuture
	Retimed     int64 // of them, those that got the present time
}

// RowError says why a row, or what Excess returns of one, can never be stored.
type RowError struct {
	Table  string
	Reason string
}

func (e *RowError) Error() string {
	return fmt.Sprintf("row of table %q cannot be stored: %s", e.Table, e.Reason)
}
