// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// awaiting calls WaitAcked in the background.
func awaiting(ctx context.Context, p *Pool, marks ...Mark) (result chan error) {
	result = make(chan error, 1)
	go func() { result <- p.WaitAcked(ctx, marks...) }()
	return result
}

// waits fails the test if WaitAcked has returned.
func waits(t testing.TB, result chan error) {
	t.Helper()
	synctest.Wait()
	if len(result) > 0 {
		t.Fatalf("returned %v too early", <-result)
	}
}

// returns fails the test unless WaitAcked has returned this error.
func returns(t testing.TB, result chan error, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-result:
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("returned %v, want %v", err, want)
		}
	default:
		t.Fatal("has not returned")
	}
}

func TestWaitAckedWithoutMarksWaitsForEverySlot(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		for _, s := range b.take(p, 3) {
			put(t, p, s)
		}
		result := awaiting(context.Background(), p)
		for _, index := range []int{2, 0, 1} {
			waits(t, result)
			b.ack(index, 1)
		}
		returns(t, result, nil)
	})
}

func TestWaitAckedWithoutMarksDoesNotWaitForWhatIsStoredLater(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		senders := b.take(p, 2)
		put(t, p, senders[0])
		result := awaiting(context.Background(), p)
		waits(t, result)
		put(t, p, senders[0])
		put(t, p, senders[1])
		b.ack(0, 1)
		returns(t, result, nil)
	})
}

func TestWaitAckedWaitsForItsMarksAlone(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		senders := b.take(p, 3)
		first := put(t, p, senders[0])
		put(t, p, senders[0])
		put(t, p, senders[1])
		other := put(t, p, senders[2])
		result := awaiting(context.Background(), p, other, first)
		b.ack(2, 1)
		waits(t, result)
		b.ack(0, 1)
		returns(t, result, nil)
	})
}

func TestWaitAckedReturnsAtOnceWhenThereIsNothingToWaitFor(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		returns(t, awaiting(context.Background(), p), nil)
		lent := b.take(p, 2)
		mark := put(t, p, lent[0])
		b.ack(0, 1)
		put(t, p, lent[1])
		returns(t, awaiting(context.Background(), p, mark), nil)
		returns(t, awaiting(context.Background(), p, Mark{}), nil)
	})
}

func TestWaitAckedEndsWithItsContext(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		put(t, p, b.take(p, 1)[0])
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		result := awaiting(ctx, p)
		time.Sleep(time.Second)
		returns(t, result, context.DeadlineExceeded)
		if st := p.Stats(); st.Pending != 1 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestWaitAckedEndsWhenThePoolIsClosed(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		lent := b.take(p, 1)[0]
		mark := put(t, p, lent)
		before := awaiting(context.Background(), p, mark)
		waits(t, before)
		lent.Return()
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		returns(t, before, ErrClosed)
		returns(t, awaiting(context.Background(), p, mark), ErrClosed)
		returns(t, awaiting(context.Background(), p), ErrClosed)
	})
}

func TestWaitAckedFollowsASlotThatIsDiscardedAndOpenedAgain(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		lent := b.take(p, 1)[0]
		mark := put(t, p, lent)
		marked, all := awaiting(context.Background(), p, mark), awaiting(context.Background(), p)
		waits(t, marked)
		lent.Discard()
		b.holding()
		waits(t, marked)
		waits(t, all)
		put(t, p, b.take(p, 1)[0]) // the next owner of slot 0
		waits(t, marked)
		b.ack(0, 1)
		returns(t, marked, nil)
		returns(t, all, nil)
	})
}

func TestWaitAckedCanBeginWhileTheSlotOfTheMarkIsClosed(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		p := b.open(cfg)
		b.holding() // nothing to recover yet
		lent := b.take(p, 1)[0]
		put(t, p, lent)
		mark := put(t, p, lent)
		seed(b, cfg.FS, 0, 2)
		lent.Discard()
		b.holding()
		marked, all := awaiting(context.Background(), p, mark), awaiting(context.Background(), p)
		waits(t, marked)
		waits(t, all)
		time.Sleep(5 * time.Second) // the housekeeper recovers it
		b.holding(0)
		b.ack(0, 2)
		returns(t, marked, nil)
		returns(t, all, nil)
	})
}

func TestAHundredWaitersAreWokenByTheirAcks(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		lent := b.take(p, 1)[0]
		var results []chan error
		for range 100 {
			results = append(results, awaiting(context.Background(), p, put(t, p, lent)))
		}
		for i := range results {
			waits(t, results[i])
			b.ack(0, 1)
			returns(t, results[i], nil)
		}
	})
}

func TestAMarkOfAnotherPoolIsRefused(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		other := newBed(t)
		q := other.open(other.config())
		mine, stranger := put(t, p, b.take(p, 1)[0]), put(t, q, other.take(q, 1)[0])
		for _, acked := range []int64{0, 1} {
			b.ack(0, acked)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if err := p.WaitAcked(ctx, stranger); err == nil || ctx.Err() != nil {
				t.Errorf("with %d acked: %v", acked, err)
			}
			cancel()
		}
		returns(t, awaiting(context.Background(), p, mine), nil)
	})
}

// Frame numbers of a real slot go on when it was closed empty: an old mark stays
// reached, and a new one is not reached before its time.
func TestMarksHoldAcrossSlotsThatWereClosedEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, srv := newBed(t), &server{}
		p := srv.open(t, b.config())
		lent := b.take(p, 1)[0]
		old := put(t, p, lent)
		lent.Return()
		time.Sleep(time.Hour)
		if st := p.Stats(); st.Acked != 1 || st.Live != 0 || segments(t, p.cfg.FS, p.path("default-0")) != 0 {
			t.Fatalf("not closed empty: %+v", st)
		}
		srv.is(true)
		lent = b.take(p, 1)[0]
		mark := put(t, p, lent)
		lent.Return()
		returns(t, awaiting(context.Background(), p, old), nil)
		result := awaiting(context.Background(), p, mark)
		time.Sleep(time.Minute)
		waits(t, result)
		srv.is(false)
		time.Sleep(time.Minute)
		returns(t, result, nil)
	})
}
