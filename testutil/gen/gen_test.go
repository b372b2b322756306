// SPDX-License-Identifier: MIT

package gen_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"

	"github.com/questdb-sf/questdb_sf/testutil/gen"
)

// decode reads rows with the reference decoder of line protocol.
func decode(t testing.TB, lines []byte) (rows []gen.Row) {
	t.Helper()
	check := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	d := lineprotocol.NewDecoderWithBytes(lines)
	for d.Next() {
		name, err := d.Measurement()
		check(err)
		r := gen.Row{Table: string(name), Values: make(map[string]any)}
		for {
			key, value, err := d.NextTag()
			check(err)
			if key == nil {
				break
			}
			r.Values[string(key)] = string(value)
		}
		for {
			key, value, err := d.NextField()
			check(err)
			if key == nil {
				break
			}
			r.Values[string(key)] = value.Interface()
		}
		at, err := d.Time(lineprotocol.Nanosecond, time.Time{})
		check(err)
		r.Time = at.UnixNano()
		rows = append(rows, r)
	}
	return rows
}

func TestLinesDecodeToTheRowsOfTheirIDs(t *testing.T) {
	for _, s := range []gen.Set{{Seed: 1}, {Seed: 2, Jitter: true, Hosts: 3}} {
		rows := decode(t, s.Lines(1000, 5000))
		if report := s.Check(rows, 1000, 6000); !report.OK() {
			t.Errorf("%+v: %v", s, report)
		}
		for i, r := range rows {
			if want := s.Row(1000 + int64(i)); !reflect.DeepEqual(r, want) {
				t.Fatalf("row %v, want %v", r, want)
			}
		}
	}
}

func TestLinesAreTheSameEachTime(t *testing.T) {
	if !bytes.Equal(gen.Lines(100, 7, 20), gen.Lines(100, 7, 20)) {
		t.Error("two runs differ")
	}
	if bytes.Equal(gen.Lines(100, 7, 20), gen.Lines(100, 8, 20)) {
		t.Error("two seeds do not differ")
	}
	whole, halves := gen.Lines(100, 7, 0), append(gen.Lines(50, 7, 0), gen.Lines(50, 7, 50)...)
	if !bytes.Equal(whole, halves) {
		t.Error("two halves are not the whole")
	}
}

func TestTimesAreRoundedUnlessJittered(t *testing.T) {
	odd := 0
	for id := range int64(3000) {
		if at := (gen.Set{}).Row(id).Time; at%int64(10*time.Second) != 0 {
			t.Fatalf("row %d is at %d", id, at)
		}
		if (gen.Set{Jitter: true}).Row(id).Time%1000 != 0 {
			odd++
		}
	}
	if odd < 2900 {
		t.Errorf("%d of 3000 jittered times have nanoseconds", odd)
	}
}

func TestSeriesHasOneRowPerTime(t *testing.T) {
	type key struct {
		table, host string
		at          int64
	}
	seen := make(map[key]bool)
	tables := make(map[string]bool)
	for id := range int64(12000) {
		r := gen.Set{}.Row(id)
		k := key{r.Table, r.Values["host"].(string), r.Time}
		if seen[k] {
			t.Fatalf("%v twice", k)
		}
		seen[k], tables[r.Table] = true, true
	}
	if len(tables) != 6 || len(gen.Tables()) != 6 {
		t.Errorf("tables %v", tables)
	}
}

func TestCheckFindsEachFault(t *testing.T) {
	s := gen.Set{Seed: 3, Jitter: true}
	var rows []gen.Row
	for id := range int64(10) {
		rows = append(rows, s.Row(id))
	}
	rows[0].Time = rows[0].Time / 1000 * 1000
	rows[1].Values["sf_row_id"] = int64(1)
	rows[2].Values[gen.RowID] = json.Number("2")
	if report := s.Check(rows, 0, 10); !report.OK() {
		t.Fatalf("sound rows: %v", report)
	}
	rows[3].Time++
	rows[4].Values["host"] = "other"
	rows[5].Values["extra"] = 1.0
	delete(rows[6].Values, "usage_user")
	rows[7].Table = "cpu"
	rows[8] = s.Row(0)
	rows[9] = s.Row(99)
	report := s.Check(rows, 0, 10)
	if !slices.Equal(report.Missing, []int64{8, 9}) || !slices.Equal(report.Duplicates, []int64{0}) || len(report.Wrong) != 6 {
		t.Errorf("report %v; wrong %q", report, report.Wrong)
	}
}

func TestFromSQLTakesTimeOutOfItsColumn(t *testing.T) {
	rows, err := gen.FromSQL("cpu", []map[string]any{{"timestamp": "2026-01-01T00:00:00.000001Z", gen.RowID: json.Number("0")}})
	if err != nil || rows[0].Time != 1767225600000001000 {
		t.Errorf("rows %v (%v)", rows, err)
	}
	if _, err := gen.FromSQL("cpu", []map[string]any{{}}); err == nil {
		t.Error("a row without a time is taken")
	}
}
