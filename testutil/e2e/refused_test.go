// SPDX-License-Identifier: MIT

package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

func TestSevenPoisonRowsOfTenThousandCostNoNeighbourAndArriveWhenTheirColumnIsAltered(t *testing.T) {
	t.Parallel() // it waits most of its time
	ctx := realParts(t)
	srv := startQuestDB(ctx, t, questdb.Options{})
	front := startToll(t, srv.HTTP())
	for i := range 5 {
		exec(ctx, t, srv, fmt.Sprintf("CREATE TABLE p%d (host SYMBOL, v LONG, x LONG, timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY WAL", i))
	}
	poison := map[int]bool{3: true, 4: true, 777: true, 5000: true, 5005: true, 8888: true, 9999: true}
	p, _ := openRefused(ctx, t, front.URL, func(c *sfpool.Config) { c.TypeConflict = sfpool.ConflictDeadLetter })
	storeBatches(ctx, t, p, 10_000, 500, func(b *sfpool.Batch, i int) error {
		r := b.Table(fmt.Sprintf("p%d", i%5)).Symbol("host", "a\nb").Int64Column("v", int64(i))
		if poison[i] {
			r.StringColumn("x", "seven\nlines")
		}
		return r.At(second(i))
	})
	stored := func() (n int) {
		check(t, srv.WaitApplied(ctx))
		for i := range 5 {
			n += number(ctx, t, srv, fmt.Sprintf("SELECT count() FROM p%d", i))
		}
		return n
	}
	until(ctx, t, "letters", func() bool { st := p.Stats(); return st.Pending == 0 && st.Letters.Refused.Letters == 7 })
	requests, refused := front.paid()
	if n := stored(); n != 9993 {
		t.Errorf("%d rows are stored", n)
	}
	t.Logf("10000 rows in 20 batches, 7 bad: %d requests, of which %d were refused; %+v", requests, refused, p.Stats().Letters.Refused)
	if requests > 20+2*7 || refused > 7 {
		t.Errorf("%d requests, %d refused", requests, refused)
	}
	storeBatches(ctx, t, p, 100, 100, func(b *sfpool.Batch, i int) error {
		return b.Table("p0").Int64Column("v", -1).At(second(20_000 + i))
	})
	until(ctx, t, "rows behind", func() bool { return p.Stats().Pending == 0 })
	if n := stored(); n != 10_093 {
		t.Errorf("%d rows are stored", n)
	}

	for i := range 5 {
		exec(ctx, t, srv, fmt.Sprintf("ALTER TABLE p%d ALTER COLUMN x TYPE VARCHAR", i))
	}
	began := time.Now()
	until(ctx, t, "letters fed back", func() bool {
		st := p.Stats()
		return st.Letters.Refused.Letters == 0 && st.Pending == 0
	})
	if n := stored(); n != 10_100 {
		t.Errorf("%d rows are stored", n)
	}
	seven := 0
	for i := range 5 {
		seven += number(ctx, t, srv, fmt.Sprintf("SELECT count() FROM p%d WHERE x = 'seven\nlines'", i))
	}
	requests, refused = front.paid()
	t.Logf("after the ALTER the letters arrived within %s by themselves; %d requests in all, %d refused", time.Since(began).Round(time.Second), requests, refused)
	if seven != 7 {
		t.Errorf("%d of 7 poison rows are stored", seven)
	}
}

// drift stores 50,000 rows of which every second has a float where the others have a
// whole number.
func drift(b *sfpool.Batch, i int) error {
	r := b.Table("drift").Symbol("host", fmt.Sprint("h", i%10)).Int64Column("id", int64(i))
	if i%2 == 0 {
		return r.Int64Column("v", int64(i)).At(second(i))
	}
	return r.Float64Column("v", float64(i)+0.5).At(second(i))
}

func TestAFloatInEverySecondOfFiftyThousandRowsIsStoredBesideItsColumn(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	front := startToll(t, srv.HTTP())
	p, _ := openRefused(ctx, t, front.URL, nil)
	storeBatches(ctx, t, p, 50_000, 1000, drift)
	until(ctx, t, "rows", func() bool { return p.Stats().Pending == 0 })
	got := sums(ctx, t, srv, "SELECT count(), count(v), count(v__double), sum(v__double), count_distinct(id) FROM drift")
	requests, refused := front.paid()
	t.Logf("rows, v, v__double, its sum, ids: %v; %d requests, %d refused; %+v", got, requests, refused, p.Stats().Letters)
	if want := fmt.Sprint([]any{50000, 25000, 25000, "6.250125E8", 50000}); fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	if refused > 40 {
		t.Errorf("%d refused requests", refused)
	}
}

func TestAFloatInEverySecondOfFiftyThousandRowsWidensTheColumnOnce(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	front := startToll(t, srv.HTTP())
	p, log := openRefused(ctx, t, front.URL, func(c *sfpool.Config) { c.TypeConflict = sfpool.ConflictWiden })
	storeBatches(ctx, t, p, 50_000, 1000, drift)
	until(ctx, t, "rows", func() bool { return p.Stats().Pending == 0 })
	got := sums(ctx, t, srv, "SELECT count(), count(v), sum(v), count_distinct(id) FROM drift")
	requests, refused := front.paid()
	t.Logf("rows, v, its sum, ids: %v; %d requests, %d refused\n%s", got, requests, refused, log)
	if want := fmt.Sprint([]any{50000, 50000, "1.2499875E9", 50000}); fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
	if refused > 40 {
		t.Errorf("%d refused requests", refused)
	}
}
