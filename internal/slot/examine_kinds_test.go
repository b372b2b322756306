// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// mustExamine reads every byte of a slot that nobody else has.
func mustExamine(t testing.TB, mem vfs.FS) *slot.Examination {
	t.Helper()
	e, err := examine(mem, true, true)
	do(t, err)
	return e
}

func TestAWoundIsFoundBesideAnOwnerToo(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 10, 700)
	const name = "sf-initial.sfa"
	b := read(t, mem, name)
	b[100] ^= 1
	write(t, mem, name, b)
	e, err := examine(mem, true, false)
	if err != nil || e.Grade() != slot.Wounded || len(e.Findings) != 1 {
		t.Fatalf("%+v, %v", e, err)
	}
	if f := e.Findings[0]; f.File != name || f.Offset != 24 || f.FirstFSN != 0 || f.LastFSN != 0 || f.Receipt != "" {
		t.Errorf("%+v", f)
	}
}

func TestAWoundThatWasToldIsFoundWithItsReceipt(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 10, 700)
	do(t, s.Close())
	name := segments(t, mem)[0]
	b := read(t, mem, name)
	b[100] ^= 1
	write(t, mem, name, b)
	s = open(t, options(mem))
	if len(pending(t, s)) != 9 {
		t.Fatal("the wound was not met")
	}
	do(t, s.Close())
	e := mustExamine(t, mem)
	if e.Grade() != slot.Wounded || len(e.Receipts) != 1 || e.Findings[0].Receipt != e.Receipts[0] || e.Stats.Pending != 9 {
		t.Errorf("%+v", e)
	}
}

func TestDamageOfWhatIsKeptIsFound(t *testing.T) {
	mem := newMem()
	s := open(t, keeping(options(mem), 0, 1<<20))
	fill(t, s, 0, 20, 700)
	settle(t, s, 0, 14)
	do(t, s.Close())
	e := mustExamine(t, mem)
	if e.Grade() != slot.Clean || e.Kept < 2 || e.KeptBytes == 0 {
		t.Fatalf("%+v", e)
	}
	var kept []slot.FSN
	each := func(f *slot.Framed) error {
		if f.Settled {
			kept = append(kept, f.FSN)
		}
		return nil
	}
	do(t, e.Each(slot.Wish{To: 1 << 61, Settled: true, Pending: true, Skipped: func(string, string) {}}, each))
	slices.Sort(kept)
	if len(kept) != 15 || kept[14] != 14 {
		t.Errorf("shown as settled: %v", kept)
	}
	name := keptFiles(t, mem)[0]
	b := read(t, mem, name)
	b[100] ^= 1
	write(t, mem, name, b)
	if e = mustExamine(t, mem); e.Grade() != slot.Wounded || e.Findings[0].File != name {
		t.Errorf("%+v", e)
	}
}

func TestAFrameThatIsNoMessageIsFound(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 2, 100)
	mustStore(t, s, slot.Frame{Bytes: []byte("this is no message at all"), Rows: 1})
	do(t, s.Close())
	e := mustExamine(t, mem)
	if e.Grade() != slot.Wounded || e.Findings[0].FirstFSN != 2 || e.Findings[0].Offset != 24+2*108 {
		t.Errorf("%+v", e)
	}
}

func TestHollowSegmentsAreClean(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 40, 700)
	settle(t, s, 1, 38)
	if hollows(t, mem) == 0 {
		t.Fatal("nothing is hollow")
	}
	if e, err := examine(mem, true, false); err != nil || e.Grade() != slot.Clean || e.Stats.PendingFrames != 2 {
		t.Errorf("%+v, %v", e, err)
	}
	do(t, s.Close())
	if e := mustExamine(t, mem); e.Grade() != slot.Clean || e.Stats.Pending != 2 || !e.Closed {
		t.Errorf("%+v", e)
	}
}

func TestSlotsOfOtherClientsAreLookedAt(t *testing.T) {
	const golden = "testdata/g3-python-6.0.0"
	mem := newMem()
	entries, err := os.ReadDir(golden)
	do(t, err)
	for _, entry := range entries {
		b, err := os.ReadFile(filepath.Join(golden, entry.Name()))
		do(t, err)
		write(t, mem, entry.Name(), b)
	}
	before := snapshot(t, mem)
	look := func(fsys *vfstest.Mem, alone bool) *slot.Examination {
		e, err := slot.Examine(slot.ExamineOptions{FS: fsys, Dir: dir, Deep: true, Alone: alone})
		do(t, err)
		return e
	}
	e := look(mem, true)
	rows := 0
	do(t, e.Each(slot.Wish{To: 1 << 61, Pending: true, Skipped: func(string, string) {}}, func(f *slot.Framed) error { rows++; return nil }))
	if e.Grade() != slot.Clean || e.Foreign == "" || e.Stats.Pending == 0 || int64(rows) != e.Stats.PendingFrames {
		t.Errorf("%d frames, %+v", rows, e)
	}
	if after := snapshot(t, mem); len(after) != len(before) {
		t.Errorf("files came or went")
	}
	b := read(t, mem, "sf-0000000000000005.sfa")
	b[60] ^= 1
	write(t, mem, "sf-0000000000000005.sfa", b)
	for _, alone := range []bool{true, false} {
		if e := look(mem, alone); e.Grade() != slot.Wounded || e.Findings[0].File != "sf-0000000000000005.sfa" {
			t.Errorf("%+v", e)
		}
	}
}

// Trouble of the disk is no wound.
func TestAnErrorOfTheDiskIsNoFinding(t *testing.T) {
	p := sick(t, false)
	mem, _ := p.with(t, func(map[string][]byte) {})
	calls := 0
	counting := vfstest.Wrap(mem, func(vfstest.Op) error { calls++; return nil })
	if _, err := examine(counting, true, true); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the disk is broken")
	for at := range calls {
		n := 0
		fsys := vfstest.Wrap(mem, func(op vfstest.Op) error {
			if n++; n == at+1 && op.Kind != vfstest.OpClose {
				return broken
			}
			return nil
		})
		e, err := examine(fsys, true, true)
		if err == nil && e.Grade() != slot.Clean || err != nil && !errors.Is(err, broken) {
			t.Errorf("call %d: %v, %+v", at, err, e)
		}
	}
}
