// SPDX-License-Identifier: MIT

package deadletter_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// heavy makes a letter of some 20 KB.
func heavy(class deadletter.Class, id int) deadletter.Letter {
	l := letterOf(class, id)
	l.Row.Varchar("padding", strings.Repeat("x", 20_000))
	return l
}

func addHeavy(t testing.TB, f *deadletter.File, class deadletter.Class, from, to int) {
	t.Helper()
	for id := from; id < to; id++ {
		do(t, f.Add([]deadletter.Letter{heavy(class, id)}))
	}
}

func TestAFileThatHasGrownLargeIsSealedAndANewOneBegun(t *testing.T) {
	disk := newDisk(t)
	addHeavy(t, open(disk, capped(deadletter.MinBytes)), deadletter.Refused, 0, 9)
	equal(t, "files", files(t, disk), "default.refused.1.lp default.refused.2.lp default.refused.lp")
	f := open(disk, capped(deadletter.MinBytes))
	equal(t, "letters after a restart", ids(t, f, deadletter.Refused), upTo(0, 9))
	addHeavy(t, f, deadletter.Refused, 9, 14)
	equal(t, "files", files(t, disk), "default.refused.1.lp default.refused.2.lp default.refused.3.lp default.refused.lp")
	equal(t, "letters", ids(t, f, deadletter.Refused), upTo(0, 14))
}

func TestWhatMayStillBeDeliveredIsTheLastToGoForTheCap(t *testing.T) {
	disk := newDisk(t)
	var log bytes.Buffer
	f := open(disk, capped(deadletter.MinBytes), logTo(&log))
	addHeavy(t, f, deadletter.Refused, 0, 12)
	addHeavy(t, f, deadletter.Final, 100, 116)
	st := f.Stats()
	if st.Refused.Removed != 0 || st.Final.Removed == 0 || st.Final.Removed+st.Final.Letters != 16 {
		t.Errorf("stats %+v", st)
	}
	equal(t, "refused", ids(t, f, deadletter.Refused), upTo(0, 12))
	equal(t, "final, the oldest gone", ids(t, f, deadletter.Final), upTo(100+int(st.Final.Removed), 116))

	addHeavy(t, f, deadletter.Refused, 12, 60)
	st = f.Stats()
	equal(t, "final left", st.Final, deadletter.ClassStats{Removed: 16})
	if st.Refused.Removed == 0 || st.Refused.Removed+st.Refused.Letters != 60 {
		t.Errorf("stats %+v", st)
	}
	equal(t, "refused, the oldest gone", ids(t, f, deadletter.Refused), upTo(int(st.Refused.Removed), 60))
	if n := strings.Count(log.String(), "dead_letter_max_bytes is reached"); n == 0 || !strings.Contains(log.String(), "class=refused rows=4") {
		t.Errorf("log: %s", &log)
	}
}

func TestTheFilesAreNeverLargerThanTheCap(t *testing.T) {
	disk := newDisk(t)
	f := open(disk, capped(deadletter.MinBytes))
	most := int64(0)
	for id := range 300 {
		do(t, f.Add([]deadletter.Letter{heavy(deadletter.Class(1+id%2), id)}))
		st := f.Stats()
		most = max(most, st.Final.Bytes+st.Refused.Bytes)
	}
	if most > deadletter.MinBytes || most < deadletter.MinBytes*3/4 {
		t.Errorf("%d bytes at the most, the cap is %d", most, deadletter.MinBytes)
	}
}

func TestWhatOneAddBringsIsKeptThoughItIsMoreThanTheCap(t *testing.T) {
	f := open(newDisk(t), capped(deadletter.MinBytes))
	addHeavy(t, f, deadletter.Refused, 0, 3)
	var many []deadletter.Letter
	for id := 10; id < 50; id++ {
		many = append(many, heavy(deadletter.Final, id))
	}
	do(t, f.Add(many))
	equal(t, "letters", ids(t, f, deadletter.Final), upTo(10, 50))
	equal(t, "removed", f.Stats().Refused.Removed, 3)
}

func TestAFileThatSomebodyTookAwayIsBegunAnew(t *testing.T) {
	disk := newDisk(t)
	f := open(disk)
	do(t, f.Add(lettersOf(deadletter.Refused, 0, 3)))
	do(t, disk.Remove(dir+"/default.refused.lp"))
	do(t, f.Add(lettersOf(deadletter.Refused, 3, 5)))
	equal(t, "letters", ids(t, open(disk.CrashLost()), deadletter.Refused), upTo(3, 5))
	equal(t, "counted", f.Stats().Refused.Letters, 2)
}

func TestOldestReadsOnlyWhatItIsAskedFor(t *testing.T) {
	reads := 0
	f := open(vfstest.Wrap(newDisk(t), func(op vfstest.Op) error {
		if op.Kind == vfstest.OpRead {
			reads++
		}
		return nil
	}), capped(deadletter.MinBytes))
	for id := range 12 {
		l := heavy(deadletter.Refused, id)
		l.Column = fmt.Sprint("c", id/4) // a file each
		do(t, f.Add([]deadletter.Letter{l}))
	}
	groups, err := f.Groups()
	do(t, err)
	equal(t, "groups", len(groups), 3)
	reads = 0
	g := deadletter.Group{Host: "db:9000", Table: "t", Column: "c1", Type: 5}
	list, err := f.Oldest(map[deadletter.Group]int{g: 2}, 1<<20)
	do(t, err)
	if len(list) != 2 || idOf(t, &list[0].Letter) != 4 || idOf(t, &list[1].Letter) != 5 {
		t.Errorf("found %+v", list)
	}
	if reads > 12 {
		t.Errorf("%d reads for 2 letters of 20 KB", reads)
	}
}

func TestLettersOfMoreReasonsThanAreRememberedHaveTheirTurnLater(t *testing.T) {
	f := open(newDisk(t))
	var many []deadletter.Letter
	for id := range 600 {
		l := letterOf(deadletter.Refused, id)
		l.Column = fmt.Sprint("c", id)
		many = append(many, l)
	}
	do(t, f.Add(many))
	fed := 0
	for round := 0; ; round++ {
		groups, err := f.Groups()
		do(t, err)
		if len(groups) == 0 {
			break
		}
		want := map[deadletter.Group]int{}
		for g := range groups {
			want[g] = 1
		}
		list, err := f.Oldest(want, 1<<20)
		do(t, err)
		var places []deadletter.Place
		for i := range list {
			places = append(places, list[i].Place)
		}
		do(t, f.Remove(places))
		fed += len(list)
		if round > 5 {
			t.Fatal("there is no end of it")
		}
	}
	equal(t, "letters", fed, 600)
}

// Readers, writers and one who takes letters out are at work at the same time.
func TestReadersNeitherWaitNorSeeHalfALetter(t *testing.T) {
	disk := newDisk(t)
	f := open(disk, capped(1<<20))
	var all sync.WaitGroup
	for w := range 3 {
		all.Go(func() {
			for n := range 60 {
				do(t, f.Add(lettersOf(deadletter.Refused, 1000*w+2*n, 1000*w+2*n+2)))
			}
		})
	}
	taken := map[int]bool{}
	all.Go(func() {
		for range 30 {
			var places []deadletter.Place
			damaged, err := f.Read(deadletter.Refused, func(l *deadletter.Found) bool {
				places = append(places, l.Place)
				taken[idOf(t, &l.Letter)] = true
				return len(places) < 5
			})
			if damaged > 0 || err != nil {
				t.Errorf("%d damaged letters, %v", damaged, err)
			}
			do(t, f.Remove(places))
			_ = f.Stats()
		}
	})
	all.Wait()
	for _, id := range ids(t, f, deadletter.Refused) {
		if taken[id] {
			t.Errorf("letter %d was taken out and is there", id)
		}
		taken[id] = true
	}
	equal(t, "letters", len(taken), 360)
}
