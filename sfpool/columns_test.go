// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// trades are rows of one shape.
type trades struct {
	sym, note []string
	price     []float64
	amount    []int64
	buy       []bool
	at        []int64
	raw       []sfpool.Row
}

func newTrades(n int) *trades {
	var c trades
	for i := range n {
		c.sym = append(c.sym, fmt.Sprint("sym", i%50))
		c.note = append(c.note, "a note of some length")
		c.price = append(c.price, float64(i))
		c.amount = append(c.amount, int64(i))
		c.buy = append(c.buy, i%2 == 0)
		c.at = append(c.at, noon.UnixMicro()+int64(i))
		var r sfpool.Row
		r.Reset("trades")
		r.Symbol("sym", c.sym[i])
		r.Varchar("note", c.note[i])
		r.Double("price", c.price[i])
		r.Long("amount", c.amount[i])
		r.Bool("buy", c.buy[i])
		r.At(c.at[i])
		c.raw = append(c.raw, r)
	}
	return &c
}

func (c *trades) addRows(tb testing.TB, b *sfpool.Batch) {
	for i := range c.at {
		err := b.Table("trades").Symbol("sym", c.sym[i]).StringColumn("note", c.note[i]).Float64Column("price", c.price[i]).
			Int64Column("amount", c.amount[i]).BoolColumn("buy", c.buy[i]).At(time.UnixMicro(c.at[i]))
		if err != nil {
			tb.Fatal(err)
		}
	}
}

func (c *trades) addRaw(tb testing.TB, b *sfpool.Batch) {
	for i := range c.raw {
		if err := b.Add(&c.raw[i]); err != nil {
			tb.Fatal(err)
		}
	}
}

func (c *trades) addColumns(tb testing.TB, b *sfpool.Batch) {
	if err := c.tryColumns(b); err != nil {
		tb.Fatal(err)
	}
}

func (c *trades) tryColumns(b *sfpool.Batch) error {
	return b.AddColumns("trades", sfpool.TimestampMicros("", c.at), sfpool.Symbols("sym", c.sym),
		sfpool.Strings("note", c.note), sfpool.Float64s("price", c.price), sfpool.Int64s("amount", c.amount),
		sfpool.Bools("buy", c.buy))
}

func TestColumnsArriveWithTheirTypesTimesAndNulls(t *testing.T) {
	srv := serve(t)
	p := open(t, config(t, srv.URL()))
	b := p.NewBatch()
	some := []bool{false, true}
	err := b.AddColumns("t", sfpool.Timestamps("ignored", []time.Time{noon, noon.Add(time.Second)}),
		sfpool.Symbols("sym", []string{"bad \x00", "b"}).Valid(some),
		sfpool.Strings("s", []string{"bad \xff", ""}).Valid(some),
		sfpool.Int64s("n", []int64{1, 2}).Valid(nil),
		sfpool.Float64s("p", []float64{1, 2}).Valid(some),
		sfpool.Bools("y", []bool{true, true}).Valid(some),
		sfpool.Timestamps("t", []time.Time{time.Unix(1<<60, 0), noon}).Valid(some),
		sfpool.TimestampMicros("tu", []int64{5, 6}).Valid(some),
		sfpool.TimestampNanos("tn", []int64{7, 8}).Valid(some))
	if err != nil {
		t.Fatal(err)
	}
	at := noon.UnixMicro() * 1000
	same(t, tableOf(t, p, srv, b, "t", 2),
		qwpserver.Row{Time: at, Values: map[string]any{"n": int64(1), "y": false}},
		qwpserver.Row{Time: at + 1e9, Values: map[string]any{
			"sym": qwpserver.Symbol("b"), "s": "", "n": int64(2), "p": 2.0, "y": true,
			"t": noon.Truncate(time.Microsecond), "tu": time.UnixMicro(6).UTC(), "tn": time.Unix(0, 8).UTC()}})
}

func TestNanosecondsOfTheDesignatedTimestampAreKept(t *testing.T) {
	srv := serve(t)
	p := open(t, config(t, srv.URL()))
	b := p.NewBatch()
	if err := b.AddColumns("t", sfpool.TimestampNanos("", []int64{noon.UnixNano()}), sfpool.Int64s("v", []int64{1})); err != nil {
		t.Fatal(err)
	}
	same(t, tableOf(t, p, srv, b, "t", 1),
		qwpserver.Row{Time: noon.UnixNano(), Values: map[string]any{"v": int64(1)}})
}

func TestColumnsThatDoNotFitTogetherAreRefused(t *testing.T) {
	two := []int64{1, 2}
	v, at := sfpool.Int64s("v", two), sfpool.TimestampMicros("", two)
	b := newBatch(t)
	for want, err := range map[string]error{
		`table "t", column "v": 1 values, but`:      b.AddColumns("t", at, sfpool.Int64s("v", two[:1])),
		`column "v": Valid has 1 entries for 2`:     b.AddColumns("t", at, v.Valid([]bool{true})),
		`column "": Valid has 3 entries for 2`:      b.AddColumns("t", at.Valid(make([]bool, 3)), v),
		"neither Timestamps":                        b.AddColumns("t", sfpool.Int64s("at", two), v),
		"timestamp is neither":                      b.AddColumns("t", sfpool.Column{}, v),
		"no column that is not null":                b.AddColumns("t", at),
		`has a column without a name`:               b.AddColumns("t", sfpool.Timestamps("", nil), sfpool.Column{}),
		`table "a/b": QuestDB refuses a character`:  b.AddColumns("a/b", at, v),
		`column "a.b": QuestDB refuses a character`: b.AddColumns("t", at, v, sfpool.Int64s("a.b", two)),
		`column "Timestamp": QuestDB keeps`:         b.AddColumns("t", at, v, sfpool.Int64s("Timestamp", two)),
		// even where no row has both
		`column "V": has two values`: b.AddColumns("t", at, v.Valid([]bool{true, false}), sfpool.Int64s("V", two).Valid([]bool{false, true})),
		`table "": name is empty`:    b.AddColumns("", sfpool.Timestamps("", nil), sfpool.Int64s("v", nil)),
	} {
		wanted(t, b, err, want)
	}
	if err := b.AddColumns("t", sfpool.Timestamps("", nil), sfpool.Int64s("v", nil)); err != nil {
		t.Errorf("no rows: %v", err)
	}
}

func wanted(t testing.TB, b *sfpool.Batch, err error, want string) {
	t.Helper()
	var inRow *sfpool.ColumnsError
	if err == nil || !strings.Contains(err.Error(), want) || errors.As(err, &inRow) {
		t.Errorf("got %v, want %q", err, want)
	}
	if b.Rows() != 0 {
		t.Errorf("%q: %d rows", want, b.Rows())
	}
}

// The batch already has rows, in a frame and on their way into one; those and no
// others are there afterwards.
func TestAnInvalidRowBehindAHundredThousandLeavesTheBatchAsItWas(t *testing.T) {
	const n = 100_000
	srv := serve(t)
	cfg := config(t, srv.URL())
	cfg.MaxSegmentBytes = 64 << 10
	p := open(t, cfg)
	b := p.NewBatch()
	few, rows := newTrades(3000), newTrades(n)
	few.addRows(t, b)
	before := b.Bytes()
	for want, spoil := range map[string]func(c *trades){
		`column "sym": text has a NUL`:  func(c *trades) { c.sym[n-1] = "\x00" },
		`column "note": text has a NUL`: func(c *trades) { c.note[n-1] = "a\x00b" },
		`column "sym": text is not`:     func(c *trades) { c.sym[n-1] = "\xff" },
		`column "note": text is not`:    func(c *trades) { c.note[n-1] = "\xff" },
		"larger than a frame":           func(c *trades) { c.note[n-1] = huge },
		"row is larger than":            func(c *trades) { c.note[n-1] = huge[:64<<10-80] },
		"not between 1970":              func(c *trades) { c.at[n-1] = -1 },
		"and 9999":                      func(c *trades) { c.at[n-1] = 1 << 60 },
	} {
		last := *rows // of which the last row is put right again
		sym, note, at := rows.sym[n-1], rows.note[n-1], rows.at[n-1]
		spoil(&last)
		err := last.tryColumns(b)
		var inRow *sfpool.ColumnsError
		var rowErr *sfpool.RowError
		if !errors.As(err, &inRow) || inRow.Row != n-1 || !errors.As(err, &rowErr) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if b.Rows() != 3000 || b.Bytes() != before {
			t.Fatalf("%s: %d rows and %d bytes, want 3000 and %d", want, b.Rows(), b.Bytes(), before)
		}
		rows.sym[n-1], rows.note[n-1], rows.at[n-1] = sym, note, at
	}
	if got := tableOf(t, p, srv, b, "trades", 3000); len(got) != 3000 {
		t.Errorf("%d rows arrived", len(got))
	}
	if err := rows.tryColumns(b); err != nil || b.Rows() != 103_000 {
		t.Errorf("put right: %v, %d rows", err, b.Rows())
	}
}

func TestRowsWithoutATimeOrWithoutAValueAreNamed(t *testing.T) {
	b, two := newBatch(t), []int64{1, 2}
	first := []bool{true, false}
	for want, err := range map[string]error{
		"row 1 of the columns: row of table \"t\": the designated timestamp is null": b.AddColumns("t",
			sfpool.TimestampMicros("", two).Valid(first), sfpool.Int64s("v", two)),
		"row 1 of the columns: row of table \"t\": it has no column": b.AddColumns("t",
			sfpool.TimestampMicros("", two), sfpool.Int64s("v", two).Valid(first), sfpool.Int64s("w", two).Valid(first)),
		"row 0 of the columns: row of table \"t\", column \"f\": the time has no micro": b.AddColumns("t",
			sfpool.TimestampMicros("", two), sfpool.Timestamps("f", []time.Time{time.Unix(1<<60, 0), noon})),
	} {
		if err == nil || !strings.HasPrefix(err.Error(), want) || b.Rows() != 0 {
			t.Errorf("got %v and %d rows, want %q", err, b.Rows(), want)
		}
	}
}

// The limits are the same to the byte, although columns are measured before there
// is a frame to put them into.
func TestTheLargestRowIsTheSameForRowsAndColumns(t *testing.T) {
	b, fit := newBatch(t), 0
	const sizes = 200
	for size := 1<<20 - sizes; size < 1<<20; size++ {
		symbol, text := huge[:size/2], huge[:size-size/2]
		b.Reset()
		byRow := b.Table("t").Symbol("y", symbol).StringColumn("s", text).At(noon)
		b.Reset()
		byColumn := b.AddColumns("t", sfpool.Timestamps("", []time.Time{noon}),
			sfpool.Symbols("y", []string{symbol}), sfpool.Strings("s", []string{text}))
		if (byRow == nil) != (byColumn == nil) {
			t.Fatalf("%d bytes: row %v, column %v", size, byRow, byColumn)
		}
		if byRow == nil {
			fit++
		}
	}
	if fit == 0 || fit == sizes {
		t.Errorf("%d of %d sizes fit", fit, sizes)
	}
}

// drawn is what the property test knows of one column.
type drawn struct {
	name    string
	kind    int
	texts   []string
	numbers []int64
	valid   []bool
}

func drawColumn(t *rapid.T, name string, rows int) drawn {
	text := rapid.SampledFrom([]string{"", "a", "b", "long enough to be text", "größe", "a", "b", "\xff", "\x00"})
	return drawn{
		name: name, kind: rapid.IntRange(0, 6).Draw(t, "kind"),
		texts:   rapid.SliceOfN(text, rows, rows).Draw(t, "texts"),
		numbers: rapid.SliceOfN(rapid.Int64(), rows, rows).Draw(t, "numbers"),
		valid:   rapid.SliceOfN(rapid.Bool(), rows, rows).Draw(t, "valid"),
	}
}

func (d *drawn) column() sfpool.Column { return d.values().Valid(d.valid) }

func (d *drawn) values() sfpool.Column {
	switch d.kind {
	case 0:
		return sfpool.Symbols(d.name, d.texts)
	case 1:
		return sfpool.Strings(d.name, d.texts)
	case 2:
		return sfpool.Int64s(d.name, d.numbers)
	case 3:
		return sfpool.Float64s(d.name, all(d.numbers, func(n int64) float64 { return float64(n) / 2 }))
	case 4:
		return sfpool.Bools(d.name, all(d.numbers, func(n int64) bool { return n > 0 }))
	case 5:
		return sfpool.Timestamps(d.name, all(d.numbers, func(n int64) time.Time { return time.Unix(n>>20, n&1023) }))
	}
	return sfpool.TimestampNanos(d.name, d.numbers)
}

func (d *drawn) set(r *sfpool.RowBuilder, i int) {
	n := d.numbers[i]
	switch {
	case !d.valid[i]:
	case d.kind == 0:
		r.Symbol(d.name, d.texts[i])
	case d.kind == 1:
		r.StringColumn(d.name, d.texts[i])
	case d.kind == 2:
		r.Int64Column(d.name, n)
	case d.kind == 3:
		r.Float64Column(d.name, float64(n)/2)
	case d.kind == 4:
		r.BoolColumn(d.name, n > 0)
	case d.kind == 5:
		r.TimestampColumn(d.name, time.Unix(n>>20, n&1023))
	default:
		r.TimestampNanosColumn(d.name, time.Unix(0, n))
	}
}

func all[T any](in []int64, f func(int64) T) []T {
	out := make([]T, len(in))
	for i, n := range in {
		out[i] = f(n)
	}
	return out
}

func TestRowsAndColumnsOfTheSameValuesMakeTheSameTable(t *testing.T) {
	srv := serve(t)
	p := open(t, config(t, srv.URL()))
	run, sent, refused := 0, int64(0), 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		byRow, byColumn := fmt.Sprint("rows", run), fmt.Sprint("columns", run)
		rows := rapid.IntRange(1, 6).Draw(t, "rows")
		cols := []drawn{{name: "always", kind: 2, numbers: make([]int64, rows), valid: slices.Repeat([]bool{true}, rows)}}
		for i := range rapid.IntRange(0, 4).Draw(t, "columns") {
			cols = append(cols, drawColumn(t, fmt.Sprint("c", i), rows))
		}
		if rapid.Bool().Draw(t, "refused") { // else the short run may draw none
			cols = append(cols, drawn{name: "bad", kind: 1, texts: slices.Repeat([]string{"\x00"}, rows),
				numbers: make([]int64, rows), valid: slices.Repeat([]bool{true}, rows)})
		}
		b := p.NewBatch()
		err := addDrawn(b, byRow, cols, rows)

		added := b.Rows()
		columns := make([]sfpool.Column, len(cols))
		for i := range cols {
			columns[i] = cols[i].column()
		}
		columnsErr := b.AddColumns(byColumn, sfpool.TimestampMicros("", make([]int64, rows)), columns...)
		if err != nil {
			refused++
			if columnsErr == nil || b.Rows() != added {
				t.Fatalf("rows: %v; columns: %v, %d rows of them", err, columnsErr, b.Rows()-added)
			}
			return
		}
		if columnsErr != nil || b.Rows() != 2*rows {
			t.Fatalf("columns: %v, %d rows", columnsErr, b.Rows())
		}
		sent += int64(2 * rows)
		got := tableOf(t, p, srv, b, byColumn, sent)
		if len(got) != rows {
			t.Fatalf("%d rows, want %d", len(got), rows)
		}
		same(t, got, srv.Rows(byRow)...)
	})
	if sent == 0 || refused == 0 {
		t.Errorf("%d rows were sent, %d runs had a refused one", sent, refused)
	}
}

func addDrawn(b *sfpool.Batch, table string, cols []drawn, rows int) (err error) {
	for i := range rows {
		r := b.Table(table)
		for j := range cols {
			cols[j].set(r, i)
		}
		err = errors.Join(err, r.At(time.UnixMicro(0)))
	}
	return err
}

func TestAddingColumnsAllocatesNothing(t *testing.T) {
	b, rows := sfpool.NewBatch(0), newTrades(5000) // of no pool, whose goroutines would be counted too
	got := testing.AllocsPerRun(10, func() {
		b.Reset()
		rows.addColumns(t, b)
	})
	if got != 0 {
		t.Errorf("%v allocations for 5,000 rows", got)
	}
}

func BenchmarkRowByRow(b *testing.B)      { benchmarkTrades(b, (*trades).addRows) }
func BenchmarkColumnWise(b *testing.B)    { benchmarkTrades(b, (*trades).addColumns) }
func BenchmarkAddOfMadeRows(b *testing.B) { benchmarkTrades(b, (*trades).addRaw) }

func benchmarkTrades(b *testing.B, add func(*trades, testing.TB, *sfpool.Batch)) {
	const n = 5000
	batch, rows := newBatch(b), newTrades(n)
	b.ReportAllocs()
	for b.Loop() {
		batch.Reset()
		add(rows, b, batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
}
