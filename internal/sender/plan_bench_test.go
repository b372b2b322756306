// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"fmt"
	"log/slog"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

// planned is a connection that nothing is sent over.
type planned struct{ link.Conn }

func (planned) Host() string              { return "server" }
func (planned) Transport() link.Transport { return link.ILP }
func (planned) Window() int               { return 1 }

// planner returns a flight and a frame of so many rows in two blocks of one table: the
// second has values of a type that its column refuses, if that was learned.
func planner(t testing.TB, rows int, learned bool) (*flight, []byte) {
	t.Helper()
	b := qwp.NewBuilder(16 << 20)
	var r qwp.Row
	for i := range rows {
		r.Reset("t")
		r.Symbol("host", "a")
		if i%2 == 0 {
			r.Long("v", int64(i))
		} else {
			r.Double("v", 0.5)
		}
		r.At(1_700_000_000_000_000 + int64(i))
		if err := b.Add(&r); err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	s := &Sender{cfg: Config{Book: verdict.New(verdict.Options{}), Voice: NewVoice(log), Log: log}, epoch: 1}
	if learned {
		s.cfg.Book.Learn(verdict.Verdict{Key: verdict.Key{Host: "server", Table: "t", Column: "v", Type: qwp.TypeDouble}, To: "v__double"})
	}
	return newFlight(s, planned{}, nil, nil), b.AppendFrame(nil)
}

// planOnce plans a frame, and notes that its rows were accepted.
func (f *flight) planOnce(t testing.TB, frame []byte) {
	if err := f.view.Parse(frame, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.plan(context.Background()); err != nil || len(f.parts) != 1 {
		t.Fatal(err, f.parts)
	}
	f.s.cfg.Book.Accepted("server", f.parts[0].table)
}

func TestPlanningAllocatesNothingForEachRow(t *testing.T) {
	for _, learned := range []bool{false, true} {
		var allocs [2]float64
		for i, rows := range []int{10, 10_000} {
			f, frame := planner(t, rows, learned)
			f.planOnce(t, frame)
			allocs[i] = testing.AllocsPerRun(50, func() { f.planOnce(t, frame) })
		}
		t.Logf("with a verdict: %v; allocations of a frame of 10 rows %v, of 10000 rows %v", learned, allocs[0], allocs[1])
		if allocs[0] != 0 || allocs[1] != 0 {
			t.Errorf("%v allocations", allocs)
		}
	}
}

func BenchmarkPlan(b *testing.B) {
	for _, learned := range []bool{false, true} {
		b.Run(fmt.Sprintf("verdict=%v", learned), func(b *testing.B) {
			f, frame := planner(b, 1000, learned)
			b.ReportAllocs()
			for b.Loop() {
				f.planOnce(b, frame)
			}
		})
	}
}

// keeper counts letters.
type keeper struct{ n int }

func (k *keeper) Keep(_ string, letters []Letter) error {
	k.n += len(letters)
	return nil
}

// BenchmarkCondemn makes dead letters of every second row of a frame.
func BenchmarkCondemn(b *testing.B) {
	for _, rows := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("rows=%d", rows), func(b *testing.B) {
			f, frame := planner(b, rows, false)
			f.s.cfg.Letters, f.s.cfg.Slot = &keeper{}, nowhere{}
			f.s.cfg.Book.Learn(verdict.Verdict{Key: verdict.Key{Host: "server", Table: "t", Column: "v", Type: qwp.TypeDouble}})
			f.s.cfg.Book.Accepted("server", "t")
			for b.Loop() {
				f.s.parking.drop(0)
				f.planOnce(b, frame)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(rows), "ns/row")
		})
	}
}

// nowhere is a slot without files.
type nowhere struct{ Store }

func (nowhere) Dir() string { return "nowhere" }
