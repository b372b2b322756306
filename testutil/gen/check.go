// SPDX-License-Identifier: MIT

package gen

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"
)

// Report says how rows read back differ from those that were made.
type Report struct {
	Missing    []int64 // ids that are not there
	Duplicates []int64 // ids that are there again, once for each time too many
	Wrong      []string
}

// OK tells whether nothing differs.
func (r *Report) OK() bool {
	return len(r.Missing) == 0 && len(r.Duplicates) == 0 && len(r.Wrong) == 0
}

// String sums up the report, with the first few of each fault.
func (r *Report) String() string {
	return fmt.Sprintf("%d missing %v, %d duplicates %v, %d wrong %q",
		len(r.Missing), first(r.Missing), len(r.Duplicates), first(r.Duplicates),
		len(r.Wrong), first(r.Wrong))
}

func first[T any](list []T) []T { return list[:min(len(list), 5)] }

// ignored are columns that only the database has.
var ignored = map[string]bool{"sf_row_id": true, "timestamp": true}

// Check compares rows read back with those of the ids from ≤ id < to. Nothing
// else may be among them. Times may be cut to microseconds, as QuestDB does.
func (s Set) Check(rows []Row, from, to int64) *Report {
	report := &Report{}
	seen := make(map[int64]bool, len(rows))
	for i := range rows {
		id, ok := integer(rows[i].Values[RowID])
		switch {
		case !ok || id < from || id >= to:
			report.Wrong = append(report.Wrong, fmt.Sprintf("foreign row %v", rows[i]))
		case seen[id]:
			report.Duplicates = append(report.Duplicates, id)
		default:
			seen[id] = true
			report.Wrong = append(report.Wrong, compare(&rows[i], s.Row(id))...)
		}
	}
	for id := from; id < to; id++ {
		if !seen[id] {
			report.Missing = append(report.Missing, id)
		}
	}
	slices.Sort(report.Duplicates)
	return report
}

// compare lists the differences of one row.
func compare(got *Row, want Row) (wrong []string) {
	id := want.Values[RowID]
	differs := func(what string, got, want any) {
		wrong = append(wrong, fmt.Sprintf("row %d: %s is %v, want %v", id, what, got, want))
	}
	if got.Table != want.Table {
		differs("table", got.Table, want.Table)
	}
	if got.Time != want.Time && got.Time != want.Time/1000*1000 {
		differs("time", got.Time, want.Time)
	}
	for name, v := range want.Values {
		if !equal(got.Values[name], v) {
			differs(name, got.Values[name], v)
		}
	}
	for name, v := range got.Values {
		if _, ok := want.Values[name]; !ok && v != nil && !ignored[name] {
			differs(name, v, nil)
		}
	}
	return wrong
}

// equal compares a value read back, in whatever type it came.
func equal(got, want any) bool {
	switch want := want.(type) {
	case int64:
		n, ok := integer(got)
		return ok && n == want
	case float64:
		f, ok := float(got)
		return ok && f == want
	case string:
		v := reflect.ValueOf(got)
		return v.IsValid() && v.Kind() == reflect.String && v.String() == want
	}
	return got == want
}

func integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case int:
		return int64(v), true
	case json.Number:
		n, err := strconv.ParseInt(string(v), 10, 64)
		return n, err == nil
	}
	return 0, false
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, true
	case json.Number:
		f, err := v.Float64()
		return f, err == nil
	}
	return 0, false
}

// FromSQL makes rows of a table that was read over SQL: values by column name,
// the time as text in the column timestamp. Nulls may be there or not.
func FromSQL(table string, rows []map[string]any) ([]Row, error) {
	list := make([]Row, len(rows))
	for i, values := range rows {
		text, _ := values["timestamp"].(string)
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return nil, fmt.Errorf("gen: table %s, row %d: %w", table, i, err)
		}
		list[i] = Row{Table: table, Time: at.UnixNano(), Values: values}
	}
	return list, nil
}

// Tables returns the names of the tables.
func Tables() []string {
	names := make([]string, len(tables))
	for i := range tables {
		names[i] = tables[i].name
	}
	return names
}
