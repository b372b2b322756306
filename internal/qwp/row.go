// SPDX-License-Identifier: MIT

package qwp

import (
	"fmt"
	"math"
)

// Type is a column type of the wire format (QWP ingress specification,
// "Column types"). Zero is no type.
type Type uint8

// The types of the specification. 0x08 was STRING and is not assigned any more.
const (
	TypeBoolean        Type = 0x01
	TypeByte           Type = 0x02
	TypeShort          Type = 0x03
	TypeInt            Type = 0x04
	TypeLong           Type = 0x05
	TypeFloat          Type = 0x06
	TypeDouble         Type = 0x07
	TypeSymbol         Type = 0x09
	TypeTimestamp      Type = 0x0A // microseconds since 1970
	TypeDate           Type = 0x0B // milliseconds since 1970
	TypeUUID           Type = 0x0C
	TypeLong256        Type = 0x0D
	TypeGeohash        Type = 0x0E
	TypeVarchar        Type = 0x0F
	TypeTimestampNanos Type = 0x10 // nanoseconds since 1970
	TypeDoubleArray    Type = 0x11
	TypeLongArray      Type = 0x12
	TypeDecimal64      Type = 0x13
	TypeDecimal128     Type = 0x14
	TypeDecimal256     Type = 0x15
	TypeChar           Type = 0x16
	TypeBinary         Type = 0x17
	TypeIPv4           Type = 0x18
)

var typeNames = [...]string{
	TypeBoolean: "BOOLEAN", TypeByte: "BYTE", TypeShort: "SHORT", TypeInt: "INT",
	TypeLong: "LONG", TypeFloat: "FLOAT", TypeDouble: "DOUBLE", TypeSymbol: "SYMBOL",
	TypeTimestamp: "TIMESTAMP", TypeDate: "DATE", TypeUUID: "UUID", TypeLong256: "LONG256",
	TypeGeohash: "GEOHASH", TypeVarchar: "VARCHAR", TypeTimestampNanos: "TIMESTAMP_NANOS",
	TypeDoubleArray: "DOUBLE_ARRAY", TypeLongArray: "LONG_ARRAY", TypeDecimal64: "DECIMAL64",
	TypeDecimal128: "DECIMAL128", TypeDecimal256: "DECIMAL256", TypeChar: "CHAR",
	TypeBinary: "BINARY", TypeIPv4: "IPV4",
}

// String returns the name the specification uses.
func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return fmt.Sprintf("type 0x%02x", uint8(t))
}

// Cell is one value of a row that is not null. Nulls are absent cells.
type Cell struct {
	Name string
	Type Type
	// Num holds BOOLEAN as 0 or 1; BYTE to LONG, CHAR, DATE and both timestamps
	// as two's complement; FLOAT and DOUBLE as the bits of a float64.
	Num uint64
	// Text holds SYMBOL and VARCHAR as UTF-8, and every type that has neither
	// number nor text as its bytes on the wire.
	Text []byte
	// Scale is the scale of a DECIMAL column, the precision in bits of a GEOHASH.
	Scale uint8
}

// AppendCells appends copies of cells to dst, and what they refer to to text. A
// text that has to grow leaves earlier cells with the old array.
func AppendCells(dst []Cell, text []byte, cells []Cell) ([]Cell, []byte) {
	for _, c := range cells {
		at := len(text)
		text = append(text, c.Text...)
		c.Text = text[at:len(text):len(text)]
		dst = append(dst, c)
	}
	return dst, text
}

// Int returns the value of an integer, date or timestamp cell.
func (c *Cell) Int() int64 { return int64(c.Num) }

// Float returns the value of a FLOAT or DOUBLE cell.
func (c *Cell) Float() float64 { return math.Float64frombits(c.Num) }

// Bool returns the value of a BOOLEAN cell.
func (c *Cell) Bool() bool { return c.Num != 0 }

// Row is one row on its way into or out of a frame. It owns the texts of its
// cells: what a setter is given may change once the setter has returned. Reset
// makes it ready for the next row without giving its memory back.
type Row struct {
	Table string
	Cells []Cell
	// Time is the designated timestamp in the unit of TimeType, which is
	// TypeTimestamp or TypeTimestampNanos; TimeType 0 leaves the time to the
	// server.
	Time     int64
	TimeType Type

	text []byte
}

// Reset empties the row and gives it a table.
func (r *Row) Reset(table string) {
	r.Table, r.Time, r.TimeType = table, 0, 0
	r.Cells, r.text = r.Cells[:0], r.text[:0]
}

// Symbol adds a SYMBOL cell.
func (r *Row) Symbol(name, value string) { r.addText(name, TypeSymbol, value) }

// SymbolBytes is Symbol for a value that is not a string yet.
func (r *Row) SymbolBytes(name string, value []byte) {
	r.addBytes(name, TypeSymbol, value)
}

// Varchar adds a VARCHAR cell.
func (r *Row) Varchar(name, value string) { r.addText(name, TypeVarchar, value) }

// VarcharBytes is Varchar for a value that is not a string yet.
func (r *Row) VarcharBytes(name string, value []byte) {
	r.addBytes(name, TypeVarchar, value)
}

// Long adds a LONG cell. The smallest int64 is QuestDB's null: it reads back as
// null whoever stores it.
func (r *Row) Long(name string, v int64) { r.addNum(name, TypeLong, uint64(v)) }

// Double adds a DOUBLE cell. QuestDB reads NaN as null.
func (r *Row) Double(name string, v float64) { r.addNum(name, TypeDouble, math.Float64bits(v)) }

// Bool adds a BOOLEAN cell. QuestDB stores an absent boolean as false.
func (r *Row) Bool(name string, v bool) {
	var n uint64
	if v {
		n = 1
	}
	r.addNum(name, TypeBoolean, n)
}

// Timestamp adds a TIMESTAMP cell in microseconds since 1970.
func (r *Row) Timestamp(name string, micros int64) { r.addNum(name, TypeTimestamp, uint64(micros)) }

// TimestampNanos adds a TIMESTAMP_NANOS cell in nanoseconds since 1970.
func (r *Row) TimestampNanos(name string, nanos int64) {
	r.addNum(name, TypeTimestampNanos, uint64(nanos))
}

// At sets the designated timestamp in microseconds since 1970.
func (r *Row) At(micros int64) { r.Time, r.TimeType = micros, TypeTimestamp }

// AtNanos sets the designated timestamp in nanoseconds since 1970.
func (r *Row) AtNanos(nanos int64) { r.Time, r.TimeType = nanos, TypeTimestampNanos }

func (r *Row) addNum(name string, t Type, n uint64) {
	r.Cells = append(r.Cells, Cell{Name: name, Type: t, Num: n})
}

func (r *Row) addText(name string, t Type, s string) {
	from := len(r.text)
	r.text = append(r.text, s...)
	r.Cells = append(r.Cells, Cell{Name: name, Type: t, Text: r.text[from:len(r.text):len(r.text)]})
}

func (r *Row) addBytes(name string, t Type, b []byte) {
	from := len(r.text)
	r.text = append(r.text, b...)
	r.Cells = append(r.Cells, Cell{Name: name, Type: t, Text: r.text[from:len(r.text):len(r.text)]})
}
