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
)

// Who was refused the place of the pool has no business in its slots, and tries
// again every second: it must not log either.
func TestAPoolThatIsRefusedOpensNoSlotAndSaysNothing(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0, 1, 2, 3)
		b.open(cfg)
		synctest.Wait()
		opens, said := slices.Clone(b.opens), b.log.String()
		if _, err := b.tryOpen(cfg); !errors.As(err, new(*LockedError)) {
			t.Fatalf("error %v", err)
		}
		if !slices.Equal(opens, b.opens) || b.log.String() != said {
			t.Errorf("opened %v before, then %v; said %s", opens, b.opens, b.log.String()[len(said):])
		}
	})
}

func TestAPoolWhoseOpenFailsDoesNotTellOfItsSlots(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := seeded(b, s, 0, 1, 2, 3)
		cfg.MinSenders = 2
		s.fail("open 1", errTest)
		if _, err := b.tryOpen(cfg); !errors.Is(err, errTest) {
			t.Fatalf("error %v", err)
		}
		b.opened(0)
		if said := b.log.String(); said != "" {
			t.Errorf("said %s", said)
		}
	})
}

// A slot that was emptied in order is nothing to tell of.
func TestCloseDoesNotNameSlotsThatHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, srv := newBed(t), &server{}
		cfg := b.config()
		for range 2 {
			p := srv.open(t, cfg)
			s := b.take(p, 1)[0]
			storeID(t, p, s, 1)
			if err := p.WaitAcked(context.Background()); err != nil {
				t.Fatal(err)
			}
			s.Return()
			if err := p.Close(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		p := srv.open(t, cfg)
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := b.log.count("were not opened in this run"); n != 0 {
			t.Errorf("said %d times: %s", n, b.log.String())
		}
	})
}

func TestCloseAlsoEmptiesSlotsThatTheRecoveryHasNotComeTo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, srv := newBed(t), &server{}
		cfg := b.config()
		leaveFour(t, b, srv, cfg)
		srv.is(false)
		cfg.MinSenders, cfg.CloseFlushTimeout = 1, time.Minute
		p := srv.open(t, cfg)
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		replayed(t, srv, p, 0, 1, 2, 3)
	})
}

func TestCloseNamesTheSlotsThatWereNotOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, srv := newBed(t), &server{}
		cfg := b.config()
		leaveFour(t, b, srv, cfg)
		cfg.MinSenders, cfg.CloseFlushTimeout = 1, time.Second
		p := srv.open(t, cfg)
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := b.log.count("slots were not opened in this run"); got != 1 || !strings.Contains(b.log.String(), "default-3") {
			t.Errorf("said %d times: %s", got, b.log.String())
		}
	})
}
