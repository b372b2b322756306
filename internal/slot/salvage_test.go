// SPDX-License-Identifier: MIT

package slot_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// salvaged reads what is whole, as g3Rows shows it without numbers, and what is lost.
func salvaged(t testing.TB, fsys vfs.FS) (rows, lost string) {
	t.Helper()
	var view qwp.View
	s := slot.Salvager{FS: fsys, Dir: dir,
		Visit: func(f slot.Frame) error {
			if err := view.Parse(f.Bytes, nil); err != nil || view.DeferCommit() {
				return fmt.Errorf("not a message of its own: %v", err)
			}
			rows += rowsOf(&view)
			return nil
		},
		Lost: func(file string, bytes int64, why string) { lost += fmt.Sprintf("%s %d %s\n", file, bytes, why) },
	}
	if err := s.Read(); err != nil {
		t.Fatal(err)
	}
	return rows, lost
}

func TestWhatIsWholeInADamagedSlotOfAnotherClientIsSalvaged(t *testing.T) {
	const first, second, third = "sf-000000000000000b.sfa", "sf-000000000000000a.sfa", "sf-000000000000000c.sfa"
	all := " 0=a 1=b 2=c 3=a 4=d 5=b 6=c 7=e 8=a"
	for name, c := range map[string]struct {
		files      files
		rows, lost string
	}{
		"nothing is wrong":            {g3(t), all, ""},
		"no manifest":                 {g3(t).with(files{"sf-manifest.bin": nil}), all, ""},
		"no manifest, no dictionary":  {g3(t).with(files{"sf-manifest.bin": nil, ".symbol-dict": nil}), all, ""},
		"the head is missing":         {g3(t).with(files{first: nil}), " 3=a 4=d 5=b 6=c 7=e 8=a", "frames 0 to 1 are not there"},
		"a gap":                       {g2(t).with(files{second: nil}), " 0=a 1=b 2=c 6=c 7=e 8=a", "frames 2 to 3 are not there"},
		"the active is missing":       {g3(t).with(files{third: nil}), " 0=a 1=b 2=c 3=a 4=d 5=b", "written to last, from frame 4"},
		"a flipped byte":              {g3(t).edited(first, flip(70)), " 2=c 3=a 4=d 5=b 6=c 7=e 8=a", "are no frame"},
		"a flipped byte, no dict":     {g3(t).edited(first, flip(70)).with(files{".symbol-dict": nil}), "", "unreplayable"},
		"a torn tail before the last": {g3(t).edited(first, func(b []byte) []byte { b[4000] = 1; return b }), all, "are no frame"},
		"a torn tail of the last":     {g3(t).edited(third, func(b []byte) []byte { b[4000] = 1; return b }), all, ""},
		"no header":                   {g3(t).edited(second, flip(0)), " 0=a 1=b 2=c 6=c 7=e 8=a 3=a 4=d 5=b", "header cannot be read"},
		"settled in part":             {g3(t).with(files{".ack-watermark": watermark(2)}), " 5=b 6=c 7=e 8=a", ""},
		"settled, and damaged":        {g3(t).edited(first, flip(70)).with(files{".ack-watermark": watermark(0)}), " 2=c 3=a 4=d 5=b 6=c 7=e 8=a", "are no frame"},
		"empty":                       {files{}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			mem := c.files.mem(t)
			if err := mem.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			before := snapshot(t, mem)
			rows, lost := salvaged(t, mem)
			if rows != c.rows || !strings.Contains(lost, c.lost) || c.lost == "" && lost != "" {
				t.Errorf("%q, want %q; lost %s", rows, c.rows, lost)
			}
			if !maps.Equal(before, snapshot(t, mem)) {
				t.Error("files changed")
			}
		})
	}
}

func TestATransactionIsSalvagedWholeOrNotAtAll(t *testing.T) {
	w := newWriter(t)
	list := files{"sf-000000000000000a.sfa": segment{base: 0, frames: [][]byte{
		deferred(w.full("a")), w.full("b"), w.full("c"), deferred(w.full("d")), deferred(w.full("e")),
	}}.bytes()}
	rows, lost := salvaged(t, list.mem(t))
	if rows != " 0=a 1=b 2=c" || !strings.Contains(lost, "2 frames belong to a transaction") {
		t.Errorf("%q, lost %s", rows, lost)
	}
}

func TestASlotThatIsReadIsHeldAndNotWrittenTo(t *testing.T) {
	mem := g3(t).mem(t)
	release, err := slot.LockToRead(mem, dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := slot.CheckFree(mem, dir); err == nil || !strings.Contains(err.Error(), "4711") {
		t.Errorf("while it is held: %v", err)
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	before := snapshot(t, mem)
	if err := slot.CheckFree(mem, dir); err != nil {
		t.Error(err)
	}
	if !maps.Equal(before, snapshot(t, mem)) {
		t.Error("files changed")
	}
}
