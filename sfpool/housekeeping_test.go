// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestPrewarmOpensMinSendersBeforeAnybodyAsks(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.MinSenders = 2
		p := b.open(cfg)
		b.holding(0, 1)
		if st := p.Stats(); st.Idle != 2 || st.Live != 2 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestWithoutAMinimumNothingIsOpenedUntilSomebodyBorrows(t *testing.T) {
	inTime(t, func(_ *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		time.Sleep(time.Hour)
		b.holding()
		b.take(p, 1)
		b.holding(0)
	})
}

func TestBorrowGivesUpExactlyAfterAcquireTimeout(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.AcquireTimeout = 7 * time.Second
		p := b.open(cfg)
		b.take(p, 4)
		began := time.Now()
		_, err := p.Borrow(context.Background())
		var late *AcquireError
		if !errors.As(err, &late) || late.Waited != 7*time.Second || time.Since(began) != 7*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		b.census(p)
	})
}

func TestASenderIsReapedOnceItIsIdleForIdleTimeout(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config()) // idle_timeout 1m, a look each 5s
		giveBack(b.take(p, 1)...)
		returned := time.Now()
		time.Sleep(time.Minute - 1)
		b.holding(0)
		time.Sleep(5 * time.Second)
		b.holding()
		if at := s.when("close 0"); len(at) != 1 || at[0].Sub(returned) < time.Minute {
			t.Errorf("closed at %v, returned at %v", at, returned)
		}
		b.census(p)
	})
}

func TestASenderThatIsUsedNowAndThenIsNotReaped(t *testing.T) {
	inTime(t, func(_ *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		for range 100 {
			giveBack(b.take(p, 1)...)
			time.Sleep(59 * time.Second)
		}
		if n := s.count("close"); n != 0 {
			b.t.Errorf("closed %d times", n)
		}
	})
}

func TestReapingTakesTheHighestIndicesAndNeverGoesBelowMin(t *testing.T) {
	inTime(t, func(_ *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.MinSenders = 2
		p := b.open(cfg)
		giveBack(b.take(p, 4)...) // the lowest is idle for the longest
		b.holding(0, 1, 2, 3)
		time.Sleep(24 * time.Hour)
		b.holding(0, 1)
		b.census(p)
	})
}

func TestANegativeIdleTimeoutReapsNothing(t *testing.T) {
	inTime(t, func(_ *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.IdleTimeout = -1
		p := b.open(cfg)
		giveBack(b.take(p, 4)...)
		time.Sleep(24 * time.Hour)
		b.holding(0, 1, 2, 3)
	})
}

func TestASenderWithPendingFramesIsNeverReaped(t *testing.T) {
	inTime(t, func(_ *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		senders := b.take(p, 3)
		put(b.t, p, senders[1])
		giveBack(senders...)
		time.Sleep(24 * time.Hour)
		b.holding(1)
		b.ack(1, 1)
		time.Sleep(time.Minute)
		b.holding()
		b.census(p)
	})
}

func TestAReapedIndexIsRecycled(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		for range 20 {
			senders := b.take(p, 2)
			if got := indices(senders); !slices.Equal(got, []int{0, 1}) {
				t.Fatalf("slots %v", got)
			}
			giveBack(senders...)
			time.Sleep(2 * time.Minute)
			b.holding()
		}
		b.census(p)
	})
}

func TestADiscardedSenderIsReplacedUpToMin(t *testing.T) {
	inTime(t, func(_ *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.MinSenders = 2
		p := b.open(cfg)
		time.Sleep(time.Hour) // nothing to look after: the housekeeper sleeps
		b.take(p, 1)[0].Discard()
		b.holding(1)
		time.Sleep(5 * time.Second)
		b.holding(0, 1)
		b.census(p)
	})
}

// While the server is gone min cannot be kept; that is said once.
func TestAMinimumThatCannotBeOpenedIsTriedAgainAndSaidOnce(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.MinSenders = 1
		p := b.open(cfg)
		b.holding(0)
		s.fail("open 0", errTest)
		b.take(p, 1)[0].Discard()
		time.Sleep(time.Minute)
		b.holding()
		if n := b.log.count("cannot keep sender_pool_min"); n != 1 {
			t.Errorf("said %d times: %s", n, b.log.String())
		}
		s.fail("open 0", nil)
		time.Sleep(5 * time.Second)
		b.holding(0)
		b.census(p)
	})
}

func TestMaxLifetimeRecyclesOnlyTheConnection(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.MinSenders, cfg.MaxLifetime = 1, 10*time.Minute
		b.connect(0, sender.State{Connected: true, Connects: 1})
		s.on("recycle", func(index int) { // and it is connected again at once
			b.connect(index, sender.State{Connected: true, Connects: int64(s.count("recycle")) + 1})
		})
		p := b.open(cfg)
		lent := b.take(p, 1)[0]
		put(t, p, lent) // frames are pending all the time
		time.Sleep(time.Hour)
		last := time.Now().Add(-time.Hour)
		for _, at := range s.when("recycle 0") {
			if age := at.Sub(last); age < cfg.MaxLifetime || age > cfg.MaxLifetime+15*time.Second {
				t.Errorf("recycled after %s", age)
			}
			last = at
		}
		if n := s.count("recycle"); n != 5 {
			t.Errorf("recycled %d times in an hour", n)
		}
		lent.Return()
		if again := b.take(p, 1)[0]; again.Index() != 0 || again.member != lent.member {
			t.Error("the sender did not stay")
		}
		if s.count("close") != 0 || s.count("open") != 1 {
			t.Error("the slot was closed")
		}
		b.census(p)
	})
}

func TestANegativeMaxLifetimeRecyclesNothing(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.MinSenders, cfg.MaxLifetime = 1, -1
		b.connect(0, sender.State{Connected: true, Connects: 1})
		b.keep[1] = true
		b.take(b.open(cfg), 2)[1].Discard() // a leaked slot keeps the housekeeper coming
		time.Sleep(24 * time.Hour)
		if n := s.count("recycle"); n != 0 || s.count("released 1") < 1000 {
			t.Errorf("recycled %d times", n)
		}
	})
}

// Rows are pending when the sender is returned, and it connects after that.
func TestMaxLifetimeEndsAConnectionThatWasMadeAfterTheReturn(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.MinSenders = 1
		p := b.open(cfg)
		lent := b.take(p, 1)[0]
		put(t, p, lent)
		lent.Return()
		time.Sleep(time.Minute)
		b.connect(0, sender.State{Connected: true, Connects: 1})
		b.ack(0, 1)
		time.Sleep(time.Hour)
		if s.count("recycle") == 0 {
			t.Error("a connection of an hour was not recycled")
		}
	})
}

func TestTheHousekeeperComesEachInterval(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.HousekeeperInterval = 42 * time.Second
		p := b.open(cfg)
		b.holding() // its first round is through
		b.keep[0] = true
		b.take(p, 1)[0].Discard()
		time.Sleep(3*42*time.Second + 1)
		at := s.when("released 0")
		if len(at) != 4 {
			t.Fatalf("looked at %v", at)
		}
		for i := range at[1:] {
			if d := at[i+1].Sub(at[i]); d != cfg.HousekeeperInterval {
				t.Errorf("look %d after %s", i, d)
			}
		}
	})
}

func TestABorrowThatIsCancelledDuringABuildReturnsAtOnceAndLosesNothing(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.AcquireTimeout = time.Hour
		let := s.hold("open 0")
		p := b.open(cfg)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := p.Borrow(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(epoch) != time.Second {
			t.Errorf("after %s: %v", time.Since(epoch), err)
		}
		b.census(p)
		let()
		synctest.Wait()
		if st := p.Stats(); st.Idle != 1 {
			t.Errorf("stats %+v", st)
		}
		if got := b.take(p, 1)[0]; got.Index() != 0 || s.count("open") != 1 {
			t.Errorf("slot %d after %d opens", got.Index(), s.count("open"))
		}
		b.census(p)
	})
}

// Cancel and Return meet in every order; whoever wins, the sender is somewhere.
func TestCancelledBorrowsNeverLoseASender(t *testing.T) {
	b := newBed(t)
	cfg := b.config()
	cfg.AcquireTimeout, cfg.MaxSenders = time.Minute, 1
	p := b.open(cfg)
	for range 500 {
		lent := b.take(p, 1)[0]
		ctx, cancel := context.WithCancel(context.Background())
		var done sync.WaitGroup
		done.Go(func() {
			if s, err := p.Borrow(ctx); err == nil {
				s.Return()
			}
		})
		done.Go(cancel)
		done.Go(lent.Return)
		done.Wait()
	}
	b.census(p)
	if st := p.Stats(); st.Idle != 1 || len(p.waiters) != 0 || p.hired != 0 {
		t.Errorf("%d waiters, %d hired, stats %+v", len(p.waiters), p.hired, st)
	}
}

func TestAnIdlePoolDoesNotEvenWakeUp(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.MinSenders = 1
		b.connect(0, sender.State{Connected: true, Connects: 1})
		s.on("recycle", func(index int) { b.connect(index, sender.State{Connects: 1}) }) // nothing to connect for
		p := b.open(cfg)
		giveBack(b.take(p, 4)...)
		time.Sleep(time.Hour) // reaped, and its connection ended
		before := s.count("")
		time.Sleep(24 * time.Hour)
		if n := s.count("") - before; n != 0 {
			t.Errorf("%d calls in a day: %v", n, s.calls[before:before+min(n, 10)])
		}
		b.holding(0)
	})
}

// Real slots, a server that takes everything, and every call to the disk counted.
func TestAnIdlePoolDoesNoIO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		b, srv := newBed(t), &server{}
		cfg := b.config()
		cfg.MinSenders, cfg.DrainOrphans = 1, true
		cfg.FS = vfstest.Wrap(vfstest.NewMem(), func(vfstest.Op) error { calls.Add(1); return nil })
		p := srv.open(t, cfg)
		senders := b.take(p, 4)
		for _, s := range senders {
			put(t, p, s)
		}
		giveBack(senders...)
		time.Sleep(time.Hour)
		if st := p.Stats(); st.Acked != 4 || st.Pending != 0 || st.Live != 1 {
			t.Fatalf("not idle: %+v", st)
		}
		before := calls.Load()
		time.Sleep(24 * time.Hour)
		if n := calls.Load() - before; n != 0 || before == 0 {
			t.Errorf("%d calls to the disk in a day, %d before", n, before)
		}
	})
}
