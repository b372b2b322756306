// SPDX-License-Identifier: MIT

package slot_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// keeping has a slot keep what is acked.
func keeping(o slot.Options, age time.Duration, max int64) slot.Options {
	o.Retain = slot.NewRetention(o.FS, age, max, o.Now)
	return o
}

func keptFiles(t testing.TB, fsys vfs.FS) []string {
	t.Helper()
	return slices.DeleteFunc(names(t, fsys), func(n string) bool { return !strings.Contains(n, ".sfa.acked.") })
}

// ackedIDs are those of the frames that Rewind would find, in any order, and what it
// would say.
func ackedIDs(t testing.TB, fsys vfs.FS, since time.Time) (ids []uint64, said []string) {
	t.Helper()
	do(t, (&slot.AckedReader{
		FS: fsys, Dir: dir, Since: since, Inspect: inspect,
		Visit:   func(f slot.Frame) error { ids = append(ids, idOf(f.Bytes)); return nil },
		Done:    func(string) error { return nil },
		Skipped: func(path, why string) { said = append(said, filepath.Base(path)+": "+why) },
	}).Read())
	slices.Sort(ids)
	return ids, said
}

func TestAckedSegmentsAreKeptUnderAnotherNameAndCostNoRoom(t *testing.T) {
	mem := newMem()
	o := keeping(options(mem), time.Hour, 0)
	s := open(t, o)
	for id := range uint64(100) {
		do(t, storeCtx(noWait(), s, frame(id, 1, 1000)))
		do(t, s.Settle(slot.FSN(id), 1, slot.Acked))
	}
	if b, n := o.Retain.Kept(); n != 24 || b != 24*4096 || len(keptFiles(t, mem)) != 24 || s.Stats().SegmentBytes > 2*4096 {
		t.Errorf("%d files, %d bytes, %v, %+v", n, b, keptFiles(t, mem), s.Stats())
	}
	if got := keptFiles(t, mem)[0]; got != "sf-0000000000000000.sfa.acked.1795364204" {
		t.Errorf("first file %s", got)
	}
	do(t, s.Close())
	if n := len(segments(t, mem)); n != 0 || len(keptFiles(t, mem)) != 25 {
		t.Errorf("after a drained close %v", names(t, mem))
	}
	if b, _ := o.Retain.Kept(); b != 24*4096+24+4*1008 {
		t.Errorf("%d bytes are kept: the last file has room for nothing", b)
	}
	o = keeping(options(mem), time.Hour, 0)
	s = open(t, o)
	if _, n := o.Retain.Kept(); n != 25 {
		t.Errorf("%d files after reopen", n)
	}
	fill(t, s, 100, 101, 100)
	wantIDs(t, s, 100, 100)
	got, said := ackedIDs(t, mem, time.Time{})
	if !slices.Equal(got, ids(0, 100)) || len(said) > 0 {
		t.Errorf("found %v, %v", got, said)
	}
	do(t, s.Settle(100, 1, slot.Acked))
	do(t, s.Close()) // sf-initial.sfa for the second time in one second
	if n := len(keptFiles(t, mem)); n != 26 {
		t.Errorf("%v", keptFiles(t, mem))
	}
	if got, _ := ackedIDs(t, mem, time.Unix(1795364205, 0)); len(got) != 0 {
		t.Errorf("found %v that were acked before", got)
	}
}

func TestWhatWasEvictedIsNotKept(t *testing.T) {
	mem := newMem()
	s := open(t, keeping(options(mem), time.Hour, 0))
	fill(t, s, 0, 12, 1000)
	settle(t, s, 0, 1)
	if e, err := s.Evict(3); err != nil || e.Rows != 2 {
		t.Fatal(e, err)
	}
	if got := keptFiles(t, mem); len(got) != 0 {
		t.Errorf("kept %v", got)
	}
}

// What is hollow could not be sent again.
func TestNothingIsMadeHollowThatIsToBeKept(t *testing.T) {
	mem := newMem()
	o := keeping(options(mem), 0, 1<<20)
	s := open(t, o)
	fill(t, s, 0, 16, 1000)
	settle(t, s, 4, 11)
	if n := hollows(t, mem); n != 0 {
		t.Errorf("%d hollow segments", n)
	}
	got, _ := ackedIDs(t, mem, time.Time{})
	if !slices.Equal(got, ids(4, 12)) {
		t.Errorf("found %v", got)
	}
	settle(t, s, 0, 3)
	if _, n := o.Retain.Kept(); n != 3 {
		t.Errorf("%d files are kept", n)
	}
}

func TestTheOldestKeptSegmentsGoBeyondTheirBytesAndTheirAge(t *testing.T) {
	mem := newMem()
	now := time.Unix(1800000000, 0)
	o := options(mem)
	o.Now = func() time.Time { return now }
	o = keeping(o, time.Hour, 3*4096)
	s := open(t, o)
	for id := range uint64(24) {
		do(t, store(s, frame(id, 1, 1000)))
		now = now.Add(time.Minute)
		do(t, s.Settle(slot.FSN(id), 1, slot.Acked))
	}
	if got, _ := ackedIDs(t, mem, time.Time{}); !slices.Equal(got, ids(8, 24)) {
		t.Errorf("found %v", got)
	}
	at, ok := o.Retain.Due()
	if !ok || !at.Equal(time.Unix(1800000000, 0).Add(13*time.Minute+time.Hour)) {
		t.Errorf("due %s %t", at, ok)
	}
	o.Retain.Prune(at)
	if _, n := o.Retain.Kept(); n != 3 {
		t.Errorf("%d files are kept for their hour", n)
	}
	o.Retain.Prune(at.Add(time.Second))
	if _, n := o.Retain.Kept(); n != 2 || len(keptFiles(t, mem)) != 2 {
		t.Errorf("%d files are left of three", n)
	}
	o.Retain.Prune(now.Add(time.Hour))
	if _, ok := o.Retain.Due(); ok || len(keptFiles(t, mem)) != 0 {
		t.Errorf("%v", keptFiles(t, mem))
	}
}

// Somebody else takes files away, which are no reason to remove older ones.
func TestFilesThatAreGoneDoNotCountInWhatIsKept(t *testing.T) {
	mem := newMem()
	now := time.Unix(1800000000, 0)
	o := options(mem)
	o.Now = func() time.Time { now = now.Add(time.Second); return now }
	o = keeping(o, 0, 4*4096)
	s := open(t, o)
	fill(t, s, 0, 24, 1000)
	settle(t, s, 0, 15)
	kept := keptFiles(t, mem)
	remove(t, mem, kept[1])
	remove(t, mem, kept[2])
	settle(t, s, 16, 19)
	if got := keptFiles(t, mem); len(got) != 3 {
		t.Errorf("%v are left of %v and one more", got, kept)
	}
	if b, n := o.Retain.Kept(); n != 3 || b != 3*4096 {
		t.Errorf("%d files, %d bytes", n, b)
	}
}

// A box whose clock was not set yet must not lose what it keeps once it is.
func TestAClockThatWasNeverSetMakesNothingOld(t *testing.T) {
	mem := newMem()
	now := time.Unix(30, 0)
	o := options(mem)
	o.Now = func() time.Time { return now }
	o = keeping(o, time.Hour, 0)
	s := open(t, o)
	fill(t, s, 0, 12, 1000)
	settle(t, s, 0, 7)
	now = now.Add(48 * time.Hour)
	o.Retain.Prune(now)
	if _, n := o.Retain.Kept(); n != 2 {
		t.Fatalf("%d files", n)
	}
	now = time.Unix(1800000000, 0)
	if got, _ := ackedIDs(t, mem, now); !slices.Equal(got, ids(0, 8)) {
		t.Errorf("found %v: nobody knows when they were acked", got)
	}
	o.Retain.Prune(now)
	if got := keptFiles(t, mem); len(got) != 2 || !strings.HasSuffix(got[0], ".acked.1800000000") {
		t.Errorf("%v", got)
	}
	o.Retain.Prune(now.Add(time.Hour + time.Second))
	if _, n := o.Retain.Kept(); n != 0 {
		t.Errorf("%d files", n)
	}
}

func TestWhatIsKeptGivesWayWhenTheDiskIsShort(t *testing.T) {
	for _, how := range []string{"full", "to be kept free"} {
		t.Run(how, func(t *testing.T) {
			mem, keep := newMem(), int64(0)
			mem.SetCapacity(1 << 20)
			o := keeping(options(mem), time.Hour, 0)
			o.Budget = slot.NewBudget(o.MaxBytes)
			o.Budget.KeepFree(func() (int64, int64, error) { return mem.Space(dir) }, func(int64) int64 { return keep })
			s := open(t, o)
			fill(t, s, 0, 41, 1000)
			settle(t, s, 0, 36)
			total, free, err := mem.Space(dir)
			do(t, err)
			if keep = free; how == "full" {
				keep = 0
				mem.SetCapacity(total - free)
			}
			for id := uint64(41); id < 61; id++ {
				do(t, storeCtx(noWait(), s, frame(id, 1, 1000)))
			}
			if _, n := o.Retain.Kept(); n < 3 || n > 5 {
				t.Errorf("%d files are left of nine: five were needed", n)
			}
			wantIDs(t, s, 37, ids(37, 61)...)
		})
	}
}

// The name of a file that is kept is longer, and may not fit into a full directory.
func TestAFullDirectoryDoesNotStopTheTrim(t *testing.T) {
	mem := newMem()
	o := keeping(options(vfstest.Wrap(mem, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpRename {
			return syscall.ENOSPC
		}
		return nil
	})), time.Hour, 0)
	s := open(t, o)
	fill(t, s, 0, 12, 1000)
	settle(t, s, 0, 11)
	if st := s.Stats(); st.Segments != 1 || len(keptFiles(t, mem)) != 0 {
		t.Errorf("%+v", st)
	}
}

func TestDamagedAndUnreadableFilesAreSkippedWithAWord(t *testing.T) {
	mem := newMem()
	s := open(t, keeping(options(mem), time.Hour, 0))
	fill(t, s, 0, 18, 1000)
	settle(t, s, 0, 12)
	kept := keptFiles(t, mem) // 1795364204: of 4, 8, and of 0 as sf-initial
	rot(t, mem, kept[0], 24+1008+100)
	cut := read(t, mem, kept[1])
	write(t, mem, kept[1], cut[:24+1008+500])
	write(t, mem, "sf-00000000000000aa.sfa.acked.1795364204", []byte("no segment"))
	write(t, mem, "sf-00000000000000ab.sfa.acked.soon", []byte("no segment either"))
	got, said := ackedIDs(t, mem, time.Time{})
	if fmt.Sprint(got) != "[0 1 2 3 4 6 7 8 12]" {
		t.Errorf("found %v", got)
	}
	if len(said) != 3 || !strings.Contains(said[0], "1008 bytes of it are no frames") {
		t.Errorf("said %q", said)
	}
}
