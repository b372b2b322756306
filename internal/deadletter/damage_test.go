// SPDX-License-Identifier: MIT

package deadletter_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// five returns the text of five letters, one of them with a frame, in a sealed file
// or the active one.
func five(t testing.TB) []byte {
	t.Helper()
	disk := newDisk(t)
	letters := lettersOf(deadletter.Refused, 0, 5)
	letters[2].Row.Timestamp("seen", 1)
	do(t, open(disk).Add(letters))
	return content(t, disk, "default.refused.lp")
}

// readable returns the ids of the letters in a text. None of them may have changed.
func readable(t testing.TB, name string, text []byte) (list []int) {
	t.Helper()
	disk := newDisk(t)
	put(t, disk, name, text)
	f := open(disk)
	_, err := f.Read(deadletter.Refused, func(l *deadletter.Found) bool {
		id := idOf(t, &l.Letter)
		want := letterOf(deadletter.Refused, id)
		if id == 2 {
			want.Row.Timestamp("seen", 1)
		}
		if !sameRow(l.Row, want.Row) || *l.Key != *want.Key {
			t.Errorf("letter %d was changed", id)
		}
		list = append(list, id)
		return true
	})
	do(t, err)
	do(t, f.Add(lettersOf(deadletter.Refused, 9, 10)))
	if got := ids(t, open(disk), deadletter.Refused); !slices.Equal(got, append(slices.Clone(list), 9)) {
		t.Errorf("with one letter more there are %v, before %v", got, list)
	}
	return list
}

func TestEveryFlippedByteCostsItsOwnLetterAtTheMost(t *testing.T) {
	whole := five(t)
	cases := 0
	for _, name := range []string{"default.refused.1.lp", "default.refused.lp"} {
		for at := range whole {
			for _, flip := range []byte{0x01, 0x80, whole[at]} { // the last one makes a zero
				cases++
				text := bytes.Clone(whole)
				text[at] ^= flip
				if got := readable(t, name, text); len(got) < 4 || !subset(got) {
					t.Fatalf("byte %d ^ %#x of %s: letters %v are left", at, flip, name, got)
				}
			}
		}
	}
	t.Logf("%d flips", cases)
}

// subset says whether ids are some of 0 to 4, in order.
func subset(got []int) bool {
	return slices.IsSorted(got) && len(slices.Compact(slices.Clone(got))) == len(got)
}

func TestEveryTruncationLeavesTheLettersBefore(t *testing.T) {
	whole := five(t)
	ends := append(letterEnds(whole), len(whole))
	for end := range len(whole) + 1 {
		want := 0
		for _, e := range ends[1:] {
			if e <= end {
				want++
			}
		}
		equal(t, "letters", readable(t, "default.refused.lp", whole[:end]), upTo(0, want))
		if t.Failed() {
			t.Fatalf("cut at %d of %d", end, len(whole))
		}
	}
	t.Logf("%d truncations", len(whole)+1)
}

// letterEnds returns where letters begin.
func letterEnds(text []byte) (at []int) {
	for i := range text {
		if bytes.HasPrefix(text[i:], []byte("# 2026-")) {
			at = append(at, i)
		}
	}
	return at
}

// What a torn append leaves must not be fed by those who read line protocol.
func TestATornLastLetterIsCut(t *testing.T) {
	whole := five(t)
	begin := letterEnds(whole)[4]
	for end := begin + 1; end < len(whole); end++ {
		disk := newDisk(t)
		var log bytes.Buffer
		put(t, disk, "default.refused.lp", append(bytes.Clone(whole[:end]), make([]byte, (end%3)*10)...))
		do(t, open(disk, logTo(&log)).Load())
		if got := content(t, disk, "default.refused.lp"); !bytes.Equal(got, whole[:begin]) {
			t.Fatalf("cut at %d, what is left is %d bytes, want %d", end, len(got), begin)
		}
		if !strings.Contains(log.String(), "not written to its end") {
			t.Fatalf("log: %s", &log)
		}
	}
}

// Letters of an earlier release, and what people write, have no second line.
func TestTextThatIsNoLetterStays(t *testing.T) {
	long := "log text=\"" + strings.Repeat("x", 20_000) + "\" 1\n"
	old := long + "# 2026-01-02T03:04:05Z table \"cpu\": unfit\ncpu,host=a usage=1.5 1795348800000000000\n# mine\nmem used=1i 1\n" + long
	for _, text := range []string{old, old + string(five(t)), string(five(t)) + old} {
		disk := newDisk(t)
		put(t, disk, "default.refused.lp", []byte(text))
		var log bytes.Buffer
		f := open(disk, logTo(&log))
		do(t, f.Add(lettersOf(deadletter.Refused, 5, 6)))
		got := string(content(t, disk, "default.refused.lp"))
		if !strings.HasPrefix(got, text) || strings.Count(log.String(), "no letter") != 1 {
			t.Errorf("the file reads\n%s\nlog: %s", got, &log)
		}
		list, err := f.Oldest(map[deadletter.Group]int{{Host: "db:9000", Table: "t", Column: "id", Type: qwp.TypeLong}: 10}, 1<<20)
		do(t, err)
		var places []deadletter.Place
		for i := range list {
			places = append(places, list[i].Place)
		}
		do(t, f.Remove(places))
		equal(t, "what is left", string(content(t, disk, "default.refused.lp")), old)
	}
}

func FuzzAFileOfAnythingIsRead(f *testing.F) {
	f.Add([]byte("# 2026 table \"t\": x\n# qsf1 00000000 9999999999 class=final\n"))
	f.Add([]byte("\n# qsf1 0 0 \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		disk := newDisk(t)
		put(t, disk, "default.refused.lp", text)
		file := open(disk)
		if _, err := file.Read(deadletter.Refused, func(*deadletter.Found) bool { return true }); err != nil {
			t.Error(err)
		}
		do(t, file.Add(lettersOf(deadletter.Refused, 0, 1)))
		got := ids(t, open(disk), deadletter.Refused)
		if len(got) == 0 || got[len(got)-1] != 0 {
			t.Errorf("letters %v", got)
		}
	})
}
