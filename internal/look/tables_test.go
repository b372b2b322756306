// SPDX-License-Identifier: MIT

package look

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// filled makes a slot with a frame for each table, with a text of so many bytes.
func filled(t testing.TB, dir string, retain time.Duration, bytes, tables int) *slot.Slot {
	t.Helper()
	s, err := slot.Open(slot.Options{FS: vfs.OS, Dir: dir, SegmentBytes: 1 << 20, MaxBytes: 64 << 20, Durability: slot.Memory,
		Retain: slot.NewRetention(vfs.OS, retain, 0, time.Now)})
	if err != nil {
		t.Fatal(err)
	}
	for i := range tables {
		b := qwp.NewBuilder(1 << 20)
		text := qwp.Cell{Name: "text", Type: qwp.TypeVarchar, Text: make([]byte, bytes)}
		err := b.Add(&qwp.Row{Table: fmt.Sprintf("t%03d", i), TimeType: qwp.TypeTimestamp, Time: 1, Cells: []qwp.Cell{text}})
		if err != nil {
			t.Fatal(err)
		}
		frame := b.AppendFrame(nil)
		tx, err := s.Reserve(t.Context(), []int{len(frame)})
		if err == nil {
			err = tx.Append(slot.Frame{Bytes: frame, Rows: 1})
		}
		if err != nil {
			t.Fatal(err)
		}
		tx.Publish()
	}
	return s
}

func closed(t testing.TB, s *slot.Slot) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// An agent that runs keeps the file that it appends to. One that ends with all acked
// leaves no rows, unless it keeps them for a rewind.
func TestTablesOfRowsThatWereAckedAreFoundWhileTheirFileIsThere(t *testing.T) {
	for retain, want := range map[time.Duration]int{0: 0, time.Hour: 3} {
		store := Store{Dir: t.TempDir()}
		s := filled(t, filepath.Join(store.Dir, "default-0"), retain, 10, 3)
		for fsn := range slot.FSN(3) {
			if err := s.Settle(fsn, 1, slot.Acked); err != nil {
				t.Fatal(err)
			}
		}
		for _, when := range []struct {
			what string
			want int
		}{{"while it is open", 3}, {"closed", want}} {
			found, err := store.Tables()
			if err != nil || len(found.Names) != when.want || when.want > 0 && found.Names[2] != "t002" || found.More || len(found.Unread) > 0 {
				t.Errorf("%s, kept for %s: %+v, %v", when.what, retain, found, err)
			}
			if when.what != "closed" {
				closed(t, s)
			}
		}
	}
}

func TestNoMoreThanTheNewestFramesAndAHundredTablesAreLookedAt(t *testing.T) {
	store := Store{Dir: t.TempDir()}
	closed(t, filled(t, filepath.Join(store.Dir, "few-0"), 0, 100, MaxTables+20))
	found, err := store.Tables()
	if err != nil || len(found.Names) != MaxTables || !found.More {
		t.Errorf("%d tables, more %t, %v", len(found.Names), found.More, err)
	}
	store.Dir = t.TempDir()
	closed(t, filled(t, filepath.Join(store.Dir, "large-0"), 0, 500<<10, 40))
	bytes := int64(0)
	store.FS = vfstest.Wrap(vfs.OS, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpRead {
			bytes += op.Len
		}
		return nil
	})
	if _, err := store.Slots(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	slots := bytes
	if found, err = store.Tables(); err != nil || len(found.Names) < 4 || found.Names[len(found.Names)-1] != "t039" {
		t.Errorf("%+v, %v", found, err)
	}
	if more := bytes - 2*slots; more > 3*tableBytes { // what a reader asks for ahead is in it
		t.Errorf("it reads %d bytes more than a look at the slots, which reads %d", more, slots)
	}
	t.Logf("%d bytes for the slots, %d for tables, %d tables of 40", slots, bytes-slots, len(found.Names))
}

func TestASlotThatCannotBeReadIsNamedAndOthersAreLookedAt(t *testing.T) {
	store := Store{Dir: t.TempDir()}
	closed(t, filled(t, filepath.Join(store.Dir, "bad-0"), 0, 10, 2))
	closed(t, filled(t, filepath.Join(store.Dir, "good-0"), 0, 10, 1))
	store.FS = vfstest.Wrap(vfs.OS, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpRead && filepath.Base(filepath.Dir(op.Path)) == "bad-0" {
			return syscall.EIO
		}
		return nil
	})
	found, err := store.Tables()
	if err != nil || fmt.Sprint(found.Names, found.Unread) != "[t000] [bad-0]" {
		t.Errorf("%+v, %v", found, err)
	}
}
