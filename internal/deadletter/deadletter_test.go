// SPDX-License-Identifier: MIT

package deadletter_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// letter is that of a row that never was in a slot.
func letter(row *qwp.Row, reason string) string {
	return string(deadletter.Append(nil, now, &deadletter.Letter{Row: row, Reason: reason, Class: deadletter.Final}))
}

func sampleRow() *qwp.Row {
	var r qwp.Row
	r.Reset("cpu load")
	r.Symbol("zone", "a b,c=d")
	r.Symbol("host", "x")
	r.Varchar("state", "two\nlines \"quoted\" \\ done")
	r.Long("n", -5)
	r.Double("f", 0.1)
	r.Bool("up", true)
	r.At(1795348800123456)
	return &r
}

func TestALetterIsLineProtocolThatDecodesToTheRow(t *testing.T) {
	letter := letter(sampleRow(), "server said:\nerror in line 1")
	if !strings.HasPrefix(letter, `# 2026-11-22T12:00:00Z table "cpu load": server said:\nerror in line 1`+"\n") {
		t.Errorf("comment of %q", letter)
	}
	d := lineprotocol.NewDecoderWithBytes([]byte(letter))
	if !d.Next() {
		t.Fatalf("no line in %q", letter)
	}
	var got []string
	m, err := d.Measurement()
	got = append(got, string(m))
	for {
		k, v, err := d.NextTag()
		if err != nil {
			t.Fatal(err)
		}
		if k == nil {
			break
		}
		got = append(got, string(k)+"="+string(v))
	}
	for {
		k, v, err := d.NextField()
		if err != nil {
			t.Fatal(err)
		}
		if k == nil {
			break
		}
		got = append(got, string(k)+"="+v.String())
	}
	at, terr := d.Time(lineprotocol.Nanosecond, time.Time{})
	if err != nil || terr != nil || at.UnixMicro() != 1795348800123456 {
		t.Errorf("time %v, errors %v, %v", at, err, terr)
	}
	want := "cpu load|host=x|zone=a b,c=d|state=\"two\\nlines \\\"quoted\\\" \\\\ done\"|n=-5i|f=0.1|up=true"
	if strings.Join(got, "|") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "|"), want)
	}
}

func TestARowThatLineProtocolCannotSayIsKeptInTheComment(t *testing.T) {
	var r qwp.Row
	r.Reset("t")
	r.Symbol("path", `C:\`)
	r.Long("v", 1)
	letter := letter(&r, "x")
	if !strings.Contains(letter, `"path"=SYMBOL("C:\\"`) {
		t.Errorf("letter %q", letter)
	}
	for line := range strings.Lines(letter) {
		if !strings.HasPrefix(line, "#") {
			t.Errorf("line %q is no comment", line)
		}
	}
}

func TestLettersAreAppendedAcrossReopen(t *testing.T) {
	temp := t.TempDir()
	var want string
	for _, s := range []string{"one", "two"} {
		f := deadletter.Open(deadletter.Options{FS: vfs.OS, Dir: temp, SenderID: "default"})
		text := letter(sampleRow(), s)
		do(t, f.AddText([]byte(text), 1))
		want += text
		equal(t, "letters", f.Stats().Final.Letters, int64(strings.Count(want, "\n")/3))
		do(t, f.Close())
	}
	path := filepath.Join(temp, "default.dead-letter.lp")
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("file %q, %v", got, err)
	}
	info, err := os.Stat(path)
	do(t, err)
	equal(t, "mode", info.Mode().Perm(), 0o600)
}

func TestALetterWithoutATimeIsNeverReplayedAsNow(t *testing.T) {
	var r qwp.Row
	r.Reset("t")
	r.Long("v", 1)
	r.At(time.Time{}.UnixMicro())
	letter := letter(&r, "its time is the year 1")
	for line := range strings.Lines(letter) {
		if !strings.HasPrefix(line, "#") {
			t.Errorf("line %q would be replayed", line)
		}
	}
}

func TestAClosedFileTakesNoMoreLetters(t *testing.T) {
	f := open(newDisk(t))
	do(t, f.Close())
	if err := f.AddText([]byte("late\n"), 1); !errors.Is(err, fs.ErrClosed) {
		t.Error("a letter was written behind the next owner's back")
	}
	if err := f.Add(lettersOf(deadletter.Refused, 0, 1)); !errors.Is(err, fs.ErrClosed) {
		t.Error("a letter was written behind the next owner's back")
	}
}

// The whole text of a letter: what others parse must not change by accident.
func TestALetterLooksLikeThis(t *testing.T) {
	l := letterOf(deadletter.Refused, 3)
	l.Reason, l.Column, l.Row.Table = "cast error from \"x\"\r\n\x00\xff to LONG", "a b", "cpu load"
	want := `# 2026-11-22T12:00:00Z table "cpu load", slot default-0, fsn 3, row 1 of block 0: cast error from "x"\r\n\x00\xff to LONG` + "\n" +
		`# qsf1 CRC 51 class=refused unit=us key="default-0"/3/00000007/0/1 column="a b" type=LONG host="db:9000"` + "\n" +
		`cpu\ load,host=a id=3i 1795348800000003000` + "\n"
	got := string(deadletter.Append(nil, now, &l))
	got = regexp.MustCompile(`(# qsf1) [0-9a-f]{8} \d+`).ReplaceAllString(got, "$1 CRC 51")
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestAFileIsNotTouchedBeforeTheFirstLetter(t *testing.T) {
	calls := 0
	f := open(vfstest.Wrap(newDisk(t), func(vfstest.Op) error { calls++; return nil }))
	_ = f.Stats()
	do(t, f.AddText(nil, 0))
	do(t, f.Add(nil))
	do(t, f.Close())
	equal(t, "calls to the disk", calls, 0)
}

func TestASymbolicLinkIsNotFollowed(t *testing.T) {
	temp := t.TempDir()
	victim := filepath.Join(temp, "victim")
	do(t, os.WriteFile(victim, []byte("keep\n"), 0o600))
	do(t, os.Symlink(victim, filepath.Join(temp, "default.dead-letter.lp")))
	f := deadletter.Open(deadletter.Options{FS: vfs.OS, Dir: temp, SenderID: "default"})
	if err := f.AddText([]byte(letter(sampleRow(), "x")), 1); err == nil {
		t.Error("a planted link was followed")
	}
	if got, _ := os.ReadFile(victim); string(got) != "keep\n" {
		t.Errorf("the victim reads %q", got)
	}
}
