// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// With nothing live there is nobody to wait for: the reason comes at once.
func TestABorrowerHearsWhyNoSlotCanBeOpened(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0)
		cfg.MaxSenders = 1
		s.fail("open 0", &DamageError{Path: "/sf/default-0/sf-initial.sfa"})
		p := b.open(cfg)
		synctest.Wait() // the recovery has found it damaged
		for range 2 {
			began := time.Now()
			_, err := p.Borrow(context.Background())
			if !errors.As(err, new(*DamageError)) || time.Since(began) > 0 {
				t.Errorf("after %s: %v", time.Since(began), err)
			}
		}
		s.fail("open 0", nil)
		b.take(p, 1)
		b.census(p)
	})
}

// Damage does not mend by itself: looking again and again costs a whole scan.
func TestADamagedSlotIsNotScannedAgainAndAgain(t *testing.T) {
	inTime(t, func(_ *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0, 1)
		s.fail("open 0", &DamageError{Path: "/sf/default-0/sf-initial.sfa"})
		b.open(cfg)
		b.holding(1)
		b.ack(1, 1)
		time.Sleep(24 * time.Hour)
		if n := s.count("open 0"); n != 1 {
			b.t.Errorf("opened %d times", n)
		}
	})
}

// What was acked between the close that gave up and the drop of the lock is seen.
func TestALeakedSlotThatComesBackShowsWhatIsTrueThen(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		s := b.take(p, 1)[0]
		mark := put(t, p, s)
		b.mu.Lock()
		b.keep[0] = true
		b.mu.Unlock()
		s.Discard()
		synctest.Wait()
		b.ack(0, 1)
		b.unlock(0)
		time.Sleep(time.Minute)
		if st := p.Stats(); st.Pending != 0 || st.Leaked != 0 {
			t.Errorf("stats %+v", st)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.WaitAcked(ctx, mark); err != nil {
			t.Error(err)
		}
	})
}

func TestNothingCanBePublishedAfterARollback(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		s := b.take(p, 1)[0]
		staged, err := p.Stage(context.Background(), Shard{Sender: s, Batch: oneRow(t, p)})
		if err != nil {
			t.Fatal(err)
		}
		staged.Rollback()
		if panicOf(staged.Publish) == nil || panicOf(func() { _ = staged.Sync() }) == nil {
			t.Error("what was rolled back seemed to be stored")
		}
		s.Return()
		b.census(p)
	})
}

// The one sender is lent: that it does not come back is half of the story.
func TestABorrowThatTimesOutTellsOfTheSlotsThatCannotBeUsed(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.MaxSenders = 3
		s.fail("open 1", &LockedError{Dir: "/sf/default-1", PID: 4711})
		s.fail("open 2", &LockedError{Dir: "/sf/default-2", PID: 4712})
		p := b.open(cfg)
		b.take(p, 1)
		late := starve(t, p)
		var locked *LockedError
		if !errors.As(late, &locked) || locked.PID != 4711 || !errors.Is(late, context.DeadlineExceeded) {
			t.Errorf("error %v", late)
		}
		if late.Live != 1 || late.Ailing != 2 || late.Max != 3 {
			t.Errorf("counts %+v", late)
		}
		for _, part := range []string{"of 3 slots 1 are in use", "2 cannot be used", "default-1", "4711"} {
			if !strings.Contains(late.Error(), part) {
				t.Errorf("%q is not in %q", part, late)
			}
		}
	})
}

func TestABorrowThatTimesOutWithEverySlotInHealthTellsOfNone(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		b.take(p, 4)
		if late := starve(t, p); late.Ailing != 0 || late.Ails != nil || strings.Contains(late.Error(), "cannot be used") {
			t.Errorf("error %v", late)
		}
	})
}
