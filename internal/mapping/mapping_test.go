// SPDX-License-Identifier: MIT

package mapping_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)

// finish maps what fill gave and returns the columns by name.
func finish(t testing.TB, m *mapping.Mapper, at time.Time) (string, map[string]any) {
	t.Helper()
	row, err := m.Finish(at)
	if err != nil {
		t.Fatal(err)
	}
	return row.Table, columns(t, row)
}

// fataler is what testing.TB and rapid.T share.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

func columns(t fataler, row *qwp.Row) map[string]any {
	t.Helper()
	got := map[string]any{}
	for i := range row.Cells {
		c := &row.Cells[i]
		if _, dup := got[c.Name]; dup {
			t.Fatalf("column %q twice", c.Name)
		}
		switch c.Type {
		case qwp.TypeSymbol:
			got[c.Name] = "symbol:" + string(c.Text)
		case qwp.TypeVarchar:
			got[c.Name] = string(c.Text)
		case qwp.TypeLong:
			got[c.Name] = c.Int()
		case qwp.TypeDouble:
			got[c.Name] = c.Float()
		case qwp.TypeBoolean:
			got[c.Name] = c.Bool()
		default:
			t.Fatalf("column %q of type %s", c.Name, c.Type)
		}
	}
	return got
}

func equal(t fataler, got, want map[string]any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestTypesOfTelegrafBecomeTypesOfQuestDB(t *testing.T) {
	m := mapping.New(mapping.Options{})
	m.Start("cpu")
	m.Tag("host", "a")
	m.TagBytes("rack", []byte("b"))
	m.Int("i", -3)
	m.Uint("u", 7)
	m.Float("f", 1.5)
	m.Bool("yes", true)
	m.Bool("no", false)
	m.String("s", "text")
	m.StringBytes("empty", nil)
	table, got := finish(t, m, noon)
	if table != "cpu" {
		t.Errorf("table %q", table)
	}
	equal(t, got, map[string]any{"host": "symbol:a", "rack": "symbol:b", "i": int64(-3), "u": int64(7),
		"f": 1.5, "yes": true, "no": false, "s": "text", "empty": ""})
}

func TestValuesThatQuestDBCannotHoldAreAlteredAndCounted(t *testing.T) {
	m := mapping.New(mapping.Options{})
	m.Start("t")
	m.Int("min", math.MinInt64)
	m.Uint("big", math.MaxUint64)
	m.Float("nan", math.NaN())
	m.Float("inf", math.Inf(-1))
	m.Tag("none", "")
	m.String("nul", "a\x00b")
	m.Tag("utf8", "a\xffb")
	_, got := finish(t, m, noon)
	equal(t, got, map[string]any{"min": int64(math.MinInt64 + 1), "big": int64(math.MaxInt64),
		"nul": "a\uFFFDb", "utf8": "symbol:a\uFFFDb"})
	want := mapping.Counts{Clamped: 1, Shifted: 1, Replaced: 2}
	if m.Counts() != want {
		t.Errorf("counts %+v, want %+v", m.Counts(), want)
	}
}

func TestNamesThatQuestDBRefusesAreRenamedAndSaidOnce(t *testing.T) {
	long := strings.Repeat("x", 200)
	cases := []struct{ raw, table, column string }{
		{"usage_idle", "usage_idle", "usage_idle"},
		{"cpu-usage.5m", "cpu-usage.5m", "cpu_usage_5m"},
		{"a/b?c", "a_b_c", "a_b_c"},
		{"tab\there", "tab_here", "tab_here"},
		{"bad\xffutf8", "bad_utf8", "bad_utf8"},
		{".hidden.", "_hidden_", "_hidden_"},
		{"a..b", "a._b", "a__b"},
		{"timestamp", "timestamp", "timestamp_"},
		{"Timestamp", "Timestamp", "Timestamp_"},
		{"sf_row_id", "sf_row_id", "sf_row_id_"},
		{"telemetry", "telemetry_", "telemetry"},
		{"Telemetry_Config", "Telemetry_Config_", "Telemetry_Config"},
		{"_query_trace", "_query_trace_", "_query_trace"},
		{"SYS.x", "SYS_x", "SYS_x"},
		{"sys..x", "sys__x", "sys__x"},
		{"sys", "sys", "sys"},
		{" a b ", "_a b_", " a b "},
		{". .", "_ _", "_ _"},
		{"größe ü", "größe ü", "größe ü"},
		{"_timestamp", "_timestamp", "_timestamp"},
		{long, strings.Repeat("x", 118) + "_b3e4b6e5", strings.Repeat("x", 118) + "_b3e4b6e5"},
	}
	said := map[string]int{}
	m := mapping.New(mapping.Options{Renamed: func(_, from, _, _ string) { said[from]++ }})
	for range 2 {
		for _, c := range cases {
			m.Start(c.raw)
			m.Int(c.raw, 1)
			table, got := finish(t, m, noon)
			if table != c.table {
				t.Errorf("table %q became %q, want %q", c.raw, table, c.table)
			}
			equal(t, got, map[string]any{c.column: int64(1)})
		}
	}
	if said["cpu-usage.5m"] != 1 || said["telemetry"] != 1 || said["usage_idle"] != 0 {
		t.Errorf("said %v", said)
	}
}

func TestNamesThatMeetInARowGetNumbers(t *testing.T) {
	var said []string
	m := mapping.New(mapping.Options{Renamed: func(_, from, to, why string) {
		said = append(said, from+">"+to+" "+why)
	}})
	m.Start("t")
	m.Int("b", 3)
	m.Int("B", 2)
	m.Int("a.c", 5)
	m.Int("a-c", 4)
	m.Tag("b", "tag")
	m.Int("b_2", 9)
	_, got := finish(t, m, noon)
	equal(t, got, map[string]any{"b": "symbol:tag", "B_2": int64(2), "b_3": int64(3), "b_2_2": int64(9),
		"a_c": int64(4), "a_c_2": int64(5)})
	if len(said) != 5 || !strings.Contains(strings.Join(said, "\n"), `b>b_3 it meets "b" in one row`) {
		t.Errorf("said %q", said)
	}
}

func TestAnEmptyFieldNameIsNeverTheDesignatedTimestamp(t *testing.T) {
	m := mapping.New(mapping.Options{})
	m.Start("t")
	m.Int("", 1)
	_, got := finish(t, m, noon)
	equal(t, got, map[string]any{"_": int64(1)})
}

func TestRowsThatCanNeverBeStoredAreRefusedWithAReason(t *testing.T) {
	cases := map[string]func(m *mapping.Mapper) time.Time{
		"neither a tag nor a value": func(m *mapping.Mapper) time.Time { m.Start("t"); m.Float("v", math.NaN()); return noon },
		"has no name":               func(m *mapping.Mapper) time.Time { m.Start(""); m.Int("v", 1); return noon },
		"1969":                      func(m *mapping.Mapper) time.Time { m.Start("t"); m.Int("v", 1); return time.Unix(-1, 0) },
		"0001-01-01":                func(m *mapping.Mapper) time.Time { m.Start("t"); m.Int("v", 1); return time.Time{} },
		"10000-01-01":               func(m *mapping.Mapper) time.Time { m.Start("t"); m.Int("v", 1); return time.Unix(253402300800, 0) },
	}
	for want, fill := range cases {
		m := mapping.New(mapping.Options{})
		at := fill(m)
		if _, err := m.Finish(at); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in %v", want, err)
		}
	}
}

func TestNameTablesStayBoundedAndCorrectWithEndlessNames(t *testing.T) {
	m := mapping.New(mapping.Options{})
	for i := range 200_000 {
		m.Start("t")
		m.Int(fmt.Sprintf("field.%d", i), int64(i))
		m.Int("other", 1)
		if _, got := finish(t, m, noon); len(got) != 2 || got[fmt.Sprintf("field_%d", i)] != int64(i) {
			t.Fatalf("row %d became %v", i, got)
		}
	}
}

func TestMappingIsIdempotent(t *testing.T) {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aAbB_2.-/\x00\xff? timesap")), 0, 12, -1)
	rapid.Check(t, func(t *rapid.T) {
		opts := drawOptions(t)
		m := mapping.New(opts)
		m.Start(rapid.SampledFrom([]string{"t", "telemetry", ".x", "a..b", " x ", "sys..x"}).Draw(t, "table"))
		for range rapid.IntRange(1, 8).Draw(t, "tags") {
			m.Tag(text.Draw(t, "key"), text.Draw(t, "value"))
		}
		for range rapid.IntRange(1, 8).Draw(t, "fields") {
			drawField(t, m, text.Draw(t, "key"))
		}
		row, err := m.Finish(noon)
		if err != nil {
			t.Skip("no row")
		}
		opts.Renamed = func(_, from, to, why string) {
			t.Fatalf("%q became %q: %s", from, to, why)
		}
		again := mapping.New(opts)
		feed(again, row)
		twice, err := again.Finish(noon)
		if err != nil || twice.Table != row.Table {
			t.Fatalf("mapped twice: table %q: %v", twice.Table, err)
		}
		equal(t, columns(t, twice), columns(t, row))
	})
}

// drawOptions returns options under which mapping is idempotent.
func drawOptions(t *rapid.T) mapping.Options {
	o := mapping.Options{
		Nanos:            rapid.Bool().Draw(t, "nanos"),
		TimestampColumn:  rapid.SampledFrom([]string{"", "a", "times", "timestamp_"}).Draw(t, "timestamp"),
		IntegersAsDouble: rapid.Bool().Draw(t, "double"),
		Bool:             mapping.BoolType(rapid.IntRange(0, 3).Draw(t, "bool")),
	}
	if rapid.Bool().Draw(t, "filter") {
		o.Symbol = func(column string) bool { return !strings.HasSuffix(column, "a") }
	}
	return o
}

func drawField(t *rapid.T, m *mapping.Mapper, key string) {
	switch rapid.IntRange(0, 4).Draw(t, "type") {
	case 0:
		m.Int(key, rapid.Int64().Draw(t, "int"))
	case 1:
		m.Uint(key, rapid.Uint64().Draw(t, "uint"))
	case 2:
		m.Float(key, rapid.Float64().Draw(t, "float"))
	case 3:
		m.Bool(key, rapid.Bool().Draw(t, "bool"))
	case 4:
		m.String(key, rapid.String().Draw(t, "string"))
	}
}

// feed maps a row as its dead letter would be.
func feed(m *mapping.Mapper, row *qwp.Row) {
	m.Start(row.Table)
	for i := range row.Cells {
		c := &row.Cells[i]
		switch c.Type {
		case qwp.TypeSymbol:
			m.TagBytes(c.Name, c.Text)
		case qwp.TypeVarchar:
			m.StringBytes(c.Name, c.Text)
		case qwp.TypeLong:
			m.Int(c.Name, c.Int())
		case qwp.TypeDouble:
			m.Float(c.Name, c.Float())
		case qwp.TypeBoolean:
			m.Bool(c.Name, c.Bool())
		}
	}
}

func TestMappingKnownNamesAllocatesNothing(t *testing.T) {
	for name, o := range map[string]mapping.Options{
		"defaults":        {},
		"default table":   {Table: parse(t, mapping.DefaultTable), TablePrefix: "p_"},
		"table tag":       {TableTag: "region"},
		"no table tag":    {TableTag: "none"},
		"cached template": {Table: parse(t, `{{ if .Tag "region" }}{{ .Name }}_{{ .Tag "host" }}{{ end }}`)},
		"symbol":          {Symbol: func(tag string) bool { return tag == "host" }},
		"columns":         {MaxColumns: 10},
		"types":           {IntegersAsDouble: true, Bool: mapping.BoolSymbol, TimestampColumn: "ts", Nanos: true},
	} {
		m := mapping.New(o)
		key, val := []byte("region"), []byte("eu-central")
		row := func() {
			m.Start("cpu")
			m.Tag("host", "box-17")
			m.TagBytes(m.Intern(key), val)
			m.Float("usage.user", 1.25)
			m.Int("procs", 12)
			m.Int("Host", 13) // meets the tag
			m.Bool("up", true)
			m.String("state", "running well beyond thirty-two bytes of text")
			if _, err := m.Finish(noon); err != nil {
				t.Fatal(err)
			}
			if _, err := m.Excess(); err != nil {
				t.Fatal(err)
			}
		}
		row()
		if n := testing.AllocsPerRun(1000, row); n != 0 {
			t.Errorf("%s: %v allocations a row", name, n)
		}
	}
}

func BenchmarkMap(b *testing.B) {
	m := mapping.New(mapping.Options{})
	b.ReportAllocs()
	for b.Loop() {
		m.Start("cpu")
		m.Tag("host", "box-17")
		m.Tag("region", "eu")
		for _, f := range []string{"user", "system", "idle", "iowait"} {
			m.Float(f, 1.25)
		}
		if _, err := m.Finish(noon); err != nil {
			b.Fatal(err)
		}
	}
}
