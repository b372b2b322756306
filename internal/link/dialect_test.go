// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

const stamp = 1_700_000_000_123_456 // 2023-11-14T22:13:20.123456Z

// dialect holds rows, the line each becomes, and what QuestDB 9.3.4 then stores
// in the columns but the last, which is the time. The table is t in each.
var dialect = []struct {
	name   string
	set    func(r *qwp.Row)
	line   string
	stored []any
}{
	{"plain", func(r *qwp.Row) { r.Symbol("h", "a"); r.Long("v", 5) }, "t,h=a v=5i", []any{"a", 5.0}},
	{"symbol after values", func(r *qwp.Row) { r.Long("v", 5); r.Symbol("h", "a") }, "t,h=a v=5i", []any{"a", 5.0}},
	{"symbols only", func(r *qwp.Row) { r.Symbol("h", "a") }, "t,h=a", []any{"a"}},
	{"empty symbol", func(r *qwp.Row) { r.Symbol("h", ""); r.Symbol("g", "x") }, "t,h=,g=x", []any{"", "x"}},
	{"symbol with all that needs escapes", func(r *qwp.Row) { r.Symbol("h", "a b,c=d\\e\nf\rg"); r.Symbol("g", `\`) },
		"t,h=a\\ b\\,c\\=d\\\\e\\\nf\\\rg,g=\\\\", []any{"a b,c=d\\e\nf\rg", `\`}},
	{"symbol with quotes and tab", func(r *qwp.Row) { r.Symbol("h", "\"a b\"\t#"); r.Symbol("p", `C:\Users`) },
		"t,h=\"a\\ b\"\t#,p=C:\\\\Users", []any{"\"a b\"\t#", `C:\Users`}},
	{"string with all that needs escapes", func(r *qwp.Row) { r.Varchar("s", "a \"b\", c=d\\e\nf\rg\\") },
		"t s=\"a \\\"b\\\", c=d\\\\e\\\nf\\\rg\\\\\"", []any{"a \"b\", c=d\\e\nf\rg\\"}},
	{"backslash and letter n", func(r *qwp.Row) { r.Varchar("s", `a\nb`) }, `t s="a\\nb"`, []any{`a\nb`}},
	{"empty string", func(r *qwp.Row) { r.Varchar("s", "") }, `t s=""`, []any{""}},
	{"unicode", func(r *qwp.Row) { r.Symbol("h", "é 😀"); r.Varchar("s", "日本 😀") }, `t,h=é\ 😀 s="日本 😀"`, []any{"é 😀", "日本 😀"}},
	{"names with space and equals", func(r *qwp.Row) { r.Symbol("h h", "a"); r.Long("v=v", 1) }, `t,h\ h=a v\=v=1i`, []any{"a", 1.0}},
	{"longs", func(r *qwp.Row) { r.Long("a", math.MaxInt64); r.Long("b", math.MinInt64+1); r.Long("c", 0) },
		"t a=9223372036854775807i,b=-9223372036854775807i,c=0i", []any{"9223372036854775807", "-9223372036854775807", 0.0}},
	{"doubles", func(r *qwp.Row) { r.Double("a", 5); r.Double("b", 1234567); r.Double("c", -1e-7); r.Double("d", 0.1) },
		"t a=5,b=1.234567e+06,c=-1e-07,d=0.1", []any{5.0, 1234567.0, -1e-7, 0.1}},
	{"extreme doubles", func(r *qwp.Row) { r.Double("a", math.MaxFloat64); r.Double("b", 5e-324) },
		"t a=1.7976931348623157e+308,b=5e-324", []any{math.MaxFloat64, 5e-324}},
	{"not a number", func(r *qwp.Row) { r.Double("a", math.NaN()); r.Double("b", math.Inf(-1)); r.Long("v", 1) },
		"t a=NaN,b=NaN,v=1i", []any{nil, nil, 1.0}},
	{"booleans", func(r *qwp.Row) { r.Bool("a", true); r.Bool("b", false) }, "t a=t,b=f", []any{true, false}},
	{"timestamps", func(r *qwp.Row) { r.Timestamp("a", stamp); r.TimestampNanos("b", stamp*1000+789); r.Timestamp("c", -5) },
		"t a=1700000000123456t,b=1700000000123456789n,c=-5t",
		[]any{"2023-11-14T22:13:20.123456Z", "2023-11-14T22:13:20.123456789Z", "1969-12-31T23:59:59.999995Z"}},
	{"small integers", func(r *qwp.Row) {
		cell(r, qwp.TypeByte, -1, nil)
		cell(r, qwp.TypeShort, -2, nil)
		cell(r, qwp.TypeInt, -3, nil)
	},
		"t c0=-1i,c1=-2i,c2=-3i", []any{-1.0, -2.0, -3.0}},
	{"float", func(r *qwp.Row) { cell(r, qwp.TypeFloat, int64(math.Float64bits(float64(float32(0.1)))), nil) },
		"t c0=0.10000000149011612", []any{0.10000000149011612}},
	{"date", func(r *qwp.Row) { cell(r, qwp.TypeDate, 1_700_000_000_123, nil) }, "t c0=1700000000123000t", []any{"2023-11-14T22:13:20.123000Z"}},
	{"char", func(r *qwp.Row) { cell(r, qwp.TypeChar, 'é', nil); cell(r, qwp.TypeChar, '"', nil) }, `t c0="é",c1="\""`, []any{"é", `"`}},
	{"uuid", func(r *qwp.Row) { cell(r, qwp.TypeUUID, 0, countdown(16)) },
		`t c0="00010203-0405-0607-0809-0a0b0c0d0e0f"`, []any{"00010203-0405-0607-0809-0a0b0c0d0e0f"}},
	{"long256", func(r *qwp.Row) {
		cell(r, qwp.TypeLong256, 0, countdown(32))
		cell(r, qwp.TypeLong256, 0, make([]byte, 32))
	},
		"t c0=0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fi,c1=0x" + strings.Repeat("0", 64) + "i",
		[]any{"0x0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f", "0x00"}},
}

// cell adds a value of a type that no setter has.
func cell(r *qwp.Row, t qwp.Type, n int64, text []byte) {
	name := fmt.Sprintf("c%d", len(r.Cells))
	r.Cells = append(r.Cells, qwp.Cell{Name: name, Type: t, Num: uint64(n), Text: text})
}

// countdown returns n bytes whose reverse is 0, 1, 2 …
func countdown(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(n - 1 - i)
	}
	return b
}

func TestDialectIsWritten(t *testing.T) {
	for _, tc := range dialect {
		var r qwp.Row
		r.Reset("t")
		tc.set(&r)
		r.At(stamp)
		got, err := link.AppendLine(nil, &r)
		if want := fmt.Sprintf("%s %dt\n", tc.line, int64(stamp)); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v; want %q", tc.name, got, err, want)
		}
	}
}

func TestTimesCarryTheirUnit(t *testing.T) {
	for want, set := range map[string]func(r *qwp.Row){
		"t v=1i\n":                       func(*qwp.Row) {},
		"t v=1i 9223372036854775807t\n":  func(r *qwp.Row) { r.At(math.MaxInt64) },
		"t v=1i -9223372036854775808n\n": func(r *qwp.Row) { r.AtNanos(math.MinInt64) },
	} {
		var r qwp.Row
		r.Reset("t")
		r.Long("v", 1)
		set(&r)
		if got, err := link.AppendLine(nil, &r); err != nil || string(got) != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
}

func TestRowsThatLineProtocolCannotSayAreNamed(t *testing.T) {
	for _, tc := range []struct {
		set  func(r *qwp.Row)
		want string
	}{
		{func(*qwp.Row) {}, `of table "t": it has neither a symbol nor a value`},
		{func(r *qwp.Row) { r.Reset(""); r.Long("v", 1) }, "table name is empty"},
		{func(r *qwp.Row) { r.Reset("a\x00"); r.Long("v", 1) }, "contains NUL"},
		{func(r *qwp.Row) { r.Symbol("h", "a\x00") }, `column "h" (SYMBOL)`},
		{func(r *qwp.Row) { r.Symbol("", "a") }, "column name is empty"},
		{func(r *qwp.Row) { r.Long("v\x00", 1) }, "contains NUL"},
		{func(r *qwp.Row) { cell(r, qwp.TypeDate, math.MaxInt64, nil) }, `column "c0" (DATE)`},
		{func(r *qwp.Row) { cell(r, qwp.TypeChar, 0xD800, nil) }, "surrogate"},
		{func(r *qwp.Row) { cell(r, qwp.TypeUUID, 0, []byte("short")) }, "no such type"},
		{func(r *qwp.Row) { cell(r, qwp.TypeGeohash, 0, []byte{1}) }, "(GEOHASH)"},
		{func(r *qwp.Row) { cell(r, qwp.TypeDoubleArray, 0, []byte{1}) }, "(DOUBLE_ARRAY)"},
		{func(r *qwp.Row) { r.Long("v", 1); r.TimeType = qwp.TypeDate }, "no known unit"},
	} {
		var r qwp.Row
		r.Reset("t")
		tc.set(&r)
		got, err := link.AppendLine(nil, &r)
		var bad *link.UnsupportedError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%q, %v; want %q", got, err, tc.want)
		}
	}
}

func TestUnsupportedRowIsNamedByItsPlace(t *testing.T) {
	e := link.NewEncoder(1 << 20)
	good := frame(t, simpleRow("a", 1))
	if err := e.Add(good, qwp.WholeMessage); err != nil {
		t.Fatal(err)
	}
	before := string(e.Bytes())
	bad := frame(t, simpleRow("a", 1), row(func(r *qwp.Row) { r.Symbol("h", "x\x00"); r.At(1) }), simpleRow("a", 2))
	var unsupported *link.UnsupportedError
	if err := e.Add(bad, qwp.WholeMessage); !errors.As(err, &unsupported) {
		t.Fatalf("Add: %v", err)
	}
	if unsupported.Table != "cpu" || unsupported.Row != 1 || unsupported.Block != 0 || string(e.Bytes()) != before {
		t.Errorf("%+v, request %q", unsupported, e.Bytes())
	}
}

func thousandRows(tb testing.TB) *qwp.View {
	rows := make([]*qwp.Row, 1000)
	for i := range rows {
		rows[i] = row(func(r *qwp.Row) {
			r.Symbol("host", fmt.Sprintf("web %d", i%10))
			r.Double("load", float64(i)/7)
			r.Long("n", int64(i))
			r.Varchar("s", "some \"text\"")
			r.At(stamp + int64(i))
		})
	}
	return frame(tb, rows...)
}

func TestEncodingAllocatesNothingPerRow(t *testing.T) {
	e := link.NewEncoder(1 << 20)
	v := thousandRows(t)
	encode := func() {
		e.Reset()
		if err := e.Add(v, qwp.WholeMessage); err != nil {
			t.Fatal(err)
		}
	}
	encode()
	if n := testing.AllocsPerRun(20, encode); n > 10 {
		t.Errorf("%v allocations for 1,000 rows", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	e := link.NewEncoder(1 << 20)
	v := thousandRows(b)
	b.ReportAllocs()
	for b.Loop() {
		e.Reset()
		if err := e.Add(v, qwp.WholeMessage); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/row")
}

// questdbURL starts a real QuestDB and returns its address.
func questdbURL(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("runs the real QuestDB; not with -short")
	}
	srv, err := questdb.Start(t.Context(), questdb.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	})
	return srv.HTTP()
}

func TestDialectIsWhatQuestDBStores(t *testing.T) {
	address := questdbURL(t)
	for i, tc := range dialect {
		table := fmt.Sprintf("link_dialect_%d", i)
		sql(t, address, "DROP TABLE IF EXISTS "+table)
		var r qwp.Row
		r.Reset(table)
		tc.set(&r)
		r.At(stamp)
		line, err := link.AppendLine(nil, &r)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(address+"/write?precision=n", "text/plain", strings.NewReader(string(line)))
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusNoContent {
			t.Errorf("%s: %d %s", tc.name, resp.StatusCode, body)
			continue
		}
		want := append(append([]any{}, tc.stored...), "2023-11-14T22:13:20.123456Z")
		if got := firstRow(t, address, table); fmt.Sprintf("%#v", got) != fmt.Sprintf("%#v", want) {
			t.Errorf("%s: stored %#v, want %#v", tc.name, got, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestRealQuestDBIsSpokenToOverILP(t *testing.T) {
	address := questdbURL(t)
	for _, compression := range []link.Compression{link.CompressionNone, link.CompressionGzip} {
		sql(t, address, "DROP TABLE IF EXISTS link_real")
		cfg := config(address)
		cfg.Compression = compression
		c := connect(t, newLink(t, cfg))
		good := row(func(r *qwp.Row) { r.Reset("link_real"); r.Long("v", 1); r.At(stamp) })
		bad := row(func(r *qwp.Row) { r.Reset("link_real"); r.Varchar("v", "x"); r.At(stamp) })
		if o := exchange(t, c, frame(t, good)); o.Refusal != nil {
			t.Errorf("%v: %v", compression, o.Refusal)
		}
		add(t, c, frame(t, good))
		if r := exchange(t, c, frame(t, bad)).Refusal; r == nil || r.Class != link.RowFault || r.Line != 2 || r.Column != "v" {
			t.Errorf("%v: %+v", compression, r)
		}
		if _, err := c.Send(context.Background()); !errors.Is(err, link.ErrEmptyRequest) {
			t.Errorf("a refused request stays in the buffer: %v", err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// firstRow waits for the WAL to be applied.
func firstRow(tb testing.TB, address, table string) []any {
	tb.Helper()
	for range 500 {
		if rows := sql(tb, address, "SELECT * FROM "+table); len(rows) > 0 {
			return rows[0]
		}
		time.Sleep(20 * time.Millisecond)
	}
	tb.Fatalf("no row in %s", table)
	return nil
}

func sql(tb testing.TB, address, query string) [][]any {
	tb.Helper()
	resp, err := http.Get(address + "/exec?query=" + url.QueryEscape(query))
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		tb.Fatal(err)
	}
	var answer struct{ Dataset [][]any }
	d := json.NewDecoder(strings.NewReader(escapeControls(string(body))))
	d.UseNumber()
	if err := d.Decode(&answer); err != nil {
		tb.Fatalf("%s: %v in %s", query, err, body)
	}
	for _, row := range answer.Dataset {
		for i, v := range row {
			row[i] = number(v)
		}
	}
	return answer.Dataset
}

// number keeps integers as text that a float64 could not hold.
func number(v any) any {
	n, ok := v.(json.Number)
	if !ok {
		return v
	}
	if len(n) > 15 && !strings.ContainsAny(string(n), ".eE") {
		return string(n)
	}
	f, _ := n.Float64()
	return f
}

// escapeControls mends QuestDB's JSON, which holds control characters as they are.
func escapeControls(s string) string {
	var b strings.Builder
	for _, r := range s {
		if r < ' ' {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
