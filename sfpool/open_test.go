// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// filling returns a disk that has no room for anything new while full says so.
// What is there can be written over, except for the notes, which are truncated first.
func filling(disk vfs.FS, full *atomic.Bool) vfs.FS {
	adds := func(op vfstest.Op) bool {
		switch op.Kind {
		case vfstest.OpOpen:
			_, missing := disk.Stat(op.Path)
			return op.Flag&os.O_CREATE != 0 && missing != nil
		case vfstest.OpWrite:
			return strings.HasSuffix(op.Path, ".pid") || strings.HasSuffix(op.Path, ".slots")
		}
		return op.Kind == vfstest.OpAllocate
	}
	return vfstest.Wrap(disk, func(op vfstest.Op) error {
		if full.Load() && adds(op) {
			return syscall.ENOSPC
		}
		return nil
	})
}

// Room comes back only by sending what is there.
func TestAFullDiskKeepsNoPoolFromOpeningAndSendingItsBacklog(t *testing.T) {
	for _, noted := range []bool{true, false} { // with the notes of the run before, or without
		synctest.Test(t, func(t *testing.T) {
			var full atomic.Bool
			b, srv := newBed(t), &server{}
			cfg := b.config()
			disk := cfg.FS
			cfg.FS = filling(disk, &full)
			leaveFour(t, b, srv, cfg)
			if !noted {
				do(t, errors.Join(disk.Remove(countFile(cfg.Dir, "default")), disk.Remove("/sf/default-0/.lock.pid")))
			}
			full.Store(true)
			srv.is(false)
			cfg.MinSenders = 1
			p := srv.open(t, cfg)
			time.Sleep(time.Hour)
			if st := p.Stats(); st.Acked != 4 || st.Pending != 0 {
				t.Errorf("stats %+v", st)
			}
			if got := len(srv.took()); got != 4 {
				t.Errorf("the server has %d rows", got)
			}
			full.Store(false)
		})
	}
}

func TestANeighbourThatHoldsThePoolLockForAnInstantDoesNotKeepItFromOpening(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		let, err := slot.LockName(cfg.FS, cfg.Dir, lockName("default"))
		do(t, err)
		go func() {
			time.Sleep(100 * time.Millisecond)
			do(t, let())
		}()
		b.take(b.open(cfg), 1)
	})
}

func TestASecondPoolIsRefusedWithinTwoSeconds(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		b.open(cfg)
		began := time.Now()
		_, err := b.tryOpen(cfg)
		if !errors.As(err, new(*LockedError)) || time.Since(began) > 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

// The lock of the second one is let go when it gives up, not that of the first.
func TestAPoolThatIsRefusedLeavesTheLockToItsOwner(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		p := b.open(cfg)
		for range 2 {
			if _, err := b.tryOpen(cfg); !errors.As(err, new(*LockedError)) {
				t.Errorf("error %v", err)
			}
		}
		closes(t, p, 0)
		b.sound(b.open(cfg))
	})
}

func TestOpenReturnsWhenItsContextEndsThoughTheOpenOfASlotHangs(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.MinSenders = 2
		let := s.hold("open 1")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_, err := open(ctx, cfg, parts{open: func(_ *Pool, index int) (delegate, error) { return b.openFake(index) }})
		if took := time.Since(epoch); !errors.Is(err, context.DeadlineExceeded) || took > 2*time.Second+closeTimeout {
			t.Errorf("after %s: %v", took, err)
		}
		if !strings.Contains(err.Error(), "default-1 stays locked") {
			t.Errorf("error %v", err)
		}
		b.holding()
		let()
		b.holding() // what came in the end is closed
		if s.count("close 1") != 1 {
			t.Errorf("calls %v", s.calls)
		}
		b.sound(b.open(cfg))
	})
}

func TestOpenWithAContextThatHasEndedOpensNoSlot(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		cfg := b.config()
		cfg.MinSenders = 2
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := open(ctx, cfg, parts{open: func(_ *Pool, index int) (delegate, error) { return b.openFake(index) }})
		if !errors.Is(err, context.Canceled) || s.count("open") != 0 {
			t.Errorf("%v, calls %v", err, s.calls)
		}
		b.sound(b.open(cfg))
	})
}

func TestThePoolWhoseLockIsHeldWhileItsContextEndsIsRefusedAtOnce(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		cfg := b.config()
		let, err := slot.LockName(cfg.FS, cfg.Dir, lockName("default"))
		do(t, err)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Millisecond)
		defer cancel()
		_, err = open(ctx, cfg, parts{})
		var locked *LockedError
		if !errors.As(err, &locked) || locked.Dir != filepath.Join(cfg.Dir, "default-0") || time.Since(epoch) > 100*time.Millisecond {
			t.Errorf("after %s: %v", time.Since(epoch), err)
		}
		do(t, let())
	})
}
