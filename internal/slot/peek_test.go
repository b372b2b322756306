// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// readOnly fails the test where something on a filesystem is changed or locked.
func readOnly(t testing.TB, fsys vfs.FS) vfs.FS {
	return vfstest.Wrap(fsys, func(op vfstest.Op) error {
		switch op.Kind {
		case vfstest.OpOpen:
			if op.Flag != os.O_RDONLY {
				t.Errorf("%s is opened with flags %#x", op.Path, op.Flag)
			}
		case vfstest.OpReadDir, vfstest.OpStat, vfstest.OpRead, vfstest.OpSize, vfstest.OpClose:
		default:
			t.Errorf("%v %s", op.Kind, op.Path)
		}
		return nil
	})
}

func peek(t testing.TB, p *slot.Peeker) slot.Peek {
	t.Helper()
	one, err := p.Peek()
	do(t, err)
	return one
}

// figures are what a look from outside and the slot itself have to agree on.
func figures(st slot.Stats) string {
	return fmt.Sprintf("accepted %d = pending %d + acked %d + dead %d + evicted %d + %d + %d, %d frames from %d to %d, %d bytes of segments",
		st.Accepted, st.Pending, st.Acked, st.DeadLettered, st.Evicted, st.Quarantined, st.Unknown,
		st.PendingFrames, st.Watermark, st.Published, st.SegmentBytes)
}

// life has a slot store and settle at random, in order or not, roll back, and be opened
// again, and has somebody look at each step.
func life(t testing.TB, r *rand.Rand, steps int, look func(*slot.Slot, string)) {
	t.Helper()
	fsys := t.(interface{ fs() vfs.FS }).fs()
	o := options(fsys)
	o.MaxBytes = 1 << 20 // more than all steps store: nobody waits for room
	s := open(t, o)
	id, pending := uint64(0), map[slot.FSN]int{}
	for step := range steps {
		what := "store"
		switch n := r.IntN(10); {
		case n < 5:
			rows := r.IntN(5) + 1
			do(t, store(s, frame(id, rows, 100+r.IntN(900))))
			pending[s.Stats().Published] = rows
			id++
		case n < 6:
			what = "roll back"
			if tx, err := s.Reserve(t.Context(), []int{500}); err == nil {
				do(t, errors.Join(tx.Append(frame(id+1000, 3, 500)), tx.Rollback()))
			}
		case n < 9:
			what = "settle"
			for fsn, rows := range pending { // in any order
				if r.IntN(2) == 0 {
					do(t, s.Settle(fsn, rows, slot.Acked))
					delete(pending, fsn)
					break
				}
			}
		default:
			what = "open"
			do(t, s.Close())
			s = open(t, o)
		}
		look(s, fmt.Sprintf("step %d, %s", step, what))
	}
}

// living gives life its filesystem.
type living struct {
	testing.TB
	fsys vfs.FS
}

func (l living) fs() vfs.FS { return l.fsys }

func TestALookFromOutsideSeesWhatTheSlotKnows(t *testing.T) {
	for seed := range uint64(8) {
		fsys := vfstest.NewMem()
		outside := readOnly(t, fsys)
		always := &slot.Peeker{FS: outside, Dir: dir, Inspect: inspect}
		life(living{t, fsys}, rand.New(rand.NewPCG(seed, 0)), 200, func(s *slot.Slot, at string) {
			want := figures(s.Stats())
			once := &slot.Peeker{FS: outside, Dir: dir, Inspect: inspect}
			if got := peek(t, always); figures(got.Stats) != want || got.Partial {
				t.Fatalf("seed %d, %s: again\n%s\nwant\n%s", seed, at, figures(got.Stats), want)
			}
			if got := peek(t, once); figures(got.Stats) != want || got.HasOldest != (got.Pending > 0) {
				t.Fatalf("seed %d, %s: for the first time\n%s\nwant\n%s", seed, at, figures(got.Stats), want)
			}
		})
	}
}

func TestALookReadsNothingTwice(t *testing.T) {
	fsys, read := vfstest.NewMem(), atomic.Int64{}
	s := open(t, options(fsys))
	p := &slot.Peeker{Dir: dir, Inspect: inspect, FS: vfstest.Wrap(fsys, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpRead && op.Len > 3000 && op.Path != dir+"/.qsf-state" {
			read.Add(1)
		}
		return nil
	})}
	for id := range uint64(30) {
		do(t, store(s, frame(id, 2, 900)))
	}
	if one := peek(t, p); one.Pending != 60 || one.PendingBytes != 30*908 {
		t.Fatalf("%+v", one)
	}
	read.Store(0)
	if one := peek(t, p); one.Pending != 60 || read.Load() > 1 {
		t.Errorf("%d rows, and %d large reads of what was read before", one.Pending, read.Load())
	}
}

func TestLooksThatShareABudgetReadNoMoreTogether(t *testing.T) {
	fsys, budget := vfstest.NewMem(), int64(908) // of two frames, whose segment has no summary
	s := open(t, options(fsys))
	for id := range uint64(30) {
		do(t, store(s, frame(id, 2, 900)))
	}
	p := &slot.Peeker{FS: fsys, Dir: dir, Inspect: inspect, Budget: &budget}
	other := &slot.Peeker{FS: fsys, Dir: dir, Inspect: inspect, Budget: &budget}
	if one := peek(t, p); one.Pending != 58 || !one.Partial || budget != 0 {
		t.Fatalf("%d rows, %v, %d bytes are left", one.Pending, one.Partial, budget)
	}
	if one := peek(t, other); one.Pending != 56 || !one.Partial {
		t.Fatalf("nothing was left to read, and it knows of %d rows", one.Pending)
	}
	budget = 1 << 20
	if one := peek(t, p); one.Pending != 60 || one.Partial || budget != 1<<20-908 {
		t.Fatalf("%d rows, %v, %d bytes are left", one.Pending, one.Partial, budget)
	}
}

// It is off by no more than what was stored while it was taken, and the frame that was
// not settled then.
func TestALookBesideAWriterIsNeverFarOff(t *testing.T) {
	fsys, stored := vfstest.NewMem(), atomic.Int64{}
	s := open(t, options(fsys))
	p := &slot.Peeker{FS: readOnly(t, fsys), Dir: dir, Inspect: inspect}
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for id := uint64(0); ; id++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := store(s, frame(id, 2, 300)); err != nil {
				done <- err
				return
			}
			stored.Add(2)
			if err := s.Settle(s.Stats().Published, 2, slot.Acked); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 300 {
		before := stored.Load()
		one := peek(t, p)
		if off := stored.Load() - before + 4; one.Pending < 0 || one.Pending > off || one.Accepted < one.Acked {
			t.Fatalf("at most %d pending: %s", off, figures(one.Stats))
		}
	}
	close(stop)
	do(t, <-done)
}

func TestALookAtWhatIsNoSlotFindsNothing(t *testing.T) {
	fsys := vfstest.NewMem()
	p := &slot.Peeker{FS: readOnly(t, fsys), Dir: dir}
	if _, err := p.Peek(); err == nil {
		t.Error("a directory that is not there is looked at")
	}
	do(t, fsys.MkdirAll(dir, 0o700))
	for _, name := range []string{"sf-initial.sfa", ".qsf-state", "sf-0000000000000001.sfa.acked.1795364204"} {
		f, err := fsys.OpenFile(dir+"/"+name, os.O_RDWR|os.O_CREATE, 0o600)
		do(t, err)
		_, err = f.WriteAt([]byte("SF01 and nothing that could be a header"), 0)
		do(t, errors.Join(err, f.Close()))
	}
	if one := peek(t, p); one.Known || one.Pending != 0 || one.Retained == 0 {
		t.Errorf("%+v", one)
	}
}

func TestALookGoesOnBehindDamagedFrames(t *testing.T) {
	const each = 8 + 100
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 20, 100) // of one row each
	do(t, s.Close())
	name := segments(t, mem)[0]
	b := read(t, mem, name)
	b[24+3*each+50] ^= 1
	b[24+4*each+50] ^= 1
	write(t, mem, name, b)
	p := &slot.Peeker{FS: readOnly(t, mem), Dir: dir, Inspect: inspect}
	for range 2 {
		if one := peek(t, p); one.Pending != 18 || one.PendingFrames != 20 || one.Published != 19 {
			t.Errorf("%d rows, %d frames pending up to %d", one.Pending, one.PendingFrames, one.Published)
		}
	}
}
