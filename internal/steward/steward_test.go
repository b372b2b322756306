// SPDX-License-Identifier: MIT

package steward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// stocked is a store with a slot s-0 of so many rows, each in a frame.
func stocked(t testing.TB, rows int) *Store {
	t.Helper()
	s := &Store{FS: vfs.OS, Dir: t.TempDir()}
	o, err := slot.Open(slot.Options{FS: s.FS, Dir: s.path("s-0"), SegmentBytes: 4 << 10, Durability: slot.Flush, Target: "http://db\n"})
	if err != nil {
		t.Fatal(err)
	}
	for id := range rows {
		b := frameOf(t, id)
		tx, err := o.Reserve(t.Context(), []int{len(b)})
		if err == nil {
			err = errors.Join(tx.Append(slot.Frame{Bytes: b, Rows: 1}), tx.Sync())
		}
		if err != nil {
			t.Fatal(err)
		}
		tx.Publish()
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

func frameOf(t testing.TB, id int) []byte {
	t.Helper()
	var r qwp.Row
	r.Reset("t")
	r.Long("id", int64(id))
	r.Varchar("fill", strings.Repeat("x", 300))
	r.At(1700000000000000 + int64(id))
	b := qwp.NewBuilder(1 << 20)
	if err := b.Add(&r); err != nil {
		t.Fatal(err)
	}
	return b.AppendFrame(nil)
}

func pending(t testing.TB, s *Store, name string) int64 {
	t.Helper()
	k, err := s.take(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	n := k.Stats().Pending
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAnExportThatCannotBeWrittenLeavesSlotAndDirectoryAsTheyWere(t *testing.T) {
	s := stocked(t, 20)
	if _, err := s.Export(t.Context(), "s-0", filepath.Join(t.TempDir(), "not", "there"), true); err == nil {
		t.Error("it was written into a directory that is not there")
	}
	out := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Export(ctx, "s-0", filepath.Join(out, "x"), true); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if list, _ := os.ReadDir(out); len(list) > 0 {
		t.Errorf("left behind: %v", list)
	}
	if n := pending(t, s, "s-0"); n != 20 {
		t.Errorf("%d rows are pending", n)
	}
}

func TestAFrameThatIsNoMessageStaysWhereItIs(t *testing.T) {
	s := stocked(t, 3)
	o, err := slot.Open(slot.Options{FS: s.FS, Dir: s.path("s-0"), SegmentBytes: 4 << 10, Durability: slot.Flush})
	if err != nil {
		t.Fatal(err)
	}
	tx, err := o.Reserve(t.Context(), []int{9})
	if err = errors.Join(err, tx.Append(slot.Frame{Bytes: []byte("nonsense!")}), tx.Sync()); err != nil {
		t.Fatal(err)
	}
	tx.Publish()
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := s.Export(t.Context(), "s-0", filepath.Join(t.TempDir(), "x"), true)
	if err != nil || r.Rows != 3 || r.Skipped != 1 {
		t.Errorf("%+v %v", r, err)
	}
	if list, _ := filepath.Glob(s.path("s-0", "*.sfa")); len(list) == 0 {
		t.Error("it is gone")
	}
}

func TestAnImportThatFailsLeavesNothing(t *testing.T) {
	s := stocked(t, 20)
	file := filepath.Join(t.TempDir(), "x")
	if _, err := s.Export(t.Context(), "s-0", file, false); err != nil {
		t.Fatal(err)
	}
	to := &Store{FS: vfs.OS, Dir: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	keep := func(has string) (string, error) { cancel(); return has, nil }
	if _, err := to.Import(ctx, file, "b-import", keep); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if names, err := to.Slots(); err != nil || len(names) > 0 {
		t.Errorf("%v %v", names, err)
	}
	for n := 1; n <= 2; n++ {
		r, err := to.Import(t.Context(), file, "b-import", func(has string) (string, error) { return has, nil })
		if err != nil || r.Slot != fmt.Sprint("b-import-", n) || pending(t, to, r.Slot) != 20 {
			t.Errorf("%+v %v", r, err)
		}
	}
}

// A disk that cannot read a sector costs what is in it, not what is around it.
func TestRepairGoesOnBehindWhatTheDiskCannotRead(t *testing.T) {
	s := stocked(t, 60)
	bad := &badDisk{FS: vfs.OS, name: "sf-initial.sfa", from: 1100, to: 1300}
	s.FS = bad
	r, err := s.Repair(t.Context(), "s-0", t.TempDir())
	if err != nil || r.Rows < 57 || r.Rows >= 60 || len(r.Lost) < 2 || r.Lost[0].Bytes != 512 || !strings.Contains(r.Lost[0].Why, "sector") {
		t.Errorf("%+v %v", r, err)
	}
}

// badDisk cannot read some bytes of a file.
type badDisk struct {
	vfs.FS
	name     string
	from, to int64
}

func (d *badDisk) OpenFile(name string, flag int, perm os.FileMode) (vfs.File, error) {
	f, err := d.FS.OpenFile(name, flag, perm)
	if err == nil && filepath.Base(name) == d.name {
		f = &badFile{f, d}
	}
	return f, err
}

type badFile struct {
	vfs.File
	d *badDisk
}

func (f *badFile) ReadAt(b []byte, off int64) (int, error) {
	if off < f.d.to && off+int64(len(b)) > f.d.from {
		return 0, errors.New("bad sector")
	}
	return f.File.ReadAt(b, off)
}

func TestTheRestOfABlockIsCopiedAroundBadSectors(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 40<<10) // 640 KiB
	for _, at := range []int64{0, 511, 300_000, int64(len(content)) - 1} {
		m := &mender{r: &Repaired{}}
		out := make(memory, len(content))
		in := readerFunc(func(b []byte, off int64) (int, error) {
			if off <= at && at < off+int64(len(b)) {
				return 0, errors.New("bad sector")
			}
			return bytes.NewReader(content).ReadAt(b, off)
		})
		if err := m.copyBytes(in, out, "f", int64(len(content))); err != nil {
			t.Fatal(err)
		}
		differ := 0
		for i := range content {
			if out[i] != content[i] {
				differ++
			}
		}
		if differ == 0 || differ > sector || len(m.r.Lost) != 1 || m.r.Lost[0].Bytes != sector {
			t.Errorf("at %d: %d bytes differ, %+v", at, differ, m.r.Lost)
		}
	}
}

type readerFunc func(b []byte, off int64) (int, error)

func (f readerFunc) ReadAt(b []byte, off int64) (int, error) { return f(b, off) }

type memory []byte

func (m memory) WriteAt(b []byte, off int64) (int, error) { return copy(m[off:], b), nil }

var _ io.WriterAt = memory{}
