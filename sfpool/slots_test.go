// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

func TestConcurrentSendersGetDistinctSlotsLowestFirst(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		got := b.take(p, 2)
		if !slices.Equal(indices(got), []int{0, 1}) || got[0].Name() != "default-0" || got[1].Name() != "default-1" {
			t.Errorf("slots %s, %s", got[0].Name(), got[1].Name())
		}
		b.holding(0, 1)
		b.census(p)
	})
}

func TestGrownToMaxOneMoreBorrowTimesOutWithoutCollision(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		got := indices(b.take(p, 4))
		if late := starve(t, p); late.Live != 4 || late.Max != 4 || !errors.Is(late, context.DeadlineExceeded) {
			t.Errorf("error %v", late)
		}
		if !slices.Equal(got, []int{0, 1, 2, 3}) || !slices.Equal(b.opens, got) {
			t.Errorf("slots %v, opened %v", got, b.opens)
		}
		b.census(p)
	})
}

// starve makes a borrow that has to time out.
func starve(t testing.TB, p *Pool) *AcquireError {
	t.Helper()
	s, err := p.Borrow(context.Background())
	var late *AcquireError
	if !errors.As(err, &late) {
		t.Fatalf("borrowed %v, error %v; want none", s, err)
	}
	return late
}

func TestTheConfiguredSenderIDIsTheBaseOfTheNames(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.SenderID = "edge-7"
		got := b.take(b.open(cfg), 2)
		if got[0].Name() != "edge-7-0" || got[1].Name() != "edge-7-1" {
			t.Errorf("slots %s, %s", got[0].Name(), got[1].Name())
		}
	})
}

func TestAReturnedSenderReusesItsSlot(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		first := b.take(p, 1)[0]
		first.Return()
		if again := b.take(p, 1)[0]; again.member != first.member || !slices.Equal(b.opens, []int{0}) {
			t.Errorf("slot %s after %s, opened %v", again.Name(), first.Name(), b.opens)
		}
	})
}

func TestARestartAdoptsTheSameSlotsAndSendsWhatTheyHold(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		srv := &server{down: true}
		p := srv.open(t, b.config())
		cfg := p.cfg
		senders := b.take(p, 3)
		for _, s := range senders {
			put(t, p, s)
		}
		giveBack(senders...)
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		p = srv.open(t, cfg)
		senders = b.take(p, 4) // one of them from the recovery
		for i, slot := range p.Stats().Slots {
			if want := int64(min(1, 3-i)); slot.State != "live" || slot.Pending != want {
				t.Errorf("slot %s is %s with %d rows, want %d", slot.Name, slot.State, slot.Pending, want)
			}
		}
		srv.is(false)
		if err := p.WaitAcked(context.Background()); err != nil || len(srv.took()) != 3 {
			t.Errorf("the server took %v: %v", srv.took(), err)
		}
		giveBack(senders...)
	})
}

func TestIndicesDoNotDrift(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.IdleTimeout = time.Second
		p := b.open(cfg)
		for range 50 {
			giveBack(b.take(p, 2)...)
			time.Sleep(2 * p.cfg.HousekeeperInterval)
			b.holding() // both are reaped
		}
		if len(b.opens) != 100 || slices.Max(b.opens) != 1 {
			t.Errorf("opened %v", b.opens)
		}
	})
}

func TestRepeatedSaturationNeverExhaustsTheIndices(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		for round := range 50 {
			senders := b.take(p, 4)
			starve(t, p)
			for i, s := range senders {
				s.end((round+i)%2 == 0)
			}
			b.settled(p)
			b.census(p)
		}
		if st := p.Stats(); st.Free+st.Live != 4 || slices.Max(b.opens) != 3 {
			t.Errorf("stats %+v, opened %v", st, b.opens)
		}
	})
}

func TestAnIndexIsFreeOnlyWhenItsSenderIsClosed(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		let := s.hold("close 0")
		b.take(p, 1)[0].Discard()
		if got := indices(b.take(p, 3)); !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("slots %v while 0 closes", got)
		}
		if late := starve(t, p); late.Closing != 1 || late.Live != 3 {
			t.Errorf("error %v", late)
		}
		let()
		if got := indices(b.take(p, 1)); !slices.Equal(got, []int{0}) {
			t.Errorf("slots %v after the close", got)
		}
		b.census(p)
	})
}

func TestCapacityCountsWhatIsLiveBuildingClosingAndLeaked(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		senders := b.take(p, 3)
		b.keep[0] = true
		senders[0].Discard()
		s.hold("close 1")
		senders[1].Discard()
		s.hold("open 3")
		if late := starve(t, p); late.Live != 1 || late.Building != 1 || late.Closing != 1 || late.Leaked != 1 {
			t.Errorf("error %v", late)
		}
		if st := p.Stats(); st.Free != 0 {
			t.Errorf("stats %+v", st)
		}
		b.census(p)
	})
}

// leaks has a pool with a sender whose slot keeps its lock when it is closed.
func leaks(b *bed, cfg Config) *Pool {
	p := b.open(cfg)
	b.keep[0] = true
	b.take(p, 1)[0].Discard()
	synctest.Wait()
	return p
}

func TestALeakedSlotIsRetiredAndNotReused(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := leaks(b, b.config())
		if got := indices(b.take(p, 3)); !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("slots %v", got)
		}
		if late := starve(t, p); late.Live != 3 || late.Leaked != 1 {
			t.Errorf("error %v", late)
		}
		time.Sleep(time.Hour)
		starve(t, p)
		if !slices.Equal(b.opens, []int{0, 1, 2, 3}) || b.log.count("a slot is retired") != 1 {
			t.Errorf("opened %v, log:\n%s", b.opens, b.log.String())
		}
		b.census(p)
	})
}

func TestALeakIsWarnedOfAndCountedWhereverTheSenderIsClosed(t *testing.T) {
	for name, end := range map[string]func(*Sender){"discarded": (*Sender).Discard, "reaped": (*Sender).Return} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *bed, _ *script) {
				cfg := b.config()
				cfg.IdleTimeout = time.Second
				p := b.open(cfg)
				b.keep[1] = true
				senders := b.take(p, 2)
				end(senders[1])
				time.Sleep(2 * p.cfg.HousekeeperInterval)
				if n := p.LeakedSlots(); n != 1 {
					t.Errorf("%d leaked slots", n)
				}
				b.logged(t, "level=WARN", "a slot is retired", "slot=default-1", "slot_index=1", "usable_slots=3")
				b.census(p)
			})
		})
	}
}

// logged fails the test unless exactly one line has all these texts.
func (b *bed) logged(t testing.TB, texts ...string) {
	t.Helper()
	synctest.Wait() // a line is written when the state has changed
	n := 0
	for line := range strings.Lines(b.log.String()) {
		if !slices.ContainsFunc(texts, func(s string) bool { return !strings.Contains(line, s) }) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d lines with %q in\n%s", n, texts, b.log.String())
	}
}

// drop lets the lock of a slot go that its sender kept, unless somebody else
// has it by now.
func (b *bed) drop(m *member) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.keep, m.index)
	if delegate(b.locked[m.index]) == m.d {
		delete(b.locked, m.index)
	}
}

func TestTheHousekeeperBringsALeakedSlotBack(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := leaks(b, b.config())
		time.Sleep(time.Hour)
		b.drop(p.membersIn(leaked)[0])
		time.Sleep(p.cfg.HousekeeperInterval)
		synctest.Wait()
		if n := p.LeakedSlots(); n != 0 {
			t.Errorf("%d leaked slots", n)
		}
		b.logged(t, "level=INFO", "the lock of a retired slot has dropped", "slot=default-0", "slot_index=0", "usable_slots=4")
		if got := indices(b.take(p, 4)); !slices.Equal(got, []int{0, 1, 2, 3}) {
			t.Errorf("slots %v", got)
		}
		b.census(p)
	})
}

func TestAStarvedBorrowBringsALeakedSlotBack(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.HousekeeperInterval = time.Hour
		p := leaks(b, cfg)
		b.take(p, 3)
		starve(t, p)
		b.drop(p.membersIn(leaked)[0])
		began := time.Now()
		if got := indices(b.take(p, 1)); !slices.Equal(got, []int{0}) || time.Since(began) != 0 {
			t.Errorf("slots %v after %s", got, time.Since(began))
		}
		b.logged(t, "level=INFO", "the lock of a retired slot has dropped", "slot_index=0", "usable_slots=4")
		b.census(p)
	})
}

// hung is a server that does not even let go of those who give up.
type hung chan struct{}

func (h hung) Connect(context.Context, link.Wish) (link.Conn, error) {
	<-h
	return nil, errTest
}

func TestClosingNeverUnlocksBeforeTheSendLoopHasStopped(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		h := make(hung)
		p := b.openWith(b.config(), func(p *Pool, index int) (delegate, error) {
			p.link = h
			return openSlot(p, index)
		})
		s := b.take(p, 1)[0]
		put(t, p, s)
		synctest.Wait()
		s.Discard()
		time.Sleep(time.Hour)
		var locked *LockedError
		if _, err := slot.Open(p.slotOptions("default-0")); !errors.As(err, &locked) || p.LeakedSlots() != 1 {
			t.Errorf("opened beside a send loop that runs: %v", err)
		}
		b.logged(t, "level=WARN", "a slot is retired", errStillStopping.Error())
		close(h)
		time.Sleep(time.Hour)
		senders := b.take(p, 4)
		if p.LeakedSlots() != 0 || p.Stats().Slots[0].Pending != 1 {
			t.Errorf("stats %+v", p.Stats())
		}
		giveBack(senders...)
	})
}

// openWith opens a pool with another way to open its slots.
func (b *bed) openWith(cfg Config, slots func(*Pool, int) (delegate, error)) *Pool {
	b.t.Helper()
	p, err := open(context.Background(), cfg, parts{open: slots, adopt: adoptSlot})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

func TestCloseReleasesAllSlots(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		p := b.open(b.config())
		giveBack(b.take(p, 4)...)
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
		b.holding()
		b.census(p)
		giveBack(b.take(b.open(p.cfg), 4)...) // the lock of the pool is released, too
	})
}
