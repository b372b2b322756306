// SPDX-License-Identifier: MIT

package verdict_test

import (
	"bytes"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/verdict"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// Every byte of the file is flipped, and every beginning of it is read: what is wrong
// costs no more than that it is learned again.
func TestADamagedFileIsToldOfAndBegunAnew(t *testing.T) {
	mem, log, o := disk(t)
	first := verdict.New(o)
	first.Learn(to("a", "a__double"))
	first.Accepted("db:9000", "")
	whole := mustRead(t, mem)
	cases, said := 0, 0
	for at := range whole {
		for _, damaged := range [][]byte{whole[:at], append(append(bytes.Clone(whole[:at]), whole[at]^0x20), whole[at+1:]...)} {
			mustWrite(t, mem, damaged)
			log.Reset()
			b := verdict.New(o)
			cases++
			if log.Len() > 0 {
				said++
			}
			b.Learn(to("b", "b__double"))
			b.Accepted("db:9000", "")
			if v, ok := verdict.New(o).Of(key("b")); !ok || v.To != "b__double" {
				t.Fatalf("byte %d: after damage nothing is kept", at)
			}
		}
	}
	t.Logf("%d damaged files, %d of them told of", cases, said)
	mustWrite(t, mem, bytes.Repeat([]byte(" "), 17<<20))
	log.Reset()
	if verdict.New(o).Busy() || !strings.Contains(log.String(), "too many") {
		t.Errorf("a huge file: %s", log)
	}
}

func mustRead(t testing.TB, mem *vfstest.Mem) []byte {
	t.Helper()
	f, err := mem.OpenFile(file, os.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, _ := f.Size()
	data := make([]byte, size)
	_, _ = f.ReadAt(data, 0)
	return data
}

func mustWrite(t testing.TB, mem *vfstest.Mem, data []byte) {
	t.Helper()
	f, err := mem.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if len(data) > 0 {
		if _, err := f.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAFullDiskIsSaidOnceAndCostsOnlyTheFile(t *testing.T) {
	mem, log, o := disk(t)
	full := false
	o.FS = vfstest.Wrap(mem, func(op vfstest.Op) error {
		if full && op.Kind == vfstest.OpWrite {
			return syscall.ENOSPC
		}
		return nil
	})
	b := verdict.New(o)
	b.Learn(to("a", "a__double"))
	b.Accepted("db:9000", "")
	full = true
	for _, column := range []string{"b", "c"} {
		b.Learn(to(column, ""))
		b.Accepted("db:9000", "")
	}
	if n := strings.Count(log.String(), "cannot be kept"); n != 1 {
		t.Errorf("said %d times: %s", n, log)
	}
	knows(t, b, "c", "")
	o.FS = mem
	b = verdict.New(o)
	knows(t, b, "a", "a__double")
	if _, ok := b.Of(key("b")); ok {
		t.Error("what could not be written is there")
	}
}

// Whatever is in the file, a book opens, and what it has can be looked up and saved.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(`[{"host":"h","table":"t","column":"c","type":"DOUBLE","to":"c__double","words":"no"}]`))
	f.Add([]byte(`[{"host":"h","table":"T","column":"C","type":"LONG"},{"host":"h","table":"t","column":"c","type":"LONG"}]`))
	f.Add([]byte(`{"host":1}`))
	f.Add([]byte("\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		mem, _, o := disk(t)
		mustWrite(t, mem, data)
		b := verdict.New(o)
		before := b.Busy()
		b.Learn(to("x", "y"))
		b.Accepted("db:9000", "")
		b.Lift(key("x"))
		again := verdict.New(o)
		if again.Busy() != (before && b.Busy()) {
			t.Errorf("busy %v, then %v, saved %v", before, b.Busy(), again.Busy())
		}
	})
}
