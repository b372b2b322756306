// SPDX-License-Identifier: MIT

package slot_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// TestAppendersReaderAndStatsMayRunTogether sends 600 frames through a slot that
// holds about forty.
func TestAppendersReaderAndStatsMayRunTogether(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic} {
		o := options(newMem())
		o.Durability = d
		s := open(t, o)
		const writers, each = 3, 200
		var wg sync.WaitGroup
		for n := range uint64(writers) {
			wg.Go(func() {
				for id := n * each; id < (n+1)*each; id++ {
					if err := store(s, frame(id, 1, 1000)); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		seen := map[uint64]bool{}
		for c := s.NewCursor(); len(seen) < writers*each; {
			changed := s.Changed()
			list, err := readAll(c)
			do(t, err)
			for _, e := range list {
				seen[e.id] = true
				do(t, s.Settle(e.fsn, 1, slot.Acked))
			}
			balanced(t, s.Stats())
			if len(list) == 0 {
				<-changed
			}
		}
		wg.Wait()
		st := s.Stats()
		if st.Acked != writers*each || st.Pending != 0 || st.PendingBytes != 0 {
			t.Errorf("%+v", st)
		}
		do(t, s.Close())
	}
}

func TestWhoLooksMayDoSoWhileAWriteIsUndone(t *testing.T) {
	var syncs int
	o := options(vfstest.Wrap(newMem(), func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync && strings.HasSuffix(op.Path, ".sfa") {
			if syncs++; syncs%3 == 0 {
				return syscall.EIO
			}
		}
		return nil
	}))
	o.MaxBytes = 1 << 20
	s := open(t, o)
	var looks sync.WaitGroup
	done := make(chan struct{})
	looks.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				balanced(t, s.Stats())
				_ = s.Segments()
				time.Sleep(50 * time.Microsecond)
			}
		}
	})
	failed := 0
	for id := range uint64(60) {
		if store(s, frame(id, 1, 100)) != nil {
			failed++
		}
	}
	do(t, s.Close())
	close(done)
	looks.Wait()
	if failed == 0 {
		t.Error("no write was undone")
	}
}

func TestCloseEndsEveryWait(t *testing.T) {
	o := options(newMem())
	o.MaxBytes = 2 * 4096
	s := open(t, o)
	fill(t, s, 0, 8, 1000)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if err := storeCtx(context.Background(), s, frame(9, 1, 1000)); !errors.Is(err, slot.ErrClosed) {
				t.Errorf("a waiting append ends with %v", err)
			}
		})
	}
	wg.Go(func() { <-s.Changed() })
	do(t, s.Close())
	wg.Wait()
}

func TestLockThatIsNotReleasedIsNotCalledReleased(t *testing.T) {
	mem, refuse := newMem(), true
	s := open(t, options(vfstest.Wrap(mem, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpUnlock && refuse {
			return syscall.EIO
		}
		return nil
	})))
	if err := s.Close(); !errors.Is(err, syscall.EIO) || s.LockReleased() {
		t.Fatalf("Close: %v, released: %t", err, s.LockReleased())
	}
	if _, err := slot.Open(options(mem)); err == nil {
		t.Fatal("the slot was opened under a held lock")
	}
	refuse = false
	do(t, s.Close())
	if !s.LockReleased() {
		t.Error("lock released, but not said so")
	}
	open(t, options(mem))
}
