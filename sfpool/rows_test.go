// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// noon has more digits than microseconds.
var noon = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)

// newBatch returns a batch of a pool that sends nowhere.
func newBatch(t testing.TB) *sfpool.Batch {
	t.Helper()
	return open(t, config(t, nowhere)).NewBatch()
}

// tableOf stores the batch and returns the rows of a table once the server has n
// in all.
func tableOf(t rapid.TB, p *sfpool.Pool, srv *qwpserver.Server, b *sfpool.Batch, table string, n int64) []qwpserver.Row {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := p.Borrow(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Return()
	if err := s.Flush(ctx, b); err != nil {
		t.Fatal(err)
	}
	if err := srv.Wait(ctx, func(st *qwpserver.State) bool { return st.Rows >= n }); err != nil {
		t.Fatal(err)
	}
	return srv.Rows(table)
}

// same compares what the server has of a table, in order.
func same(t rapid.TB, got []qwpserver.Row, want ...qwpserver.Row) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i := range want {
		if got[i].Time != want[i].Time || !maps.Equal(got[i].Values, want[i].Values) {
			t.Fatalf("row %d\ngot  %d %v\nwant %d %v", i, got[i].Time, got[i].Values, want[i].Time, want[i].Values)
		}
	}
}

func TestARowArrivesWithItsTypesAndTimes(t *testing.T) {
	srv := serve(t)
	p := open(t, config(t, srv.URL()))
	b := p.NewBatch()
	err := b.Table("trades").Symbol("sym", "ETH").Int64Column("n", -7).Float64Column("p", 1.5).
		StringColumn("s", "").BoolColumn("yes", true).BoolColumn("no", false).
		TimestampColumn("t", noon).TimestampNanosColumn("tn", noon).Symbol("late", "Größe").At(noon)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Table("trades").TimestampColumn("t", time.Time{}).AtNano(noon); err != nil {
		t.Fatal(err)
	}
	same(t, tableOf(t, p, srv, b, "trades", 2),
		qwpserver.Row{Time: noon.UnixMicro() * 1000, Values: map[string]any{
			"sym": qwpserver.Symbol("ETH"), "n": int64(-7), "p": 1.5, "s": "", "yes": true, "no": false,
			"t": noon.Truncate(time.Microsecond), "tn": noon, "late": qwpserver.Symbol("Größe")}},
		qwpserver.Row{Time: noon.UnixNano(), Values: map[string]any{"t": time.Time{}, "yes": false, "no": false}})
}

func TestAColumnNotSetIsNullAndSoAreTheNullsOfQuestDB(t *testing.T) {
	srv := serve(t)
	p := open(t, config(t, srv.URL()))
	b := p.NewBatch()
	err := errors.Join(
		b.Table("t").Int64Column("n", 1).Float64Column("p", 2).At(noon),
		b.Table("t").Float64Column("p", math.NaN()).At(noon),
		b.Table("t").Int64Column("n", math.MinInt64).At(noon))
	if err != nil {
		t.Fatal(err)
	}
	at := noon.UnixMicro() * 1000
	same(t, tableOf(t, p, srv, b, "t", 3),
		qwpserver.Row{Time: at, Values: map[string]any{"n": int64(1), "p": 2.0}},
		qwpserver.Row{Time: at, Values: map[string]any{}},
		qwpserver.Row{Time: at, Values: map[string]any{}})
}

func TestAtNowIsTheClockOfThisMachineWhenTheRowEnds(t *testing.T) {
	srv := serve(t)
	p := open(t, config(t, srv.URL()))
	var b *sfpool.Batch
	var ended time.Time
	synctest.Test(t, func(t *testing.T) {
		b = p.NewBatch()
		row := b.Table("t").Int64Column("v", 1)
		time.Sleep(time.Hour)
		ended = time.Now()
		if err := row.AtNow(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
	})
	same(t, tableOf(t, p, srv, b, "t", 1),
		qwpserver.Row{Time: ended.UnixMicro() * 1000, Values: map[string]any{"v": int64(1)}})
}

// refusals are rows that no server would take, and a word of the reason.
var refusals = map[string]func(b *sfpool.Batch) error{
	`table "": name is empty`:       func(b *sfpool.Batch) error { return b.Table("").Int64Column("v", 1).At(noon) },
	"character of the name":         func(b *sfpool.Batch) error { return b.Table("a/b").Int64Column("v", 1).At(noon) },
	"at either end of a table name": func(b *sfpool.Batch) error { return b.Table("a.").Int64Column("v", 1).At(noon) },
	`"telemetry": QuestDB keeps`:    func(b *sfpool.Batch) error { return b.Table("telemetry").Int64Column("v", 1).At(noon) },
	`"timestamp": QuestDB keeps`:    func(b *sfpool.Batch) error { return b.Table("t").TimestampColumn("timestamp", noon).At(noon) },
	`column "a.b": QuestDB`:         func(b *sfpool.Batch) error { return b.Table("t").Int64Column("a.b", 1).At(noon) },
	`column "a-b": QuestDB`:         func(b *sfpool.Batch) error { return b.Table("t").Symbol("a-b", "x").At(noon) },
	"column without a name":         func(b *sfpool.Batch) error { return b.Table("t").BoolColumn("", true).At(noon) },
	"longer than 127 bytes":         func(b *sfpool.Batch) error { return b.Table("t").Symbol(strings.Repeat("x", 128), "").At(noon) },
	`"A": has two values`:           func(b *sfpool.Batch) error { return b.Table("t").Symbol("a", "").Int64Column("A", 1).At(noon) },
	`column "s": text has a NUL`:    func(b *sfpool.Batch) error { return b.Table("t").StringColumn("s", "a\x00").At(noon) },
	`column "y": text has a NUL`:    func(b *sfpool.Batch) error { return b.Table("t").Symbol("y", "a\x00").At(noon) },
	`column "s": text is not`:       func(b *sfpool.Batch) error { return b.Table("t").StringColumn("s", "a\xff").At(noon) },
	`column "y": text is not`:       func(b *sfpool.Batch) error { return b.Table("t").Symbol("y", "a\xff").At(noon) },
	"no column that is not null":    func(b *sfpool.Batch) error { return b.Table("t").At(noon) },
	"1970 and 9999":                 func(b *sfpool.Batch) error { return b.Table("t").Int64Column("v", 1).At(time.Time{}) },
	"table \"u\": its time":         func(b *sfpool.Batch) error { return b.Table("u").Int64Column("v", 1).AtNano(time.Unix(0, -1)) },
	"table \"w\": its time":         func(b *sfpool.Batch) error { return b.Table("w").Int64Column("v", 1).At(noon.AddDate(8000, 0, 0)) },
	"has no nanoseconds":            func(b *sfpool.Batch) error { return b.Table("t").Int64Column("v", 1).AtNano(noon.AddDate(300, 0, 0)) },
	`"f": the time has no nanos`:    func(b *sfpool.Batch) error { return b.Table("t").TimestampNanosColumn("f", time.Time{}).At(noon) },
	`"f": the time has no micros`:   func(b *sfpool.Batch) error { return b.Table("t").TimestampColumn("f", time.Unix(1<<60, 0)).At(noon) },
	"has no microseconds":           func(b *sfpool.Batch) error { return b.Table("t").Int64Column("v", 1).At(time.Unix(-1<<60, 0)) },
	"larger than a frame":           func(b *sfpool.Batch) error { return b.Table("t").StringColumn("s", huge).At(noon) },
	`column "b": row is larger`:     func(b *sfpool.Batch) error { return b.Table("t").Symbol("a", huge[1000:]).Symbol("b", huge).At(noon) },
	"not ended with At": func(b *sfpool.Batch) error {
		b.Table("t").Symbol("a", "x")
		return b.Table("u").Symbol("a", "x").At(noon)
	},
}

// huge just fits into a segment of 1 MiB.
var huge = strings.Repeat("x", 1<<20-60)

func TestWhatQuestDBWouldRefuseIsRefusedByAtAndLeavesNothingBehind(t *testing.T) {
	b := newBatch(t)
	for want, row := range refusals {
		before := b.Bytes()
		var rowErr *sfpool.RowError
		if err := row(b); !errors.As(err, &rowErr) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if b.Rows() != 0 || b.Bytes() != before {
			t.Errorf("%s: %d rows and %d bytes are left behind", want, b.Rows(), b.Bytes()-before)
		}
	}
	if err := b.Table("t").Int64Column("v", 1).At(noon); err != nil || b.Rows() != 1 {
		t.Errorf("the next row: %v, %d rows", err, b.Rows())
	}
}

func TestAddRefusesTheSameRowsAsAt(t *testing.T) {
	b := newBatch(t)
	for want, fill := range map[string]func(r *sfpool.Row){
		"column \"a.b\"": func(r *sfpool.Row) { r.Long("a.b", 1) },
		"for itself":     func(r *sfpool.Row) { r.Long("Timestamp", 1) },
		"has a NUL":      func(r *sfpool.Row) { r.Varchar("s", "a\x00") },
		"1970 and 9999":  func(r *sfpool.Row) { r.Long("v", 1); r.At(-1) },
	} {
		var r sfpool.Row
		r.Reset("t")
		r.At(1)
		fill(&r)
		if err := b.Add(&r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestTheFirstErrorOfARowIsTheOneReturned(t *testing.T) {
	b := newBatch(t)
	err := b.Table("t").TimestampNanosColumn("first", time.Time{}).StringColumn("second", huge+huge).At(time.Time{})
	var rowErr *sfpool.RowError
	if !errors.As(err, &rowErr) || rowErr.Column != "first" {
		t.Errorf("error %v", err)
	}
	if err := b.Table("t").StringColumn("s", huge+huge).AtNow(); !errors.Is(err, sfpool.ErrRowTooLarge) {
		t.Errorf("error %v", err)
	}
}

func TestARowThatIsNotEndedIsHeardOfAndTakesTheNextWithIt(t *testing.T) {
	b := newBatch(t)
	b.Table("forgotten").Int64Column("v", 1)
	b.Table("also forgotten").Int64Column("v", 1)
	err := b.Table("t").Int64Column("v", 1).At(noon)
	var rowErr *sfpool.RowError
	if !errors.As(err, &rowErr) || rowErr.Table != "forgotten" || b.Rows() != 0 {
		t.Errorf("error %v, %d rows", err, b.Rows())
	}
	b.Table("reset").Int64Column("v", 1)
	b.Reset()
	if err := b.Table("t").Int64Column("v", 1).At(noon); err != nil || b.Rows() != 1 {
		t.Errorf("after Reset: error %v, %d rows", err, b.Rows())
	}
}

func TestEndingARowTwiceIsAnErrorAndAddsItOnce(t *testing.T) {
	b := newBatch(t)
	row := b.Table("t").Int64Column("v", 1)
	if err := row.At(noon); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := row.Int64Column("w", 1).AtNow(); err == nil || !strings.Contains(err.Error(), "call Table first") {
			t.Errorf("error %v", err)
		}
	}
	if err := b.Table("t").Int64Column("v", 2).At(noon); err != nil || b.Rows() != 2 {
		t.Errorf("the next row: %v, %d rows", err, b.Rows())
	}
}

func TestBuildingRowsAllocatesNothing(t *testing.T) {
	b, rows := sfpool.NewBatch(0), newTrades(5000) // of no pool, whose goroutines would be counted too
	got := testing.AllocsPerRun(10, func() {
		b.Reset()
		rows.addRows(t, b)
	})
	if got != 0 {
		t.Errorf("%v allocations for 5,000 rows", got)
	}
}
