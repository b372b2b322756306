// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

var crashSeed = flag.Uint64("crash.seed", 1, "seed of the sectors that survive a crash")

// world is what the caller of a slot knows at any moment, which is what a crash
// at that moment is judged by.
type world struct {
	published []uint64          // ids by FSN, of every Publish that returned
	settled   map[slot.FSN]bool // Settle was called
	inFlight  []uint64          // of the open Tx
	next      uint64            // id
	// mayLoseEnd allows the frames behind some frame to be missing: what Periodic
	// risks in a power cut.
	mayLoseEnd bool
}

// judge compares what was found after a crash with what must be there.
func (w *world) judge(got []entry) error {
	seen := map[slot.FSN]bool{}
	last := slot.FSN(-1)
	for _, e := range got {
		if e.fsn <= last {
			return fmt.Errorf("frame %d after %d", e.fsn, last)
		}
		last = e.fsn
		seen[e.fsn] = true
		switch beyond := int(e.fsn) - len(w.published); {
		case beyond < 0 && w.published[e.fsn] != e.id:
			return fmt.Errorf("frame %d is %d, published was %d", e.fsn, e.id, w.published[e.fsn])
		case beyond >= len(w.inFlight):
			return fmt.Errorf("frame %d (%d) was never appended, or rolled back", e.fsn, e.id)
		case beyond >= 0 && w.inFlight[beyond] != e.id:
			return fmt.Errorf("frame %d is %d, appended was %d", e.fsn, e.id, w.inFlight[beyond])
		}
	}
	for fsn, id := range w.published {
		if w.mayLoseEnd && slot.FSN(fsn) > last {
			break
		}
		if !w.settled[slot.FSN(fsn)] && !seen[slot.FSN(fsn)] {
			return fmt.Errorf("frame %d (%d) was published and is gone; found %v", fsn, id, got)
		}
	}
	return nil
}

func (w *world) frames(sizes ...int) []slot.Frame {
	var list []slot.Frame
	for _, n := range sizes {
		list = append(list, frame(w.next, 1+int(w.next%5), n))
		w.next++
	}
	return list
}

func (w *world) begin(s *slot.Slot, frames []slot.Frame) (*slot.Tx, error) {
	tx, err := s.Reserve(noWait(), sizes(frames))
	if err != nil {
		return nil, err
	}
	w.inFlight = nil // what could not be rolled back before has been by now
	for _, f := range frames {
		w.inFlight = append(w.inFlight, idOf(f.Bytes))
	}
	if err := tx.Append(frames...); err != nil {
		return tx, err
	}
	return tx, tx.Sync()
}

func (w *world) store(s *slot.Slot, sizes ...int) error {
	tx, err := w.begin(s, w.frames(sizes...))
	if err != nil {
		return w.undo(tx, err)
	}
	tx.Publish()
	w.published = append(w.published, w.inFlight...)
	w.inFlight = nil
	return nil
}

func (w *world) undo(tx *slot.Tx, cause error) error {
	if tx == nil {
		return cause
	}
	err := tx.Rollback()
	if err == nil {
		w.inFlight = nil
	}
	return errors.Join(cause, err)
}

func (w *world) rollback(s *slot.Slot, sizes ...int) error {
	tx, err := w.begin(s, w.frames(sizes...))
	return w.undo(tx, err)
}

func (w *world) settle(s *slot.Slot, list ...slot.FSN) error {
	for _, fsn := range list {
		w.settled[fsn] = true
		if err := s.Settle(fsn, 1+int(w.published[fsn]%5), slot.Acked); err != nil {
			return err
		}
	}
	return nil
}

func fsns(from, to slot.FSN) []slot.FSN {
	var list []slot.FSN
	for ; from <= to; from++ {
		list = append(list, from)
	}
	return list
}

// workload goes through everything a slot does, in about 500 calls.
func workload(o slot.Options, w *world) error {
	s, err := slot.Open(o)
	if err != nil {
		return err
	}
	steps := []func() error{
		func() error { return w.store(s, 100, 200) },
		func() error { return w.store(s, 1500, 1300) },
		func() error { return w.rollback(s, 300, 30, 30) },
		func() error { return w.store(s, 300) },
		func() error { return w.store(s, 700) }, // rotates
		func() error { return w.rollback(s, 900, 900, 900, 900, 900, 900) },
		func() error { return w.rollback(s, 1900, 1900, 1900, 1900, 1900, 1900, 1900) }, // begins several segments
		func() error { return w.settle(s, 0, 1, 3) },
		func() error { return w.store(s, 2000, 2000, 2000, 100, 100) },
		func() error { return w.settle(s, 2, 4, 8, 6) },
		func() error { return w.store(s, 3000) },
		func() error { return w.rollback(s, 2000) },
		func() error { return s.Close() },
		func() error { s, err = slot.Open(o); return err },
		func() error { return w.store(s, 500, 600, 700) },
		func() error { return w.settle(s, 5, 7, 9, 10, 12) },
		func() error { return w.store(s, 3900, 3900, 3900) },
		func() error { return w.settle(s, 13, 15, 14) },
		func() error { return w.settle(s, 16, 17, 11) }, // two segments at once
		func() error { return w.settle(s, fsns(16, slot.FSN(len(w.published)-1))...) },
		func() error { return s.Close() },
		func() error { s, err = slot.Open(o); return err },
		func() error { return w.store(s, 100, 100, 4000) },
		func() error { return w.rollback(s, 100) },
		func() error { return w.store(s, 50) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			if s != nil {
				_ = s.Close()
			}
			return err
		}
	}
	return s.Close()
}

func crashOptions(fsys vfs.FS, d slot.Durability) slot.Options {
	o := options(fsys)
	o.Durability, o.SyncInterval = d, time.Hour // no timer: calls come in one order
	return o
}

// after opens what a crash left, checks it, and goes on working with it.
func after(o slot.Options, w *world) error {
	s, err := slot.Open(o)
	if err != nil {
		return err
	}
	defer s.Close()
	got, err := readAll(s.NewCursor())
	if err != nil {
		return err
	}
	if err := w.judge(got); err != nil {
		return err
	}
	return goOn(o, s, got)
}

// goOn proves that a recovered slot is a working one: recovering twice is the
// same as once, a new frame comes behind the others, and it can be drained.
func goOn(o slot.Options, s *slot.Slot, got []entry) error {
	if err := s.Close(); err != nil {
		return err
	}
	s, err := slot.Open(o)
	if err != nil {
		return fmt.Errorf("second open: %w", err)
	}
	defer s.Close()
	if st := s.Stats(); st.Recovered.LedgerMoved != 0 || st.Recovered.TornBytes != 0 || st.Recovered.WatermarkReset {
		return fmt.Errorf("second open recovers again: %+v", st.Recovered)
	}
	if err := store(s, frame(1<<40, 1, 700)); err != nil {
		return err
	}
	again, err := readAll(s.NewCursor())
	if err != nil {
		return err
	}
	if fmt.Sprint(again[:len(again)-1]) != fmt.Sprint(got) || again[len(again)-1].id != 1<<40 {
		return fmt.Errorf("second open shows %v and a new frame, the first %v", again, got)
	}
	return drain(s, again)
}

func drain(s *slot.Slot, list []entry) error {
	for _, e := range list {
		if err := s.Settle(e.fsn, 0, slot.Acked); err != nil {
			return err
		}
	}
	if st := s.Stats(); st.PendingFrames != 0 || st.PendingBytes != 0 || st.Segments != 1 {
		return fmt.Errorf("drained, but %+v", st)
	}
	return s.Close()
}

// crashStates returns what a crash of mem may leave: nothing unsynced, all of
// it, and some draws between.
func crashStates(mem *vfstest.Mem, n int64, draws int) []*vfstest.Mem {
	states := []*vfstest.Mem{mem.CrashLost(), mem.CrashKept()}
	for i := range draws {
		states = append(states, mem.Crash(rand.New(rand.NewPCG(*crashSeed, uint64(n)<<8+uint64(i)))))
	}
	return states
}

// TestEveryCrashKeepsEveryPublishedFrame stops the workload before each of its
// calls to the filesystem, cuts the power, and recovers.
func TestEveryCrashKeepsEveryPublishedFrame(t *testing.T) {
	mem := newMem()
	w := &world{settled: map[slot.FSN]bool{}}
	calls, states := int64(0), 0
	fsys := vfstest.Wrap(mem, func(op vfstest.Op) error {
		calls = op.N
		if t.Failed() {
			return errors.New("enough")
		}
		for i, state := range crashStates(mem, op.N, 12) {
			states++
			if err := after(crashOptions(state, slot.Flush), w); err != nil {
				t.Errorf("crash before call %d (%s %s), state %d, seed %d: %v", op.N, op.Kind, op.Path, i, *crashSeed, err)
			}
		}
		return nil
	})
	if err := workload(crashOptions(fsys, slot.Flush), w); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crash states of %d calls", states, calls)
}

// TestEveryCrashUnderPeriodicLosesNoMoreThanTheEnd is the same for a slot that
// syncs now and then: what is lost is behind what is found.
func TestEveryCrashUnderPeriodicLosesNoMoreThanTheEnd(t *testing.T) {
	mem := newMem()
	w := &world{settled: map[slot.FSN]bool{}, mayLoseEnd: true}
	fsys := vfstest.Wrap(mem, func(op vfstest.Op) error {
		if t.Failed() {
			return errors.New("enough")
		}
		for i, state := range crashStates(mem, op.N, 12) {
			if err := after(crashOptions(state, slot.Periodic), w); err != nil {
				t.Errorf("crash before call %d (%s %s), state %d, seed %d: %v", op.N, op.Kind, op.Path, i, *crashSeed, err)
			}
		}
		return nil
	})
	if err := workload(crashOptions(fsys, slot.Periodic), w); err != nil {
		t.Fatal(err)
	}
}

// TestEveryCrashInRecoveryIsRecovered cuts the power while the slot is opened,
// after a first power cut or after the death of a process, which leaves things
// that are read but not on the device.
func TestEveryCrashInRecoveryIsRecovered(t *testing.T) {
	mem := newMem()
	w := &world{settled: map[slot.FSN]bool{}}
	states := 0
	fsys := vfstest.Wrap(mem, func(op vfstest.Op) error {
		if t.Failed() {
			return errors.New("enough")
		}
		if op.N%(5*thin) == 0 && op.Kind != vfstest.OpRead { // a fifth is enough
			states += crashAgain(t, w, op, mem.Crash(rand.New(rand.NewPCG(*crashSeed, uint64(op.N)))))
		}
		if strings.HasSuffix(op.Path, ".qsf-state") && op.Kind == vfstest.OpSync && thin == 1 {
			states += crashAgain(t, w, op, mem.CrashKept())
		}
		return nil
	})
	if err := workload(crashOptions(fsys, slot.Flush), w); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crash states", states)
}

// crashAgain opens the slot and cuts the power before every call but reads.
func crashAgain(t *testing.T, w *world, op vfstest.Op, first *vfstest.Mem) (states int) {
	t.Helper()
	fsys := vfstest.Wrap(first, func(inner vfstest.Op) error {
		if inner.Kind == vfstest.OpRead || t.Failed() {
			return nil
		}
		for i, state := range crashStates(first, inner.N, 2) {
			states++
			if err := after(crashOptions(state, slot.Flush), w); err != nil {
				t.Errorf("crash before call %d (%s %s), again before call %d (%s %s), state %d, seed %d: %v", op.N, op.Kind, op.Path,
					inner.N, inner.Kind, inner.Path, i, *crashSeed, err)
			}
		}
		return nil
	})
	s, err := slot.Open(crashOptions(fsys, slot.Flush))
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Errorf("crash before call %d: %v", op.N, err)
	}
	return states
}

// TestDeathOfTheProcessLosesNothing stops the process alone: every durability
// promises that.
func TestDeathOfTheProcessLosesNothing(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic, slot.Memory} {
		t.Run(d.String(), func(t *testing.T) {
			mem := newMem()
			w := &world{settled: map[slot.FSN]bool{}}
			fsys := vfstest.Wrap(mem, func(op vfstest.Op) error {
				if t.Failed() {
					return errors.New("enough")
				}
				if err := after(crashOptions(mem.CrashKept(), d), w); err != nil {
					t.Errorf("death before call %d (%s %s): %v", op.N, op.Kind, op.Path, err)
				}
				return nil
			})
			if err := workload(crashOptions(fsys, d), w); err != nil {
				t.Fatal(err)
			}
		})
	}
}
