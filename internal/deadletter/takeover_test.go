// SPDX-License-Identifier: MIT

package deadletter_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// twoOwners is a directory with letters of default and of default.drain, sealed and not,
// the last of which was not written to its end.
func twoOwners(t *testing.T) *vfstest.Mem {
	disk := newDisk(t)
	named := func(o *deadletter.Options) { o.SenderID = "default.drain" }
	mine, others := open(disk, sealed), open(disk, sealed, named)
	for at := 0; at < 20; at += 4 {
		do(t, mine.Add(lettersOf(deadletter.Refused, at, at+4)))
		do(t, others.Add(append(lettersOf(deadletter.Refused, 50+at, 54+at), lettersOf(deadletter.Final, 150+at, 154+at)...)))
	}
	b := content(t, disk, "default.drain.refused.lp")
	put(t, disk, "default.drain.refused.lp", append(b, b[:40]...))
	do(t, disk.SyncDir(dir))
	return disk
}

// whole fails unless all letters of twoOwners are those of f, each once.
func whole(t *testing.T, f *deadletter.File) {
	t.Helper()
	for class, want := range map[deadletter.Class][]int{
		deadletter.Refused: append(upTo(0, 20), upTo(50, 70)...), deadletter.Final: upTo(150, 170),
	} {
		got := ids(t, f, class)
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: %v", class, got)
		}
	}
	if st := f.Stats(); st.Refused.Letters != 40 || st.Final.Letters != 20 {
		t.Errorf("%+v", st)
	}
}

func TestTheLettersOfAnotherAreTakenOver(t *testing.T) {
	disk := twoOwners(t)
	if has, err := deadletter.Has(disk, dir, "default.drain"); !has || err != nil {
		t.Errorf("%t %v", has, err)
	}
	if shelves, err := deadletter.Shelves(disk, dir); err != nil || !slices.ContainsFunc(shelves, func(s deadletter.Shelf) bool {
		return s.SenderID == "default.drain" && s.Class == deadletter.Final
	}) {
		t.Errorf("%+v %v", shelves, err)
	}
	f := open(disk, sealed)
	if n, err := f.TakeOver("default.drain"); err != nil || n != 40 {
		t.Errorf("%d letters, %v", n, err)
	}
	whole(t, f)
	if groups, err := f.Groups(); err != nil || len(groups) != 1 || groups[deadletter.Group{Host: "db:9000", Table: "t", Column: "id", Type: letterOf(1, 0).Type}] != 40 {
		t.Errorf("%v %v", groups, err)
	}
	if left := files(t, disk); strings.Contains(left, "drain") {
		t.Errorf("left: %s", left)
	}
	if n, err := f.TakeOver("default.drain"); n != 0 || err != nil {
		t.Errorf("once more: %d letters, %v", n, err)
	}
	do(t, f.Add(append(lettersOf(deadletter.Refused, 50, 54), lettersOf(deadletter.Refused, 0, 4)...))) // they are known
	whole(t, f)
	whole(t, loaded(t, open(disk.CrashLost(), sealed)))
}

func loaded(t *testing.T, f *deadletter.File) *deadletter.File {
	t.Helper()
	do(t, f.Load())
	return f
}

func TestLettersThatCannotAllBeTakenOverAreTakenOverLater(t *testing.T) {
	broken := errors.New("the disk is broken")
	for at := 0; ; at++ {
		disk, calls := twoOwners(t), 0
		fsys := vfstest.Wrap(disk, func(op vfstest.Op) error {
			if calls++; calls == at+1 && op.Kind != vfstest.OpClose {
				return broken
			}
			return nil
		})
		f := open(fsys, sealed)
		_, err := f.TakeOver("default.drain")
		if calls <= at {
			t.Logf("%d calls", calls)
			break
		}
		if err != nil && !errors.Is(err, broken) {
			t.Errorf("call %d: %v", at, err)
		}
		for _, crashed := range []*vfstest.Mem{disk.CrashLost(), disk.CrashKept()} {
			again := open(crashed, sealed)
			_, err := again.TakeOver("default.drain")
			do(t, err)
			whole(t, again)
		}
		if err != nil {
			_, err = f.TakeOver("default.drain")
			do(t, err)
		}
		whole(t, f)
		whole(t, loaded(t, open(disk, sealed)))
	}
}
