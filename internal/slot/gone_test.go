// SPDX-License-Identifier: MIT

package slot_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Who took a segment away may have taken the directory: what would be appended to
// the open file has no name, and nobody would ever find it.
func TestASlotWhoseFileIsGoneTakesNoMoreRows(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "default-0")
	s, err := slot.Open(slot.Options{Dir: dir, Durability: slot.Flush, SegmentBytes: 4096, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tx, err := s.Reserve(context.Background(), []int{3})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(tx.Append(slot.Frame{Bytes: []byte("abc"), Rows: 1}), tx.Sync()); err != nil {
		t.Fatal(err)
	}
	tx.Publish()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.NewCursor().Next(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
	if _, err := s.Reserve(context.Background(), []int{3}); !errors.Is(err, fs.ErrNotExist) || s.Err() == nil {
		t.Errorf("append: %v, state %v", err, s.Err())
	}
}

// The files are open and can be written and synced: without a name nobody finds
// them again.
func TestRowsAreNotTakenIntoADirectoryThatWasRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "slot-0")
	s, err := slot.Open(slot.Options{Dir: dir, Durability: slot.Flush, SegmentBytes: 4096, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		tx, err := s.Reserve(context.Background(), []int{3})
		if err == nil {
			err = errors.Join(tx.Append(slot.Frame{Bytes: []byte("abc"), Rows: 1}), tx.Sync())
			_ = tx.Rollback()
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("error %v", err)
		}
	}
	if s.Err() == nil || s.Stats().Pending != 0 {
		t.Errorf("state %v, stats %+v", s.Err(), s.Stats())
	}
}
