// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// What senders count goes on over their closing and opening.
func TestCountsOfASlotGoOnWhenItIsOpenedAgain(t *testing.T) {
	srv := new(server)
	cfg := newBed(t).config()
	cfg.AcquireTimeout = time.Minute
	p := srv.open(t, cfg)
	var last Stats
	for id := range int64(3) {
		s, err := p.Borrow(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		storeID(t, p, s, id)
		if err := p.WaitAcked(context.Background()); err != nil {
			t.Fatal(err)
		}
		s.Discard()
		p.until(context.Background(), func() bool { return p.count(free) == len(p.places) })
		st := p.Stats()
		if st.Connects != id+1 || st.AppendedBytes <= last.AppendedBytes || st.AckedBytes != st.AppendedBytes {
			t.Errorf("stats %+v, before %+v", st, last)
		}
		if one := st.Slots[0]; one.Connects != st.Connects || one.AckedBytes != st.AckedBytes || one.AppendedBytes != st.AppendedBytes {
			t.Errorf("slot %+v", one)
		}
		last = st
	}
}

// Bytes found at the start were not appended by this pool, but it sends them.
func TestBytesOfAnEarlierRunCountAsAckedOnly(t *testing.T) {
	srv := new(server)
	srv.is(true)
	cfg := newBed(t).config()
	cfg.MaxSenders = 1 // or the second pool may lend another than the one with the rows
	cfg.AcquireTimeout = time.Minute
	cfg.InitialBackoff, cfg.MaxBackoff = time.Millisecond, time.Millisecond
	begin := time.Now().Truncate(time.Microsecond)
	first := srv.open(t, cfg)
	s, err := first.Borrow(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	storeID(t, first, s, 1)
	if st := first.Stats(); st.AppendedBytes != st.PendingBytes || st.AckedBytes != 0 || st.OldestPending.Before(begin) {
		t.Errorf("stats %+v", st)
	}
	s.Return()
	if err := first.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	srv.is(false)
	second := srv.open(t, cfg)
	s, err = second.Borrow(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Return()
	if err := second.WaitAcked(context.Background()); err != nil {
		t.Fatal(err)
	}
	if st := second.Stats(); st.AppendedBytes != 0 || st.AckedBytes == 0 || !st.OldestPending.IsZero() || st.Pending != 0 {
		t.Errorf("stats %+v", st)
	}
}

func TestAStoreWithoutRoomIsShownUntilThereIsSome(t *testing.T) {
	srv := new(server)
	srv.is(true)
	cfg := newBed(t).config()
	cfg.AcquireTimeout = time.Minute
	cfg.MaxSenders, cfg.MaxSegmentBytes, cfg.MaxTotalBytes, cfg.AppendDeadline = 1, 64<<10, 128<<10, time.Millisecond
	cfg.InitialBackoff, cfg.MaxBackoff = time.Millisecond, time.Millisecond
	p := srv.open(t, cfg)
	s, err := p.Borrow(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Return()
	for id := int64(0); err == nil; id++ {
		batch := p.NewBatch()
		var r Row
		r.Reset("t")
		r.Long("id", id)
		r.Varchar("text", strings.Repeat("x", 10<<10))
		r.At(1)
		if addErr := batch.Add(&r); addErr != nil {
			t.Fatal(addErr)
		}
		err = s.Flush(context.Background(), batch)
	}
	if st := p.Stats(); !errors.Is(err, ErrStoreFull) || !st.Full || !st.Slots[0].Full {
		t.Errorf("error %v, stats %+v", err, st)
	}
	srv.is(false)
	if err := p.WaitAcked(context.Background()); err != nil {
		t.Fatal(err)
	}
	storeID(t, p, s, 1000)
	if st := p.Stats(); st.Full {
		t.Errorf("stats %+v", st)
	}
}

func TestHeldRowsAreShownAndRefusalsCounted(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		two := b.take(p, 2)
		b.connect(0, sender.State{Connects: 2, Refusals: 3, Held: 4})
		b.connect(1, sender.State{Connects: 1, Refusals: 1, Held: 1})
		if st := p.Stats(); st.Connects != 3 || st.Refusals != 4 || st.HeldRows != 5 || st.Slots[0].HeldRows != 4 {
			t.Errorf("stats %+v", st)
		}
		giveBack(two...)
	})
}

// Rows whose tables must wait wait longer than any Close.
func TestCloseDoesNotWaitForRowsWhoseTablesMustWait(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.CloseFlushTimeout = time.Hour
		p := b.open(cfg)
		s := b.take(p, 1)[0]
		put(t, p, s)
		s.Return()
		b.connect(0, sender.State{Held: 1, LastError: &sender.HeldError{Pending: 1, For: "its keys"}})
		began := time.Now()
		if err := p.Close(context.Background()); err != nil || time.Since(began) > 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		synctest.Wait()
		if got := p.Stats(); got.Pending != 1 {
			t.Errorf("stats %+v", got)
		}
	})
}

// Gone keeps being the sum of what it was made of.
func TestWhatIsGoneIsToldApart(t *testing.T) {
	var st Stats
	st.add(glimpse{state: free, last: slotView{Stats: slot.Stats{Evicted: 1, Quarantined: 2, Unknown: 4}}})
	if st.Evicted != 1 || st.Quarantined != 2 || st.Unknown != 4 || st.Gone != 7 {
		t.Errorf("stats %+v", st)
	}
}
