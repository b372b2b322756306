// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// fault fails calls of a filesystem from the Nth on.
type fault struct {
	at      int64
	forever bool // not only that one
	err     error
	healed  bool
	reached bool
}

func (f *fault) hook(op vfstest.Op) error {
	if f.healed || op.N < f.at || op.N > f.at && !f.forever {
		return nil
	}
	f.reached = true
	if op.Kind == vfstest.OpWrite {
		return &vfstest.ShortWrite{N: int(op.Len / 2), Err: f.err}
	}
	return f.err
}

// tolerant is a caller that goes on after errors, as an agent does.
func tolerant(o slot.Options, w *world) {
	s, err := slot.Open(o)
	if err != nil {
		return
	}
	for round := range 6 {
		_ = w.store(s, 900, 100)
		_ = w.rollback(s, 200, 3000, 40)
		_ = w.store(s, 1500, 2500, 30)
		for fsn := slot.FSN(4*round + 1); fsn < slot.FSN(min(4*round+5, len(w.published))); fsn++ { // the first stays
			_ = w.settle(s, fsn)
		}
		_, _ = readAll(s.NewCursor())
		if round == 3 {
			_ = s.Close()
			if s, err = slot.Open(o); err != nil {
				return
			}
			w.adopt(s)
		}
	}
	_ = s.Close()
}

// adopt takes over what a Rollback that failed has left: who could not undo an
// append may find it done after the next open.
func (w *world) adopt(s *slot.Slot) {
	list, _ := readAll(s.NewCursor())
	for _, e := range list {
		if int(e.fsn) == len(w.published) && len(w.inFlight) > 0 && w.inFlight[0] == e.id {
			w.published, w.inFlight = append(w.published, e.id), w.inFlight[1:]
		}
	}
	if st := s.Stats(); int(st.Published) == len(w.published)-1 {
		w.inFlight = nil
	}
}

// TestErrorAtEveryCallLosesNothing fails each call to the filesystem once, and
// all calls from there on, with a full disk and with a broken one. Afterwards
// the process dies, or the power goes, and the disk is well again.
func TestErrorAtEveryCallLosesNothing(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic, slot.Memory} {
		for _, err := range []error{syscall.ENOSPC, syscall.EIO} {
			for _, forever := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/forever=%t", d, err, forever), func(t *testing.T) {
					positions := int64(1)
					for ; errorAt(t, d, fault{at: positions, forever: forever, err: err}); positions += thin {
						if t.Failed() {
							return
						}
					}
					t.Logf("%d positions", positions/thin)
				})
			}
		}
	}
}

func errorAt(t *testing.T, d slot.Durability, f fault) (reached bool) {
	t.Helper()
	mem := newMem()
	w := &world{settled: map[slot.FSN]bool{}}
	tolerant(crashOptions(vfstest.Wrap(mem, f.hook), d), w)
	f.healed = true
	if err := after(crashOptions(mem.CrashKept(), d), w); err != nil {
		t.Errorf("%v at call %d, then death: %v", f.err, f.at, err)
	}
	if d == slot.Memory {
		return f.reached
	}
	w.mayLoseEnd = d == slot.Periodic
	for i, state := range crashStates(mem, f.at, 2) {
		if err := after(crashOptions(state, d), w); err != nil {
			t.Errorf("%v at call %d, then crash %d: %v", f.err, f.at, i, err)
		}
	}
	return f.reached
}

// TestErrorAfterADeathLosesNothing lets the process die at some calls, the disk
// fail in the next life from some call on, and then cuts the power.
func TestErrorAfterADeathLosesNothing(t *testing.T) {
	mem := newMem()
	w := &world{settled: map[slot.FSN]bool{}}
	fsys := vfstest.Wrap(mem, func(op vfstest.Op) error {
		if op.N%(7*thin) != 0 || t.Failed() {
			return nil
		}
		for at := int64(1); at < 60; at += 2 {
			left := mem.CrashKept()
			f := fault{at: at, forever: true, err: syscall.EIO}
			if s, err := slot.Open(crashOptions(vfstest.Wrap(left, f.hook), slot.Flush)); err == nil {
				_ = s.Close()
			}
			for i, state := range crashStates(left, op.N, 1) {
				if err := after(crashOptions(state, slot.Flush), w); err != nil {
					t.Errorf("death before call %d, error from call %d on, crash %d: %v", op.N, at, i, err)
				}
			}
		}
		return nil
	})
	if err := workload(crashOptions(fsys, slot.Flush), w); err != nil {
		t.Fatal(err)
	}
}

// TestReadErrorInRecoveryChangesNothing fails each reading call of Open on a
// directory where there is much to clean up.
func TestReadErrorInRecoveryChangesNothing(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 10, 1000)
	settle(t, s, 0, 5)
	left := mem.CrashKept()
	tail := read(t, left, "sf-0000000000000001.sfa")
	tail[3000] = 1 // a torn tail
	write(t, left, "sf-0000000000000001.sfa", tail)
	write(t, left, "sf-00000000000000aa.sfa", make([]byte, 4096))
	reads := 0
	for at := int64(1); ; at++ {
		failed, changed := false, ""
		state := left.CrashKept()
		o := options(vfstest.Wrap(state, func(op vfstest.Op) error {
			switch op.Kind {
			case vfstest.OpRead, vfstest.OpReadDir, vfstest.OpStat, vfstest.OpSize:
				if op.N == at {
					failed = true
					return syscall.EIO
				}
			case vfstest.OpRemove, vfstest.OpRename, vfstest.OpTruncate:
				if failed {
					changed = fmt.Sprint(op)
				}
			}
			return nil
		}))
		s, err := slot.Open(o)
		if !failed && err == nil {
			do(t, s.Close())
			if at > 200 {
				break
			}
			continue
		}
		reads++
		wound := (*slot.DamageError)(nil)
		if !errors.Is(err, syscall.EIO) || errors.As(err, &wound) {
			t.Errorf("call %d fails: Open says %v", at, err)
		}
		if changed != "" {
			t.Errorf("call %d fails, and then %s", at, changed)
		}
	}
	if reads < 20 {
		t.Errorf("only %d reads were failed", reads)
	}
}

func TestFailedSyncSealsTheSegmentAndTheNextAppendGoesOn(t *testing.T) {
	mem := newMem()
	fail := false
	s := open(t, options(vfstest.Wrap(mem, func(op vfstest.Op) error {
		if fail && op.Kind == vfstest.OpSync && strings.HasSuffix(op.Path, ".sfa") {
			fail = false
			return syscall.EIO
		}
		return nil
	})))
	fill(t, s, 0, 2, 500)
	fail = true
	if err := store(s, frame(2, 1, 500)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("failed sync: %v", err)
	}
	do(t, s.Err())
	if got := len(read(t, mem, "sf-initial.sfa")); got != 24+2*508 {
		t.Errorf("the segment is %d bytes long, not cut at its last synced frame", got)
	}
	fill(t, s, 3, 5, 500)
	if n := s.Stats().Segments; n != 2 {
		t.Errorf("%d segments, want a new one behind the sealed", n)
	}
	wantIDs(t, s, 0, 0, 1, 3, 4)
	wantIDs(t, open(t, options(mem.CrashLost())), 0, 0, 1, 3, 4)
}

func TestSlotThatCannotRollBackTakesNoMoreAndStillServes(t *testing.T) {
	mem := newMem()
	broken := false
	s := open(t, options(vfstest.Wrap(mem, func(op vfstest.Op) error {
		if broken && (op.Kind == vfstest.OpSync || op.Kind == vfstest.OpTruncate || op.Kind == vfstest.OpWrite) {
			return syscall.EIO
		}
		return nil
	})))
	fill(t, s, 0, 2, 500)
	tx, err := s.Reserve(t.Context(), []int{500})
	do(t, err)
	do(t, tx.Append(frame(2, 1, 500)))
	broken = true
	if err := tx.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Sync: %v", err)
	}
	if err := tx.Rollback(); !errors.Is(err, syscall.EIO) || s.Err() == nil {
		t.Fatalf("Rollback: %v, Err: %v", err, s.Err())
	}
	if err := store(s, frame(3, 1, 50)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("append to a broken slot: %v", err)
	}
	wantIDs(t, s, 0, 0, 1)
	broken = false
	mustStore(t, s, frame(4, 1, 50)) // the disk is well again: so is the slot
	do(t, s.Err())
	wantIDs(t, s, 0, 0, 1, 4)
}

func TestFullDiskDoesNotStopSettling(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 12, 1000)
	total, free, err := mem.Space(dir)
	do(t, err)
	mem.SetCapacity(total - free)
	if err := store(s, frame(12, 1, 1000), frame(13, 1, 4000), frame(14, 1, 4000)); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("append on a full disk: %v", err)
	}
	do(t, s.Err())
	settle(t, s, 0, 11)
	if n := len(segments(t, mem)); n != 2 {
		t.Errorf("%d segments after all is settled", n)
	}
	mustStore(t, s, frame(12, 1, 1000), frame(13, 1, 4000))
	wantIDs(t, s, 12, 12, 13)
	do(t, s.Close())
	wantIDs(t, open(t, options(mem)), 12, 12, 13)
}
