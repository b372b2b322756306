// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestAPrewarmThatFailsClosesWhatWasBuilt(t *testing.T) {
	for _, alsoClose := range []bool{false, true} {
		eachMishap(t, func(t *testing.T, b *bed, s *script, m mishap) {
			cfg := b.config()
			cfg.MinSenders = 4
			m.hit(s, "open", 3)
			if alsoClose {
				s.fail("close 0", errTest)
			}
			if _, err := b.tryOpen(cfg); !errors.Is(err, errTest) {
				t.Errorf("error %v", err)
			}
			b.holding()
			if s.count("close") != 3 {
				t.Errorf("calls %v", s.calls)
			}
			m.lift(s, "open", 3)
			s.fail("close 0", nil)
			b.sound(b.open(cfg))
		})
	}
}

// Each call to the disk that Open makes itself goes wrong in turn: the lookups of
// sf_dir, its creation, the lock of the pool, the size of the disk.
func TestAProbeThatFailsLeavesNothingLocked(t *testing.T) {
	eachMishap(t, func(t *testing.T, b *bed, s *script, m mishap) {
		failures := 0
		for n := int64(1); ; n++ {
			var calls atomic.Int64
			cfg := b.config()
			mem := cfg.FS
			cfg.FS = failing(mem, m, func(op vfstest.Op) bool { return calls.Add(1) == n })
			p, err := b.tryOpen(cfg)
			through := calls.Swap(1<<32) < n // nothing fails any more
			if err == nil {
				b.sound(p)
			} else if failures++; !errors.Is(err, errTest) {
				t.Errorf("call %d: %v", n, err)
			}
			b.holding()
			cfg.FS = mem
			b.sound(b.open(cfg)) // the lock of the pool is free
			if through {
				break
			}
		}
		if failures < 3 {
			t.Errorf("only %d calls matter", failures)
		}
	})
}

func TestTheLockOfThePoolIsDroppedEvenIfItsUnlockFails(t *testing.T) {
	eachMishap(t, func(t *testing.T, b *bed, _ *script, m mishap) {
		cfg := b.config()
		mem := cfg.FS
		cfg.FS = failing(mem, m, func(op vfstest.Op) bool { return op.Kind == vfstest.OpUnlock })
		if err := b.open(cfg).Close(context.Background()); !errors.Is(err, errTest) {
			t.Errorf("close: %v", err)
		}
		cfg.FS = mem
		b.sound(b.open(cfg))
	})
}

// dying is a log that panics at one of its lines.
type dying struct {
	slog.Handler
	line string
}

func (d dying) Handle(ctx context.Context, r slog.Record) error {
	if strings.Contains(r.Message, d.line) {
		panic(errTest)
	}
	return d.Handler.Handle(ctx, r)
}

func TestAnAnnouncementThatPanicsClosesWhatWasBuilt(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		cfg.MinSenders = 2
		log := cfg.Logger
		cfg.Logger = slog.New(dying{log.Handler(), "store open"})
		if p, err := b.tryOpen(cfg); err == nil {
			b.sound(p)
			t.Error("open in spite of it")
		}
		b.holding()
		cfg.Logger = log
		b.sound(b.open(cfg))
	})
}

func TestWhicheverFilesystemCallOfABuildFailsItsIndexCanBeBorrowedAgain(t *testing.T) {
	eachMishap(t, func(t *testing.T, b *bed, _ *script, m mishap) {
		for n := int64(1); ; n++ {
			var left atomic.Int64 // calls until the one that fails
			cfg := b.config()
			cfg.MaxSenders, cfg.MaxSegmentBytes = 1, 64<<10
			cfg.FS = failing(cfg.FS, m, func(vfstest.Op) bool { return left.Add(-1) == 0 })
			p := (&server{down: true}).open(t, cfg)
			synctest.Wait()
			left.Store(n)
			if s, err := p.Borrow(context.Background()); err == nil {
				s.Return()
			} else if !errors.Is(err, errTest) {
				t.Errorf("call %d: %v", n, err)
			}
			passed := left.Swap(0) > 0
			s, err := p.Borrow(context.Background())
			if err != nil {
				t.Fatalf("after call %d: %v", n, err)
			}
			put(t, p, s)
			s.Return()
			_ = p.Close(context.Background())
			if passed {
				break
			}
		}
	})
}
