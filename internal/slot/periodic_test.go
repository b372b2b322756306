// SPDX-License-Identifier: MIT

package slot_test

import (
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

func periodic(fsys vfs.FS) slot.Options {
	o := options(fsys)
	o.Durability, o.SyncInterval = slot.Periodic, time.Second
	return o
}

// segmentSyncs counts the syncs of segment files.
func segmentSyncs(n *atomic.Int64) func(op vfstest.Op) error {
	return func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync && strings.HasSuffix(op.Path, ".sfa") {
			n.Add(1)
		}
		return nil
	}
}

func TestPeriodicSyncsWithinTheIntervalAndThenIsIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMem()
		var syncs atomic.Int64
		s := open(t, periodic(vfstest.Wrap(mem, segmentSyncs(&syncs))))
		syncs.Store(0)
		fill(t, s, 0, 2, 100)
		time.Sleep(900 * time.Millisecond)
		fill(t, s, 2, 3, 100)
		if n := syncs.Load(); n != 0 {
			t.Errorf("%d syncs before the interval is over", n)
		}
		wantIDs(t, open(t, periodic(mem.CrashKept())), 0, 0, 1, 2)
		wantIDs(t, open(t, periodic(mem.CrashLost())), 0)
		time.Sleep(101 * time.Millisecond)
		synctest.Wait()
		if n := syncs.Load(); n != 1 {
			t.Errorf("%d syncs after the interval", n)
		}
		wantIDs(t, open(t, periodic(mem.CrashLost())), 0, 0, 1, 2)
		time.Sleep(time.Hour)
		if n := syncs.Load(); n != 1 {
			t.Errorf("%d syncs of an idle slot", n)
		}
		fill(t, s, 3, 4, 100)
		do(t, s.Close())
		wantIDs(t, open(t, periodic(mem.CrashLost())), 0, 0, 1, 2, 3)
	})
}

func TestPeriodicSyncIsNotHeldUpByAFullSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMem()
		o := periodic(mem)
		o.MaxBytes = 2 * 4096
		s := open(t, o)
		fill(t, s, 0, 8, 1000)
		waiting := make(chan error)
		go func() { waiting <- store(s, frame(8, 1, 1000)) }()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		wantIDs(t, open(t, periodic(mem.CrashLost())), 0, ids(0, 8)...)
		do(t, s.Close())
		if err := <-waiting; err == nil {
			t.Error("an append to a closed slot succeeded")
		}
	})
}

func TestPeriodicKeepsNoMoreThanSyncBytesUnsynced(t *testing.T) {
	var syncs atomic.Int64
	o := periodic(vfstest.Wrap(newMem(), segmentSyncs(&syncs)))
	o.SegmentBytes, o.MaxBytes, o.SyncInterval = 16<<20, 64<<20, time.Hour
	s := open(t, o)
	syncs.Store(0)
	fill(t, s, 0, 9, 1<<20)
	if n := syncs.Load(); n != 2 {
		t.Errorf("%d syncs for 9 MiB, want one for each %d bytes", n, slot.SyncBytes)
	}
}

// TestPeriodicRewritesWhatAFailedSyncLost is DESIGN.md 10: the kernel drops what
// it could not write, so the frames are taken from RAM.
func TestPeriodicRewritesWhatAFailedSyncLost(t *testing.T) {
	for name, before := range map[string]uint64{"some synced": 2, "none synced": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := newMem()
				var fail atomic.Bool
				s := open(t, periodic(vfstest.Wrap(mem, func(op vfstest.Op) error {
					if op.Kind == vfstest.OpSync && strings.HasSuffix(op.Path, ".sfa") && fail.Swap(false) {
						return syscall.EIO
					}
					return nil
				})))
				c := s.NewCursor()
				fill(t, s, 0, before, 100)
				time.Sleep(2 * time.Second)
				fill(t, s, before, before+3, 100)
				do(t, s.Settle(slot.FSN(before), 1, slot.Acked))
				fail.Store(true)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				if fail.Load() {
					t.Fatal("no sync was tried")
				}
				do(t, s.Err())
				lost := open(t, periodic(mem.CrashLost()))
				if got := pending(t, lost); len(got) < int(before)+2 || got[len(got)-1].id != before+2 {
					t.Fatalf("after the crash %v", got)
				}
				fill(t, s, before+3, before+6, 100)
				got, err := readAll(c)
				do(t, err)
				if len(got) != int(before)+5 || got[len(got)-1].id != before+5 {
					t.Fatalf("cursor shows %v", got)
				}
				settle(t, s, 0, slot.FSN(before)+5)
				if st := s.Stats(); st.Pending != 0 || st.PendingBytes != 0 || st.Segments != 1 {
					t.Errorf("%+v", st)
				}
				do(t, s.Close())
			})
		})
	}
}

func TestIdleSlotMakesNoCalls(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic, slot.Memory} {
		synctest.Test(t, func(t *testing.T) {
			var calls atomic.Int64
			o := periodic(vfstest.Wrap(newMem(), func(vfstest.Op) error { calls.Add(1); return nil }))
			o.Durability = d
			s := open(t, o)
			mustStore(t, s, frame(0, 1, 100))
			time.Sleep(time.Minute)
			synctest.Wait()
			calls.Store(0)
			for range 100 {
				_ = s.Stats()
				_ = s.Changed()
				_ = s.Err()
			}
			time.Sleep(24 * time.Hour)
			synctest.Wait()
			if n := calls.Load(); n != 0 {
				t.Errorf("%s: %d calls to the filesystem in an idle day", d, n)
			}
			do(t, s.Close())
		})
	}
}
