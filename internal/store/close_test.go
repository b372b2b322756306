// SPDX-License-Identifier: MIT

package store_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestRowsThatAreStillInRAMAtTheEndAreLostAndSaidSo(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EROFS, nil)
		st := opened(t, d.settings())
		do(t, put(t, st, 7))
		began := time.Now()
		err := st.Release(context.Background())
		var lost *store.LostError
		if !errors.As(err, &lost) || lost.Rows != 7 || !strings.Contains(err.Error(), "/sf") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
		if s := st.Stats(); s.LostRAM != 7 || s.RAMStats.Gone != 7 || s.RAMStats.Accepted != 7 || s.RAM {
			t.Errorf("stats %+v", s)
		}
	})
}

// At the end rows are saved to a disk that works again though its turn had not come.
func TestWhatCouldNotBeMovedIsTriedOnceMoreAtTheEnd(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EROFS, nil)
		st := opened(t, d.settings())
		do(t, put(t, st, 5))
		d.fails(syscall.ENOSPC, segmentWrites)
		time.Sleep(31 * time.Second)
		d.fails(nil, nil)
		do(t, st.Release(context.Background()))
		if s := st.Stats(); s.Pending != 5 || s.LostRAM != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestADiskThatHangsDoesNotHoldUpTheEndForEver(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EIO, nil)
		st := opened(t, d.settings())
		do(t, put(t, st, 2))
		hangs := make(chan struct{})
		d.fails(syscall.EIO, func(op vfstest.Op) bool {
			if op.Kind == vfstest.OpMkdir {
				<-hangs
			}
			return true
		})
		time.Sleep(31 * time.Second) // the disk is being tried
		began := time.Now()
		err := st.Release(context.Background())
		var lost *store.LostError
		if !errors.As(err, &lost) || lost.Rows != 2 || !strings.Contains(err.Error(), "hangs") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("it took %s", took)
		}
		close(hangs)
		synctest.Wait()
	})
}

// The move to a disk that hangs is under way: nobody goes after it.
func TestADiskThatHangsWhileRowsAreMovedDoesNotHoldUpTheEnd(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EIO, nil)
		st := opened(t, d.settings())
		fillTwo(t, st)
		hangs := make(chan struct{})
		d.fails(syscall.EIO, func(op vfstest.Op) bool {
			if segmentWrites(op) {
				<-hangs
			}
			return false
		})
		time.Sleep(31 * time.Second)
		p, release, err := st.Pool()
		do(t, err)
		idle, err := p.Borrow(context.Background())
		do(t, err)
		idle.Return()
		release()
		time.AfterFunc(30*time.Second, func() { close(hangs) })
		began := time.Now()
		err = st.Release(context.Background())
		if !errors.As(err, new(*store.LostError)) || !strings.Contains(err.Error(), "hangs") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("it took %s", took)
		}
		time.Sleep(time.Minute)
	})
}

// A disk that has come back since it was last tried saves what RAM holds.
func TestTheDiskIsTriedOnceMoreAtTheEnd(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EROFS, nil)
		st := opened(t, d.settings())
		do(t, put(t, st, 5))
		time.Sleep(10 * time.Second)
		d.fails(nil, nil)
		do(t, st.Release(context.Background()))
		if s := st.Stats(); s.Pending != 5 || s.Moved != 5 || s.LostRAM != 0 {
			t.Errorf("stats %+v", s)
		}
		wants(t, opened(t, d.settings()), 5, 0, false) // released, and recovered
	})
}

// The last try hangs: then the rows are lost, but not the end.
func TestADiskThatHangsAtTheLastTryDoesNotHoldUpTheEnd(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EIO, nil)
		st := opened(t, d.settings())
		do(t, put(t, st, 2))
		hangs := make(chan struct{})
		d.fails(syscall.EIO, func(vfstest.Op) bool { <-hangs; return false })
		began := time.Now()
		var lost *store.LostError
		if err := st.Release(context.Background()); !errors.As(err, &lost) || lost.Rows != 2 {
			t.Errorf("error %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it took %s", took)
		}
		close(hangs)
		time.Sleep(time.Minute)
		wants(t, opened(t, d.settings()), 0, 0, false) // and its lock is free
	})
}
