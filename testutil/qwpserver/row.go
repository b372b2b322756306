// SPDX-License-Identifier: MIT

package qwpserver

import (
	"math"
	"time"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Row is a stored row. Values has no entry for a null and is one of: int64
// (BYTE to LONG), float64, bool, string (VARCHAR, CHAR), [Symbol], [time.Time]
// in UTC (DATE, TIMESTAMP and TIMESTAMP_NANOS columns) and [Raw].
type Row struct {
	Table  string
	Time   int64 // designated timestamp, nanoseconds since 1970
	Values map[string]any

	txn int64 // of its commit
}

// Symbol is the value of a SYMBOL column.
type Symbol string

// Raw is a value of a type that the server stores as the bytes on the wire.
type Raw struct {
	Type  qwp.Type
	Scale uint8
	Data  string
}

// designated is the name of the timestamp column in the tables that the server
// creates. A column of that name is taken for it.
const designated = "timestamp"

// decode copies a row out of the frame. A row without a time gets now.
func decode(r *qwp.Row, now int64) Row {
	row := Row{Table: r.Table, Time: now, Values: make(map[string]any, len(r.Cells))}
	if r.TimeType != 0 {
		row.Time = nanos(r.Time, r.TimeType)
	}
	for i := range r.Cells {
		c := &r.Cells[i]
		if fold(c.Name) == designated && isTime(c.Type) {
			row.Time = nanos(c.Int(), c.Type)
			continue
		}
		if v := value(c); v != nil {
			row.Values[c.Name] = v
		}
	}
	return row
}

// nanos converts a timestamp in the unit of its type. What does not fit ends up
// at the limit.
func nanos(v int64, t qwp.Type) int64 {
	if t == qwp.TypeTimestampNanos {
		return v
	}
	return min(max(v, math.MinInt64/1000), math.MaxInt64/1000) * 1000
}

func isTime(t qwp.Type) bool { return t == qwp.TypeTimestamp || t == qwp.TypeTimestampNanos }

// value returns a cell as the Go value of its wire type; nil for the values that
// QuestDB reads as null.
func value(c *qwp.Cell) any {
	switch c.Type {
	case qwp.TypeBoolean:
		return c.Bool()
	case qwp.TypeByte, qwp.TypeShort, qwp.TypeInt, qwp.TypeLong:
		return notNull(c.Int(), c.Int())
	case qwp.TypeFloat, qwp.TypeDouble:
		if math.IsNaN(c.Float()) {
			return nil
		}
		return c.Float()
	case qwp.TypeSymbol:
		return Symbol(c.Text)
	case qwp.TypeVarchar:
		return string(c.Text)
	case qwp.TypeChar:
		return string(utf8.AppendRune(nil, rune(c.Num)))
	case qwp.TypeDate:
		return notNull(c.Int(), time.UnixMilli(c.Int()).UTC())
	case qwp.TypeTimestamp:
		return notNull(c.Int(), time.UnixMicro(c.Int()).UTC())
	case qwp.TypeTimestampNanos:
		return notNull(c.Int(), time.Unix(0, c.Int()).UTC())
	}
	return Raw{Type: c.Type, Scale: c.Scale, Data: string(c.Text)}
}

// notNull returns v unless n is the number that QuestDB keeps for null.
func notNull(n int64, v any) any {
	if n == math.MinInt64 {
		return nil
	}
	return v
}
