// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// closes closes a pool and fails the test unless it takes that long, and says
// each of these things and nothing else.
func closes(t testing.TB, p *Pool, took time.Duration, says ...string) {
	t.Helper()
	began := time.Now()
	err := p.Close(context.Background())
	if d := time.Since(began); d != took {
		t.Errorf("Close took %s, want %s", d, took)
	}
	lines := 0
	if err != nil {
		lines = strings.Count(err.Error(), "\n") + 1
	}
	if lines != len(says) {
		t.Errorf("Close said %v, want %d lines", err, len(says))
		return
	}
	for _, text := range says {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("Close said %v, want %q", err, text)
		}
	}
}

// closeLater closes a pool in the background.
func closeLater(p *Pool) (closed chan error) {
	closed = make(chan error, 1)
	go func() { closed <- p.Close(context.Background()) }()
	return closed
}

func TestCloseReleasesEverySlotAndTheSecondCloseSaysTheSame(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		p := b.open(cfg)
		giveBack(b.take(p, 4)...)
		closes(t, p, 0)
		b.holding()
		b.census(p)
		calls := s.count("close")
		closes(t, p, 0)
		if s.count("close") != calls || calls != 4 {
			t.Errorf("%d closes of senders, then %d", calls, s.count("close"))
		}
		next := b.open(cfg) // the lock of the pool is free, too
		if got := len(b.take(next, 4)); got != 4 {
			t.Errorf("%d senders", got)
		}
	})
}

func TestClosesAtOnceEndTogetherWithOneResult(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		lent := b.take(p, 2)
		lent[1].Return()
		var results []chan error
		for range 10 {
			results = append(results, closeLater(p))
		}
		first := <-results[0]
		for _, result := range results[1:] {
			if err := <-result; err == nil || err != first {
				t.Errorf("%v, and %v", first, err)
			}
		}
		if time.Since(epoch) != returnTimeout || s.count("close") != 1 {
			t.Errorf("after %s, %d senders were closed", time.Since(epoch), s.count("close"))
		}
		lent[0].Return()
		b.holding()
		b.census(p)
	})
}

func TestAPoolThatNeverOpenedASlotCloses(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		closes(t, b.open(b.config()), 0)
	})
}

func TestCloseWaitsForBorrowedSendersUntilTheyAreReturned(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		senders := b.take(p, 2)
		for i, s := range senders {
			time.AfterFunc(time.Duration(i+1)*time.Second, s.Return)
		}
		closes(t, p, 2*time.Second)
		b.holding()
		b.census(p)
	})
}

func TestCloseWaitsForASenderThatIsDiscarded(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		time.AfterFunc(time.Second, b.take(p, 1)[0].Discard)
		closes(t, p, time.Second)
		b.holding()
	})
}

func TestCloseWaitsForBorrowedSendersAtMostFiveSeconds(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		senders := b.take(p, 3)
		senders[0].Return()
		closes(t, p, 5*time.Second, "default-1 stays locked: its sender was not returned", "default-2 stays locked")
		b.holding(1, 2)
		b.census(p)
		senders[1].Return()
		b.holding(2)
		senders[2].Discard()
		b.holding()
		b.census(p)
	})
}

func TestCloseWaitsForBorrowedSendersNoLongerThanItsContext(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		lent := b.take(p, 1)[0]
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.Close(ctx); err == nil || time.Since(epoch) != time.Second {
			t.Errorf("after %s: %v", time.Since(epoch), err)
		}
		lent.Return()
		b.holding()
	})
}

func TestALateReturnWhileCloseStillDrainsIsClosedWithTheOthers(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.CloseFlushTimeout = 10 * time.Second
		p := b.open(cfg)
		senders := b.take(p, 2)
		put(t, p, senders[0])
		senders[0].Return()
		time.AfterFunc(8*time.Second, senders[1].Return)
		closes(t, p, 15*time.Second)
		b.holding()
		b.census(p)
	})
}

func TestCloseWaitsForAcksUntilTheyAreThere(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.CloseFlushTimeout = 5 * time.Second
		p := b.open(cfg)
		senders := b.take(p, 2)
		for i, s := range senders {
			put(t, p, s)
			s.Return()
			time.AfterFunc(time.Duration(i+1)*time.Second, func() { b.ack(i, 1) })
		}
		closes(t, p, 2*time.Second)
		b.holding()
		if b.log.count("rows stay on disk") != 0 {
			t.Error(b.log.String())
		}
	})
}

func TestCloseWaitsForAcksNoLongerThanCloseFlushTimeout(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.CloseFlushTimeout = 3 * time.Second
		p := b.open(cfg)
		senders := b.take(p, 3)
		for _, s := range senders {
			put(t, p, s)
		}
		giveBack(senders...)
		closes(t, p, 3*time.Second) // for all of them together
		b.holding()
		if n := b.log.count("rows stay on disk until the next start"); n != 3 {
			t.Errorf("said %d times: %s", n, b.log.String())
		}
	})
}

func TestANegativeCloseFlushTimeoutDoesNotWaitForAcks(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		lent := b.take(p, 1)[0]
		put(t, p, lent)
		lent.Return()
		closes(t, p, 0)
		b.holding()
	})
}

func TestACloseThatHangsIsReportedAndHoldsUpNothingElse(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		let := s.hold("close 1")
		giveBack(b.take(p, 4)...)
		closes(t, p, closeTimeout+time.Second, "default-1 stays locked: it is still closing")
		b.holding(1)
		b.census(p)
		let()
		b.holding()
		b.census(p)
	})
}

func TestABuildThatHangsIsReportedAndItsSlotReleasedWhenItEnds(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		let := s.hold("open 0")
		_, _ = p.Borrow(context.Background()) // gives up
		closes(t, p, closeTimeout+time.Second, "default-0 stays locked: it is still building")
		b.census(p)
		let()
		b.holding()
		b.census(p)
		if p.Stats().Free != 4 {
			t.Errorf("stats %+v", p.Stats())
		}
	})
}

func TestARecoveryThatHangsIsReportedAndItsSlotReleasedWhenItEnds(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		let := s.hold("open 0")
		p := b.open(seeded(b, s, 0))
		synctest.Wait()
		closes(t, p, closeTimeout+time.Second, "default-0 stays locked")
		let()
		b.holding()
		b.census(p)
	})
}

func TestACloseThatFailsIsReportedAndTheOthersAreClosed(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		s.fail("close 0", errTest)
		giveBack(b.take(p, 4)...)
		closes(t, p, 0, errTest.Error())
		b.holding()
		b.census(p)
	})
}

func TestASlotThatStaysLockedIsReportedByClose(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		b.keep[2] = true
		giveBack(b.take(p, 4)...)
		closes(t, p, 0, "default-2 stays locked: its sender did not stop")
		b.holding(2)
		b.census(p)
	})
}

func TestBorrowersThatWaitGetErrClosedAtOnce(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.AcquireTimeout = time.Hour
		p := b.open(cfg)
		b.take(p, 4)
		results := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := p.Borrow(context.Background())
				results <- err
			}()
		}
		synctest.Wait()
		closed := closeLater(p)
		for range 3 {
			if err := <-results; !errors.Is(err, ErrClosed) {
				t.Errorf("error %v", err)
			}
		}
		if time.Since(epoch) != 0 {
			t.Errorf("after %s", time.Since(epoch))
		}
		<-closed
	})
}

func TestAClosedPoolAnswersErrClosed(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		lent := b.take(p, 1)[0]
		batch := oneRow(t, p)
		closed := closeLater(p)
		synctest.Wait() // it waits for the sender
		_, err := p.Borrow(context.Background())
		_, stageErr := p.Stage(context.Background(), Shard{lent, batch})
		for _, err := range []error{err, stageErr, lent.Flush(context.Background(), batch)} {
			if !errors.Is(err, ErrClosed) {
				t.Errorf("error %v", err)
			}
		}
		if s.count("reserve") != 0 {
			t.Error("something was stored")
		}
		lent.Return()
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}

// Every file that a pool opened is closed, and the lock of each slot released,
// with and without rows left behind.
func TestCloseLeavesNoFileOpenAndNoLockHeld(t *testing.T) {
	for _, down := range []bool{false, true} {
		t.Run(fmt.Sprintf("down=%t", down), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, srv := newBed(t), &server{}
				srv.is(down)
				cfg := b.config()
				files := &tally{FS: cfg.FS}
				cfg.FS = files
				p := srv.open(t, cfg)
				senders := b.take(p, 4)
				for _, s := range senders {
					put(t, p, s)
				}
				giveBack(senders...)
				time.Sleep(time.Second)
				if files.open.Load() < 8 {
					t.Fatalf("only %d files open", files.open.Load())
				}
				closes(t, p, 0)
				if n := files.open.Load(); n != 0 {
					t.Errorf("%d files left open", n)
				}
				closes(t, srv.open(t, cfg), 0)
				for index := range 4 {
					relock(t, cfg.FS, p.path(p.slotName(index)))
				}
			})
		})
	}
}
