// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// try runs a TryBorrow and fails the test if it takes any time.
func try(t testing.TB, p *Pool) (*Sender, bool) {
	t.Helper()
	began := time.Now()
	s, ok := p.TryBorrow(context.Background())
	if waited := time.Since(began); waited > 0 || ok != (s != nil) {
		t.Errorf("sender %v, %t after %s", s, ok, waited)
	}
	return s, ok
}

func TestTryBorrowTakesAnIdleSenderOrOpensASlotAndNeverWaitsForOthers(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.MaxSenders = 2
		p := b.open(cfg)
		b.take(p, 1)[0].Return()
		first, _ := try(t, p)
		second, _ := try(t, p)
		if got := indices([]*Sender{first, second}); !slices.Equal(got, []int{0, 1}) || !slices.Equal(b.opens, got) {
			t.Errorf("slots %v, opened %v", got, b.opens)
		}
		if s, ok := try(t, p); ok {
			t.Errorf("%s of two that are borrowed", s.Name())
		}
		giveBack(first, second)
		b.census(p)
	})
}

func TestTryBorrowDoesNotWaitForOthersWhenItsSlotCannotBeOpened(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.MaxSenders = 3
		p := b.open(cfg)
		home := b.take(p, 1)[0]
		for _, key := range []string{"open 1", "open 2"} {
			s.fail(key, &LockedError{Dir: "/sf"})
		}
		if s, ok := try(t, p); ok {
			t.Errorf("%s though nothing can be opened", s.Name())
		}
		s.fail("open 2", errTest)
		time.Sleep(time.Minute) // after which the slots are tried again
		if s, ok := try(t, p); ok {
			t.Errorf("%s though nothing can be opened", s.Name())
		}
		giveBack(home)
		b.census(p)
	})
}

// The one that waits in earnest gets what comes first; the other one ends.
func TestABriefWaitEndsWhenTheOnlySlotThatOpensGoesToOneWhoWaits(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.MaxSenders = 2
		p := b.open(cfg)
		first, second := s.hold("open 0"), s.hold("open 1")
		s.fail("open 1", &LockedError{Dir: "/sf/default-1"})
		var got *Sender
		var tried bool
		var both sync.WaitGroup
		both.Go(func() { got, _ = p.Borrow(context.Background()) })
		synctest.Wait()
		both.Go(func() { _, tried = p.TryBorrow(context.Background()) })
		synctest.Wait()
		second()
		synctest.Wait()
		first()
		both.Wait()
		if got == nil || got.Index() != 0 || tried {
			t.Errorf("sender %v, the other one: %t", got, tried)
		}
		b.census(p)
	})
}

func TestASenderThatOpensTooLateForTryBorrowIsNotLost(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		let := s.hold("open 0")
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		if s, ok := p.TryBorrow(ctx); ok {
			t.Errorf("%s before it was open", s.Name())
		}
		let()
		synctest.Wait()
		if st := p.Stats(); st.Idle != 1 {
			t.Errorf("stats %+v", st)
		}
		b.census(p)
	})
}

func TestTryBorrowOfAClosedPoolGivesNothing(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		let := s.hold("open 0")
		done := make(chan bool, 1)
		go func() {
			_, ok := p.TryBorrow(context.Background())
			done <- ok
		}()
		synctest.Wait()
		go func() { _ = p.Close(context.Background()) }()
		synctest.Wait()
		if <-done {
			t.Error("a sender of a pool that closes")
		}
		let()
		synctest.Wait()
		if _, ok := try(t, p); ok {
			t.Error("a sender of a closed pool")
		}
		b.holding()
	})
}

func TestBorrowTryBorrowAndCloseMayRace(t *testing.T) {
	for range 20 {
		b := newBed(t)
		p := b.open(b.config())
		var work sync.WaitGroup
		for i := range 8 {
			work.Go(func() {
				for n := 0; ; n++ {
					s, ok := p.TryBorrow(context.Background())
					if i%2 == 0 {
						var err error
						if s, err = p.Borrow(context.Background()); errors.Is(err, ErrClosed) {
							return
						}
						ok = err == nil
					}
					switch {
					case !ok && n > 50:
						return
					case ok && n%7 == 0:
						s.Discard()
					case ok:
						_ = s.PendingBytes() + p.LeastPending()
						s.Return()
					}
				}
			})
		}
		_ = p.Close(context.Background())
		work.Wait()
	}
}

func TestPendingBytesAreThoseOfTheSlotAndLeastPendingThoseOfTheNextBorrow(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		if n := p.LeastPending(); n != 0 || p.MaxSenders() != 4 {
			t.Errorf("%d bytes in a pool of %d senders where none is open", n, p.MaxSenders())
		}
		two := b.take(p, 2)
		for range 3 {
			put(t, p, two[0])
		}
		put(t, p, two[1])
		if a, c := two[0].PendingBytes(), two[1].PendingBytes(); a != 3 || c != 1 {
			t.Errorf("%d and %d bytes", a, c)
		}
		two[0].Return()
		if n := p.LeastPending(); n != 3 {
			t.Errorf("%d bytes, one is idle", n)
		}
		two[1].Return()
		if n := p.LeastPending(); n != 1 {
			t.Errorf("%d bytes, both are idle", n)
		}
	})
}

// tryBorrow is an action of the machine.
func (m *machine) tryBorrow(t *rapid.T) {
	ctx, cancel := context.WithCancel(context.Background())
	b := &borrower{cancel: cancel, done: make(chan struct{}), err: errNoneToOpen}
	m.g.bed.arm(rapid.SampledFrom([]string{"", "open"}).Draw(t, "fails"), -1, rapid.Bool().Draw(t, "panics"))
	go func() {
		defer close(b.done)
		var ok bool
		if b.sender, ok = m.p.TryBorrow(ctx); ok {
			b.err = nil
		}
	}()
	synctest.Wait()
	idle, spare := m.idle(), m.where(isFree)
	failed := m.g.bed.disarm()
	switch {
	case m.closed:
		m.ended(t, b, errNoneToOpen)
	case len(idle) > 0:
		m.lent(t, b, slices.MinFunc(idle, func(i, k int) int { return m.all[i].pending - m.all[k].pending }))
	case failed, len(spare) == 0:
		m.ended(t, b, errNoneToOpen)
	default:
		m.lent(t, b, spare[0])
	}
}
