// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestALookThatFailsHarmsNobody(t *testing.T) {
	eachCall(t, []string{"view", "progress"}, func(t *testing.T, b *bed, s *script, m mishap, call string) {
		p := b.open(b.config())
		m.hit(s, call, 0)
		senders := b.take(p, 2)
		put(t, p, senders[0])
		p.Stats()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.WaitAcked(ctx, senders[0].Mark()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited for what nobody took: %v", err)
		}
		giveBack(senders...)
		time.Sleep(time.Hour) // the housekeeper looks, too
		giveBack(b.take(p, 2)...)
		m.lift(s, call, 0)
		b.sound(p)
	})
}

func TestALookThatFailsIsNotTakenForAnAck(t *testing.T) {
	eachMishap(t, func(t *testing.T, b *bed, s *script, m mishap) {
		p := b.open(b.config())
		s0 := b.take(p, 1)[0]
		mark := put(t, p, s0)
		m.hit(s, "view", 0)
		s0.Discard()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.WaitAcked(ctx, mark); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("waited for what nobody took: %v", err)
		}
		m.lift(s, "view", 0)
		b.sound(p)
	})
}

// endings are the sites where the pool closes a sender.
var endings = map[string]func(p *Pool, s *Sender){
	"discard": func(_ *Pool, s *Sender) { s.Discard() },
	"reap": func(p *Pool, s *Sender) {
		s.Return()
		time.Sleep(p.cfg.IdleTimeout + 2*p.cfg.HousekeeperInterval)
	},
}

func TestACloseThatFailsKeepsItsIndexOnlyAsLongAsItsLock(t *testing.T) {
	for site, end := range endings {
		t.Run(site, func(t *testing.T) {
			eachMishap(t, func(t *testing.T, b *bed, s *script, m mishap) {
				p := b.open(b.config())
				m.hit(s, "close", 0)
				end(p, b.take(p, 1)[0])
				b.settled(p)
				b.census(p)
				if st := p.Stats(); st.Leaked != len(b.holds()) || st.Free+st.Leaked != 4 {
					t.Errorf("stats %+v, held %v", st, b.holds())
				}
				b.logged(t, "level=WARN", "a sender was not closed in order", "slot=default-0", errTest.Error())
				m.lift(s, "close", 0)
				b.sound(p)
			})
		})
	}
}

func TestALockThatCannotBeLookedAtCountsAsHeld(t *testing.T) {
	for site, end := range endings {
		t.Run(site, func(t *testing.T) {
			eachMishap(t, func(t *testing.T, b *bed, s *script, m mishap) {
				p := b.open(b.config())
				m.hit(s, "released", 0)
				end(p, b.take(p, 1)[0])
				time.Sleep(time.Hour) // the housekeeper asks again and again
				b.settled(p)
				if late := p.LeakedSlots(); late != 1 {
					t.Errorf("%d leaked slots", late)
				}
				if got := indices(b.take(p, 3)); got[0] != 1 {
					t.Errorf("slots %v", got)
				}
				starve(t, p) // who asks, too
				m.lift(s, "released", 0)
				if got := indices(b.take(p, 1)); got[0] != 0 {
					t.Errorf("slots %v", got)
				}
				b.census(p)
			})
		})
	}
}

func TestOneFailingCloseDoesNotStopTheOthers(t *testing.T) {
	eachCall(t, []string{"close", "released", "view"}, func(t *testing.T, b *bed, s *script, m mishap, call string) {
		p := b.open(b.config())
		giveBack(b.take(p, 4)...)
		m.hit(s, call, 1)
		b.setKeep(1, call == "released")
		err := p.Close(context.Background())
		if call == "close" && !errors.Is(err, errTest) || call == "released" && err == nil {
			t.Errorf("close: %v", err)
		}
		if got := s.count("close"); got != 4 {
			t.Errorf("%d of 4 are closed", got)
		}
		for _, index := range b.holds() {
			if index != 1 {
				t.Errorf("slot %d stays locked", index)
			}
		}
		b.census(p)
	})
}

func TestADrainThatFailsAtCloseDoesNotStopTheOthers(t *testing.T) {
	eachCall(t, []string{"progress", "view"}, func(t *testing.T, b *bed, s *script, m mishap, call string) {
		cfg := b.config()
		cfg.CloseFlushTimeout = time.Minute
		p := b.open(cfg)
		senders := b.take(p, 2)
		for _, s := range senders {
			put(t, p, s)
		}
		giveBack(senders...)
		m.hit(s, call, 0)
		time.AfterFunc(time.Second, func() { b.ack(1, 1) })
		began := time.Now()
		if err := p.Close(context.Background()); err != nil || time.Since(began) != time.Second {
			t.Errorf("closed after %s: %v", time.Since(began), err)
		}
		b.holding()
		b.census(p)
	})
}

// keepsHouse fails the test unless the housekeeper is alive: it brings a leaked
// slot back.
func keepsHouse(t *testing.T, b *bed, p *Pool) {
	t.Helper()
	last := b.take(p, 1)[0]
	b.setKeep(last.Index(), true)
	last.Discard()
	synctest.Wait()
	if n := p.LeakedSlots(); n != 1 {
		t.Errorf("%d leaked slots", n)
	}
	b.drop(p.membersIn(leaked)[0])
	time.Sleep(p.cfg.HousekeeperInterval)
	synctest.Wait()
	if n := p.LeakedSlots(); n != 0 {
		t.Errorf("%d leaked slots: the housekeeper is gone", n)
	}
}

func TestTheHousekeeperSurvivesEveryCallThatFails(t *testing.T) {
	eachCall(t, []string{"released", "view", "close", "open", "recycle", "progress"},
		func(t *testing.T, b *bed, s *script, m mishap, call string) {
			cfg := b.config()
			cfg.MinSenders, cfg.IdleTimeout, cfg.MaxLifetime = 1, time.Second, time.Minute
			p := b.open(cfg)
			senders := b.take(p, 3)
			b.connect(0, sender.State{Connected: true, Connects: 1})
			for index := range senders {
				b.setKeep(index, index == 2 || call == "released")
				m.hit(s, call, index) // the last one with a panic
			}
			senders[0].Discard() // to be refilled
			senders[1].Return()  // to be reaped
			senders[2].Discard() // to be looked at
			time.Sleep(time.Hour)
			for index := range senders {
				m.lift(s, call, index)
			}
			b.settled(p)
			b.census(p)
			for _, m := range p.membersIn(leaked) {
				b.drop(m)
			}
			time.Sleep(time.Minute)
			keepsHouse(t, b, p)
			b.sound(p)
		})
}

func TestTheHousekeeperSurvivesADiskThatFails(t *testing.T) {
	eachMishap(t, func(t *testing.T, b *bed, s *script, m mishap) {
		var broken atomic.Bool
		cfg := b.config()
		seed(b, cfg.FS, 2, 1)
		leaveSegment(t, cfg.FS, "/sf/other-0")
		cfg.DrainOrphans = true
		cfg.FS = failing(cfg.FS, m, func(vfstest.Op) bool { return broken.Load() })
		p := b.open(cfg)
		broken.Store(true)
		s0 := b.take(p, 1)[0]
		put(t, p, s0)
		s0.Return()
		time.Sleep(time.Hour)
		b.census(p)
		broken.Store(false)
		keepsHouse(t, b, p)
		b.ack(0, 1)
		b.ack(2, 1)
		b.sound(p)
	})
}

// failing makes the calls of a filesystem go wrong that cond names.
func failing(inner vfs.FS, m mishap, cond func(vfstest.Op) bool) vfs.FS {
	return vfstest.Wrap(inner, func(op vfstest.Op) error {
		switch {
		case !cond(op):
			return nil
		case m.panics:
			panic(errTest)
		}
		return errTest
	})
}

func TestARecoveryThatFailsIsTriedAgain(t *testing.T) {
	eachCall(t, []string{"open", "view", "progress", "close", "released"},
		func(t *testing.T, b *bed, s *script, m mishap, call string) {
			cfg := b.config()
			seed(b, cfg.FS, 1, 1)
			if call == "close" || call == "released" {
				b.pending[1] = 0 // drained at once
			}
			b.setKeep(1, call == "released")
			m.hit(s, call, 1)
			p := b.open(cfg)
			time.Sleep(time.Hour)
			b.census(p)
			if s.count(callOf(call, 1)) == 0 {
				t.Errorf("calls %v", s.calls)
			}
			giveBack(b.take(p, 1)...) // not stopped by it
			m.lift(s, call, 1)
			for _, m := range p.membersIn(leaked) {
				b.drop(m)
			}
			tries := s.count("open 1")
			time.Sleep(2 * maxPause * p.cfg.HousekeeperInterval)
			if open := p.Stats().Building > 0; call != "progress" && !open && s.count("open 1") == tries && b.pending[1] > 0 {
				t.Errorf("not tried again: %v", s.calls)
			}
			if b.pending[1] > 0 {
				b.ack(1, 1)
			}
			b.sound(p)
		})
}

func TestAnAdoptionThatFailsHarmsNobody(t *testing.T) {
	for name, fail := range map[string]func(call string) func(string) error{
		"error": func(call string) func(string) error { return failIn(call, errTest) },
		"panic": panicIn,
	} {
		for _, call := range []string{"adopt", "view", "progress", "close"} {
			t.Run(call+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rows := int64(5)
					if call == "close" {
						rows = 0
					}
					b := newOrphanBed(t, rows, fail(call))
					b.write()
					time.Sleep(time.Hour)
					if adopted, _ := b.times(); len(adopted) == 0 && call != "adopt" {
						t.Error("never adopted")
					}
					b.census(b.pool)
					keepsHouse(t, b.bed, b.pool)
					b.heal()
					time.Sleep(time.Hour)
					if list := b.pool.Stats().Orphans; len(list) > 0 {
						t.Errorf("orphans %+v", list)
					}
					b.sound(b.pool)
				})
			})
		}
	}
}
