// SPDX-License-Identifier: MIT

package vfs_test

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestWhatIsWrittenAndSyncedIsCountedForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := vfs.Meter(vfstest.NewMem())
		if err := m.MkdirAll("/sf", 0o700); err != nil {
			t.Fatal(err)
		}
		f, err := m.OpenFile("/sf/f", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		for hour := range 48 {
			if _, err := f.WriteAt(make([]byte, 100), int64(hour)); err != nil {
				t.Fatal(err)
			}
			if err := f.Sync(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
		}
		if err := m.SyncDir("/sf"); err != nil {
			t.Fatal(err)
		}
		all, day := m.Wear()
		if want := (vfs.Wear{Bytes: 4800, Syncs: 49}); all != want {
			t.Errorf("%+v, want %+v", all, want)
		}
		if want := (vfs.Wear{Bytes: 2400, Syncs: 25}); day != want {
			t.Errorf("of the day %+v, want %+v", day, want)
		}
		if s := m.SyncTimes.Snapshot(); s.Count() != 48 {
			t.Errorf("%d syncs of files", s.Count())
		}
		time.Sleep(1000 * time.Hour)
		if _, day := m.Wear(); day != (vfs.Wear{}) {
			t.Errorf("six weeks later still %+v", day)
		}
	})
}
