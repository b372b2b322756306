// SPDX-License-Identifier: MIT

package slot_test

import (
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// failing fails calls of a kind on files whose names end so, while it is armed.
type failing struct {
	kind   vfstest.Kind
	suffix string
	once   bool
	armed  atomic.Bool
	hits   atomic.Int64
}

func (f *failing) hook(op vfstest.Op) error {
	if op.Kind != f.kind || !strings.HasSuffix(op.Path, f.suffix) || !f.armed.Load() {
		return nil
	}
	if f.once {
		f.armed.Store(false)
	}
	f.hits.Add(1)
	return syscall.EIO
}

// afterPowerCut opens many of the states that a power cut may leave, each of
// which must open, and judges what is pending there.
func afterPowerCut(t *testing.T, mem *vfstest.Mem, o slot.Options, judge func(got []entry)) {
	t.Helper()
	for seed := range uint64(100) {
		o.FS = mem.Crash(rand.New(rand.NewPCG(seed, 0)))
		s, err := slot.Open(o)
		if err != nil {
			t.Fatalf("state %d: %v", seed, err)
		}
		judge(pending(t, s))
		do(t, s.Close())
	}
}

func TestFlushedFramesSurviveAPowerCutBehindFramesThatWereNeverSynced(t *testing.T) {
	mem := newMem()
	o := options(mem)
	o.Durability = slot.Memory
	s := open(t, o)
	fill(t, s, 0, 7, 1500)
	do(t, s.Close())

	o.Durability = slot.Flush
	s = open(t, o)
	fill(t, s, 7, 9, 1500)
	afterPowerCut(t, mem, o, func(got []entry) {
		if len(got) != 9 || got[8].id != 8 {
			t.Fatalf("after the power cut %v", got)
		}
	})
}

func TestATornAppendBehindAMendIsNoWound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMem()
		sync := &failing{kind: vfstest.OpSync, suffix: ".sfa", once: true}
		s := open(t, periodic(vfstest.Wrap(mem, sync.hook)))
		fill(t, s, 0, 3, 300)
		sync.armed.Store(true)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if sync.hits.Load() != 1 {
			t.Fatal("no sync was tried")
		}
		tx, err := s.Reserve(noWait(), []int{1000, 1000, 1000, 1000, 1000, 1000})
		do(t, err)
		for id := range uint64(6) {
			do(t, tx.Append(frame(3+id, 1, 1000)))
		}
		afterPowerCut(t, mem, periodic(mem), func(got []entry) {
			if len(got) < 3 {
				t.Fatalf("after the power cut %v", got)
			}
		})
		do(t, tx.Rollback())
	})
}

func TestAFullSlotThatCouldNotTrimIsTrimmedByTheNextReserve(t *testing.T) {
	mem := newMem()
	unlink := &failing{kind: vfstest.OpRemove, suffix: ".sfa"}
	o := options(vfstest.Wrap(mem, unlink.hook))
	s := open(t, o)
	var n uint64
	for ; storeCtx(noWait(), s, frame(n, 1, 1500)) == nil; n++ {
	}
	unlink.armed.Store(true)
	for fsn := range slot.FSN(n) {
		_ = s.Settle(fsn, 1, slot.Acked)
	}
	if unlink.hits.Load() == 0 {
		t.Fatal("no unlink was tried")
	}
	unlink.armed.Store(false)
	do(t, storeCtx(noWait(), s, frame(n, 1, 1500), frame(n+1, 1, 1500), frame(n+2, 1, 1500)))
}

func TestCloseUnlinksNothingThatTheStateOnTheDeviceDoesNotExplain(t *testing.T) {
	mem := newMem()
	state := &failing{kind: vfstest.OpSync, suffix: ".qsf-state"}
	o := options(vfstest.Wrap(mem, state.hook))
	s := open(t, o)
	fill(t, s, 0, 5, 1500)
	state.armed.Store(true)
	for fsn := range slot.FSN(4) {
		_ = s.Settle(fsn, 1, slot.Acked)
	}
	before := len(segments(t, mem))
	if err := s.Close(); err == nil || state.hits.Load() == 0 {
		t.Fatalf("close: %v after %d failed syncs", err, state.hits.Load())
	}
	if after := len(segments(t, mem)); after < before-1 { // the spare may go
		t.Errorf("%d of %d segments are left", after, before)
	}
	o.FS = nil
	afterPowerCut(t, mem, o, func(got []entry) {
		if len(got) == 0 || got[len(got)-1].id != 4 {
			t.Fatalf("after the power cut %v", got)
		}
	})
}

func TestACursorDoesNotGoBackWhenAReadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sync := &failing{kind: vfstest.OpSync, suffix: ".sfa", once: true}
		read := &failing{kind: vfstest.OpRead, suffix: ".sfa", once: true}
		s := open(t, periodic(vfstest.Wrap(newMem(), func(op vfstest.Op) error {
			if err := sync.hook(op); err != nil {
				return err
			}
			return read.hook(op)
		})))
		c := s.NewCursor()
		fill(t, s, 0, 3, 100)
		if got, err := readAll(c); err != nil || len(got) != 3 {
			t.Fatalf("%v, %v", got, err)
		}
		sync.armed.Store(true)
		time.Sleep(2 * time.Second) // the frames are written anew, into another file
		synctest.Wait()
		fill(t, s, 3, 4, 100)
		read.armed.Store(true)
		if _, _, err := c.Next(); err == nil {
			t.Fatal("the read did not fail")
		}
		if got, err := readAll(c); err != nil || len(got) != 1 || got[0].id != 3 {
			t.Errorf("the cursor shows %v, %v", got, err)
		}
		do(t, s.Close())
	})
}
