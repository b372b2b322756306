// SPDX-License-Identifier: MIT

package mapping_test

import (
	"math"
	"strings"
	"testing"

	"github.com/influxdata/telegraf/filter"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
)

func TestTagsThatAreNoSymbolsBecomeVarchar(t *testing.T) {
	asked := map[string]int{}
	m := mapping.New(mapping.Options{Symbol: func(column string) bool {
		asked[column]++
		return column != "request_id"
	}})
	for range 3 {
		m.Start("t")
		m.Tag("host", "a")
		m.Tag("request.id", "77")
		_, got := finish(t, m, noon)
		equal(t, got, map[string]any{"host": "symbol:a", "request_id": "77"})
	}
	if asked["host"] != 1 || asked["request_id"] != 1 || len(asked) != 2 {
		t.Errorf("asked %v", asked)
	}
}

func TestPatternsForTagsFindTheirColumns(t *testing.T) {
	for _, c := range []struct{ pattern, tag string }{
		{"request.id", "request.id"},
		{"request-*", "request-id"},
		{"req?est_id", "request_id"},
		{"disk[0-9].x", "disk7.x"},
		{"{a.b,c:d}", "c:d"},
		{"a,b", "a,b"},
	} {
		f, err := filter.Compile([]string{mapping.Pattern(c.pattern), "*never*"})
		if err != nil {
			t.Fatal(err)
		}
		m := mapping.New(mapping.Options{Symbol: f.Match})
		m.Start("t")
		m.Tag(c.tag, "v")
		row, err := m.Finish(noon)
		if err != nil {
			t.Fatal(err)
		}
		_, symbol := columns(t, row)[row.Cells[0].Name].(string)
		if got := columns(t, row)[row.Cells[0].Name]; !symbol || got != "symbol:v" {
			t.Errorf("pattern %q (%q) does not find %q", c.pattern, mapping.Pattern(c.pattern), row.Cells[0].Name)
		}
	}
}

func TestBooleansAndIntegersAreStoredAsChosen(t *testing.T) {
	for _, c := range []struct {
		integers, boolean string
		want              map[string]any
	}{
		{"long", "boolean", map[string]any{"i": int64(7), "u": int64(8), "yes": true, "no": false}},
		{"long", "long", map[string]any{"i": int64(7), "u": int64(8), "yes": int64(1), "no": int64(0)}},
		{"double", "boolean", map[string]any{"i": 7.0, "u": 8.0, "yes": true, "no": false}},
		{"double", "long", map[string]any{"i": 7.0, "u": 8.0, "yes": 1.0, "no": 0.0}},
		{"long", "symbol", map[string]any{"i": int64(7), "u": int64(8), "yes": "symbol:true", "no": "symbol:false"}},
	} {
		double, err := mapping.ParseIntegers(c.integers)
		if err != nil {
			t.Fatal(err)
		}
		kind, err := mapping.ParseBoolType(c.boolean)
		if err != nil {
			t.Fatal(err)
		}
		m := mapping.New(mapping.Options{IntegersAsDouble: double, Bool: kind})
		m.Start("t")
		m.Int("i", 7)
		m.Uint("u", 8)
		m.Bool("yes", true)
		m.Bool("no", false)
		_, got := finish(t, m, noon)
		equal(t, got, c.want)
	}
}

func TestIntegersAsDoubleAreNeitherClampedNorShifted(t *testing.T) {
	m := mapping.New(mapping.Options{IntegersAsDouble: true})
	m.Start("t")
	m.Int("min", math.MinInt64)
	m.Uint("max", math.MaxUint64)
	_, got := finish(t, m, noon)
	equal(t, got, map[string]any{"min": -9223372036854775808.0, "max": 18446744073709551615.0})
	if m.Counts() != (mapping.Counts{}) {
		t.Errorf("counts %+v", m.Counts())
	}
}

func TestOptionTextsThatMeanNothingAreRefused(t *testing.T) {
	if _, err := mapping.ParseIntegers("int"); err == nil || !strings.Contains(err.Error(), `"int"`) {
		t.Error(err)
	}
	if _, err := mapping.ParseBoolType(""); err == nil || !strings.Contains(err.Error(), `"boolean", "long" or "symbol"`) {
		t.Error(err)
	}
}

func TestTheTimestampColumnIsReservedBesideTimestamp(t *testing.T) {
	for _, c := range []struct{ option, field, want string }{
		{"ts", "ts", "ts_"},
		{"ts", "TS", "TS_"},
		{"ts", "timestamp", "timestamp_"},
		{"timestamp_", "timestamp", "timestamp__"},
		{"timestamp_", "timestamp_", "timestamp__"},
		{"sf_row_id_", "sf_row_id", "sf_row_id__"},
		{"", "ts", "ts"},
	} {
		m := mapping.New(mapping.Options{TimestampColumn: c.option})
		m.Start("t")
		m.Int(c.field, 1)
		_, got := finish(t, m, noon)
		equal(t, got, map[string]any{c.want: int64(1)})
	}
	name := strings.Repeat("x", 127) // with its suffix it is too long
	m := mapping.New(mapping.Options{TimestampColumn: name})
	m.Start("t")
	m.Int(name, 1)
	if _, got := finish(t, m, noon); got[name] != nil || len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
