// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// narrow is a server at the end of a link on which each request takes a while, over
// ILP: its answers come one by one.
func narrow(each time.Duration, frames int) *server {
	s := &server{ilp: true, frames: frames}
	s.answer = func(_ int, seq int64) *link.Outcome {
		time.Sleep(each)
		return &link.Outcome{Seq: seq}
	}
	return s
}

// storeAt publishes a frame of rows of one time.
func (b *bed) storeAt(at time.Time, n int) {
	b.Helper()
	rows := make([]qwp.Row, n)
	for i := range rows {
		rows[i].Reset("t")
		rows[i].Long("id", b.next)
		rows[i].At(at.UnixMicro())
		b.next++
	}
	b.storeRows(rows...)
}

// backlogged is a bed with so many frames stored before the sender starts.
func backlogged(t testing.TB, srv *server, frames int, cfg sender.Config) *bed {
	t.Helper()
	var down atomic.Bool
	down.Store(true)
	srv.refuseConnect = func(int) error {
		if down.Load() {
			return &link.ConnectError{Host: "server", Err: context.DeadlineExceeded}
		}
		return nil
	}
	b := startBed(t, vfstest.NewMem(), srv, cfg)
	for range frames {
		b.storeAt(time.Now(), 1)
	}
	time.Sleep(time.Hour)
	down.Store(false)
	return b
}

func TestWhatIsNewIsThereWithinSecondsWhileABacklogDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := narrow(2*time.Second, 10)
		b := backlogged(t, srv, 1000, sender.Config{}) // 200 s worth
		late := time.Duration(0)
		time.Sleep(10 * time.Second)
		for range 15 {
			id := b.next
			b.storeAt(time.Now(), 1)
			stored := time.Now()
			for !slices.Contains(srv.ids(), id) {
				time.Sleep(100 * time.Millisecond)
			}
			late = max(late, time.Since(stored))
			time.Sleep(3 * time.Second)
		}
		if st := b.slot.Stats(); st.Pending == 0 || late > 4100*time.Millisecond {
			t.Errorf("new rows were there after %s, %d pending", late, st.Pending)
		}
		b.drained()
		b.complete(1015)
		if n := len(srv.taken()); n != 1015 {
			t.Errorf("%d rows sent, of 1015", n)
		}
	})
}

func TestTheBacklogGetsAQuarterThoughNewRowsFillTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := narrow(time.Second, 1)
		b := backlogged(t, srv, 300, sender.Config{})
		stop := time.Now().Add(5 * time.Minute)
		for time.Now().Before(stop) {
			b.storeAt(time.Now(), 1) // two a second, where one fits
			time.Sleep(500 * time.Millisecond)
		}
		old := 0
		for _, id := range srv.ids() {
			if id < 300 {
				old++
			}
		}
		if n := len(srv.ids()); old < n/4 || old > n/2 {
			t.Errorf("%d of %d rows were of the backlog", old, n)
		}
		b.drained()
		b.complete(b.next)
	})
}

func TestOldestFirstKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := narrow(time.Second, 5)
		b := backlogged(t, srv, 100, sender.Config{Order: sender.OldestFirst})
		for range 20 {
			b.storeAt(time.Now(), 1)
			time.Sleep(time.Second)
		}
		b.drained()
		if got := srv.ids(); !slices.IsSorted(got) || len(got) != 120 {
			t.Errorf("%v", got)
		}
	})
}

// A frame that takes many requests does not hold up what is new either, and what of it
// was acked is not sent again.
func TestWhatIsNewGoesBeforeTheRestOfALargeFrame(t *testing.T) {
	for _, window := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			srv := narrow(2*time.Second, 1)
			srv.maxRows, srv.ilp, srv.window = 10, window == 1, window
			b := backlogged(t, srv, 1, sender.Config{})
			b.storeAt(time.Now(), 500)
			time.Sleep(20 * time.Second)
			b.storeAt(time.Now(), 1)
			stored := time.Now()
			for !slices.Contains(srv.ids(), 501) {
				time.Sleep(100 * time.Millisecond)
			}
			if late := time.Since(stored); late > time.Duration(2*window+2)*time.Second || b.slot.Stats().Pending < 300 {
				t.Errorf("window %d: there after %s, %d pending", window, late, b.slot.Stats().Pending)
			}
			b.drained()
			if got := srv.ids(); len(got) != 502 {
				t.Errorf("window %d: %d rows sent, of 502", window, len(got))
			}
		})
	}
}

func TestARequestOfABacklogIsOfOneDay(t *testing.T) {
	for _, order := range []sender.Order{sender.LiveFirst, sender.OldestFirst} {
		synctest.Test(t, func(t *testing.T) {
			srv := narrow(time.Second, 100)
			days := map[int64]int{} // of requests
			times := map[int64]time.Time{}
			srv.sent = func(_ *conn, rows []taken) {
				seen := map[int64]bool{}
				for _, r := range rows {
					seen[times[r.id].Unix()/86400] = true
				}
				for day := range seen {
					days[day]++
				}
				if len(seen) > 1 {
					t.Errorf("a request has rows of %d days", len(seen))
				}
			}
			var down atomic.Bool
			down.Store(true)
			srv.refuseConnect = func(int) error {
				if down.Load() {
					return &link.ConnectError{Host: "server", Err: context.DeadlineExceeded}
				}
				return nil
			}
			b := startBed(t, vfstest.NewMem(), srv, sender.Config{Order: order})
			for range 6 * 24 {
				times[b.next] = time.Now()
				b.storeAt(time.Now(), 1)
				time.Sleep(time.Hour)
			}
			down.Store(false)
			b.drained()
			b.complete(6 * 24)
			for day, n := range days {
				if n > 2 {
					t.Errorf("%v: day %d took %d requests", order, day, n)
				}
			}
		})
	}
}

// A connection that breaks again and again moves nothing back: what is new stays new.
func TestResetsNeitherLoseNorReorderTheLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := narrow(2*time.Second, 10)
		b := backlogged(t, srv, 600, sender.Config{})
		srv.sendErr = func(_ int, seq int64) error {
			if seq == 14 { // every 30 s; the answer is lost
				return &link.LostError{Host: "server", Err: context.DeadlineExceeded}
			}
			return nil
		}
		resets, late := 0, time.Duration(0)
		for b.slot.Stats().Pending > 0 && resets < 400 {
			id := b.next
			b.storeAt(time.Now(), 1)
			stored := time.Now()
			for !slices.Contains(srv.ids(), id) {
				time.Sleep(100 * time.Millisecond)
			}
			late = max(late, time.Since(stored))
			time.Sleep(5 * time.Second)
			resets++
		}
		b.drained()
		b.complete(b.next)
		connects := len(srv.connectTimes())
		if dups := len(srv.ids()) - int(b.next); dups > 10*connects || late > 8*time.Second {
			t.Errorf("%d rows twice over %d connections, new ones there after %s", dups, connects, late)
		}
	})
}

func TestReplayRateBoundsTheBacklogAndNotWhatIsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{ilp: true, frames: 4}
		replay := sender.NewReplay(1000)
		b := backlogged(t, srv, 200, sender.Config{Replay: replay})
		bytes := b.slot.Stats().PendingBytes - 200*8
		began := time.Now()
		for range 5 {
			time.Sleep(2 * time.Second)
			id := b.next
			b.storeAt(time.Now(), 1)
			synctest.Wait()
			if !slices.Contains(srv.ids(), id) {
				t.Fatalf("row %d waits for the backlog", id)
			}
		}
		b.drained()
		took, want := time.Since(began), time.Duration(bytes)*time.Second/1000
		if took < want*9/10 || took > want*11/10+2*time.Second {
			t.Errorf("%d bytes took %s, want %s", bytes, took, want)
		}
		b.complete(205)
	})
}

// A server that takes ten times as long as before for the same is left alone half of the
// time.
func TestABacklogSlowsDownWithTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var each, busy atomic.Int64
		each.Store(int64(200 * time.Millisecond))
		srv := &server{ilp: true, frames: 10}
		srv.answer = func(_ int, seq int64) *link.Outcome {
			time.Sleep(time.Duration(each.Load()))
			busy.Add(each.Load())
			return &link.Outcome{Seq: seq}
		}
		b := backlogged(t, srv, 1000, sender.Config{Replay: sender.NewReplay(0)})
		for len(srv.ids()) < 500 {
			time.Sleep(10 * time.Millisecond)
		}
		each.Store(int64(2 * time.Second))
		busy.Store(0)
		began := time.Now()
		for len(srv.ids()) < 700 {
			time.Sleep(10 * time.Millisecond)
		}
		if share := float64(busy.Load()) / float64(time.Since(began)); share > 0.6 {
			t.Errorf("the server is busy with us %.0f %% of the time", 100*share)
		}
		b.drained()
		b.complete(1000)
	})
}

// shared gives connections of a server to several senders.
func shared(srv *server, most int) *link.Budget {
	return link.NewBudget(link.BudgetConfig{
		Connect: func(ctx context.Context) (link.Conn, error) { return srv.Connect(ctx, link.Wish{}) },
		Max:     most, Idle: 5 * time.Second, InitialBackoff: 100 * time.Millisecond, MaxBackoff: 5 * time.Second,
		Rand: func() float64 { return 1 },
	})
}

// Four slots with a backlog, one connection: each has its turn, and a new row of any of
// them goes first.
func TestSlotsShareOneConnectionInTurn(t *testing.T) {
	for _, ilp := range []bool{true, false} {
		t.Run(fmt.Sprint("ilp ", ilp), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { fourSlots(t, ilp) })
		})
	}
}

func fourSlots(t *testing.T, ilp bool) {
	srv := narrow(time.Second, 10)
	srv.ilp = ilp
	connections := shared(srv, 1)
	t.Cleanup(connections.Close)
	mem := vfstest.NewMem()
	var slots []*bed
	for i := range 4 {
		s, err := slot.Open(slot.Options{FS: mem, Dir: fmt.Sprintf("/sf/default-%d", i), SegmentBytes: 1 << 16, Durability: slot.Memory})
		if err != nil {
			t.Fatal(err)
		}
		b := &bed{TB: t, slot: s, srv: srv, next: int64(i) * 10_000}
		for range 300 {
			b.storeAt(time.Now(), 1)
		}
		slots = append(slots, b)
	}
	time.Sleep(time.Minute)
	for _, b := range slots {
		b.loop = sender.Start(sender.Config{
			Slot: b.slot, Link: connections, Rand: func() float64 { return 1 }, InitialBackoff: 100 * time.Millisecond, MaxBackoff: time.Second,
		})
		t.Cleanup(func() { b.loop.Stop(); _ = b.slot.Close() })
	}
	time.Sleep(40 * time.Second)
	for i, b := range slots {
		if n := b.slot.Stats().Pending; n < 150 || n > 250 {
			t.Errorf("slot %d has %d of 300 left after a third of the time", i, n)
		}
	}
	late := time.Duration(0)
	for n := range 8 {
		b := slots[n%4]
		id := b.next
		b.storeAt(time.Now(), 1)
		stored := time.Now()
		for !slices.Contains(srv.ids(), id) {
			time.Sleep(100 * time.Millisecond)
		}
		late = max(late, time.Since(stored))
	}
	for _, b := range slots {
		b.drained()
	}
	if n := len(srv.connectTimes()); n > 12 || late > 6*time.Second || len(srv.ids()) != 1208 {
		t.Errorf("%d connections, %d rows, new ones there after %s", n, len(srv.ids()), late)
	}
	time.Sleep(6 * time.Second)
	for _, b := range slots {
		if st := b.loop.State(); st.Connected || st.LastError != nil {
			t.Errorf("%+v", st)
		}
	}
}

// twoSlots share one connection of a server.
func twoSlots(t *testing.T, srv *server, cfg sender.Config) (a, b *bed, connections *link.Budget) {
	connections = shared(srv, 1)
	t.Cleanup(connections.Close)
	mem := vfstest.NewMem()
	var beds []*bed
	for i := range 2 {
		s, err := slot.Open(slot.Options{FS: mem, Dir: fmt.Sprintf("/sf/default-%d", i), SegmentBytes: 1 << 16, Durability: slot.Memory})
		if err != nil {
			t.Fatal(err)
		}
		beds = append(beds, &bed{TB: t, slot: s, srv: srv, next: int64(i) * 10_000})
	}
	for _, b := range beds {
		cfg.Slot, cfg.Link, cfg.Rand = b.slot, connections, func() float64 { return 1 }
		cfg.InitialBackoff, cfg.MaxBackoff = 100*time.Millisecond, time.Second
		t.Cleanup(func() { b.loop.Stop(); _ = b.slot.Close() })
	}
	start := func(b *bed) {
		c := cfg
		c.Slot = b.slot
		b.loop = sender.Start(c)
	}
	beds[0].begin, beds[1].begin = func() { start(beds[0]) }, func() { start(beds[1]) }
	return beds[0], beds[1], connections
}

// A frame of 500 rows that takes minutes does not hold up a row of another slot.
func TestALargeFrameLeavesTheConnectionToOtherSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := narrow(5*time.Second, 1)
		srv.maxRows = 10
		a, b, _ := twoSlots(t, srv, sender.Config{})
		a.storeAt(time.Now(), 500)
		a.begin()
		b.begin()
		time.Sleep(20 * time.Second)
		id := b.next
		b.storeAt(time.Now(), 1)
		stored := time.Now()
		for !slices.Contains(srv.ids(), id) {
			time.Sleep(100 * time.Millisecond)
		}
		if late := time.Since(stored); late > 16*time.Second {
			t.Errorf("there after %s", late)
		}
		a.drained()
		b.drained()
		if n := len(srv.ids()); n != 501 {
			t.Errorf("%d rows sent, of 501", n)
		}
	})
}

// Backlogs that have to wait for replay_rate need no connection, and pass none to and fro.
func TestSlotsWhoseBacklogsWaitLeaveTheConnectionAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sends atomic.Int64
		srv := &server{ilp: true, frames: 4}
		srv.recv = func(int) { sends.Add(1) }
		a, b, _ := twoSlots(t, srv, sender.Config{Replay: sender.NewReplay(2)})
		for range 20 {
			a.storeAt(time.Now(), 1)
			b.storeAt(time.Now(), 1)
		}
		time.Sleep(time.Minute)
		a.begin()
		b.begin()
		for range 3 { // something new comes, and is sent
			time.Sleep(time.Minute)
			a.storeAt(time.Now(), 1)
			b.storeAt(time.Now(), 1)
		}
		time.Sleep(7 * time.Minute)
		if n := sends.Load(); n > 200 || a.slot.Stats().Pending+b.slot.Stats().Pending == 0 {
			t.Errorf("%d looks for answers in ten minutes, %d rows left", n, a.slot.Stats().Pending+b.slot.Stats().Pending)
		}
		if n := len(srv.connectTimes()); n > 60 {
			t.Errorf("%d connects in ten minutes", n)
		}
		a.drained()
		b.drained()
	})
}

// While an answer is due nothing is looked at, though the backlog might go on.
func TestWaitingForAnAnswerIsNoBusyLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{frames: 2, window: 1}
		windows := 0
		srv.windows = func() { windows++ }
		srv.answer = func(int, int64) *link.Outcome { return nil }
		srv.sent = func(c *conn, _ []taken) {
			seq := c.seq - 1
			go func() {
				time.Sleep(3 * time.Second)
				c.out <- link.Outcome{Seq: seq}
			}()
		}
		b := backlogged(t, srv, 40, sender.Config{Replay: sender.NewReplay(500)})
		b.drained()
		if windows > 1000 {
			t.Errorf("looked %d times for room", windows)
		}
	})
}

func TestAnAnswerToManyRequestsPausesABacklogOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := sender.NewReplay(0)
		for range 20 {
			r.Acked(10, 10*time.Millisecond)
		}
		r.Acked(640, 5*time.Second)
		r.Acked(640, 5*time.Second)
		if wait := time.Until(r.Ready()); wait > 5*time.Second {
			t.Errorf("a pause of %s", wait)
		}
	})
}

// complete checks that the server has each of so many rows.
func (b *bed) complete(rows int64) {
	b.Helper()
	has := map[int64]bool{}
	for _, id := range b.srv.ids() {
		has[id] = true
	}
	for id := range rows {
		if !has[id] {
			b.Errorf("row %d of %d is not there", id, rows)
			return
		}
	}
}
