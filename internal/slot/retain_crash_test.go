// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// Whatever was published stands in the chain or in a file that is kept, after a crash
// at any point.
func TestEveryCrashKeepsWhatWasAcked(t *testing.T) {
	mem := newMem()
	w := &world{settled: map[slot.FSN]bool{}}
	states := 0
	fsys := vfstest.Wrap(mem, func(op vfstest.Op) error {
		if t.Failed() {
			return errors.New("enough")
		}
		if op.Kind == vfstest.OpRead || op.N%thin != 0 {
			return nil
		}
		for i, state := range crashStates(mem, op.N, 2) {
			states++
			if err := afterKeeping(t, state, w); err != nil {
				t.Errorf("crash before call %d (%s %s), state %d: %v", op.N, op.Kind, op.Path, i, err)
			}
		}
		return nil
	})
	if err := workload(keeping(crashOptions(fsys, slot.Flush), time.Hour, 0), w); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crash states", states)
}

func afterKeeping(t *testing.T, mem *vfstest.Mem, w *world) error {
	o := keeping(crashOptions(mem, slot.Flush), time.Hour, 0)
	s, err := slot.Open(o)
	if err != nil {
		return err
	}
	got, err := readAll(s.NewCursor())
	if err == nil {
		err = w.judge(got)
	}
	if err != nil {
		return errors.Join(err, s.Close())
	}
	found, said := ackedIDs(t, mem, time.Time{}) // beside the open slot
	if err := s.Close(); err != nil || len(said) > 0 {
		return fmt.Errorf("%v %q", err, said)
	}
	for _, e := range got {
		if slices.Contains(found, e.id) {
			return fmt.Errorf("frame %d is pending, and counts as acked", e.fsn)
		}
		found = append(found, e.id)
	}
	for fsn, id := range w.published {
		if !slices.Contains(found, id) {
			return fmt.Errorf("frame %d (%d) is nowhere", fsn, id)
		}
	}
	return after(keeping(crashOptions(mem, slot.Flush), time.Hour, 0), w)
}

// A disk that fails now and then loses nothing that is pending, whatever it keeps.
func TestErrorsWhileSegmentsAreKeptLoseNothing(t *testing.T) {
	reached := true
	for at := int64(1); reached; at += thin {
		if t.Failed() {
			return
		}
		mem := newMem()
		w := &world{settled: map[slot.FSN]bool{}}
		f := fault{at: at, err: syscall.EIO}
		tolerant(keeping(crashOptions(vfstest.Wrap(mem, f.hook), slot.Flush), time.Hour, 8*4096), w)
		if reached = f.reached; !reached {
			return
		}
		if err := after(keeping(crashOptions(mem.CrashKept(), slot.Flush), time.Hour, 0), w); err != nil {
			t.Errorf("error at call %d, then death: %v", at, err)
		}
	}
}

// Rewind reads beside whoever has the slot: what was acked before it began is found,
// and nothing that is pending when it ends.
func TestAckedFramesAreReadBesideTheOwnerOfTheSlot(t *testing.T) {
	o := keeping(options(vfs.OS), time.Hour, 0)
	o.Dir, o.Durability = filepath.Join(t.TempDir(), "base-0"), slot.Memory
	s := open(t, o)
	var settled atomic.Int64
	stop, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		var err error
		for id := uint64(0); err == nil; id++ {
			select {
			case <-stop:
				ended <- nil
				return
			default:
			}
			if err = store(s, frame(id, 1, 500)); err == nil && id%3 == 2 { // the others are pending for a moment
				err = s.SettleAll([]slot.Done{
					{FSN: slot.FSN(id - 2), Shares: []slot.Share{{As: slot.Acked, Rows: 1}}},
					{FSN: slot.FSN(id - 1), Shares: []slot.Share{{As: slot.Acked, Rows: 1}}},
				})
				settled.Store(int64(id))
				_ = s.Settle(slot.FSN(id), 1, slot.Acked)
			}
		}
		ended <- err
	}()
	for range 1000 {
		if settled.Load() > 3000 {
			break
		}
		before, found := settled.Load(), map[uint64]bool{}
		do(t, (&slot.AckedReader{
			FS: vfs.OS, Dir: o.Dir, Inspect: inspect,
			Visit: func(f slot.Frame) error {
				if found[idOf(f.Bytes)] {
					t.Errorf("frame %d comes twice", idOf(f.Bytes))
				}
				found[idOf(f.Bytes)] = true
				return nil
			},
			Done:    func(string) error { return nil },
			Skipped: func(path, why string) { t.Errorf("%s: %s", path, why) },
		}).Read())
		after := settled.Load() + 4 // one round may be under way
		for id := range uint64(max(0, before)) {
			if !found[id] {
				t.Fatalf("frame %d was acked and is not found; %d were", id, before)
			}
		}
		for id := range found {
			if int64(id) > after {
				t.Fatalf("frame %d is pending", id)
			}
		}
	}
	close(stop)
	do(t, <-ended)
}
