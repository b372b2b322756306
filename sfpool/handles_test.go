// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestDiscardClosesTheSenderAndTheNextBorrowOpensItsSlotAgain(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		first := b.take(p, 1)[0]
		first.Discard()
		b.holding()
		if again := b.take(p, 1)[0]; again.Index() != 0 || again.member == first.member || !slices.Equal(b.opens, []int{0, 0}) {
			t.Errorf("slot %s, opened %v", again.Name(), b.opens)
		}
		b.census(p)
	})
}

// panicOf returns what f panics with; nil if it does not.
func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

func TestMisuseOfAHandlePanicsWithASentenceAndHarmsNobody(t *testing.T) {
	for name, c := range map[string]struct {
		end, misuse func(*Sender)
		sentence    string
	}{
		"return after return":   {(*Sender).Return, (*Sender).Return, "bug: sender default-0 was given back already"},
		"discard after return":  {(*Sender).Return, (*Sender).Discard, "bug: sender default-0 was given back already"},
		"return after discard":  {(*Sender).Discard, (*Sender).Return, "bug: sender default-0 was given back already"},
		"discard after discard": {(*Sender).Discard, (*Sender).Discard, "bug: sender default-0 was given back already"},
		"flush after return":    {(*Sender).Return, flushOne, "bug: sender default-0 is used after it was given back"},
		"flush after discard":   {(*Sender).Discard, flushOne, "bug: sender default-0 is used after it was given back"},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *bed, s *script) {
				p := b.open(b.config())
				old := b.take(p, 1)[0]
				c.end(old)
				synctest.Wait()
				next := b.take(p, 1)[0]
				if got := panicOf(func() { c.misuse(old) }); got != c.sentence {
					t.Errorf("panic %v", got)
				}
				if next.Index() != 0 || s.count("reserve") != 0 {
					t.Errorf("slot %s, calls %v", next.Name(), s.calls)
				}
				put(t, p, next) // it is still his
				next.Return()
				b.census(p)
			})
		})
	}
}

// flushOne flushes a row through a handle, whatever comes of it.
func flushOne(s *Sender) {
	b := s.pool.NewBatch()
	_ = b.Add(row1())
	_ = s.Flush(context.Background(), b)
}

func row1() *Row {
	var r Row
	r.Reset("t")
	r.Long("id", 1)
	r.At(1)
	return &r
}

func TestABatchThatIsStoredIsNotStoredAgainUnlessItIsReset(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		s := b.take(p, 1)[0]
		batch := oneRow(t, p)
		do(t, s.Flush(context.Background(), batch))
		for range 2 {
			if err := s.Flush(context.Background(), batch); err == nil || !strings.Contains(err.Error(), "Reset") {
				t.Errorf("error %v", err)
			}
			do(t, batch.Add(row1()))
		}
		if rows := b.stored(); rows != 1 {
			t.Errorf("%d rows are stored", rows)
		}
		batch.Reset()
		do(t, errors.Join(batch.Add(row1()), s.Flush(context.Background(), batch)))
		if rows := b.stored(); rows != 2 {
			t.Errorf("%d rows are stored", rows)
		}
		s.Return()
		b.census(p)
	})
}

func TestABatchWhoseFlushFailedMayBeFlushedAgain(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, script *script) {
		p := b.open(b.config())
		s := b.take(p, 1)[0]
		batch := oneRow(t, p)
		for _, step := range []string{"reserve 0", "append 0", "sync 0"} {
			script.fail(step, errTest)
			if err := s.Flush(context.Background(), batch); !errors.Is(err, errTest) {
				t.Errorf("%s: %v", step, err)
			}
			script.fail(step, nil)
		}
		staged, err := p.Stage(context.Background(), Shard{Sender: s, Batch: batch})
		do(t, err)
		staged.Rollback()
		do(t, s.Flush(context.Background(), batch))
		if rows := b.stored(); rows != 1 {
			t.Errorf("%d rows are stored", rows)
		}
	})
}

func TestABorrowThatIsCancelledLeavesTheSenderToTheNext(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		let := s.hold("open 0")
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if _, err := p.Borrow(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		b.census(p)
		let()
		synctest.Wait()
		if st := p.Stats(); st.Idle != 1 || st.Live != 1 {
			t.Errorf("stats %+v", st)
		}
		if got := indices(b.take(p, 1)); !slices.Equal(got, []int{0}) || !slices.Equal(b.opens, []int{0}) {
			t.Errorf("slots %v, opened %v", got, b.opens)
		}
		b.census(p)
	})
}

func TestAnIdleSenderIsLentEvenWhenTheContextHasEnded(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		giveBack(b.take(p, 1)...)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if s, err := p.Borrow(ctx); err != nil || s.Index() != 0 {
			t.Errorf("%v", err)
		}
	})
}

func TestSixGoroutinesBorrowAndReturn(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		var crowd sync.WaitGroup
		for range 6 {
			crowd.Go(func() {
				for range 25 {
					s := b.take(p, 1)[0]
					put(t, p, s)
					s.Return()
				}
			})
		}
		crowd.Wait()
		b.census(p)
		if st := p.Stats(); st.Idle != st.Live || st.Leaked != 0 || st.Pending != 6*25 || slices.Max(b.opens) > 3 {
			t.Errorf("stats %+v, opened %v", st, b.opens)
		}
	})
}

func TestALongRaceWithFaultsLosesNoIndex(t *testing.T) {
	rounds := 2000
	if testing.Short() {
		rounds = 200
	}
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		var calm atomic.Bool
		b.hook = func(call string, index int) error {
			if calm.Load() {
				return nil
			}
			return stumble(call, index)
		}
		p := b.open(b.config())
		var crowd sync.WaitGroup
		for range 8 {
			crowd.Go(func() {
				for range rounds {
					b.jostle(p)
				}
			})
		}
		crowd.Wait()
		calm.Store(true)
		b.recovers(p)
	})
}

// stumble lets one call in twenty fail, one in twenty panic, and one in ten take
// its time.
func stumble(call string, index int) error {
	if call == "view" || call == "progress" {
		return nil // in the hands of census, too
	}
	switch rand.IntN(20) {
	case 0:
		return fmt.Errorf("%s of slot %d: %w", call, index, errTest)
	case 1:
		panic(errTest)
	case 2, 3:
		time.Sleep(time.Millisecond)
	}
	return nil
}

// jostle borrows a sender, perhaps in vain, uses it, and gives it back in one of
// several ways; or it lets a lock go.
func (b *bed) jostle(p *Pool) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.IntN(40))*time.Millisecond)
	defer cancel()
	s, err := p.Borrow(ctx)
	if err != nil {
		for _, m := range p.membersIn(leaked) {
			b.drop(m)
		}
		return
	}
	b.setKeep(s.Index(), rand.IntN(4) == 0)
	broke := panicOf(func() { _ = s.Flush(ctx, oneRow(b.t, p)) })
	if v := fmt.Sprint(broke); strings.Contains(v, "used after it was given back") {
		b.t.Errorf("two borrowers of %s: %s", s.Name(), v)
	}
	if st := p.Stats(); st.Free+st.Building+st.Live+st.Closing+st.Leaked != p.cfg.MaxSenders {
		b.t.Errorf("stats %+v", st)
	}
	s.end(rand.IntN(4) == 0)
}

func (b *bed) setKeep(index int, keep bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.keep[index] = keep
}

// recovers fails the test unless every index can be borrowed once nothing fails
// any more, and every lock is released when the pool is closed.
func (b *bed) recovers(p *Pool) {
	b.t.Helper()
	b.mu.Lock()
	clear(b.keep)
	b.mu.Unlock()
	b.settled(p)
	for _, m := range p.membersIn(leaked) {
		b.drop(m)
	}
	time.Sleep(p.cfg.HousekeeperInterval) // for what nobody asked
	senders := b.take(p, p.cfg.MaxSenders)
	b.census(p)
	giveBack(senders...)
	if err := p.Close(context.Background()); err != nil {
		b.t.Error(err)
	}
	b.holding()
	b.census(p)
}
