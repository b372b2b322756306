// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	telegrafconfig "github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/metric"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

type (
	tags   = map[string]string
	fields = map[string]any
)

// mappingTime has digits in every place of nanoseconds.
var mappingTime = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)

func at(when time.Time, name string, tg tags, fd fields) telegraf.Metric {
	return metric.New(name, tg, fd, when)
}

func noon(name string, tg tags, fd fields) telegraf.Metric { return at(mappingTime, name, tg, fd) }

// storeMetrics sends metrics through a block and returns its dead letters.
func storeMetrics(t testing.TB, srv *questdb.Server, set func(*questdb_sf.Output), metrics ...telegraf.Metric) string {
	t.Helper()
	o := questdb_sf.New()
	o.URLs, o.SFDir = []string{srv.HTTP()}, t.TempDir()
	o.CloseFlushTimeout = telegrafconfig.Duration(time.Minute)
	o.TimeOutOfRange = "keep" // the hard bounds are what these tests are about, whatever this box's clock reads
	if set != nil {
		set(o)
	}
	check(t, o.Init())
	check(t, o.Connect())
	check(t, o.Write(metrics))
	check(t, o.Close())
	letters, _ := os.ReadFile(filepath.Join(o.SFDir, "default.dead-letter.lp")) // there is no file without letters
	return string(letters)
}

// readTable returns the rows of a table, each as its columns in the order of
// their names: name, type, value. A time of mappingTime in microseconds is left
// out.
func readTable(ctx context.Context, t testing.TB, srv *questdb.Server, table string) []string {
	t.Helper()
	res := must(srv.Rows(ctx, table))(t)
	rows := []string{}
	for _, row := range res.Rows {
		var cols []string
		for i, v := range row {
			col := res.Columns[i].Name + " " + res.Columns[i].Type + " " + valueText(v)
			if col != `timestamp TIMESTAMP "2026-11-22T12:00:00.123456Z"` {
				cols = append(cols, col)
			}
		}
		slices.Sort(cols)
		rows = append(rows, strings.Join(cols, ", "))
	}
	return rows
}

func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case string:
		return fmt.Sprintf("%+q", v)
	}
	return fmt.Sprint(v)
}

// holds compares a table with rows written as readTable does, in any order.
func holds(ctx context.Context, t testing.TB, srv *questdb.Server, table string, want ...string) {
	t.Helper()
	got := readTable(ctx, t, srv, table)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("table %s\ngot  %s\nwant %s", table, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
	}
}

func saysAll(t testing.TB, letters string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(letters, w) {
			t.Errorf("the dead-letter file does not say %q:\n%.3000s", w, letters)
		}
	}
	if n := strings.Count(letters, "# 20"); n != len(want) {
		t.Errorf("%d dead letters, want %d:\n%.3000s", n, len(want), letters)
	}
}

// withNil returns a metric with a field that has no value.
func withNil() telegraf.Metric {
	m := noon("nil_value", nil, fields{"v": 1})
	m.AddField("none", struct{}{})
	return m
}

func TestEveryMappingRuleIsSeenInQuestDB(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	cases := []struct {
		in    telegraf.Metric
		table string
		want  string
	}{
		{noon("uint64", nil, fields{"above": uint64(math.MaxUint64), "at": uint64(math.MaxInt64), "below": uint64(7)}),
			"uint64", "above LONG 9223372036854775807, at LONG 9223372036854775807, below LONG 7"},
		{noon("int64", nil, fields{"min": int64(math.MinInt64), "max": int64(math.MaxInt64)}),
			"int64", "max LONG 9223372036854775807, min LONG -9223372036854775807"},
		{noon("not_finite", nil, fields{"v": 0.5, "nan": math.NaN(), "inf": math.Inf(1), "neg": math.Inf(-1)}),
			"not_finite", "v DOUBLE 0.5"},
		{noon("floats", nil, fields{"max": math.MaxFloat64, "tiny": 5e-324, "zero": math.Copysign(0, -1), "third": 1. / 3}),
			"floats", "max DOUBLE 1.7976931348623157E308, third DOUBLE 0.3333333333333333, tiny DOUBLE 5.0E-324, zero DOUBLE -0.0"},
		{withNil(), "nil_value", "v LONG 1"},
		{noon("case_clash", nil, fields{"a": 1, "A": 2, "É": 3, "é": 4}),
			"case_clash", `A LONG 2, a_2 LONG 1, É LONG 3, é_2 LONG 4`},
		{noon("tag_and_field", tags{"host": "h"}, fields{"host": "f", "HOST": 2}),
			"tag_and_field", `HOST_2 LONG 2, host SYMBOL "h", host_3 VARCHAR "f"`},
		{noon("dup_after_cleaning", tags{"a.b": "tag"}, fields{"a-b": 1, "a/b": 2, "a_b": 3}),
			"dup_after_cleaning", `a_b SYMBOL "tag", a_b_2 LONG 1, a_b_3 LONG 2, a_b_4 LONG 3`},
		{noon("empty_names", tags{"": "x"}, fields{"": 1}), "empty_names", `_ SYMBOL "x", __2 LONG 1`},
		{noon("reserved_fields", nil, fields{"timestamp": 1, "sf_row_id": 2}),
			"reserved_fields", "sf_row_id_ LONG 2, timestamp_ LONG 1"},
		{noon("reserved_upper", nil, fields{"TIMESTAMP": 1, "SF_Row_ID": 2}),
			"reserved_upper", "SF_Row_ID_ LONG 2, TIMESTAMP_ LONG 1"},
		{noon("reserved_tags", tags{"timestamp": "a", "sf_row_id": "b"}, fields{"v": 1}),
			"reserved_tags", `sf_row_id_ SYMBOL "b", timestamp_ SYMBOL "a", v LONG 1`},
		{noon("telemetry", nil, fields{"v": 1}), "telemetry_", "v LONG 1"},
		{noon("telemetry_config", nil, fields{"v": 1}), "telemetry_config_", "v LONG 1"},
		{noon("_query_trace", nil, fields{"v": 1}), "_query_trace_", "v LONG 1"},
		{noon("sys.telemetry_wal", nil, fields{"v": 1}), "sys_telemetry_wal", "v LONG 1"},
		{noon("a/b/c", nil, fields{"v": 1}), "a_b_c", "v LONG 1"},
		{noon(" spaces ", nil, fields{" v ": 1}), "_spaces_", " v  LONG 1"},
		{noon("..dots..", nil, fields{".v.": 1}), "__dots._", "_v_ LONG 1"},
		{noon("empty_tag", tags{"none": "", "some": "x"}, fields{"v": 1}), "empty_tag", `some SYMBOL "x", v LONG 1`},
		{noon("breaks", tags{"t": "a\nb\rc\td"}, fields{"s": "a\nb\r\nc\td"}),
			"breaks", `s VARCHAR "a\nb\r\nc\td", t SYMBOL "a\nb\rc\td"`},
		{noon("backslash", tags{"t": `C:\Users\`}, fields{"s": `\n"\"\`}),
			"backslash", `s VARCHAR "\\n\"\\\"\\", t SYMBOL "C:\\Users\\"`},
		{noon("separators", tags{"t": "a b,c=d"}, fields{"s": "a b,c=d", "e": ""}),
			"separators", `e VARCHAR "", s VARCHAR "a b,c=d", t SYMBOL "a b,c=d"`},
		{noon("nul", tags{"t": "a\x00b"}, fields{"s": "a\x00b\x01\x1f\x7f"}),
			"nul", `s VARCHAR "a\ufffdb\x01\x1f\x7f", t SYMBOL "a\ufffdb"`},
		{noon("utf8", tags{"t": "a\xffb"}, fields{"s": "\xc3(\xed\xa0\x80"}),
			"utf8", `s VARCHAR "\ufffd(\ufffd", t SYMBOL "a\ufffdb"`},
		{noon("emoji", tags{"t": "größe😀"}, fields{"s": "😀\u202e\uFEFF", "ключ": 1}),
			"emoji", `s VARCHAR "\U0001f600\u202e\ufeff", t SYMBOL "gr\u00f6\u00dfe\U0001f600", ключ LONG 1`},
		{noon("bytes", nil, fields{"b": []byte("text"), "i8": int8(-1), "f32": float32(0.5)}),
			"bytes", `b VARCHAR "text", f32 DOUBLE 0.5, i8 LONG -1`},
		{noon("only_tags_left", tags{"t": "x"}, fields{"v": math.NaN()}), "only_tags_left", `t SYMBOL "x"`},
		{noon(strings.Repeat("m", 127), nil, fields{strings.Repeat("f", 127): 1}),
			strings.Repeat("m", 127), strings.Repeat("f", 127) + " LONG 1"},
		{noon(strings.Repeat("m", 128), nil, fields{strings.Repeat("ü", 64): 1}),
			strings.Repeat("m", 118) + "_61cc6845", strings.Repeat("ü", 59) + "_c6cf13c5 LONG 1"},
	}
	var in []telegraf.Metric
	for _, c := range cases {
		in = append(in, c.in)
	}
	letters := storeMetrics(t, srv, nil, in...)
	saysAll(t, letters)
	check(t, srv.WaitApplied(ctx))
	for _, c := range cases {
		holds(ctx, t, srv, c.table, c.want)
	}
}

func TestEveryCharacterThatQuestDBRefusesInANameIsReplaced(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	refused := "/?*+~%:'\"\\,)(\uFEFF\x7f"
	for c := range rune(0x20) {
		refused += string(c)
	}
	var in []telegraf.Metric
	want := map[string][]string{}
	add := func(c, table, column string) {
		in = append(in, noon("t"+c+"x", tags{"g" + c + "z": "v"}, fields{"f" + c + "y": len(in)}))
		want[table] = append(want[table], fmt.Sprintf(`f%sy LONG %d, g%sz SYMBOL "v"`, column, len(in)-1, column))
	}
	for _, c := range refused + "\uFFFD" {
		add(string(c), "t_x", "_")
	}
	add("\xff", "t_x", "_")
	add(".", "t.x", "_")
	add("-", "t-x", "_")
	for _, c := range " =!#$&;<>@[]^`{|}ü\u0085\u00a0\u2028😀" {
		add(string(c), "t"+string(c)+"x", string(c))
	}
	saysAll(t, storeMetrics(t, srv, nil, in...))
	check(t, srv.WaitApplied(ctx))
	for table, rows := range want {
		holds(ctx, t, srv, table, rows...)
	}
}

func TestAnAbsentBooleanReadsFalseUnlessItIsStoredOtherwise(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	for kind, want := range map[string][]string{
		"boolean": {"b BOOLEAN true, id LONG 1", "b BOOLEAN false, id LONG 2", "b BOOLEAN false, id LONG 3"},
		"long":    {"b LONG 1, id LONG 1", "b LONG 0, id LONG 2", "b LONG null, id LONG 3"},
		"symbol":  {`b SYMBOL "true", id LONG 1`, `b SYMBOL "false", id LONG 2`, "b SYMBOL null, id LONG 3"},
	} {
		storeMetrics(t, srv, func(o *questdb_sf.Output) { o.BoolType = kind },
			noon(kind, nil, fields{"id": 1, "b": true}),
			noon(kind, nil, fields{"id": 2, "b": false}),
			noon(kind, nil, fields{"id": 3}))
		check(t, srv.WaitApplied(ctx))
		holds(ctx, t, srv, kind, want...)
	}
}

func TestRowsOutOfTimeAreDeadLetters(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	v := fields{"v": 1}
	letters := storeMetrics(t, srv, nil,
		at(time.Unix(0, 0), "times", nil, v),
		at(time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), "times", nil, v),
		at(time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), "times", nil, v),
		at(time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), "times", nil, v),
		at(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "times", nil, v),
		at(time.Time{}, "times", nil, v),
		at(time.Unix(0, math.MinInt64), "times", nil, v),
		at(time.Unix(math.MaxInt64, 0), "times", nil, v),
		at(time.Unix(1795348800+18446744073710, 0), "times", nil, v), // UnixMicro says 2026
		noon("", nil, v),
		noon("nothing", nil, fields{"v": math.NaN()}))
	saysAll(t, letters, "its time 1969-12-31T23:59:59Z is not between 1970 and 9999", "its time 10000-01-01",
		"its time 0001-01-01", "its time 1677-09-21", "its time 292277", "its time 586",
		"the metric has no name", `table "nothing": row of table "nothing" cannot be stored: it has neither a tag nor a value`)
	check(t, srv.WaitApplied(ctx))
	holds(ctx, t, srv, "times", `timestamp TIMESTAMP "1970-01-01T00:00:00.000000Z", v LONG 1`,
		`timestamp TIMESTAMP "2262-04-12T00:00:00.000000Z", v LONG 1`,
		`timestamp TIMESTAMP "9999-12-31T23:59:59.999999Z", v LONG 1`)
}

func TestTablesAreNamedByTagTemplateAndPrefix(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	in := []telegraf.Metric{
		noon("cpu", tags{"dc": "eu-1", "host": "a"}, fields{"v": 1}),
		noon("cpu", tags{"host": "b"}, fields{"v": 2}),
	}
	storeMetrics(t, srv, func(o *questdb_sf.Output) { o.TablePrefix = "p." }, in...)
	storeMetrics(t, srv, func(o *questdb_sf.Output) { o.TableTag = "dc" }, in...)
	letters := storeMetrics(t, srv, func(o *questdb_sf.Output) {
		o.TableTemplate = `{{ .Tag "dc" }}{{ with .Tag "dc" }}/{{ end }}{{ if ne (.Tag "host") "b" }}{{ .Name }}_{{ .Time.Year }}_{{ .Field "v" }}{{ end }}`
	}, in...)
	saysAll(t, letters, `table "cpu": row of table "cpu" cannot be stored: table_template`)
	storeMetrics(t, srv, func(o *questdb_sf.Output) {
		o.TableTag, o.TableTemplate, o.TablePrefix = "dc", "all_{{ .Name }}", "three_"
	}, in...)
	check(t, srv.WaitApplied(ctx))
	holds(ctx, t, srv, "p.cpu", `dc SYMBOL "eu-1", host SYMBOL "a", v LONG 1`, `dc SYMBOL null, host SYMBOL "b", v LONG 2`)
	holds(ctx, t, srv, "eu-1", `host SYMBOL "a", v LONG 1`)
	holds(ctx, t, srv, "cpu", `host SYMBOL "b", v LONG 2`)
	holds(ctx, t, srv, "eu-1_cpu_2026_1", `dc SYMBOL "eu-1", host SYMBOL "a", v LONG 1`)
	holds(ctx, t, srv, "three_eu-1", `host SYMBOL "a", v LONG 1`)
	holds(ctx, t, srv, "three_all_cpu", `host SYMBOL "b", v LONG 2`)
}

func TestTagsOutsideTheSymbolPatternsAreVarchar(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	in := tags{"host": "a", "request.id": "77", "request_path": "/x y,=\"\n"}
	for table, set := range map[string]func(*questdb_sf.Output){
		"included": func(o *questdb_sf.Output) { o.SymbolInclude = []string{"ho*"} },
		"excluded": func(o *questdb_sf.Output) { o.SymbolExclude = []string{"request.id", "*path"} },
		"both": func(o *questdb_sf.Output) {
			o.SymbolInclude, o.SymbolExclude = []string{"host", "request*"}, []string{"request?*"}
		},
	} {
		saysAll(t, storeMetrics(t, srv, set, noon(table, in, fields{"v": 1})))
		check(t, srv.WaitApplied(ctx))
		holds(ctx, t, srv, table, `host SYMBOL "a", request_id VARCHAR "77", request_path VARCHAR "/x y,=\"\n", v LONG 1`)
	}
}

func TestTimesAreKeptInTheirPrecision(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	exec(ctx, t, srv, "CREATE TABLE given (v LONG, ts TIMESTAMP_NS) TIMESTAMP(ts) PARTITION BY DAY WAL")
	nanos := func(o *questdb_sf.Output) { o.TimestampPrecision = "ns" }
	letters := storeMetrics(t, srv, func(o *questdb_sf.Output) { nanos(o); o.TimestampColumn = "ts" },
		noon("given", nil, fields{"v": 1, "ts": 2, "timestamp": 3}),
		at(time.Date(2262, 4, 12, 0, 0, 0, 0, time.UTC), "given", nil, fields{"v": 2}))
	saysAll(t, letters, `has no nanoseconds in 64 bits; use timestamp_precision = "us"`)
	storeMetrics(t, srv, func(o *questdb_sf.Output) { nanos(o); o.TableCreate = "sql" }, noon("created", nil, fields{"v": 1}))
	storeMetrics(t, srv, nil, noon("micros", nil, fields{"v": 1}))
	check(t, srv.WaitApplied(ctx))
	const when = ` TIMESTAMP_NS "2026-11-22T12:00:00.123456789Z"`
	holds(ctx, t, srv, "given", "timestamp_ LONG 3, ts"+when+", ts_ LONG 2, v LONG 1")
	holds(ctx, t, srv, "created", "timestamp"+when+", v LONG 1")
	holds(ctx, t, srv, "micros", "v LONG 1") // readTable leaves out the time of that value and type
}

func TestIntegersAreStoredAsDoublesOnRequest(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	storeMetrics(t, srv, func(o *questdb_sf.Output) { o.IntegersAs, o.BoolType = "double", "long" },
		noon("d", nil, fields{"i": 7, "u": uint64(math.MaxUint64), "min": int64(math.MinInt64), "b": true}),
		noon("d", nil, fields{"i": 0.5}))
	check(t, srv.WaitApplied(ctx))
	holds(ctx, t, srv, "d", "b DOUBLE 1.0, i DOUBLE 7.0, min DOUBLE -9.223372036854776E18, u DOUBLE 1.8446744073709552E19",
		"b DOUBLE null, i DOUBLE 0.5, min DOUBLE null, u DOUBLE null")
}

func TestRowsOfOneSeriesAndTimeAreMergedOnRequest(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	a, b := tags{"host": "a"}, tags{"host": "b"}
	in := []telegraf.Metric{
		noon("m", a, fields{"x": 1}),
		noon("m", b, fields{"x": 2}),
		noon("m", a, fields{"y": 3}),
		noon("m", a, fields{"X": 4, "z": true}),
		noon("m", b, fields{"y": 5}),
		at(mappingTime.Add(time.Second), "m", a, fields{"y": 6}),
	}
	storeMetrics(t, srv, func(o *questdb_sf.Output) { o.MergeRows = true }, in...)
	check(t, srv.WaitApplied(ctx))
	holds(ctx, t, srv, "m",
		`host SYMBOL "a", x LONG 1, y LONG 3, z BOOLEAN false`,
		`host SYMBOL "b", x LONG 2, y LONG 5, z BOOLEAN false`,
		`host SYMBOL "a", x LONG 4, y LONG null, z BOOLEAN true`,
		`host SYMBOL "a", timestamp TIMESTAMP "2026-11-22T12:00:01.123456Z", x LONG null, y LONG 6, z BOOLEAN false`)
}

func TestARowOf3000FieldsIsStoredAsFarAsTheTableTakesIt(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	wide := fields{}
	for i := range 3000 {
		wide[fmt.Sprintf("f%04d", i)] = i
	}
	letters := storeMetrics(t, srv, nil, noon("wide", tags{"host": "a"}, wide))
	saysAll(t, letters, `table "wide": row of table "wide" cannot be stored: column "f0999" would be one more than max_columns_per_table = 1000 allows`)
	check(t, srv.WaitApplied(ctx))
	rows := readTable(ctx, t, srv, "wide")
	if len(rows) != 1 || strings.Count(rows[0], ", ") != 999 || !strings.HasPrefix(rows[0], "f0000 LONG 0, ") ||
		!strings.HasSuffix(rows[0], `f0998 LONG 998, host SYMBOL "a"`) {
		t.Errorf("%d rows, the first %.200s", len(rows), rows)
	}
	if !strings.Contains(letters, "wide,host=a f0999=999i,f1000=1000i,") || !strings.Contains(letters, ",f2999=2999i 1795348800123456000") {
		t.Errorf("the letter is %.500s", letters)
	}
	letters = storeMetrics(t, srv, func(o *questdb_sf.Output) { o.MaxColumnsPerTable = 0 }, noon("wider", nil, wide))
	saysAll(t, letters, `table "wider": row of table "wider": has more than 2046 values`)
}

func TestThousandsOfDynamicKeysLoseNoRowAndNoValue(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	var in []telegraf.Metric
	for i := range 5000 {
		in = append(in, noon("keys", tags{"host": "a"}, fields{"id": i, fmt.Sprintf("key%04d", i): i}))
	}
	letters := storeMetrics(t, srv, nil, in...)
	check(t, srv.WaitApplied(ctx))
	res := must(srv.Query(ctx, "SELECT count(), count_distinct(id), sum(id) FROM keys"))(t)
	if got := fmt.Sprint(res.Rows[0]); got != "[5000 5000 12497500]" {
		t.Errorf("rows, ids, sum: %s", got)
	}
	if n := number(ctx, t, srv, `SELECT count() FROM table_columns('keys')`); n != 1001 { // and the time
		t.Errorf("%d columns", n)
	}
	if n := number(ctx, t, srv, `SELECT key0997 FROM keys WHERE id = 997`); n != 997 {
		t.Errorf("key0997 is %d", n)
	}
	for i := range 5000 {
		line := fmt.Sprintf("\nkeys,host=a key%04d=%di 1795348800123456000\n", i, i)
		if strings.Contains(letters, line) != (i >= 998) {
			t.Fatalf("key%04d is in the dead-letter file or is not, against expectation", i)
		}
	}
}
