// SPDX-License-Identifier: MIT

package deadletter

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Units of the time in the row, which is in nanoseconds in the line.
const (
	unitMicros = "us"
	unitNanos  = "ns"
	unitNone   = "none"
)

var units = map[string]qwp.Type{unitMicros: qwp.TypeTimestamp, unitNanos: qwp.TypeTimestampNanos, unitNone: 0}

func unitOf(t qwp.Type) string {
	switch t {
	case qwp.TypeTimestamp:
		return unitMicros
	case qwp.TypeTimestampNanos:
		return unitNanos
	}
	return unitNone
}

// encodeLine returns the row as one line, or why a line cannot say all of it. That
// is not derived but tried: what does not read back as the same row is no line.
func encodeLine(row *qwp.Row) ([]byte, error) {
	line, err := writeLine(row)
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(line, '\n') != len(line)-1 {
		return nil, errors.New("it has a line break")
	}
	got, err := decodeLine(line, row.TimeType)
	if err != nil {
		return nil, err
	}
	if !same(row, got) {
		return nil, errors.New("it does not read back as the same row")
	}
	return line, nil
}

func writeLine(row *qwp.Row) ([]byte, error) {
	at := timeOf(row)
	if at.IsZero() && row.TimeType != 0 {
		return nil, errors.New("its time is the year 1") // a line without time would be replayed as now
	}
	var e lineprotocol.Encoder
	e.StartLine(row.Table)
	tags, fields := split(row)
	for _, c := range tags {
		e.AddTag(c.Name, string(c.Text))
	}
	for _, c := range fields {
		v, err := value(c)
		if err != nil {
			return nil, err
		}
		e.AddField(c.Name, v)
	}
	e.EndLine(at)
	return e.Bytes(), e.Err()
}

// split parts the cells into tags, which the encoder wants sorted, and fields.
func split(row *qwp.Row) (tags, fields []qwp.Cell) {
	for _, c := range row.Cells {
		switch {
		case isNull(&c):
		case c.Type == qwp.TypeSymbol:
			tags = append(tags, c)
		default:
			fields = append(fields, c)
		}
	}
	slices.SortFunc(tags, func(a, b qwp.Cell) int { return cmp.Compare(a.Name, b.Name) })
	return tags, fields
}

// isNull knows the values that QuestDB reads as null: they are the same as no cell.
func isNull(c *qwp.Cell) bool {
	switch c.Type {
	case qwp.TypeDouble, qwp.TypeFloat:
		return math.IsNaN(c.Float())
	case qwp.TypeLong, qwp.TypeTimestamp, qwp.TypeTimestampNanos, qwp.TypeDate:
		return c.Int() == math.MinInt64
	}
	return false
}

func value(c qwp.Cell) (lineprotocol.Value, error) {
	var v any
	switch c.Type {
	case qwp.TypeLong:
		v = c.Int()
	case qwp.TypeDouble:
		v = c.Float()
	case qwp.TypeBoolean:
		v = c.Bool()
	case qwp.TypeVarchar:
		v = string(c.Text)
	default:
		return lineprotocol.Value{}, fmt.Errorf("column %q is a %s", c.Name, c.Type)
	}
	lv, ok := lineprotocol.NewValue(v)
	if !ok {
		return lv, fmt.Errorf("column %q holds %q", c.Name, fmt.Sprint(v))
	}
	return lv, nil
}

func timeOf(row *qwp.Row) time.Time {
	switch row.TimeType {
	case qwp.TypeTimestamp:
		return time.UnixMicro(row.Time)
	case qwp.TypeTimestampNanos:
		return time.Unix(0, row.Time)
	}
	return time.Time{}
}

// decodeLine reads the row of one line, whose time goes into the unit of a type.
func decodeLine(line []byte, unit qwp.Type) (*qwp.Row, error) {
	d := lineprotocol.NewDecoderWithBytes(line)
	if !d.Next() {
		return nil, errors.New("it reads as no line")
	}
	table, err := d.Measurement()
	if err != nil {
		return nil, err
	}
	row := &qwp.Row{}
	row.Reset(string(table))
	if err := decodeCells(d, row); err != nil {
		return nil, err
	}
	if err := decodeTime(d, row, unit); err != nil {
		return nil, err
	}
	if d.Next() {
		return nil, errors.New("it reads as several lines")
	}
	return row, nil
}

func decodeCells(d *lineprotocol.Decoder, row *qwp.Row) error {
	for {
		name, v, err := d.NextTag()
		if err != nil {
			return err
		}
		if name == nil {
			break
		}
		row.SymbolBytes(string(name), v)
	}
	for {
		name, v, err := d.NextField()
		if err != nil || name == nil {
			return err
		}
		if err := addValue(row, string(name), v); err != nil {
			return err
		}
	}
}

func addValue(row *qwp.Row, name string, v lineprotocol.Value) error {
	switch v.Kind() {
	case lineprotocol.Int:
		row.Long(name, v.IntV())
	case lineprotocol.Float:
		row.Double(name, v.FloatV())
	case lineprotocol.Bool:
		row.Bool(name, v.BoolV())
	case lineprotocol.String:
		row.Varchar(name, v.StringV())
	default:
		return fmt.Errorf("column %q is a %v", name, v.Kind())
	}
	return nil
}

func decodeTime(d *lineprotocol.Decoder, row *qwp.Row, unit qwp.Type) error {
	at, err := d.Time(lineprotocol.Nanosecond, time.Time{})
	switch {
	case err != nil:
		return err
	case at.IsZero() != (unit == 0):
		return errors.New("it has a time and should have none, or the other way round")
	case unit == qwp.TypeTimestamp:
		row.At(at.UnixMicro())
	case unit == qwp.TypeTimestampNanos:
		row.AtNanos(at.UnixNano())
	}
	return nil
}

// same says whether two rows are equal but for the order of their cells.
func same(a, b *qwp.Row) bool {
	return a.Table == b.Table && a.Time == b.Time && a.TimeType == b.TimeType &&
		slices.EqualFunc(sorted(a), sorted(b), func(x, y qwp.Cell) bool {
			return x.Name == y.Name && x.Type == y.Type && x.Num == y.Num && x.Scale == y.Scale && bytes.Equal(x.Text, y.Text)
		})
}

// sorted returns the cells that are not null in an order of their own.
func sorted(row *qwp.Row) []qwp.Cell {
	list := slices.DeleteFunc(slices.Clone(row.Cells), func(c qwp.Cell) bool { return isNull(&c) })
	slices.SortStableFunc(list, func(a, b qwp.Cell) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Type, b.Type))
	})
	return list
}
