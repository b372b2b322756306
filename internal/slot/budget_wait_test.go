// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// TestAWaiterDoesNotKeepTheSpareThatAnotherWaitsFor has a slot with a spare that
// is not enough for it, and is for another one. While the first looks for room it
// is busy, so the second has to wait, and must hear of the spare later.
func TestAWaiterDoesNotKeepTheSpareThatAnotherWaitsFor(t *testing.T) {
	for name, ask := range map[string]func(w *waiters){
		"the one with the spare asks first": func(w *waiters) {
			w.halt = make(chan struct{})
			w.store(0, 2)
			w.store(1, 1)
		},
		"the other asks first": func(w *waiters) {
			tx, err := w.slots[0].Reserve(w.Context(), []int{50})
			do(w, err)
			w.halt = make(chan struct{})
			w.store(1, 1)
			w.store(0, 2)
			do(w, tx.Rollback())
			synctest.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWaiters(t)
				ask(w)
				close(w.halt)
				synctest.Wait()
				if len(w.stored[0]) != 0 || len(w.stored[1]) != 1 {
					t.Fatalf("%d and %d have stored, %d bytes used", len(w.stored[0]), len(w.stored[1]), w.b.Used())
				}
				do(t, <-w.stored[1])
				settle(t, w.slots[1], 0, 1)
				do(t, <-w.stored[0])
				do(t, errors.Join(w.slots[0].Close(), w.slots[1].Close()))
			})
		})
	}
}

// TestTwoWaitersDoNotWakeEachOtherForEver counts what two slots do that both have
// a spare and need more than there is.
func TestTwoWaitersDoNotWakeEachOtherForEver(t *testing.T) {
	for _, order := range [][2]int{{0, 1}, {1, 0}} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			fsys := vfstest.Wrap(newMem(), func(vfstest.Op) error { calls.Add(1); return nil })
			b := slot.NewBudget(8 * seg)
			slots := []*slot.Slot{open(t, sharing(fsys, b, 0)), open(t, sharing(fsys, b, 1))}
			for range 3 {
				storeNow(t, slots[0], 1)
				storeNow(t, slots[1], 1)
			}
			wantUsed(t, b, 8) // three and a spare each
			stored := make(chan error, 2)
			calls.Store(0)
			for _, i := range order {
				go func() { stored <- store(slots[i], whole(4)...) }()
				synctest.Wait()
			}
			if n := calls.Load(); n > 10 || len(stored) != 0 {
				t.Errorf("%d calls of the filesystem, %d stored", n, len(stored))
			}
			settle(t, slots[0], 0, 1)
			settle(t, slots[1], 0, 1)
			do(t, <-stored) // whoever it is
			settle(t, slots[0], 2, slots[0].Stats().Published)
			settle(t, slots[1], 2, slots[1].Stats().Published)
			do(t, <-stored)
			do(t, errors.Join(slots[0].Close(), slots[1].Close()))
		})
	}
}

// waiters are two slots on a full budget. The first has a spare, and a file that
// cannot be unlinked: each Reserve tries that again, and stops there at halt.
type waiters struct {
	*testing.T
	b      *slot.Budget
	slots  [2]*slot.Slot
	stored [2]chan error
	litter string
	halt   chan struct{}
}

func newWaiters(t *testing.T) *waiters {
	w := &waiters{T: t, b: slot.NewBudget(8 * seg)}
	mem := newMem()
	for i, fsys := range []vfs.FS{vfstest.Wrap(mem, w.hook), mem} {
		w.slots[i], w.stored[i] = open(t, sharing(fsys, w.b, i)), make(chan error, 1)
	}
	storeNow(t, w.slots[1], 1)
	wantFull(t, w.slots[1], whole(6)...) // has the spare of the other unlinked
	if w.litter == "" {
		t.Fatal("nothing was to be unlinked")
	}
	for range 2 {
		storeNow(t, w.slots[0], 1)
	}
	for range 3 {
		storeNow(t, w.slots[1], 1)
	}
	wantUsed(t, w.b, 8)
	return w
}

func (w *waiters) hook(op vfstest.Op) error {
	switch {
	case op.Kind != vfstest.OpRemove || w.litter != "" && op.Path != w.litter:
		return nil
	case w.halt != nil:
		<-w.halt
	}
	w.litter = op.Path
	return errors.New("broken")
}

// store begins to store n frames and returns when that waits.
func (w *waiters) store(i, n int) {
	go func() { w.stored[i] <- storeCtx(w.Context(), w.slots[i], whole(n)...) }()
	synctest.Wait()
}
