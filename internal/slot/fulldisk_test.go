// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// evict gives up the oldest sealed segment, if there is one.
func (w *world) evict(s *slot.Slot) {
	c, ok := s.Oldest()
	if !ok {
		return
	}
	for fsn := slot.FSN(0); fsn <= c.Last; fsn++ {
		w.settled[fsn] = true
	}
	_, _ = s.Evict(c.Last)
}

// outage goes through what a slot does while the server is away and the disk gets
// full: appends that rotate, rollbacks, a few settlements, evictions, close and
// open. It goes on after errors, as an agent does, and returns the slot; nil if it
// could not be opened. One that was closed before may have its lock still.
func outage(o slot.Options, w *world) (s, closed *slot.Slot) {
	s, err := slot.Open(o)
	if err != nil {
		return nil, nil
	}
	for round := range 4 {
		_ = w.store(s, 900, 1100)
		_ = w.store(s, 3000)
		_ = w.rollback(s, 2500, 2500)
		_ = w.store(s, 1500, 2500, 30)
		if fsn := 6*round + 1; fsn < len(w.published) {
			_ = w.settle(s, slot.FSN(fsn)) // out of order
		}
		w.evict(s)
		_, _ = readAll(s.NewCursor())
		if round == 2 {
			closed = s
			_ = s.Close()
			if s, err = slot.Open(o); err != nil {
				return nil, closed
			}
			w.adopt(s)
		}
	}
	return s, closed
}

// TestAFullDiskAtEveryCallLeavesAConsistentSlot fails each call to the filesystem,
// once and from there on, with a full disk and an exceeded quota. Then there is
// room again: the same process must store again, or the next one where the slot
// could not be opened, and every frame that was neither settled nor evicted must be
// there, now and after a restart.
func TestAFullDiskAtEveryCallLeavesAConsistentSlot(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic, slot.Memory} {
		t.Run(d.String(), func(t *testing.T) {
			cases := 0
			for _, err := range []error{syscall.ENOSPC, syscall.EDQUOT} {
				for _, forever := range []bool{false, true} {
					for at := int64(1); ; at += thin {
						reached, fault := fullAt(d, fault{at: at, forever: forever, err: err})
						if fault != nil {
							t.Fatalf("%v at call %d, forever %t: %v", err, at, forever, fault)
						}
						if !reached {
							break
						}
						cases++
					}
				}
			}
			t.Logf("%d cases", cases)
		})
	}
}

func fullAt(d slot.Durability, f fault) (reached bool, _ error) {
	mem := newMem()
	w := &world{settled: map[slot.FSN]bool{}}
	o := crashOptions(vfstest.Wrap(mem, f.hook), d)
	s, closed := outage(o, w)
	f.healed = true
	if closed != nil {
		_ = closed.Close()
	}
	if s == nil {
		var err error
		if s, err = slot.Open(o); err != nil {
			return f.reached, fmt.Errorf("open: %w", err)
		}
		w.adopt(s)
	}
	err := goesOn(s, w)
	if err = errors.Join(err, s.Close()); err != nil {
		return f.reached, err
	}
	return f.reached, after(crashOptions(mem.CrashKept(), d), w)
}

// goesOn stores again in a slot whose disk is well again, and judges it.
func goesOn(s *slot.Slot, w *world) error {
	for range 3 {
		if err := w.store(s, 900, 2500); err != nil {
			return fmt.Errorf("store with room again: %w", err)
		}
	}
	w.evict(s)
	st := s.Stats()
	if st.Accepted != st.Pending+st.Acked+st.Evicted {
		return fmt.Errorf("ledger does not balance: %+v", st)
	}
	if a := s.Audit(); a.Ledger != a.Counted {
		return fmt.Errorf("%d rows pending by the ledger, %d by the segments", a.Ledger, a.Counted)
	}
	list, err := readAll(s.NewCursor())
	return errors.Join(err, w.judge(list))
}
