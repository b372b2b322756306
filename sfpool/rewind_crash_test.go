// SPDX-License-Identifier: MIT

package sfpool

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// whereIs returns the ids of the rows that are acked and kept, or wait to be sent
// again, in the slots of an sf_dir.
func whereIs(t testing.TB, fsys vfs.FS) map[int64]bool {
	t.Helper()
	found, row, v := map[int64]bool{}, qwp.Row{}, qwp.View{}
	note := func(frame []byte) error {
		if err := v.Parse(frame, nil); err != nil {
			return err
		}
		table := &v.Tables()[0]
		for r := range table.All(0, table.Rows, &row) {
			found[r.Cells[0].Int()] = true
		}
		return nil
	}
	entries, err := fsys.ReadDir("/sf")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		dir := "/sf/" + e.Name()
		a := slot.AckedReader{
			FS: fsys, Dir: dir, Visit: func(f slot.Frame) error { return note(f.Bytes) },
			Done: func(string) error { return nil }, Skipped: func(path, why string) { t.Log(path, why) },
		}
		if err := a.Read(); err != nil {
			t.Fatal(err)
		}
		s, err := slot.Open(slot.Options{FS: fsys, Dir: dir, SegmentBytes: 64 << 10, Durability: slot.Flush})
		if err != nil {
			t.Fatal(err)
		}
		for c := s.NewCursor(); ; {
			e, ok, err := c.Next()
			if err == nil && ok {
				err = note(e.Bytes)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// Whatever fails or ends a rewind, and wherever: each row is still where it was kept,
// or in the slot that was made.
func TestAnInterruptedRewindLosesNothing(t *testing.T) {
	mem := vfstest.NewMem()
	var cfg Config
	var all []int64
	forgets(t, func(c *Config) { c.FS, c.MaxSenders = mem, 1 }, func(f *forgetful) {
		f.store(45)
		cfg, all = f.cfg, f.all
	})
	cfg.Now = func() time.Time { return today() }
	complete := func(at int64, fsys vfs.FS) {
		t.Helper()
		if found := whereIs(t, fsys); len(found) != len(all) {
			t.Errorf("call %d: %d rows of %d are there", at, len(found), len(all))
		}
	}
	calls, reached, writes := 0, true, false
	for at := int64(1); reached && !t.Failed(); at++ {
		reached = false
		work := mem.CrashKept()
		c := cfg
		c.FS = vfstest.Wrap(work, func(op vfstest.Op) error {
			if op.N != at {
				return nil
			}
			calls, reached = calls+1, true
			writes = op.Kind == vfstest.OpWrite || op.Kind == vfstest.OpSync || op.Kind == vfstest.OpRemove
			if writes {
				complete(at, work.CrashLost())
			}
			return syscall.EIO
		})
		_, err := Rewind(t.Context(), c, time.Time{})
		if err != nil && writes {
			complete(at, work.CrashKept())
		}
	}
	t.Logf("%d calls", calls)
}
