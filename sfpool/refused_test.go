// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// pickyPool opens a pool of one slot that sends over QWP.
func pickyPool(t testing.TB, srv *qwpserver.Server, conflict sfpool.TypeConflict) *sfpool.Pool {
	t.Helper()
	cfg := config(t, srv.URL())
	cfg.Transport, cfg.MaxSenders, cfg.TypeConflict = sfpool.QWP, 1, conflict
	return open(t, cfg)
}

// put stores n rows in batches of a size.
func put(t testing.TB, p *sfpool.Pool, n, size int, row func(b *sfpool.Batch, i int) error) {
	t.Helper()
	s := borrowed(t, p, 1)[0]
	defer s.Return()
	b := p.NewBatch()
	for i := range n {
		if err := row(b, i); err != nil {
			t.Fatal(err)
		}
		if i%size == size-1 || i == n-1 {
			if err := s.Flush(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			b = p.NewBatch()
		}
	}
}

func settled(t testing.TB, p *sfpool.Pool) sfpool.Stats {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		st := p.Stats()
		if st.Pending == 0 {
			return st
		}
		if time.Now().After(deadline) {
			t.Fatalf("still pending: %+v", st)
		}
	}
}

// passed stores rows of another table until all is settled: a row is blamed only once
// others are taken after it was refused.
func passed(t testing.TB, p *sfpool.Pool) sfpool.Stats {
	t.Helper()
	for i := range 1000 {
		put(t, p, 1, 1, func(b *sfpool.Batch, _ int) error { return b.Table("later").Int64Column("id", -1).At(at(i)) })
		time.Sleep(10 * time.Millisecond)
		if p.Stats().Pending == 0 {
			break
		}
	}
	return settled(t, p)
}

func at(i int) time.Time { return time.Unix(1_700_000_000+int64(i), 0) }

func TestOverQWPSevenPoisonRowsOfTenThousandCostNoNeighbour(t *testing.T) {
	srv := serve(t)
	p := pickyPool(t, srv, sfpool.ConflictDeadLetter)
	poison := map[int]bool{7: true, 8: true, 777: true, 5000: true, 5005: true, 8888: true, 9999: true}
	put(t, p, 10_000, 500, func(b *sfpool.Batch, i int) error {
		r := b.Table(fmt.Sprint("p", i%5)).Int64Column("v", int64(i))
		switch {
		case i < 5:
			r.Int64Column("x", 1)
		case poison[i]:
			r.StringColumn("x", "seven")
		}
		return r.At(at(i))
	})
	st := passed(t, p)
	rows := 0
	for table := range 5 {
		rows += len(srv.Rows(fmt.Sprint("p", table)))
	}
	t.Logf("10000 rows in 20 frames of 5 tables, 7 bad: %d stored, %d letters, %d refusals, %d connections", rows, st.Letters.Refused.Letters, st.Refusals, st.Connects)
	if rows != 9993 || st.Letters.Refused.Letters != 7 || st.DeadLettered != 7 || st.Refusals > 64 {
		t.Errorf("%+v", st)
	}
	if len(srv.Rows("later")) == 0 {
		t.Error("no rows are stored behind them")
	}
}

func TestOverQWPAFloatInEverySecondOfFiftyThousandRowsIsStoredBesideItsColumn(t *testing.T) {
	srv := serve(t)
	p := pickyPool(t, srv, sfpool.ConflictSuffix)
	put(t, p, 50_000, 1000, func(b *sfpool.Batch, i int) error {
		r := b.Table("drift").Int64Column("id", int64(i))
		if i%2 == 0 {
			r.Int64Column("v", int64(i))
		} else {
			r.Float64Column("v", float64(i)+0.5)
		}
		return r.At(at(i))
	})
	st := settled(t, p)
	whole, beside := 0, 0
	for _, r := range srv.Rows("drift") {
		if _, ok := r.Values["v"]; ok {
			whole++
		}
		if _, ok := r.Values["v__double"]; ok {
			beside++
		}
	}
	t.Logf("%d in v, %d in v__double, %d refusals, %d connections", whole, beside, st.Refusals, st.Connects)
	if whole != 25_000 || beside != 25_000 || st.DeadLettered != 0 || st.Refusals > 40 {
		t.Errorf("%+v", st)
	}
}

// An INT column takes numbers of type LONG, but not all of them: one that is too large
// says nothing about the others.
func TestOverQWPAValueThatIsTooLargeCostsNoNeighbour(t *testing.T) {
	for _, conflict := range []sfpool.TypeConflict{sfpool.ConflictSuffix, sfpool.ConflictDeadLetter} {
		t.Run(conflict.String(), func(t *testing.T) {
			srv := serve(t)
			p := pickyPool(t, srv, conflict)
			put(t, p, 3000, 500, func(b *sfpool.Batch, i int) error {
				r := b.Table("t").Int64Column("id", int64(i))
				switch { // a LONG column takes whole numbers of type DOUBLE
				case i == 0:
					r.Int64Column("v", 0)
				case i == 1700, i == 2900:
					r.Float64Column("v", 0.5)
				case i%2 == 0:
					r.Float64Column("v", float64(i))
				}
				return r.At(at(i))
			})
			st := settled(t, p)
			t.Logf("%d refusals, %d letters", st.Refusals, st.Letters.Refused.Letters)
			if n := len(srv.Rows("t")); n != 2998 || st.Letters.Refused.Letters != 2 || st.Refusals > 64 {
				t.Errorf("%d rows, %+v", n, st)
			}
		})
	}
}

// Whatever the server says of which row it is: without a column it is found by halving.
func TestOverQWPARowThatTheServerDoesNotNameIsFound(t *testing.T) {
	srv := serve(t)
	srv.Script(qwpserver.Reject(qwp.StatusSchemaMismatch, "no").When(qwpserver.HasRow(func(r *qwpserver.Row) bool { return r.Values["id"] == int64(617) })).Always())
	p := pickyPool(t, srv, sfpool.ConflictSuffix)
	put(t, p, 3000, 1000, func(b *sfpool.Batch, i int) error {
		return b.Table(fmt.Sprint("t", i%3)).Int64Column("id", int64(i)).At(at(i))
	})
	st := passed(t, p)
	rows := len(srv.Rows("t0")) + len(srv.Rows("t1")) + len(srv.Rows("t2"))
	t.Logf("1 of 1000 rows in a frame of 3 tables: %d refusals", st.Refusals)
	if rows != 2999 || st.Letters.Refused.Letters != 1 || st.Refusals > 64 {
		t.Errorf("%d rows, %+v", rows, st)
	}
}

func TestARestartKnowsWhatWasRefused(t *testing.T) {
	srv := serve(t)
	cfg := config(t, srv.URL())
	log := new(strings.Builder)
	cfg.Transport, cfg.MaxSenders, cfg.CloseFlushTimeout = sfpool.QWP, 1, time.Minute
	cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
	for run := range 3 {
		p, err := sfpool.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		put(t, p, 100, 10, func(b *sfpool.Batch, i int) error {
			r := b.Table("t").Int64Column("id", int64(100*run+i))
			if i%2 == 0 {
				r.Int64Column("v", 1)
			} else {
				r.Float64Column("v", 0.5)
			}
			return r.At(at(i))
		})
		st := settled(t, p)
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		t.Logf("run %d: %d refusals", run, st.Refusals)
		if run > 0 && st.Refusals > 0 {
			t.Errorf("what was learned is forgotten: %+v", st)
		}
	}
	if n := len(srv.Rows("t")); n != 300 || strings.Count(log.String(), "a column refuses") != 1 {
		t.Errorf("%d rows; %s", n, log)
	}
}
