// SPDX-License-Identifier: MIT

package look

import (
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// rowJSON is a row for machines.
type rowJSON struct {
	Slot  string `json:"slot"`
	FSN   int64  `json:"fsn"`
	Row   int    `json:"row"`   // of its block in the frame
	State string `json:"state"` // pending, acked, kept, unfinished
	Table string `json:"table"`
	// Timestamp is RFC 3339 with all digits there are; absent where the server gives it.
	Timestamp string              `json:"timestamp,omitempty"`
	Columns   map[string]cellJSON `json:"columns"`
}

// cellJSON is a value with its type by the words of QuestDB. Dates are in milliseconds
// since 1970, timestamps in micro- or nanoseconds; infinities are strings; what is
// neither number nor text is its bytes in base64.
type cellJSON struct {
	Type  string `json:"type"`
	Value any    `json:"value"`
	Scale uint8  `json:"scale,omitempty"`
}

func appendJSON(dst []byte, name string, f *slot.Framed, n int, row *qwp.Row) ([]byte, error) {
	one := rowJSON{Slot: name, FSN: int64(f.FSN), Row: n, State: stateOf(f), Table: row.Table, Columns: map[string]cellJSON{}}
	if at, ok := timeOf(row); ok {
		one.Timestamp = at.Format(time.RFC3339Nano)
	}
	for i := range row.Cells {
		c := &row.Cells[i]
		one.Columns[c.Name] = cellJSON{Type: c.Type.String(), Value: valueOf(c), Scale: c.Scale}
	}
	b, err := json.Marshal(one)
	return append(append(dst, b...), '\n'), err
}

func stateOf(f *slot.Framed) string {
	switch {
	case f.Kept:
		return "kept"
	case f.Settled:
		return "acked"
	case f.Unfinished:
		return "unfinished"
	}
	return "pending"
}

func valueOf(c *qwp.Cell) any {
	switch c.Type {
	case qwp.TypeBoolean:
		return c.Bool()
	case qwp.TypeByte, qwp.TypeShort, qwp.TypeInt, qwp.TypeLong, qwp.TypeDate, qwp.TypeTimestamp, qwp.TypeTimestampNanos:
		return c.Int()
	case qwp.TypeFloat, qwp.TypeDouble:
		if v := c.Float(); !math.IsNaN(v) && !math.IsInf(v, 0) {
			return v
		}
		return strconv.FormatFloat(c.Float(), 'g', -1, 64)
	case qwp.TypeChar:
		return string(rune(uint16(c.Num)))
	case qwp.TypeSymbol, qwp.TypeVarchar:
		if utf8.Valid(c.Text) {
			return string(c.Text)
		}
	}
	return c.Text
}
