// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
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

// heldBed is a bed with an oracle, in a bubble of synctest.
func heldBed(t *testing.T, srv *server, held []string, run func(*testing.T, *bed, *oracle)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{}
		o.hold(held...)
		run(t, startBed(t, vfstest.NewMem(), srv, sender.Config{Tables: o}), o)
	})
}

func TestATableThatWaitsHoldsUpNoOther(t *testing.T) {
	for _, window := range []int{1, 4} {
		heldBed(t, &server{window: window}, []string{"b"}, func(t *testing.T, b *bed, o *oracle) {
			b.storeIn("a", "b", "c", "b")
			b.storeIn("b")
			b.storeIn("a", "a")
			synctest.Wait()
			b.has(0, 2, 4+1, 4+2)
			st := b.loop.State()
			if st.Held != 3 || !strings.Contains(st.HeldFor, "b has no keys") || !st.Since.IsZero() || !sender.Stuck(st.LastError) {
				t.Errorf("%+v", st)
			}
			if st := b.slot.Stats(); st.Acked != 2 || st.PendingFrames != 2 || st.Pending != 5 {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestParkedRowsGoOutWithinAMinuteOfTheirTableBeingReady(t *testing.T) {
	heldBed(t, &server{window: 4}, []string{"b"}, func(t *testing.T, b *bed, o *oracle) {
		b.storeIn("a", "b")
		b.storeIn("b")
		b.storeIn("b", "a", "c")
		time.Sleep(10 * time.Minute)
		b.has(0, 4, 5)
		o.hold()
		time.Sleep(time.Minute)
		synctest.Wait()
		b.has(0, 4, 5, 1, 2, 3)
		st := b.loop.State()
		if st.Held != 0 || st.HeldFor != "" || st.LastError != nil || st.Connects != 1 || b.slot.Stats().Pending != 0 {
			t.Errorf("%+v, %+v", st, b.slot.Stats())
		}
	})
}

func TestParkedRowsAreTriedAgainOnANewConnection(t *testing.T) {
	heldBed(t, &server{window: 4}, []string{"b"}, func(t *testing.T, b *bed, o *oracle) {
		b.storeIn("a", "b")
		synctest.Wait()
		o.hold()
		b.loop.Recycle()
		synctest.Wait()
		b.has(0)
		b.storeIn("a") // what makes the connection
		synctest.Wait()
		b.has(0, 1, 2)
	})
}

// TestWhatIsKnownOfTablesIsAskedAnewWhereRowsAreInDoubt: a connection that ends with
// all answered leaves nothing to be sent twice; one that breaks does.
func TestWhatIsKnownOfTablesIsAskedAnewWhereRowsAreInDoubt(t *testing.T) {
	for name, orderly := range map[string]bool{"all is answered": true, "an answer is lost": false} {
		t.Run(name, func(t *testing.T) {
			srv := &server{window: 4, answer: func(conn int, seq int64) *link.Outcome {
				if !orderly && seq >= 5 && conn < 4 {
					return nil
				}
				return &link.Outcome{Seq: seq}
			}}
			heldBed(t, srv, nil, func(t *testing.T, b *bed, o *oracle) {
				for range 3 {
					for range 6 {
						b.storeIn("a", "b")
						synctest.Wait()
					}
					b.srv.cut()
					time.Sleep(time.Second)
				}
				first := b.srv.connectTimes()[0]
				for i, q := range o.about("a") {
					if at := b.srv.connectTimes()[i]; orderly && q.since != first || !orderly && q.since.Before(at) {
						t.Errorf("question %d: %+v, connected %s", i, q, at)
					}
				}
				if n := len(o.about("b")); n < 3 {
					t.Errorf("%d questions", n)
				}
			})
		})
	}
}

// TestTheVerdictOnATableIsAskedAgainWithinAMinute sends a row a second.
func TestTheVerdictOnATableIsAskedAgainWithinAMinute(t *testing.T) {
	heldBed(t, &server{window: 4}, nil, func(t *testing.T, b *bed, o *oracle) {
		for range 120 {
			b.storeIn("a")
			time.Sleep(time.Second)
		}
		if n := len(o.about("a")); n < 3 || n > 15 {
			t.Errorf("%d questions in two minutes", n)
		}
		o.hold("a")
		time.Sleep(time.Minute)
		b.storeIn("a")
		synctest.Wait()
		if st := b.loop.State(); st.Held != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// TestAFrameThatWaitedForTheWindowIsAskedAboutAgain has the second frame ready when
// the table is taken away.
func TestAFrameThatWaitedForTheWindowIsAskedAboutAgain(t *testing.T) {
	srv := &server{window: 1, answer: func(_ int, seq int64) *link.Outcome {
		if seq == 0 {
			return nil
		}
		return &link.Outcome{Seq: seq}
	}}
	for _, parked := range []bool{false, true} { // then another walk is due, too
		heldBed(t, srv, []string{"c"}, func(t *testing.T, b *bed, o *oracle) {
			if parked {
				b.storeIn("c")
			}
			a := b.next
			b.storeIn("a")
			b.storeIn("b")
			synctest.Wait()
			o.hold("b", "c")
			time.Sleep(time.Minute)
			b.srv.conns[len(b.srv.conns)-1].out <- link.Outcome{Seq: 0}
			synctest.Wait()
			b.has(a)
			b.srv.conns, b.srv.rows = nil, nil
		})
	}
}

func TestPartsThatWereAckedAreNotSentAgain(t *testing.T) {
	for name, again := range map[string]func(b *bed){
		"after a retry":      func(*bed) {},
		"after a connection": func(b *bed) { b.loop.Recycle(); synctest.Wait() },
		"after a break":      func(b *bed) { b.srv.cut(); synctest.Wait() },
	} {
		t.Run(name, func(t *testing.T) {
			heldBed(t, &server{window: 4, maxRows: 2}, []string{"b", "c"}, func(t *testing.T, b *bed, o *oracle) {
				b.storeIn("a", "b", "c", "a", "a", "b", "b", "a")
				synctest.Wait()
				for _, held := range []string{"b,c", "c", "c", ""} {
					o.hold(strings.FieldsFunc(held, func(r rune) bool { return r == ',' })...)
					again(b)
					time.Sleep(time.Minute + time.Second)
				}
				b.has(0, 3, 4, 7, 1, 5, 6, 2)
				if st := b.slot.Stats(); st.Acked != 8 || st.Pending != 0 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

func TestARefusedPartOfAFrameLeavesTheAckedOnesAlone(t *testing.T) {
	refused := &link.Refusal{Host: "server", Status: qwp.StatusInternalError, Message: "disk full"}
	srv := &server{window: 1, maxRows: 2, answer: func(conn int, seq int64) *link.Outcome {
		if seq == 1 && conn < 4 {
			return &link.Outcome{Seq: seq, Refusal: refused}
		}
		return &link.Outcome{Seq: seq}
	}}
	heldBed(t, srv, nil, func(t *testing.T, b *bed, _ *oracle) {
		b.store(8)
		b.drained()
		b.has(0, 1, 2, 3, 4, 5, 6, 7)
	})
}

func TestASenderWhoseRowsAllWaitIsIdle(t *testing.T) {
	heldBed(t, &server{}, []string{"a"}, func(t *testing.T, b *bed, o *oracle) {
		for range 20 {
			b.storeIn("a")
		}
		time.Sleep(time.Hour)
		if n := len(o.about("a")); n > 65 || len(b.srv.connectTimes()) != 1 {
			t.Errorf("%d questions and %d connects in an hour", n, len(b.srv.connectTimes()))
		}
	})
}

// TestAConnectionThatEndsWhileAllRowsWaitIsNoOutage has a server that closes what
// is idle.
func TestAConnectionThatEndsWhileAllRowsWaitIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log diary
		o := &oracle{}
		o.hold("a")
		b := startBed(t, vfstest.NewMem(), &server{}, sender.Config{Tables: o, Log: slog.New(slog.NewTextHandler(&log, nil))})
		b.storeIn("a")
		for range 100 {
			synctest.Wait()
			b.srv.cut()
			time.Sleep(10 * time.Second)
		}
		synctest.Wait()
		if n := len(b.srv.connectTimes()); n > 20 || log.String() != "" || !b.loop.State().Since.IsZero() {
			t.Errorf("%d connects in 1,000 s, %+v: %s", n, b.loop.State(), log.String())
		}
		o.hold()
		time.Sleep(2 * time.Minute)
		b.drained()
		b.has(0)
	})
}

func TestAServerThatCannotBeAskedIsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := errors.New("connection refused")
		o := &oracle{fails: func(table string) error {
			if table == "b" {
				return away
			}
			return nil
		}}
		b := startBed(t, vfstest.NewMem(), &server{window: 4}, sender.Config{Tables: o})
		b.storeIn("a")
		b.storeIn("b")
		time.Sleep(time.Minute)
		st := b.loop.State()
		if !errors.Is(st.LastError, away) || st.Since.IsZero() || st.Held != 0 || st.Connected || sender.Stuck(st.LastError) {
			t.Errorf("%+v", st)
		}
		if n := len(b.srv.connectTimes()); n < 5 || n > 30 {
			t.Errorf("%d connects in a minute", n)
		}
		o.mu.Lock()
		o.fails = nil
		o.mu.Unlock()
		b.drained()
		b.has(0, 1)
	})
}

func TestAPanicWhileATableIsAskedAboutIsAFailureLikeOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		o := &oracle{fails: func(string) error { return panicOnce(int(calls.Add(1))) }}
		b := startBed(t, vfstest.NewMem(), &server{}, sender.Config{Tables: o})
		b.store(2)
		synctest.Wait()
		var bug *sender.PanicError
		if st := b.loop.State(); !errors.As(st.LastError, &bug) {
			t.Errorf("%+v", st)
		}
		b.drained()
		b.has(0, 1)
	})
}

func TestAnOutageEndsWhenAllThatIsLeftWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log diary
		o := &oracle{}
		o.hold("a")
		b := startBed(t, vfstest.NewMem(), &server{refuseConnect: func(n int) error {
			if n < 5 {
				return errors.New("connection refused")
			}
			return nil
		}}, sender.Config{Tables: o, Log: slog.New(slog.NewTextHandler(&log, nil))})
		b.storeIn("a")
		time.Sleep(time.Minute)
		synctest.Wait()
		var held *sender.HeldError
		if st := b.loop.State(); !st.Since.IsZero() || !errors.As(st.LastError, &held) || held.Pending != 1 || st.Held != 1 {
			t.Errorf("%+v", st)
		}
		if !strings.Contains(log.String(), "the server is there again") || strings.Count(log.String(), "\n") != 2 {
			t.Errorf("said: %s", log.String())
		}
	})
}

func TestDrainReturnsWhatWaitsAndStopDoesNotHang(t *testing.T) {
	heldBed(t, &server{window: 4}, []string{"b"}, func(t *testing.T, b *bed, o *oracle) {
		b.storeIn("a", "b")
		var held *sender.HeldError
		if err := b.loop.Drain(context.Background()); !errors.As(err, &held) || !strings.Contains(held.For, "b has no keys") {
			t.Errorf("drain: %v", err)
		}
		b.storeIn("a")
		b.storeIn("b")
		start := time.Now()
		if err := b.loop.Drain(context.Background()); !errors.As(err, &held) || held.Pending != 3 {
			t.Errorf("drain: %v", err)
		}
		b.has(0, 2)
		b.loop.Stop()
		if took := time.Since(start); took > 0 || b.slot.Stats().Pending != 3 {
			t.Errorf("after %s: %+v", took, b.slot.Stats())
		}
	})
}

// TestFramesThatLeaveByAnotherWayAreForgotten evicts what waits.
func TestFramesThatLeaveByAnotherWayAreForgotten(t *testing.T) {
	heldBed(t, &server{}, []string{"b"}, func(t *testing.T, b *bed, o *oracle) {
		b.storeIn("b")
		b.storeIn("b", "b")
		synctest.Wait()
		for fsn, rows := range []int{1, 2} {
			if err := b.slot.Settle(slot.FSN(fsn), rows, slot.Evicted); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if st := b.loop.State(); st.Held != 0 || st.LastError != nil {
			t.Errorf("%+v", st)
		}
		b.storeIn("a")
		b.drained()
		b.has(3)
	})
}

// TestHeldRowsAndStopRace is for the race detector.
func TestHeldRowsAndStopRace(t *testing.T) {
	o := &oracle{}
	o.hold("b")
	b := startBed(t, vfstest.NewMem(), &server{window: 2}, sender.Config{Tables: o})
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 100 {
			b.storeIn("a", "b")
		}
	})
	wg.Go(func() {
		for range 100 {
			b.loop.Recycle()
			_ = b.loop.State()
		}
	})
	wg.Wait()
	b.loop.Stop()
}
