// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/tables"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// storeLarge publishes frames of one row each, of which three fill a segment.
func (b *bed) storeLarge(frames int) {
	b.Helper()
	for range frames {
		var row qwp.Row
		row.Reset("t")
		row.Varchar("text", strings.Repeat("x", 20_000))
		row.Long("id", b.next)
		row.At(1700000000000000 + b.next)
		b.next++
		b.storeRows(row)
	}
}

// giveUp gives up the oldest segment; while that happens, check is called.
func (b *bed) giveUp(check func()) (e slot.Eviction) {
	b.Helper()
	c, ok := b.slot.Oldest()
	if !ok {
		b.Fatal("no segment can be given up")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := b.loop.GiveUp(ctx, c.Last, func() (err error) {
		check()
		e, err = b.slot.Evict(c.Last)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return e
}

// unconnected fails the test while a connection is open.
func (b *bed) unconnected() {
	b.srv.mu.Lock()
	defer b.srv.mu.Unlock()
	for _, c := range b.srv.conns {
		select {
		case <-c.closed:
		default:
			b.Errorf("connection %d is open while rows are given up that it carries", c.n)
		}
	}
}

// mute is a server that takes everything and answers only from a connection on.
func mute(answering int) *server {
	return &server{window: 4, answer: func(conn int, seq int64) *link.Outcome {
		if conn < answering {
			return nil
		}
		return &link.Outcome{Seq: seq}
	}}
}

func TestFramesOnTheirWayAreGivenUpOnlyAfterTheirConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, mute(2))
		b.storeLarge(7)
		synctest.Wait()
		b.has(0, 1, 2, 3)
		start := time.Now()
		e := b.giveUp(b.unconnected)
		if e.Rows != 3 || e.Frames != 3 || e.Segments != 1 {
			t.Errorf("given up: %+v", e)
		}
		b.drained()
		b.has(0, 1, 2, 3, 3, 4, 5, 6)
		if st := b.slot.Stats(); st.Evicted != 3 || st.Acked != 4 || st.Pending != 0 || time.Since(start) > 0 {
			t.Errorf("after %s: %+v", time.Since(start), st)
		}
		if st := b.loop.State(); st.LastError != nil || !st.Since.IsZero() {
			t.Errorf("an outage that was none: %+v", st)
		}
	})
}

func TestAConnectionThatCarriesNothingOfItStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{}
		o.hold("late")
		b := startBed(t, vfstest.NewMem(), mute(1), sender.Config{Tables: o})
		b.storeIn("late")
		b.storeLarge(6)
		synctest.Wait()
		if st := b.loop.State(); st.Held != 1 {
			t.Fatalf("%+v", st)
		}
		if e := b.giveUp(func() {}); e.Rows != 1 || e.Frames != 1 {
			t.Errorf("given up: %+v", e)
		}
		b.storeLarge(1)
		synctest.Wait()
		if st := b.loop.State(); st.Held != 0 || st.Connects != 1 || !st.Connected {
			t.Errorf("%+v", st)
		}
		if st := b.slot.Stats(); st.Pending != 0 || st.Evicted != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// hanging lets every question about a table hang.
type hanging struct{}

func (hanging) Ready(ctx context.Context, _, _ string, _ time.Time) (tables.Answer, error) {
	<-ctx.Done()
	return tables.Answer{}, ctx.Err()
}

func TestNothingIsWaitedForWhileThereIsNoConnection(t *testing.T) {
	for what, srv := range map[string]*server{
		"connecting": {refuseConnect: func(int) error { time.Sleep(time.Hour); return errDown }},
		"waiting":    {refuseConnect: func(int) error { return errDown }},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t, srv)
				b.storeLarge(7)
				time.Sleep(7 * time.Second) // in the middle of the one or the other
				start := time.Now()
				if e := b.giveUp(b.unconnected); e.Rows != 3 || time.Since(start) > 0 {
					t.Errorf("given up after %s: %+v", time.Since(start), e)
				}
				if st := b.slot.Stats(); st.Pending != 4 {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

var errDown = errors.New("the server is down")

func TestAnswersThatAreThereAreTakenBeforeRowsAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, mute(2))
		b.storeLarge(7)
		synctest.Wait()
		b.srv.conns[0].out <- link.Outcome{Seq: 1}
		var acked int64
		e := b.giveUp(func() {
			b.unconnected()
			acked = b.slot.Stats().Acked
		})
		if e.Rows != 1 || acked != 2 {
			t.Errorf("%d acked before, given up: %+v", acked, e)
		}
		b.drained()
	})
}

func TestABusyConnectionIsCutAfterAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBed(t, vfstest.NewMem(), mute(1), sender.Config{Tables: hanging{}})
		b.storeLarge(7)
		synctest.Wait()
		first, start := b.srv.conns[0], time.Now()
		if e := b.giveUp(func() { <-first.closed }); e.Rows != 3 || time.Since(start) > time.Second {
			t.Errorf("given up after %s: %+v", time.Since(start), e)
		}
	})
}

func TestAServerThatNeverAnswersIsAnOutageAlsoWhileRowsAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, mute(1000))
		b.storeLarge(16)
		for range 3 {
			synctest.Wait()
			if st := b.loop.State(); !st.Since.IsZero() {
				t.Errorf("an outage already: %+v", st)
			}
			b.giveUp(b.unconnected)
		}
		synctest.Wait()
		if st := b.loop.State(); st.Since.IsZero() || st.LastError == nil {
			t.Errorf("no outage: %+v", st)
		}
	})
}

func TestAWishThatIsNotGrantedInTimeEvictsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := startBed(t, vfstest.NewMem(), mute(1), sender.Config{Tables: hanging{}})
		b.storeLarge(7)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		err := b.loop.GiveUp(ctx, 2, func() error { t.Error("evicted"); return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		b.loop.Stop()
	})
}

func TestGivingUpAndStoppingDoNotBlockEachOther(t *testing.T) {
	for range 50 {
		b := newBed(t, mute(3))
		b.storeLarge(7)
		var both sync.WaitGroup
		both.Go(func() {
			_ = b.loop.GiveUp(context.Background(), 2, func() error {
				_, err := b.slot.Evict(2)
				return err
			})
		})
		both.Go(b.loop.Stop)
		both.Wait()
		if st := b.slot.Stats(); st.Evicted+st.Acked < 3 || st.Pending != 7-st.Evicted-st.Acked {
			t.Fatalf("%+v", st)
		}
	}
}

func TestAPanicWhileRowsAreGivenUpEndsInAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, mute(2))
		b.storeLarge(4)
		synctest.Wait()
		err := b.loop.GiveUp(context.Background(), 2, func() error { panic("boom") })
		var bug *sender.PanicError
		if !errors.As(err, &bug) {
			t.Errorf("%v", err)
		}
		b.drained()
	})
}
