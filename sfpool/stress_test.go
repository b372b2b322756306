// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

const (
	slots        = 4
	flushers     = 6
	flushes      = 100 // of each, to two senders at a time
	rowsPerBatch = 5   // which are one frame
	stressRows   = flushers * flushes * 2 * rowsPerBatch
	stressStops  = 3 // of the server
	// window is how many messages a connection may have under way.
	window = 64
)

// Nothing gets lost, nothing is made up, and nothing is sent again but what was
// under way when the server went.
func TestWhatManyGoroutinesFlushArrivesThoughTheServerComesAndGoes(t *testing.T) {
	srv := serve(t)
	cfg := stressConfig(t, srv)
	cfg.MinSenders = slots // without a server the rows go to whoever has the least pending
	p := open(t, cfg)
	s := &stress{TB: t, p: p, stored: sync.NewCond(&sync.Mutex{})}
	var work sync.WaitGroup
	for i := range flushers {
		work.Go(func() { s.flushMany(i * flushes * 2 * rowsPerBatch) })
	}
	for n := 1; n <= stressStops; n++ {
		waitRows(t, srv, n*stressRows/(stressStops+1))
		srv.Stop()
		s.awaitMore(stressRows / 10) // which find no server
		if err := srv.Restart(); err != nil {
			t.Error(err)
		}
	}
	work.Wait()
	acked(t, p)
	twice := countRows(t, srv, stressRows)
	if most := stressStops * slots * window * rowsPerBatch; twice > most {
		t.Errorf("%d rows twice, at most %d were under way", twice, most)
	}
	st := p.Stats()
	if st.Accepted != stressRows || st.Acked != stressRows || st.Pending != 0 {
		t.Errorf("stats %+v", st)
	}
	for _, slot := range st.Slots {
		if slot.Connects == 0 {
			t.Errorf("%s never had anything to send", slot.Name)
		}
	}
	t.Logf("%d rows, %d twice", stressRows, twice)
}

func TestFourSendersFillFourSlotsAndSendThem(t *testing.T) {
	srv := serve(t)
	srv.Stop()
	p := open(t, stressConfig(t, srv))
	var shards []sfpool.Shard
	for i := range slots {
		sender, err := p.Borrow(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer sender.Return()
		shards = append(shards, sfpool.Shard{Sender: sender, Batch: batch(t, p, i*100, 100)})
	}
	if err := p.Flush(context.Background(), shards...); err != nil {
		t.Fatal(err)
	}
	for i, slot := range p.Stats().Slots {
		if slot.Name != fmt.Sprintf("default-%d", i) || slot.Pending != 100 {
			t.Errorf("slot %+v, want 100 pending", slot)
		}
	}
	// Nothing is acked before all have sent: one that is through hands its connection on.
	release := make(chan struct{})
	srv.Script(qwpserver.HoldAcks(release).Always())
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := srv.Wait(t.Context(), func(st *qwpserver.State) bool { return st.Rows == slots*100 }); err != nil {
		t.Fatal(err)
	}
	close(release)
	acked(t, p)
	if twice := countRows(t, srv, slots*100); twice > 0 {
		t.Errorf("%d rows twice", twice)
	}
	if n := srv.State().Connections; n != slots {
		t.Errorf("%d connections", n)
	}
}

func stressConfig(t testing.TB, srv *qwpserver.Server) sfpool.Config {
	cfg := config(t, srv.URL())
	cfg.MaxSenders, cfg.AcquireTimeout, cfg.Durability = slots, time.Minute, sfpool.DurabilityMemory
	return cfg
}

// stress is a run of many goroutines.
type stress struct {
	testing.TB
	p      *sfpool.Pool
	pair   sync.Mutex // held while two are borrowed: those who have one each would wait for each other
	stored *sync.Cond
	rows   int // stored so far; the lock of stored guards it
}

// flushMany stores rows with the ids from first on, two batches at a time.
func (s *stress) flushMany(first int) {
	defer s.stored.Broadcast()
	for range flushes {
		if err := s.flushTwo(first); err != nil {
			s.Error(err)
			return
		}
		first += 2 * rowsPerBatch
		s.stored.L.Lock()
		s.rows += 2 * rowsPerBatch
		s.stored.L.Unlock()
		s.stored.Broadcast()
	}
}

func (s *stress) flushTwo(first int) error {
	a, b, err := s.borrowTwo()
	if err != nil {
		return err
	}
	defer a.Return()
	defer b.Return()
	return s.p.Flush(context.Background(),
		sfpool.Shard{Sender: a, Batch: batch(s, s.p, first, rowsPerBatch)},
		sfpool.Shard{Sender: b, Batch: batch(s, s.p, first+rowsPerBatch, rowsPerBatch)})
}

func (s *stress) borrowTwo() (a, b *sfpool.Sender, err error) {
	s.pair.Lock()
	defer s.pair.Unlock()
	if a, err = s.p.Borrow(context.Background()); err != nil {
		return nil, nil, err
	}
	if b, err = s.p.Borrow(context.Background()); err != nil {
		a.Return()
	}
	return a, b, err
}

// awaitMore waits until so many more rows are stored, or all.
func (s *stress) awaitMore(rows int) {
	s.stored.L.Lock()
	defer s.stored.L.Unlock()
	for want := min(s.rows+rows, stressRows); s.rows < want && !s.Failed(); {
		s.stored.Wait()
	}
}

func waitRows(t testing.TB, srv *qwpserver.Server, rows int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := srv.Wait(ctx, func(st *qwpserver.State) bool { return st.Rows >= int64(rows) }); err != nil {
		t.Fatal(err)
	}
}

func acked(t testing.TB, p *sfpool.Pool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := p.WaitAcked(ctx); err != nil {
		t.Fatalf("%v; stats %+v", err, p.Stats())
	}
}

// countRows looks for the rows with the ids from 0 on, each as batch made it,
// and returns how many came again.
func countRows(t testing.TB, srv *qwpserver.Server, want int) (again int) {
	t.Helper()
	seen := map[int64]bool{}
	for _, r := range srv.Rows("t") {
		id, ok := r.Values["id"].(int64)
		if !ok || id < 0 || id >= int64(want) || r.Time != (1700000000000000+id)*1000 || r.Values["host"] != qwpserver.Symbol("a") {
			t.Errorf("wrong row %+v", r)
		}
		if seen[id] {
			again++
		}
		seen[id] = true
	}
	if len(seen) != want {
		t.Errorf("%d rows lost", want-len(seen))
	}
	return again
}
