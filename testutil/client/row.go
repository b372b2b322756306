// SPDX-License-Identifier: MIT

package client

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// printed is a line of a program's output: a row, or the number of rows at the
// end. A value is nil or type and value.
type printed struct {
	Table  string
	At     int64
	Values map[string][]json.RawMessage
	Rows   *int
}

// parse reads rows until the line that says how many they are.
func parse(r io.Reader) ([]qwpserver.Row, error) {
	var rows []qwpserver.Row
	for d := json.NewDecoder(r); ; {
		var p printed
		if err := d.Decode(&p); err != nil {
			return nil, fmt.Errorf("output after %d rows: %w", len(rows), err)
		}
		if p.Rows != nil {
			return rows, nil
		}
		row, err := p.row()
		if err != nil {
			return nil, fmt.Errorf("row %d, table %s: %w", len(rows), p.Table, err)
		}
		rows = append(rows, row)
	}
}

func (p *printed) row() (qwpserver.Row, error) {
	row := qwpserver.Row{Table: p.Table, Time: p.At, Values: make(map[string]any)}
	for name, v := range p.Values {
		if v == nil {
			continue
		}
		value, err := typed(v)
		if err != nil {
			return row, fmt.Errorf("column %s: %w", name, err)
		}
		row.Values[name] = value
	}
	return row, nil
}

// typed makes the value that the server stores of a pair of type and value.
func typed(pair []json.RawMessage) (any, error) {
	var kind string
	if len(pair) != 2 {
		return nil, fmt.Errorf("value is %s", pair)
	}
	if err := json.Unmarshal(pair[0], &kind); err != nil {
		return nil, err
	}
	switch kind {
	case "symbol":
		return as[qwpserver.Symbol](pair[1])
	case "varchar":
		return as[string](pair[1])
	case "bool":
		return as[bool](pair[1])
	case "long":
		return as[int64](pair[1])
	case "double":
		return as[float64](pair[1])
	case "timestamp":
		nanos, err := as[int64](pair[1])
		return time.Unix(0, nanos).UTC(), err
	}
	return nil, fmt.Errorf("unknown type %q", kind)
}

func as[T any](raw json.RawMessage) (v T, err error) {
	err = json.Unmarshal(raw, &v)
	return v, err
}
