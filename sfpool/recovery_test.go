// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sender"
)

func TestSlotsWithFramesAreRecoveredOneAtATimeWhateverDrainOrphansSays(t *testing.T) {
	for _, orphans := range []bool{false, true} {
		t.Run(fmt.Sprint(orphans), func(t *testing.T) {
			inTime(t, func(_ *testing.T, b *bed, s *script) {
				cfg := seeded(b, s, 0, 1, 2, 3)
				cfg.DrainOrphans = orphans
				p := b.open(cfg)
				for index := range 4 {
					b.holding(index)
					b.census(p)
					b.ack(index, 1)
				}
				b.holding()
				b.opened(0, 1, 2, 3)
				time.Sleep(time.Hour)
				b.opened(0, 1, 2, 3)
				b.census(p)
			})
		})
	}
}

func TestSlotsWithoutSegmentsAreNotOpenedByTheRecovery(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 2)
		for _, dir := range []string{"/sf/default-0", "/sf/default-4", "/sf/other-1"} {
			if err := cfg.FS.MkdirAll(dir, 0o750); err != nil {
				t.Fatal(err)
			}
		}
		seed(b, cfg.FS, 7, 1) // beyond the pool
		b.open(cfg)
		b.holding(2)
		b.ack(2, 1)
		time.Sleep(time.Hour)
		b.opened(2)
	})
}

func TestALiveSlotIsLeftToItsBorrower(t *testing.T) {
	inTime(t, func(_ *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0, 1)
		cfg.MinSenders = 1
		p := b.open(cfg)
		lent := b.take(p, 1)[0]
		b.holding(0, 1)
		b.ack(1, 1)
		b.holding(0)
		b.ack(0, 1)
		lent.Return()
		time.Sleep(time.Hour)
		b.opened(0, 1)
		b.census(p)
	})
}

func TestAContendedSlotIsParkedSaidOnceAndRetried(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0, 1, 2)
		s.fail("open 1", &LockedError{Dir: "/sf/default-1", PID: 4711})
		p := b.open(cfg)
		for _, index := range []int{0, 2} {
			b.holding(index)
			b.ack(index, 1)
		}
		time.Sleep(10 * time.Minute)
		if tries := s.count("open 1"); tries < 5 {
			t.Errorf("tried %d times in 10m", tries)
		}
		if n := b.log.count("a slot cannot be used now"); n != 1 || b.log.count("4711") != 1 {
			t.Errorf("said %d times: %s", n, b.log.String())
		}
		b.census(p)
		s.fail("open 1", nil)
		time.Sleep(maxPause * 5 * time.Second)
		b.holding(1)
		b.ack(1, 1)
		b.holding()
		b.opened(0, 2, 1)
	})
}

// Who held the slot has drained it and left nothing to recover.
func TestAContendedSlotThatIsLeftEmptyIsUsedAgain(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.MaxSenders = 2
		s.fail("open 0", &LockedError{Dir: "/sf/default-0", PID: 4711})
		p := b.open(cfg)
		if got := indices(b.take(p, 1)); !slices.Equal(got, []int{1}) {
			t.Fatalf("slots %v", got)
		}
		s.fail("open 0", nil)
		time.Sleep(time.Minute)
		if got := indices(b.take(p, 1)); !slices.Equal(got, []int{0}) {
			t.Errorf("slots %v", got)
		}
		b.census(p)
	})
}

func TestABuildFailureStopsThePassUntilTheNextTickWhichBeginsBehindIt(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0, 1, 2)
		s.fail("open 1", errTest)
		p := b.open(cfg)
		b.holding(0)
		b.ack(0, 1)
		b.holding()
		if s.count("open 2") != 0 {
			t.Error("the pass went on")
		}
		b.census(p)
		time.Sleep(cfg.withDefaults().HousekeeperInterval)
		b.holding(2) // a slot that cannot be opened does not keep the others back
		b.ack(2, 1)
		b.holding()
		time.Sleep(time.Hour)
		if n := b.log.count("cannot be opened; trying again"); n != 1 {
			t.Errorf("said %d times: %s", n, b.log.String())
		}
		s.fail("open 1", nil)
		time.Sleep(maxPause * 5 * time.Second)
		b.holding(1)
		b.ack(1, 1)
		b.holding()
		b.opened(0, 2, 1)
		b.census(p)
	})
}

func TestTheTickAfterABuildFailureIsTheNextOne(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0)
		s.fail("open 0", errTest)
		b.open(cfg)
		synctest.Wait()
		s.fail("open 0", nil)
		time.Sleep(5*time.Second - 1)
		b.holding()
		time.Sleep(time.Nanosecond)
		b.holding(0)
	})
}

// A slot whose rows belong elsewhere must not keep the others from delivery.
func TestASlotForAnotherDestinationDoesNotStopThePass(t *testing.T) {
	inTime(t, func(_ *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0, 1)
		s.fail("open 0", &TargetError{Dir: "/sf/default-0", Has: "old", Want: "new"})
		b.open(cfg)
		time.Sleep(time.Hour)
		b.holding(1)
	})
}

func TestASlotIsKeptOpenWhileItMakesProgress(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0, 1)
		seed(b, cfg.FS, 0, 1000)
		b.connect(0, sender.State{Connected: true, LastError: &link.Refusal{Host: "server"}})
		b.open(cfg)
		for range 1000 {
			time.Sleep(patience - time.Second)
			b.ack(0, 1)
		}
		b.holding(1)
		if n := s.count("close 0"); n != 1 {
			t.Errorf("closed %d times", n)
		}
		b.opened(0, 1)
	})
}

func TestASlotIsKeptOpenWhileTheServerIsAway(t *testing.T) {
	inTime(t, func(_ *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0, 1)
		b.connect(0, sender.State{LastError: &link.ConnectError{Host: "server", Err: errTest}})
		b.open(cfg)
		time.Sleep(24 * time.Hour)
		b.holding(0)
		b.ack(0, 1)
		b.holding(1)
		b.opened(0, 1)
	})
}

func TestASlotThatIsStuckOnItsRowsGivesTheNextOneItsTurn(t *testing.T) {
	for name, stuckOn := range map[string]error{
		"a refusal": &link.Refusal{Host: "server"}, "a bug": &sender.PanicError{}, "damage": &DamageError{},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(_ *testing.T, b *bed, s *script) { slotStuckOn(b, s, stuckOn) })
		})
	}
}

func slotStuckOn(b *bed, s *script, err error) {
	b.t.Helper()
	cfg := seeded(b, s, 0, 1)
	b.connect(0, sender.State{Connected: true, LastError: err})
	p := b.open(cfg)
	time.Sleep(patience - time.Nanosecond)
	b.holding(0)
	time.Sleep(time.Nanosecond)
	b.holding(1)
	b.census(p)
	b.ack(1, 1)
	b.holding()
	time.Sleep(time.Minute)
	if s.count("open 0") < 2 {
		b.t.Error("its own turn does not come again")
	}
	b.connect(0, sender.State{Connected: true})
	b.ack(0, 1)
	time.Sleep(time.Minute)
	b.holding()
	b.census(p)
}

func TestAStarvedBorrowerGetsTheSenderThatIsBeingRecovered(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0)
		cfg.MaxSenders = 1
		p := b.open(cfg)
		b.holding(0)
		if got := b.take(p, 1)[0]; got.Index() != 0 || time.Since(epoch) != 0 {
			t.Errorf("slot %d after %s", got.Index(), time.Since(epoch))
		}
		b.opened(0)
		if s.count("close") != 0 {
			t.Error("it was closed on the way")
		}
		b.census(p)
	})
}

func TestABorrowerWhoseBuildFailsGetsTheSenderThatIsBeingRecovered(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0)
		cfg.MaxSenders = 2
		s.fail("open 1", &LockedError{Dir: "/sf/default-1", PID: 4711})
		p := b.open(cfg)
		b.holding(0)
		if got := b.take(p, 1)[0]; got.Index() != 0 || time.Since(epoch) != 0 {
			t.Errorf("slot %d after %s", got.Index(), time.Since(epoch))
		}
		b.census(p)
	})
}

func TestABorrowerWithAFreeIndexDoesNotDisturbTheRecovery(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(seeded(b, s, 0))
		b.holding(0)
		if got := indices(b.take(p, 3)); !slices.Equal(got, []int{1, 2, 3}) {
			t.Errorf("slots %v", got)
		}
		b.ack(0, 1)
		b.holding(1, 2, 3)
		b.census(p)
	})
}

func TestRecoveryNeverDelaysOpen(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0)
		let := s.hold("open 0")
		p := b.open(cfg)
		if d := time.Since(epoch); d != 0 {
			t.Errorf("Open took %s", d)
		}
		synctest.Wait()
		b.census(p)
		if got := b.take(p, 1)[0]; got.Index() != 1 {
			t.Errorf("slot %d", got.Index())
		}
		let()
		b.holding(0, 1)
	})
}

func TestRecoveryNeverFailsOpen(t *testing.T) {
	for name, err := range map[string]error{
		"any": errTest, "locked": &LockedError{Dir: "/sf/default-0"}, "damaged": &DamageError{},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(_ *testing.T, b *bed, s *script) {
				cfg := seeded(b, s, 0)
				s.fail("open 0", err)
				p := b.open(cfg)
				time.Sleep(time.Minute)
				b.census(p)
			})
		})
	}
}

func TestAPoolMayBeClosedInTheMiddleOfARecovery(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(seeded(b, s, 0, 1))
		b.holding(0)
		if err := p.Close(context.Background()); err != nil || time.Since(epoch) != 0 {
			t.Errorf("after %s: %v", time.Since(epoch), err)
		}
		b.holding()
		b.opened(0)
		b.census(p)
	})
}

func TestASlotThatIsClosedWithFramesIsRecoveredByTheHousekeeper(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s)
		p := b.open(cfg)
		time.Sleep(time.Hour) // long after the recovery of the start
		lent := b.take(p, 1)[0]
		seed(b, cfg.FS, 0, 0)
		put(t, p, lent)
		lent.Discard()
		b.holding()
		time.Sleep(5 * time.Second)
		b.holding(0)
		b.ack(0, 1)
		b.holding()
		b.census(p)
	})
}

// What follows has real slots.

func TestFourSeededSlotsAreReplayedWithMinZeroAndLightLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, srv := newBed(t), &server{}
		cfg := b.config()
		leaveFour(t, b, srv, cfg)
		srv.is(false)
		p := srv.open(t, cfg)
		light := b.take(p, 1)[0]
		storeID(t, p, light, 4)
		light.Return()
		time.Sleep(10 * time.Minute)
		replayed(t, srv, p, 0, 1, 2, 3, 4)
	})
}

func TestAServerThatIsDownAtTheStartGetsWhatIsThereWhenItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, srv := newBed(t), &server{}
		cfg := b.config()
		leaveFour(t, b, srv, cfg)
		p := srv.open(t, cfg)
		time.Sleep(time.Hour)
		if got := srv.took(); len(got) != 0 || strings.Contains(b.log.String(), "ERROR") {
			t.Fatalf("the server has %v; said %s", got, b.log.String())
		}
		srv.is(false)
		time.Sleep(time.Minute)
		replayed(t, srv, p, 0, 1, 2, 3)
	})
}
