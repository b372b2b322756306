// SPDX-License-Identifier: MIT

package deadletter_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

func TestAFileOfLettersIsLookedAtWithoutAChange(t *testing.T) {
	dir := t.TempDir()
	f := deadletter.Open(deadletter.Options{FS: vfs.OS, Dir: dir, SenderID: "box"})
	for i := range 3 {
		row := &qwp.Row{}
		row.Reset("t")
		row.Long("id", int64(i))
		row.At(1700000000000000)
		if err := f.Add([]deadletter.Letter{{Row: row, Class: deadletter.Final, Reason: "why"}}); err != nil {
			t.Fatal(err)
		}
	}
	path := f.Path(deadletter.Final)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	row := bytes.Index(whole, []byte("id=1i")) // of the second letter
	for name, c := range map[string]struct {
		b      []byte
		sealed bool
		want   string // letters, damaged, is something torn, is something stray
	}{
		"whole":             {whole, false, "3 0 false false"},
		"empty":             {nil, false, "0 0 false false"},
		"cut":               {whole[:len(whole)-2], false, "2 0 true false"},
		"cut and sealed":    {whole[:len(whole)-2], true, "2 1 false true"},
		"one byte is wrong": {append(append(bytes.Clone(whole[:row]), whole[row]^1), whole[row+1:]...), false, "2 1 false true"},
		"notes before":      {append([]byte("# notes\n\n"), whole...), false, "3 0 false true"},
		"notes behind":      {append(bytes.Clone(whole), "# notes\n"...), false, "3 0 false true"},
		"zeros behind":      {append(bytes.Clone(whole), make([]byte, 99)...), false, "3 0 true false"},
	} {
		if err := os.WriteFile(path, c.b, 0o600); err != nil {
			t.Fatal(err)
		}
		v, err := deadletter.Look(vfs.ReadOnly(vfs.OS), path, c.sealed)
		got := fmt.Sprint(v.Letters, v.Damaged, v.Torn > 0, v.Stray > 0)
		if err != nil || got != c.want || v.Bytes != int64(len(c.b)) || (v.Damaged > 0) != (v.FirstDamaged >= 0) {
			t.Errorf("%s: %s instead of %s: %+v, %v", name, got, c.want, v, err)
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, c.b) {
			t.Errorf("%s: it has changed: %v", name, err)
		}
	}
}

// A letter whose mark is damaged is text to who looks for letters, and no less lost.
func TestEveryByteOfALetterThatIsWrongIsFound(t *testing.T) {
	disk := newDisk(t)
	do(t, open(disk).Add(lettersOf(deadletter.Refused, 0, 3)))
	whole := content(t, disk, "default.refused.lp")
	for _, sealed := range []bool{false, true} {
		for at := range whole {
			for _, mask := range []byte{1, 0x20, 0xff} {
				b := bytes.Clone(whole)
				b[at] ^= mask
				put(t, disk, "default.refused.lp", b)
				v, err := deadletter.Look(disk, dir+"/default.refused.lp", sealed)
				if err != nil || v.Damaged == 0 && v.Torn == 0 && v.Letters < 3 || v.Damaged > 2 {
					t.Errorf("byte %d, %q, by %#x: %+v, %v", at, whole[at], mask, v, err)
				}
			}
		}
	}
}

func TestTheNameOfAFileOfLettersSaysWhoseItIs(t *testing.T) {
	for name, want := range map[string]string{
		"box.dead-letter.lp": "box final false true", "box.refused.7.lp": "box refused true true", "a-b.refused.lp": "a-b refused false true",
		"box.dead-letter.07.lp": "", "notes.lp": "", ".dead-letter.lp": "", "box.dead-letter.lp.tmp": "",
	} {
		id, class, sealed, ok := deadletter.Named(name)
		if got := fmt.Sprintln(id, class, sealed, ok); ok != (want != "") || ok && strings.TrimSpace(got) != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestARowIsALineOrElseAComment(t *testing.T) {
	row := &qwp.Row{}
	row.Reset("t")
	row.Long("id", 1)
	row.At(1700000000000000)
	never := func() []byte { t.Error("a line needs no frame"); return nil }
	if b, isLine := deadletter.AppendRow([]byte("x"), row, never); !isLine || string(b) != "xt id=1i 1700000000000000000\n" {
		t.Errorf("%q", b)
	}
	row.Timestamp("at", 5)
	b, isLine := deadletter.AppendRow(nil, row, func() []byte { return nil })
	if lines := strings.Split(string(b), "\n"); isLine || len(lines) != 3 || !strings.HasPrefix(lines[0], "# not line") || !strings.HasPrefix(lines[1], "# frame=") {
		t.Errorf("%q", b)
	}
}
