// SPDX-License-Identifier: MIT

package store_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// Counters that fall for a moment look like a restart to who adds up how they grow.
func TestNoFigureCountsARowTwiceWhileItMovesFromRAMToDisk(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EROFS, nil)
		st := opened(t, d.settings())
		for range 3 {
			do(t, put(t, st, 40_000))
		}
		fillTwo(t, st)
		const all = 3*40_000 + 2
		wants(t, st, 0, all, true)
		in := st.Stats().RAMStats.AppendedBytes
		looks, moved := 0, map[int64]bool{}
		d.watch(func(vfstest.Op) {
			s := st.Stats()
			looks++
			moved[s.Moved] = true
			if n := s.Accepted + s.RAMStats.Accepted; n != all {
				t.Errorf("%d rows are accepted", n)
			}
			if n := s.Pending + s.RAMStats.Pending; n != all {
				t.Errorf("%d rows are pending", n)
			}
			if n := s.AppendedBytes + s.RAMStats.AppendedBytes; n != in {
				t.Errorf("%d bytes are stored, want %d", n, in)
			}
			if s.RAMStats.Gone != 0 || !s.Balanced() || !s.RAMStats.Balanced() {
				t.Errorf("on disk %+v\nin RAM %+v", s.Stats, s.RAMStats)
			}
		})
		d.fails(nil, nil)
		time.Sleep(31 * time.Second)
		d.watch(nil)
		wants(t, st, all, 0, false)
		if len(moved) < 3 {
			t.Errorf("%d looks saw only %v rows moved", looks, moved)
		}
		do(t, st.Release(context.Background()))
	})
}
