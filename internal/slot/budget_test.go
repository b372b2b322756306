// SPDX-License-Identifier: MIT

package slot_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

const seg = 4096

// sharing are the options of one of several slots under a budget. A frame of
// 4000 bytes fills a segment.
func sharing(fsys vfs.FS, b *slot.Budget, index int) slot.Options {
	o := options(fsys)
	o.Dir, o.Budget = fmt.Sprintf("/sf/base-%d", index), b
	return o
}

func whole(n int) []slot.Frame {
	var list []slot.Frame
	for id := range uint64(n) {
		list = append(list, frame(id, 1, 4000))
	}
	return list
}

// storeNow stores frames that fill so many segments, for which there must be room.
func storeNow(t testing.TB, s *slot.Slot, n int) {
	t.Helper()
	do(t, storeCtx(noWait(), s, whole(n)...))
}

// onDisk is the sum of the sizes of all segment files.
func onDisk(t testing.TB, fsys vfs.FS, dirs ...string) int64 {
	t.Helper()
	sum := int64(0)
	for _, dir := range dirs {
		entries, err := fsys.ReadDir(dir)
		do(t, err)
		for _, e := range entries {
			if strings.HasPrefix(e.Name(), "sf-") && !strings.Contains(e.Name(), ".corrupt") {
				info, err := e.Info()
				do(t, err)
				sum += info.Size()
			}
		}
	}
	return sum
}

func wantUsed(t testing.TB, b *slot.Budget, segments int64) {
	t.Helper()
	if b.Used() != segments*seg {
		t.Fatalf("%d bytes used, want %d segments, %d", b.Used(), segments, segments*seg)
	}
}

// wantFull stores frames where there must be no room for them.
func wantFull(t testing.TB, s *slot.Slot, frames ...slot.Frame) *slot.FullError {
	t.Helper()
	var full *slot.FullError
	if err := storeCtx(noWait(), s, frames...); !errors.As(err, &full) || !errors.Is(err, slot.ErrFull) {
		t.Fatalf("store on a full budget: %v", err)
	}
	return full
}

func TestSlotsOfABudgetStayUnderItsCapTogether(t *testing.T) {
	mem, b := newMem(), slot.NewBudget(8*seg)
	s, other := open(t, sharing(mem, b, 0)), open(t, sharing(mem, b, 1))
	wantUsed(t, b, 4)
	for range 3 {
		storeNow(t, s, 1)
		storeNow(t, other, 1)
	}
	wantUsed(t, b, 8) // three and a spare each
	storeNow(t, s, 1)
	storeNow(t, other, 1)
	full := wantFull(t, s, whole(1)...)
	if full.Used != 8*seg || full.Cap != 8*seg || full.Need != seg || full.PendingBytes != 4*4008 || full.Never || full.Dir != s.Dir() {
		t.Errorf("%+v", full)
	}
	if st := s.Stats(); st.SegmentBytes != 4*seg || st.MaxBytes != 8*seg || b.Max() != 8*seg {
		t.Errorf("%+v", st)
	}
	settle(t, other, 0, 0)
	storeNow(t, s, 1)
	wantUsed(t, b, 8)
}

func TestTwoSlotsDoNotBothTakeTheLastRoom(t *testing.T) {
	for range 20 {
		b := slot.NewBudget(9 * seg)
		slots := []*slot.Slot{open(t, sharing(newMem(), b, 0)), open(t, sharing(newMem(), b, 1))}
		for range 3 {
			storeNow(t, slots[0], 1)
			storeNow(t, slots[1], 1)
		}
		txs, errs := make([]*slot.Tx, 2), make([]error, 2)
		var wg sync.WaitGroup
		for i, s := range slots {
			wg.Go(func() { txs[i], errs[i] = s.Reserve(noWait(), []int{4000, 4000}) }) // one is ready
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) || b.Used() > b.Max() {
			t.Fatalf("%v and %v; %d of %d bytes", errs[0], errs[1], b.Used(), b.Max())
		}
		for _, tx := range txs {
			if tx != nil {
				do(t, tx.Rollback())
			}
		}
	}
}

func TestReserveWakesUpWhenAnotherSlotGivesRoom(t *testing.T) {
	for name, give := range map[string]func(other *slot.Slot) error{
		"trim":  func(other *slot.Slot) error { return other.Settle(0, 1, slot.Acked) },
		"close": func(other *slot.Slot) error { return other.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem, b := newMem(), slot.NewBudget(6*seg)
				s, other := open(t, sharing(mem, b, 0)), open(t, sharing(mem, b, 1))
				storeNow(t, other, 4)
				storeNow(t, s, 2)
				stored := make(chan error, 1)
				go func() { stored <- store(s, whole(1)...) }()
				synctest.Wait()
				if len(stored) != 0 {
					t.Fatalf("stored above the cap: %v, %d bytes", <-stored, b.Used())
				}
				do(t, give(other))
				do(t, <-stored)
				do(t, s.Close())
			})
		})
	}
}

func TestSlotAtItsFloorProceedsWhileOthersHoldEverything(t *testing.T) {
	mem, b := newMem(), slot.NewBudget(6*seg)
	hog := open(t, sharing(mem, b, 0))
	storeNow(t, hog, 6)
	s := open(t, sharing(mem, b, 1))
	wantUsed(t, b, 7) // no spare
	storeNow(t, s, 1)
	for fsn := range slot.FSN(5) {
		storeNow(t, s, 1)
		wantUsed(t, b, 8)
		wantFull(t, s, whole(1)...)
		do(t, s.Settle(fsn, 1, slot.Acked))
	}
	if full := wantFull(t, hog, whole(1)...); full.Used != 7*seg {
		t.Errorf("%+v", full)
	}
}

func TestIdleSlotGivesItsSpareToOneThatNeedsIt(t *testing.T) {
	mem, b := newMem(), slot.NewBudget(6*seg)
	s, idle := open(t, sharing(mem, b, 0)), open(t, sharing(mem, b, 1))
	storeNow(t, s, 1)
	storeNow(t, s, 4)
	wantUsed(t, b, 6)
	if got := idle.Stats().SegmentBytes; got != seg {
		t.Errorf("the idle slot holds %d bytes", got)
	}
	storeNow(t, idle, 1)
	storeNow(t, idle, 1) // at its floor
	wantUsed(t, b, 7)
}

func TestSpareOfABusySlotIsHadWhenItsTxEnds(t *testing.T) {
	for name, end := range map[string]func(tx *slot.Tx) error{
		"publish":  func(tx *slot.Tx) error { tx.Publish(); return nil },
		"rollback": func(tx *slot.Tx) error { return tx.Rollback() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem, b := newMem(), slot.NewBudget(6*seg)
				s, busy := open(t, sharing(mem, b, 0)), open(t, sharing(mem, b, 1))
				storeNow(t, s, 1)
				tx, err := busy.Reserve(t.Context(), []int{50})
				do(t, err)
				stored := make(chan error, 1)
				go func() { stored <- store(s, whole(4)...) }()
				synctest.Wait()
				if len(stored) != 0 {
					t.Fatalf("stored above the cap: %v", <-stored)
				}
				do(t, tx.Append(frame(0, 1, 50)))
				do(t, tx.Sync())
				do(t, end(tx))
				do(t, <-stored)
				wantUsed(t, b, 6)
				do(t, errors.Join(s.Close(), busy.Close()))
			})
		})
	}
}

func TestNoSpareIsPreparedWhileAnotherSlotWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, b := newMem(), slot.NewBudget(6*seg)
		s, other := open(t, sharing(mem, b, 0)), open(t, sharing(mem, b, 1))
		storeNow(t, s, 1)
		storeNow(t, other, 2)
		stored := make(chan error, 1)
		go func() { stored <- store(s, whole(4)...) }()
		synctest.Wait()
		storeNow(t, other, 1)
		wantUsed(t, b, 4) // who waits has given up its own
		settle(t, other, 0, 2)
		do(t, <-stored)
		wantUsed(t, b, 6)
		do(t, errors.Join(s.Close(), other.Close()))
	})
}

func TestBatchThatNeverFitsBesideTheOtherSlotsIsToldAtOnce(t *testing.T) {
	mem, b := newMem(), slot.NewBudget(6*seg)
	s, other := open(t, sharing(mem, b, 0)), open(t, sharing(mem, b, 1))
	storeNow(t, s, 1)
	if full := wantFull(t, s, whole(5)...); !full.Never || full.Cause != nil {
		t.Fatalf("more than the other slot leaves: %+v", full)
	}
	do(t, other.Close())
	storeNow(t, s, 5)
}

func TestClosedSlotGivesItsBytesBackAndCountsAgainWhenReopened(t *testing.T) {
	mem, b := newMem(), slot.NewBudget(6*seg)
	s := open(t, sharing(mem, b, 0))
	storeNow(t, s, 5)
	do(t, s.Close())
	wantUsed(t, b, 0)
	other := open(t, sharing(mem, b, 1))
	storeNow(t, other, 5)
	s = open(t, sharing(mem, b, 0))
	wantUsed(t, b, 11) // found, not refused; and no spare
	if full := wantFull(t, other, whole(2)...); full.Used <= full.Cap || full.Never {
		t.Errorf("%+v", full)
	}
	settle(t, s, 0, 4)
	storeNow(t, s, 1)
	do(t, errors.Join(s.Close(), other.Close()))
	wantUsed(t, b, 0)
}

func TestOpenThatFailsTakesNothing(t *testing.T) {
	mem, b := newMem(), slot.NewBudget(6*seg)
	o := sharing(mem, b, 0)
	storeNow(t, open(t, o), 2)
	left := mem.CrashKept()
	b = slot.NewBudget(6 * seg)
	for at := int64(1); ; at++ {
		f := fault{at: at, forever: true, err: errors.New("broken")}
		o := sharing(vfstest.Wrap(left.CrashKept(), f.hook), b, 0)
		s, err := slot.Open(o)
		if err == nil {
			_ = s.Close()
		}
		wantUsed(t, b, 0)
		if !f.reached {
			break
		}
	}
}

// TestSlotsUnderOneBudgetMayWorkTogether has four slots, each wanting three times
// what there is, and a fifth that comes and goes.
func TestSlotsUnderOneBudgetMayWorkTogether(t *testing.T) {
	const slots, frames = 4, 120
	mem, b := newMem(), slot.NewBudget(10*seg)
	var wg sync.WaitGroup
	for index := range slots {
		s := open(t, sharing(mem, b, index))
		wg.Go(func() {
			for id := uint64(0); id < frames; id += 3 {
				if err := store(s, frame(id, 1, 1000), frame(id+1, 1, 3000), frame(id+2, 1, 500)); err != nil {
					t.Error(err)
					return
				}
				if n := b.Used(); n > b.Max()+(slots+1)*2*seg {
					t.Errorf("%d bytes used, cap %d and two segments each", n, b.Max())
				}
			}
		})
		wg.Go(func() { settleAsRead(t, s, frames) })
	}
	wg.Go(func() {
		for range 20 {
			s, err := slot.Open(sharing(mem, b, slots))
			if err == nil {
				err = errors.Join(store(s, whole(1)...), s.Settle(s.Stats().Published, 1, slot.Acked), s.Close())
			}
			if err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	wantUsed(t, b, onDisk(t, mem, "/sf/base-0", "/sf/base-1", "/sf/base-2", "/sf/base-3")/seg)
}

// settleAsRead settles so many frames.
func settleAsRead(t testing.TB, s *slot.Slot, frames int) {
	for c := s.NewCursor(); frames > 0; {
		changed := s.Changed()
		list, err := readAll(c)
		if err != nil {
			t.Error(err)
			return
		}
		if len(list) == 0 {
			<-changed
		}
		for _, e := range list {
			if err := s.Settle(e.fsn, 1, slot.Acked); err != nil {
				t.Error(err)
			}
		}
		frames -= len(list)
	}
}

func TestReserveThatGivesUpLeavesTheBudgetAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, b := newMem(), slot.NewBudget(4*seg)
		s, other := open(t, sharing(mem, b, 0)), open(t, sharing(mem, b, 1))
		storeNow(t, s, 2)
		storeNow(t, other, 2)
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() { failed <- storeCtx(ctx, s, whole(1)...) }()
		synctest.Wait()
		cancel()
		if err := <-failed; !errors.Is(err, slot.ErrFull) || !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		wantUsed(t, b, 4)
		settle(t, other, 0, 1)
		storeNow(t, s, 1)
		do(t, errors.Join(s.Close(), other.Close()))
	})
}

func TestWaitingSlotTrimsWhatAnotherCouldNot(t *testing.T) {
	broken := false
	mem, b := newMem(), slot.NewBudget(6*seg)
	s := open(t, sharing(mem, b, 0))
	other := open(t, sharing(vfstest.Wrap(mem, func(op vfstest.Op) error {
		if broken && op.Kind == vfstest.OpRemove {
			return errors.New("broken")
		}
		return nil
	}), b, 1))
	storeNow(t, other, 4)
	storeNow(t, s, 2)
	broken = true
	for fsn := range slot.FSN(4) {
		_ = other.Settle(fsn, 1, slot.Acked)
	}
	wantFull(t, s, whole(1)...)
	broken = false
	storeNow(t, s, 3)
	wantUsed(t, b, 6)
}
