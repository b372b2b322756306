// SPDX-License-Identifier: MIT

package store_test

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestALookShowsTheSegmentsOfTheOpenSlots(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.settings())
		do(t, put(t, st, 100))
		l, rows := st.Look(), int64(0)
		for i, list := range l.Details.Segments {
			for _, g := range list {
				rows += g.Rows
				if g.Settled != 0 || g.Used > g.Size || st.Stats().Slots[i].Pending == 0 && g.Frames > 0 {
					t.Errorf("%+v", g)
				}
			}
		}
		if rows != 100 || !l.Open || l.Failure != nil || l.Dir != "/sf" || l.SenderID != "default" || l.MaxBackoff != time.Hour {
			t.Errorf("%d rows in %+v", rows, l)
		}
		if s := st.Stats(); s.AppendTimes.Count() == 0 || s.SyncTimes.Count() == 0 || s.Written.Bytes < s.AppendedBytes || s.WrittenDay != s.Written {
			t.Errorf("%+v", s)
		}
	})
}

func TestALookSaysWhyTheDiskTakesNothing(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EIO, nil)
		st := opened(t, d.settings())
		if l := st.Look(); l.Failure == nil || !l.Open || !st.Stats().RAM {
			t.Errorf("%+v", l)
		}
	})
}

func TestADiskThatHangsIsAskedForItsSpaceOnce(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.settings())
		total, free := st.Space()
		if total == 0 || free == 0 {
			t.Fatalf("%d of %d", free, total)
		}
		time.Sleep(time.Minute)
		hangs, asked := make(chan struct{}), 0
		d.watch(func(op vfstest.Op) {
			if op.Kind == vfstest.OpSpace {
				asked++
				<-hangs
			}
		})
		for range 3 {
			began := time.Now()
			if a, b := st.Space(); a != total || b != free || time.Since(began) > time.Second {
				t.Errorf("%d of %d after %s", b, a, time.Since(began))
			}
		}
		close(hangs)
		synctest.Wait()
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		d.watch(nil)
	})
}
