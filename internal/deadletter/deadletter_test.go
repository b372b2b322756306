// SPDX-License-Identifier: MIT

package deadletter_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/line-protocol/v2/lineprotocol"
	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

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
	letter := deadletter.AppendLetter(nil, now, sampleRow(), "server said:\nerror in line 1")
	if !strings.HasPrefix(string(letter), `# 2026-11-22T12:00:00Z table "cpu load": server said:\nerror in line 1`+"\n") {
		t.Errorf("comment of %q", letter)
	}
	d := lineprotocol.NewDecoderWithBytes(letter)
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
	letter := string(deadletter.AppendLetter(nil, now, &r, "x"))
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
	path := filepath.Join(t.TempDir(), "dead-letter.lp")
	for _, s := range []string{"one\n", "two\n"} {
		f := deadletter.New(vfs.OS, path)
		if err := f.Append([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != "one\ntwo\n" {
		t.Errorf("file %q, %v", got, err)
	}
}

func TestALetterWithoutATimeIsNeverReplayedAsNow(t *testing.T) {
	var r qwp.Row
	r.Reset("t")
	r.Long("v", 1)
	r.At(time.Time{}.UnixMicro())
	letter := string(deadletter.AppendLetter(nil, now, &r, "its time is the year 1"))
	for line := range strings.Lines(letter) {
		if !strings.HasPrefix(line, "#") {
			t.Errorf("line %q would be replayed", line)
		}
	}
}

func TestAClosedFileTakesNoMoreLetters(t *testing.T) {
	f := deadletter.New(vfs.OS, filepath.Join(t.TempDir(), "dead-letter.lp"))
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Append([]byte("late\n")); err == nil {
		t.Error("a letter was written behind the next owner's back")
	}
}
