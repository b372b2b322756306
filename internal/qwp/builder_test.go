// SPDX-License-Identifier: MIT

package qwp_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func TestRowsThatCanNeverBeStoredAreNamed(t *testing.T) {
	wide := row("t", func(r *qwp.Row) {
		for i := range qwp.MaxColumns {
			r.Long(fmt.Sprint("c", i), 1)
		}
	})
	for _, c := range []struct {
		want string
		row  *qwp.Row
	}{
		{`table "t": has neither values nor a time`, row("t", func(*qwp.Row) {})},
		{`table "": name is empty`, row("", func(r *qwp.Row) { r.Long("l", 1) })},
		{`name is longer than 127`, row(strings.Repeat("t", 128), func(r *qwp.Row) { r.Long("l", 1) })},
		{`name is not valid UTF-8`, row("\xFF", func(r *qwp.Row) { r.Long("l", 1) })},
		{`has a column without a name`, row("t", func(r *qwp.Row) { r.Long("", 1) })},
		{`column "\xff": name is not valid UTF-8`, row("t", func(r *qwp.Row) { r.Long("\xFF", 1) })},
		{`column "A": has two values`, row("t", func(r *qwp.Row) { r.Long("a", 1); r.Bool("A", true) })},
		{`column "v": text is not valid UTF-8`, row("t", func(r *qwp.Row) { r.Varchar("v", "\xC3") })},
		{`column "s": text is not valid UTF-8`, row("t", func(r *qwp.Row) { r.Symbol("s", "\xC3") })},
		{`column "g": type cannot be encoded`, row("t", func(r *qwp.Row) { r.Cells = append(r.Cells, qwp.Cell{Name: "g", Type: qwp.TypeGeohash}) })},
		{`time is neither`, row("t", func(r *qwp.Row) { r.TimeType = qwp.TypeLong })},
		{`more than 2046 values`, wide},
		{`row is larger than a frame may be`, row("t", func(r *qwp.Row) { r.Varchar("v", strings.Repeat("x", 1000)) })},
	} {
		b := qwp.NewBuilder(1000)
		if err := b.Add(row("t", func(r *qwp.Row) { r.Symbol("s", "x") })); err != nil {
			t.Fatal(err)
		}
		frame := b.AppendFrame(nil)
		err := b.Add(c.row)
		if errors.Is(err, qwp.ErrFrameFull) {
			b.Reset()
			frame = b.AppendFrame(nil)
			err = b.Add(c.row)
		}
		var rowErr *qwp.RowError
		if !errors.As(err, &rowErr) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		if !slices.Equal(b.AppendFrame(nil), frame) {
			t.Errorf("%v: the row left something behind", err)
		}
	}
}

func TestAConflictOpensASecondBlockOfTheTable(t *testing.T) {
	long := row("t", func(r *qwp.Row) { r.Long("x", 1); r.At(1) })
	double := row("t", func(r *qwp.Row) { r.Double("X", 1); r.At(2) })
	nanos := row("t", func(r *qwp.Row) { r.Long("x", 1); r.AtNanos(3) })
	server := row("t", func(r *qwp.Row) { r.Long("X", 9) })
	v := parse(t, build(t, long, double, nanos, server, double, long), nil)
	var got []string
	for _, k := range v.Tables() {
		got = append(got, fmt.Sprintf("%s%d", k.Name, k.Rows))
		for _, c := range k.Columns {
			got = append(got, c.Name+" "+c.Type.String())
		}
	}
	want := []string{"t3", "x LONG", " TIMESTAMP", "t2", "X DOUBLE", " TIMESTAMP", "t1", "x LONG", " TIMESTAMP_NANOS"}
	if !slices.Equal(got, want) {
		t.Fatalf("blocks %q, want %q", got, want)
	}
	sameRows(t, "rows", contents(v), formatAll([]*qwp.Row{long, double, nanos, server, double, long}))
}

func TestTimeSpanIsInMicrosecondsRoundedDown(t *testing.T) {
	v := parse(t, build(t,
		row("a", func(r *qwp.Row) { r.AtNanos(-1) }),
		row("b", func(r *qwp.Row) { r.At(5) }),
		row("c", func(r *qwp.Row) { r.Long("l", 1) })), nil)
	if got := v.Info(); got.MinTime != -1 || got.MaxTime != 5 || !got.HasTime || got.Tables != 3 {
		t.Fatalf("info %+v", got)
	}
	if got := parse(t, build(t, row("c", func(r *qwp.Row) { r.Long("l", 1) })), nil).Info(); got.HasTime {
		t.Fatalf("info %+v without any time", got)
	}
}

func TestAColumnWithoutAValueIsNotSentAfterReset(t *testing.T) {
	b := qwp.NewBuilder(1 << 16)
	first := row("t", func(r *qwp.Row) { r.Symbol("s", "x"); r.Long("a", 1); r.At(1) })
	if err := b.Add(first); err != nil {
		t.Fatal(err)
	}
	b.Reset()
	second := row("t", func(r *qwp.Row) { r.Varchar("A", "now text") })
	if err := b.Add(second); err != nil {
		t.Fatal(err)
	}
	if got := b.AppendFrame(nil); !slices.Equal(got, build(t, second)) {
		t.Fatalf("got %x, want %x", got, build(t, second))
	}
}

func TestRowsAboveTheLimitOfABlockNeedAnotherFrame(t *testing.T) {
	if testing.Short() {
		t.Skip("a million rows")
	}
	b := qwp.NewBuilder(1 << 30)
	r := row("t", func(r *qwp.Row) { r.Bool("b", true) })
	for range qwp.MaxRows {
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Add(r); !errors.Is(err, qwp.ErrFrameFull) {
		t.Fatalf("got %v", err)
	}
	if got := parse(t, b.AppendFrame(nil), nil).Info().Rows; got != qwp.MaxRows {
		t.Fatalf("%d rows", got)
	}
}

// steadyRows are rows as Telegraf has them: the same tables, columns and symbols
// again and again.
func steadyRows(n int) []*qwp.Row {
	rows := make([]*qwp.Row, n)
	for i := range rows {
		rows[i] = row([]string{"cpu", "mem", "disk"}[i%3], func(r *qwp.Row) {
			r.Symbol("host", fmt.Sprintf("host-%03d", i%200))
			r.Symbol("region", "eu-central-1")
			for f := range 8 {
				r.Double(fmt.Sprintf("usage_%d", f), float64(i+f)/7)
			}
			r.Long("total", int64(i)*1000)
			r.Bool("ok", i%2 == 0)
			r.Varchar("note", "all is well")
			r.At(1_700_000_000_000_000 + int64(i/3)*1_000_000)
		})
	}
	return rows
}

func TestBuildingFramesOfKnownShapeAllocatesNothing(t *testing.T) {
	rows, b, frame := steadyRows(600), qwp.NewBuilder(1<<20), []byte(nil)
	got := testing.AllocsPerRun(10, func() {
		for _, r := range rows {
			if err := b.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		frame = b.AppendFrame(frame[:0])
		b.Reset()
	})
	if got != 0 {
		t.Fatalf("%v allocations for %d rows", got, len(rows))
	}
}

func TestReadingRowsAllocatesNothingForARow(t *testing.T) {
	frame, v, r := build(t, steadyRows(600)...), new(qwp.View), new(qwp.Row)
	got := testing.AllocsPerRun(10, func() {
		if err := v.Parse(frame, nil); err != nil {
			t.Fatal(err)
		}
		tables := v.Tables()
		for i := range tables {
			for range tables[i].All(0, tables[i].Rows, r) {
			}
		}
	})
	if got > 6 { // a closure or two for each of three tables
		t.Fatalf("%v allocations for 600 rows", got)
	}
}

func TestTranslatingAllocatesNothingOnceWarm(t *testing.T) {
	v, msg := parse(t, build(t, steadyRows(600)...), nil), []byte(nil)
	var dict qwp.ConnDict
	half := qwp.Part{Table: 1, First: 50, Last: 150}
	got := testing.AllocsPerRun(10, func() {
		msg = dict.AppendMessage(msg[:0], v, qwp.WholeMessage)
		dict.Commit()
		msg = dict.AppendMessage(msg[:0], v, half)
		dict.Rollback()
	})
	if got != 0 {
		t.Fatalf("%v allocations", got)
	}
}

func TestAWideFrameLeavesNothingBehindForNarrowOnes(t *testing.T) {
	b := qwp.NewBuilder(1 << 20)
	for i, n := range []int{9000, 3, 3, 3, 3, 200, 3, 9000, 3} {
		var rows []*qwp.Row
		for j := range n {
			rows = append(rows, row("t", func(r *qwp.Row) { r.Symbol("s", fmt.Sprint(i, "-", j)) }))
		}
		for _, r := range rows {
			if err := b.Add(r); err != nil {
				t.Fatal(err)
			}
		}
		if got := b.AppendFrame(nil); !slices.Equal(got, build(t, rows...)) {
			t.Fatalf("frame %d of %d rows differs from that of a new builder", i, n)
		}
		b.Reset()
	}
}

func TestRowsWithTooManyColumnsInAllOpenASecondBlock(t *testing.T) {
	var rows []*qwp.Row
	for i := range 2 {
		rows = append(rows, row("t", func(r *qwp.Row) {
			for j := range 1500 {
				r.Bool(fmt.Sprint("c", i, "-", j), true)
			}
			r.At(1)
		}))
	}
	v := parse(t, build(t, rows...), nil)
	if len(v.Tables()) != 2 {
		t.Fatalf("%d blocks", len(v.Tables()))
	}
	sameRows(t, "rows", contents(v), formatAll(rows))
}

func TestAFrameHasAtMost65535Blocks(t *testing.T) {
	b := qwp.NewBuilder(1 << 28)
	r := row("", func(r *qwp.Row) { r.Long("l", 1) })
	for i := range qwp.MaxTables {
		r.Table = fmt.Sprint("t", i)
		if err := b.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	r.Table = "one more"
	if err := b.Add(r); !errors.Is(err, qwp.ErrFrameFull) {
		t.Fatalf("got %v", err)
	}
	if got := parse(t, b.AppendFrame(nil), nil).Info().Tables; got != qwp.MaxTables {
		t.Fatalf("%d blocks", got)
	}
}
