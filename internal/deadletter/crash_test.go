// SPDX-License-Identifier: MIT

package deadletter_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

var crashSeed = flag.Uint64("crash.seed", 1, "seed of the sectors that survive a crash")

// step is a call of the workload: letters that are added, or taken out.
type step struct{ add, remove []deadletter.Letter }

// workload fills and seals files of both classes, and takes letters out of a sealed
// and an active file, all of one and some of the other.
func workload() (steps []step) {
	for at := 0; at < 8; at += 2 {
		both := append(lettersOf(deadletter.Refused, at, at+2), lettersOf(deadletter.Final, 100+at, 100+at+2)...)
		steps = append(steps, step{add: both})
	}
	steps = append(steps, step{remove: lettersOf(deadletter.Refused, 1, 2)})
	steps = append(steps, step{add: lettersOf(deadletter.Refused, 8, 12)})
	steps = append(steps, step{remove: lettersOf(deadletter.Refused, 0, 6)}, step{remove: lettersOf(deadletter.Refused, 9, 10)})
	return append(steps, step{add: lettersOf(deadletter.Refused, 12, 13)})
}

// world is what the caller knows: which letters must be there, and which may.
type world struct{ must, may map[int]bool }

func (w *world) begin(s step) {
	for i := range s.add {
		w.may[int(s.add[i].Key.FSN)] = true
	}
	for i := range s.remove {
		id := int(s.remove[i].Key.FSN)
		w.may[id] = true
		delete(w.must, id)
	}
}

func (w *world) end(s step) {
	for i := range s.add {
		w.must[int(s.add[i].Key.FSN)] = true
	}
	clear(w.may)
}

// run does a step.
func (s step) run(f *deadletter.File) error {
	if len(s.add) > 0 {
		return f.Add(s.add)
	}
	var places []deadletter.Place
	for i := range s.remove {
		id := s.remove[i].Key.FSN
		_, err := f.Read(deadletter.Refused, func(l *deadletter.Found) bool {
			if l.Key.FSN == id {
				places = append(places, l.Place)
			}
			return true
		})
		if err != nil {
			return err
		}
	}
	return f.Remove(places)
}

// judge compares the letters that are there with those that must and may be.
func (w *world) judge(f *deadletter.File) error {
	seen := map[int]bool{}
	for _, class := range []deadletter.Class{deadletter.Final, deadletter.Refused} {
		damaged, err := f.Read(class, func(l *deadletter.Found) bool {
			id := int(l.Key.FSN)
			switch {
			case seen[id]:
				w = nil
			default:
				seen[id] = true
			}
			return w != nil
		})
		switch {
		case w == nil:
			return errors.New("a letter is there twice")
		case err != nil || damaged > 0:
			return fmt.Errorf("%d damaged letters, %w", damaged, err)
		}
	}
	for id := range w.must {
		if !seen[id] {
			return fmt.Errorf("letter %d was added and is gone", id)
		}
	}
	for id := range seen {
		if !w.must[id] && !w.may[id] {
			return fmt.Errorf("letter %d was never added, or was taken out", id)
		}
	}
	return nil
}

// survivors are what a crash now may leave: of the process, or a power cut.
func survivors(m *vfstest.Mem, seed uint64) []*vfstest.Mem {
	list := []*vfstest.Mem{m.CrashLost(), m.CrashKept()}
	for n := range uint64(4) {
		list = append(list, m.Crash(rand.New(rand.NewPCG(*crashSeed, 100*seed+n))))
	}
	return list
}

// Before each call to the disk of a workload the machine dies. What is found then is
// judged, the step that was under way is done again, and what is found after another
// power cut is judged too.
func TestWhateverACrashInterruptsEachLetterIsThereOnce(t *testing.T) {
	states := 0
	calls := uint64(1 << 20)
	for at := uint64(1); at <= calls; at++ {
		mem := newDisk(t)
		w := &world{map[int]bool{}, map[int]bool{}}
		var left []*vfstest.Mem
		disk := vfstest.Wrap(mem, func(op vfstest.Op) error {
			if op.N == int64(at) {
				left = survivors(mem, at)
			}
			if left != nil {
				return syscall.EIO
			}
			return nil
		})
		under, all := interrupted(disk, w, func() bool { return left != nil })
		if left == nil {
			calls = at - 1
			break
		}
		for n, m := range left {
			states++
			if err := w.after(m, under); err != nil {
				t.Fatalf("call %d, state %d, step %d of %d: %v; files %s", at, n, len(all), len(workload()), err, files(t, m))
			}
		}
	}
	t.Logf("%d states after a crash before each of %d calls, seed %d", states, calls, *crashSeed)
	if calls < 50 {
		t.Errorf("only %d calls", calls)
	}
}

// interrupted runs the workload until it is told that the machine has died.
func interrupted(disk vfs.FS, w *world, dead func() bool) (under step, done []step) {
	f := open(disk, sealed)
	for _, s := range workload() {
		w.begin(s)
		err := s.run(f)
		if dead() {
			return s, done
		}
		if err != nil {
			panic(err)
		}
		w.end(s)
		done = append(done, s)
	}
	return step{}, done
}

func (w *world) after(m *vfstest.Mem, under step) error {
	was := &world{must: map[int]bool{}, may: w.may}
	for id := range w.must {
		was.must[id] = true
	}
	f := open(m, sealed)
	if err := was.judge(f); err != nil {
		return fmt.Errorf("after the crash: %w", err)
	}
	if err := under.run(f); err != nil {
		return err
	}
	was.may = map[int]bool{}
	was.end(under)
	if err := was.judge(f); err != nil {
		return fmt.Errorf("after the step was done again: %w", err)
	}
	if err := was.judge(open(m.CrashLost())); err != nil {
		return fmt.Errorf("after another crash: %w", err)
	}
	return nil
}

// Each call to the disk fails in turn, once and until the caller tries again. The
// failed step changes nothing, and then it works.
func TestWhicheverDiskCallFailsNothingIsHalfWrittenAndTheRetryWorks(t *testing.T) {
	tried := 0
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		for _, lasting := range []bool{false, true} {
			for at := failOne(t, errno, lasting, 1); at > 0; at = failOne(t, errno, lasting, at+1) {
				tried++
				if t.Failed() {
					t.Fatalf("%v, lasting %t, call %d", errno, lasting, at)
				}
			}
		}
	}
	t.Logf("%d calls failed in turn", tried)
}

// failOne fails the first call from at on that is one of the workload, and returns
// which one that was; 0 when there is none.
func failOne(t *testing.T, errno syscall.Errno, lasting bool, at int64) (failed int64) {
	broken, judging, mended := false, false, false
	mem := newDisk(t)
	w := &world{map[int]bool{}, map[int]bool{}}
	f := open(vfstest.Wrap(mem, func(op vfstest.Op) error {
		broken = !mended && !judging && (op.N >= at && failed == 0 || broken && lasting)
		if broken && failed == 0 {
			failed = op.N
		}
		switch {
		case broken && op.Kind == vfstest.OpWrite:
			return &vfstest.ShortWrite{N: int(op.Len) / 2, Err: errno}
		case broken:
			return errno
		}
		return nil
	}), sealed)
	for _, s := range workload() {
		w.begin(s)
		err := s.run(f)
		mended, judging = failed > 0, true
		if err != nil {
			if jerr := w.judge(f); jerr != nil {
				t.Errorf("after %v: %v", err, jerr)
			}
			do(t, s.run(f))
		}
		w.end(s)
		judging = false
	}
	judging = true
	if err := w.judge(f); err != nil {
		t.Error(err)
	}
	if err := w.judge(open(mem.CrashLost())); err != nil {
		t.Errorf("after a power cut: %v", err)
	}
	st := f.Stats()
	if got := int(st.Final.Letters + st.Refused.Letters); got != len(w.must) {
		t.Errorf("%d letters counted, %d are there", got, len(w.must))
	}
	return failed
}

// On a full disk an Add says so, and what was there stays readable.
func TestOnAFullDiskAnAddFailsWholeAndALaterOneWorks(t *testing.T) {
	disk := newDisk(t)
	f := open(disk)
	do(t, f.Add(lettersOf(deadletter.Refused, 0, 3)))
	disk.SetCapacity(int64(len(content(t, disk, "default.refused.lp"))) + 100)
	both := append(lettersOf(deadletter.Refused, 3, 5), lettersOf(deadletter.Final, 10, 15)...)
	if err := f.Add(both); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("error %v", err)
	}
	equal(t, "letters", ids(t, f, deadletter.Refused), upTo(0, 3))
	equal(t, "final letters", len(ids(t, f, deadletter.Final)), 0)
	disk.SetCapacity(1 << 20)
	do(t, f.Add(both))
	equal(t, "letters", ids(t, f, deadletter.Refused), upTo(0, 5))
	equal(t, "final letters", ids(t, f, deadletter.Final), upTo(10, 15))
}

func TestALetterWithTheSameKeyIsAddedOnce(t *testing.T) {
	disk := newDisk(t)
	f := open(disk)
	do(t, f.Add(append(lettersOf(deadletter.Refused, 0, 3), lettersOf(deadletter.Refused, 1, 4)...)))
	do(t, open(disk).Add(lettersOf(deadletter.Refused, 0, 5)))
	equal(t, "letters", ids(t, open(disk), deadletter.Refused), upTo(0, 5))
	other := letterOf(deadletter.Refused, 0)
	other.Key.CRC++ // another frame that got the same number
	do(t, f.Add([]deadletter.Letter{other, other}))
	equal(t, "letters", slices.Sorted(slices.Values(ids(t, open(disk), deadletter.Refused))), append([]int{0}, upTo(0, 5)...))
}
