// SPDX-License-Identifier: MIT

package rowid_test

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/rowid"
)

const noon = 1_700_000_000_000_000

// parse returns the view of one frame with these rows.
func parse(tb testing.TB, rows ...*qwp.Row) *qwp.View {
	tb.Helper()
	b := qwp.NewBuilder(64 << 20)
	for _, r := range rows {
		if err := b.Add(r); err != nil {
			tb.Fatal(err)
		}
	}
	return view(tb, b.AppendFrame(nil))
}

func view(tb testing.TB, frame []byte) *qwp.View {
	tb.Helper()
	v := new(qwp.View)
	if err := v.Parse(frame, nil); err != nil {
		tb.Fatal(err)
	}
	return v
}

// ids returns those of all rows of a view, block by block.
func ids(v *qwp.View) []int64 {
	var h rowid.Hasher
	var list []int64
	for i := range v.Tables() {
		t := &v.Tables()[i]
		list = append(list, h.Rows(t, 0, t.Rows)...)
	}
	return list
}

// idOf returns the id of a row that is alone in its frame.
func idOf(tb testing.TB, r *qwp.Row) int64 {
	tb.Helper()
	return ids(parse(tb, r))[0]
}

func row(set func(r *qwp.Row)) *qwp.Row {
	r := new(qwp.Row)
	r.Reset("cpu")
	set(r)
	return r
}

// everyType has a cell of each type that a Builder takes.
func everyType(r *qwp.Row) {
	r.Symbol("host", "web-1")
	r.Long("n", -42)
	r.Double("load", 0.5)
	r.Bool("up", true)
	r.Varchar("note", "größer als acht Bytes")
	r.Timestamp("seen", 5)
	r.TimestampNanos("exact", 6)
	r.At(noon)
}

func TestVersion1NeverChanges(t *testing.T) {
	for _, c := range []struct {
		name string
		want int64
		set  func(r *qwp.Row)
	}{
		{"one number", 5792259873491479362, func(r *qwp.Row) { r.Long("v", 1); r.At(noon) }},
		{"every type", -2251722400876715779, everyType},
		{"empty texts", -5139836135869587178, func(r *qwp.Row) { r.Symbol("a", ""); r.Varchar("b", ""); r.At(noon) }},
		{"eight bytes", -966086806646571034, func(r *qwp.Row) { r.Symbol("a", "12345678"); r.At(noon) }},
		{"nanoseconds", -8646836184314348168, func(r *qwp.Row) { r.Double("v", -1.5); r.AtNanos(noon * 1000) }},
		{"no time", 1700114537149569641, func(r *qwp.Row) { r.Double("v", -1.5) }},
	} {
		if got := idOf(t, row(c.set)); got != c.want {
			t.Errorf("%s: id %d, version 1 has %d", c.name, got, c.want)
		}
	}
}

func TestIDDoesNotDependOnTheOrderOrTheCaseOfColumns(t *testing.T) {
	a := row(func(r *qwp.Row) { r.Symbol("host", "a"); r.Long("Größe", 1); r.Double("v", 2); r.At(noon) })
	b := row(func(r *qwp.Row) { r.Double("V", 2); r.Long("GRÖßE", 1); r.Symbol("HOST", "a"); r.At(noon) })
	if x, y := idOf(t, a), idOf(t, b); x != y {
		t.Errorf("%d and %d", x, y)
	}
}

func TestIDDoesNotDependOnTheRowsBeside(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(drawRow), 1, 40).Draw(rt, "rows")
		together := parse(t, rows...)
		blocks := map[int64]int{}
		for _, id := range ids(together) {
			blocks[id]++
		}
		for _, r := range rows {
			blocks[idOf(t, r)]--
		}
		for id, n := range blocks {
			if n != 0 {
				rt.Fatalf("id %d occurs %+d times more in one frame than alone", id, n)
			}
		}
	})
}

func TestIDIsTheSameInEveryPartOfAFrame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		v := parse(t, rapid.SliceOfN(rapid.Custom(drawRow), 2, 40).Draw(rt, "rows")...)
		var h rowid.Hasher
		for i := range v.Tables() {
			b := &v.Tables()[i]
			whole := slices.Clone(h.Rows(b, 0, b.Rows))
			first := rapid.IntRange(0, b.Rows).Draw(rt, "first")
			last := rapid.IntRange(first, b.Rows).Draw(rt, "last")
			if got := h.Rows(b, first, last); !slices.Equal(got, whole[first:last]) {
				rt.Fatalf("rows [%d,%d) have %v, in the whole block %v", first, last, got, whole[first:last])
			}
			if first == last {
				continue
			}
			if got := ids(view(t, v.AppendPart(nil, qwp.Part{Table: i, First: first, Last: last}))); !slices.Equal(got, whole[first:last]) {
				rt.Fatalf("as a frame of their own the rows have %v, in the whole block %v", got, whole[first:last])
			}
		}
	})
}

// drawRow draws from few names and values, so that rows share blocks and differ in
// what they lack.
func drawRow(rt *rapid.T) *qwp.Row {
	return row(func(r *qwp.Row) {
		some := func(name string) bool { return rapid.Bool().Draw(rt, name) }
		if some("host") {
			r.Symbol("host", rapid.SampledFrom([]string{"a", "b", "", "a long name of a host"}).Draw(rt, "value"))
		}
		if some("n") {
			r.Long("n", rapid.Int64().Draw(rt, "value"))
		}
		if some("load") {
			r.Double("load", rapid.Float64().Draw(rt, "value"))
		}
		if some("up") {
			r.Bool("up", some("value"))
		}
		if some("note") {
			r.Varchar("note", rapid.String().Draw(rt, "value"))
		}
		r.At(noon + rapid.Int64Range(0, 3).Draw(rt, "time"))
	})
}

func TestNullsCountAsAbsent(t *testing.T) {
	plain := idOf(t, row(func(r *qwp.Row) { r.Long("v", 1); r.At(noon) }))
	for name, set := range map[string]func(r *qwp.Row){
		"smallest LONG":      func(r *qwp.Row) { r.Long("x", math.MinInt64) },
		"NaN":                func(r *qwp.Row) { r.Double("x", math.NaN()) },
		"smallest TIMESTAMP": func(r *qwp.Row) { r.Timestamp("x", math.MinInt64) },
		// QuestDB reads an absent boolean as false.
		"false": func(r *qwp.Row) { r.Bool("x", false) },
	} {
		if id := idOf(t, row(func(r *qwp.Row) { r.Long("v", 1); set(r); r.At(noon) })); id != plain {
			t.Errorf("%s: id %d, without the column %d", name, id, plain)
		}
	}
}

func TestWhateverDiffersGivesAnotherID(t *testing.T) {
	seen := map[int64]string{}
	for name, set := range map[string]func(r *qwp.Row){
		"nothing":          func(*qwp.Row) {},
		"value":            func(r *qwp.Row) { r.Long("a", 1) },
		"other value":      func(r *qwp.Row) { r.Long("a", 2) },
		"other name":       func(r *qwp.Row) { r.Long("b", 1) },
		"other type":       func(r *qwp.Row) { r.Timestamp("a", 1) },
		"text":             func(r *qwp.Row) { r.Varchar("a", "1") },
		"symbol":           func(r *qwp.Row) { r.Symbol("a", "1") },
		"empty symbol":     func(r *qwp.Row) { r.Symbol("a", "") },
		"zero byte":        func(r *qwp.Row) { r.Symbol("a", "\x00") },
		"two zero bytes":   func(r *qwp.Row) { r.Symbol("a", "\x00\x00") },
		"true":             func(r *qwp.Row) { r.Bool("a", true) },
		"zero":             func(r *qwp.Row) { r.Double("a", 0) },
		"minus zero":       func(r *qwp.Row) { r.Double("a", math.Copysign(0, -1)) },
		"swapped one way":  func(r *qwp.Row) { r.Long("a", 1); r.Long("b", 2) },
		"swapped other":    func(r *qwp.Row) { r.Long("a", 2); r.Long("b", 1) },
		"text cut here":    func(r *qwp.Row) { r.Symbol("a", "xy"); r.Symbol("b", "z") },
		"text cut there":   func(r *qwp.Row) { r.Symbol("a", "x"); r.Symbol("b", "yz") },
		"name meets value": func(r *qwp.Row) { r.Symbol("ax", "y") },
	} {
		for unit, at := range map[string]func(r *qwp.Row){
			"":              func(r *qwp.Row) { r.At(noon) },
			" a µs later":   func(r *qwp.Row) { r.At(noon + 1) },
			" in ns":        func(r *qwp.Row) { r.AtNanos(noon) },
			" without time": func(*qwp.Row) {},
		} {
			if name == "nothing" && unit == " without time" {
				continue
			}
			id := idOf(t, row(func(r *qwp.Row) { set(r); at(r) }))
			if other, ok := seen[id]; ok {
				t.Errorf("%q and %q have the id %d", name+unit, other, id)
			}
			seen[id] = name + unit
		}
	}
}

// TestTwoMillionStructuredRowsHaveTwoMillionIDs: by chance 2 M ids of 64 bits meet in
// one of ten million tries.
func TestTwoMillionStructuredRowsHaveTwoMillionIDs(t *testing.T) {
	const per = 100_000
	blocks := 20
	if testing.Short() {
		blocks = 2
		t.Log("200,000 rows only with -short")
	}
	all := make([]int64, 0, blocks*per)
	for block := range blocks {
		all = append(all, structured(t, block, per)...)
	}
	slices.Sort(all)
	for i := 1; i < len(all); i++ {
		if all[i] == all[i-1] {
			t.Fatalf("id %d occurs twice among %d", all[i], len(all))
		}
	}
	if all[0] == math.MinInt64 {
		t.Error("an id is QuestDB's null")
	}
}

// structured returns the ids of rows that differ as little as real ones: counters,
// cores, hosts of one time.
func structured(tb testing.TB, block, rows int) []int64 {
	b := qwp.NewBuilder(64 << 20)
	r := new(qwp.Row)
	for i := range rows {
		r.Reset("cpu")
		r.Symbol("host", fmt.Sprintf("host-%03d", i%200))
		r.Symbol("cpu", fmt.Sprintf("cpu%d", i/200%50))
		r.Long("a", int64(i/10_000))
		r.Long("b", int64(block))
		r.Double("usage", float64(i%2))
		r.At(noon)
		if err := b.Add(r); err != nil {
			tb.Fatal(err)
		}
	}
	return ids(view(tb, b.AppendFrame(nil)))
}

func TestEveryBitOfAValueChangesAboutHalfOfTheID(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const samples = 200
	for bit := range 64 {
		changed := 0
		for range samples {
			v := random.Int64()
			changed += bits.OnesCount64(uint64(of(t, v) ^ of(t, v^1<<bit)))
		}
		if mean := float64(changed) / samples; mean < 29 || mean > 35 {
			t.Errorf("bit %d changes %.1f bits of the id on the average", bit, mean)
		}
	}
}

func of(tb testing.TB, v int64) int64 {
	return idOf(tb, row(func(r *qwp.Row) { r.Long("v", v); r.At(noon) }))
}

func TestRowsThatBringAnIDAreKnown(t *testing.T) {
	own := parse(t, row(func(r *qwp.Row) { r.Long("SF_row_id", 1); r.At(noon) }))
	other := parse(t, row(func(r *qwp.Row) { r.Long("v", 1); r.At(noon) }))
	if !rowid.Has(&own.Tables()[0]) || rowid.Has(&other.Tables()[0]) {
		t.Error("a block with the column is not told from one without")
	}
}

func TestRowsAllocatesNothing(t *testing.T) {
	v := benchFrame(t)
	var h rowid.Hasher
	hash := func() { h.Rows(&v.Tables()[0], 0, v.Tables()[0].Rows) }
	hash()
	if n := testing.AllocsPerRun(10, hash); n != 0 {
		t.Errorf("%v allocations a call", n)
	}
}

// benchFrame has rows of Telegraf's cpu input: two tags, ten numbers.
func benchFrame(tb testing.TB) *qwp.View {
	b := qwp.NewBuilder(64 << 20)
	r := new(qwp.Row)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 1000 {
		r.Reset("cpu")
		r.Symbol("host", "server-with-a-name")
		r.Symbol("cpu", fmt.Sprintf("cpu%d", i%16))
		for _, name := range []string{"usage_user", "usage_system", "usage_idle", "usage_nice", "usage_iowait", "usage_irq", "usage_softirq", "usage_steal", "usage_guest", "usage_guest_nice"} {
			r.Double(name, random.Float64())
		}
		r.At(noon + int64(i)*1000)
		if err := b.Add(r); err != nil {
			tb.Fatal(err)
		}
	}
	return view(tb, b.AppendFrame(nil))
}

func BenchmarkRows(b *testing.B) {
	v := benchFrame(b)
	t := &v.Tables()[0]
	var h rowid.Hasher
	b.ReportAllocs()
	for b.Loop() {
		h.Rows(t, 0, t.Rows)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(t.Rows), "ns/row")
}
