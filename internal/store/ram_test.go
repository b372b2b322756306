// SPDX-License-Identifier: MIT

package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// segmentWrites are those of frames; the header of a new segment is none.
func segmentWrites(op vfstest.Op) bool {
	return op.Kind == vfstest.OpWrite && op.Off > 0 && strings.HasSuffix(op.Path, ".sfa")
}

func TestWithAnUnusableDirectoryRowsGoToRAMAndLaterToDisk(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOENT, syscall.EACCES, syscall.EROFS, syscall.EIO, syscall.ENOTDIR, syscall.ENOSPC} {
		t.Run(errno.Error(), func(t *testing.T) {
			inTime(t, func(t *testing.T, d *disk) {
				d.fails(errno, nil)
				st := opened(t, d.settings())
				do(t, put(t, st, 3))
				wants(t, st, 0, 3, true)
				time.Sleep(5 * time.Minute)
				d.log.said(t, "rows are kept in RAM", 1)
				d.log.said(t, "sf_dir=/sf", 1)
				d.fails(nil, nil)
				time.Sleep(31 * time.Second)
				wants(t, st, 3, 0, false)
				if s := st.Stats(); s.Moved != 3 || s.Accepted != 3 || s.RAMStats.Accepted != 0 {
					t.Errorf("stats %+v", s)
				}
				d.log.said(t, "rows_moved=3", 1)
				do(t, put(t, st, 1))
				wants(t, st, 4, 0, false)
				do(t, st.Release(context.Background()))
			})
		})
	}
}

func TestADiskThatFailsLaterIsLeftForRAMAndTakenUpAgain(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.settings())
		do(t, put(t, st, 1))
		for n := range int64(2) { // once more after the first time
			d.fails(syscall.EIO, nil)
			do(t, put(t, st, 2))
			do(t, put(t, st, 3))
			time.Sleep(time.Minute)
			wants(t, st, 1+5*n, 5, true)
			d.fails(nil, nil)
			time.Sleep(31 * time.Second)
			wants(t, st, 6+5*n, 0, false)
			d.log.said(t, "rows_moved=5", int(n)+1)
			d.log.said(t, "sf_dir cannot be used", int(n)+1)
		}
		do(t, st.Release(context.Background()))
		if s := st.Stats(); s.Pending != 11 || s.Moved != 10 || s.LostRAM != 0 {
			t.Errorf("stats at the end %+v", s)
		}
	})
}

func TestWithWaitTheErrorOfTheDiskIsTheCallers(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		s := d.settings()
		s.RAM = false
		d.fails(syscall.EROFS, nil)
		st := share(t, s)
		if err := st.Open(context.Background()); !errors.Is(err, syscall.EROFS) {
			t.Fatalf("open: %v", err)
		}
		d.fails(nil, nil)
		time.Sleep(time.Second)
		do(t, put(t, st, 1))
		d.fails(syscall.EROFS, segmentWrites)
		if err := put(t, st, 1); !errors.Is(err, syscall.EROFS) {
			t.Errorf("write: %v", err)
		}
		wants(t, st, 1, 0, false)
		d.fails(nil, nil)
	})
}

func TestAFaultThatIsNotTheDisksDoesNotLeadToRAM(t *testing.T) {
	eio := errors.Join(errors.New("slot"), syscall.EIO)
	cases := map[string]struct {
		err   error
		again bool
	}{
		"full store":    {fmt.Errorf("%w: %w", sfpool.ErrStoreFull, eio), false},
		"full disk":     {syscall.ENOSPC, false},
		"deadline":      {fmt.Errorf("%w: %w", context.DeadlineExceeded, eio), false},
		"no sender":     {&sfpool.AcquireError{Cause: context.Canceled, Ails: eio}, false},
		"lock":          {&sfpool.LockedError{Dir: "/sf/default-0"}, false},
		"row":           {&sfpool.RowError{Table: "t", Err: eio}, false},
		"damage":        {&sfpool.DamageError{Path: "/sf/default-0"}, false},
		"panic":         {&sfpool.PanicError{Doing: "flush", Value: eio}, false},
		"another error": {errDisk, false},
		"none":          {nil, false},
		"I/O error":     {eio, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, d *disk) {
				st := opened(t, d.settings())
				p, release, err := st.Pool()
				do(t, err)
				defer release()
				if again := st.Failed(p, c.err); again != c.again || st.Stats().RAM != c.again {
					t.Errorf("again: %t, in RAM: %t", again, st.Stats().RAM)
				}
			})
		})
	}
}

func TestADiskThatHasNoRoomForAllKeepsTheRestInRAM(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EROFS, nil)
		st := opened(t, d.settings())
		do(t, put(t, st, 5))
		d.fails(syscall.ENOSPC, segmentWrites) // opens, and takes no frame
		time.Sleep(45 * time.Second)
		wants(t, st, 0, 5, false)
		d.log.said(t, "not all that RAM holds could be moved", 1)
		d.fails(nil, nil)
		do(t, put(t, st, 1)) // to disk, where new rows go meanwhile
		time.Sleep(time.Minute)
		wants(t, st, 6, 0, false)
	})
}

func TestADiskThatFailsAgainWhileRowsAreMovedLosesNone(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EROFS, nil)
		st := opened(t, d.settings())
		do(t, put(t, st, 5))
		d.fails(syscall.EIO, segmentWrites)
		time.Sleep(31 * time.Second) // on disk again, and nothing can be moved
		wants(t, st, 0, 5, true)
		d.fails(syscall.EIO, nil)
		do(t, put(t, st, 2)) // goes to the RAM that is still there
		wants(t, st, 0, 7, true)
		d.fails(nil, nil)
		time.Sleep(time.Minute)
		wants(t, st, 7, 0, false)
	})
}

func TestBlocksThatMeetAFailingDiskTogetherLoseNoRow(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		var blocks sync.WaitGroup
		first := opened(t, d.settings())
		for range 4 {
			st := share(t, d.settings())
			blocks.Go(func() {
				for range 200 {
					if err := put(t, st, 1); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Second)
				}
			})
		}
		time.Sleep(time.Second / 2) // between two batches: one whose rollback fails too may be there twice
		for n := range 4 {
			time.Sleep(20 * time.Second)
			d.fails(syscall.EIO, nil)
			time.Sleep(time.Duration(10+7*n) * time.Second)
			d.fails(nil, nil)
		}
		blocks.Wait()
		time.Sleep(2 * time.Minute)
		openAllSlots(t, first)
		wants(t, first, 800, 0, false)
	})
}

func TestTheCapOfTheRAMHolds(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		s := d.settings()
		s.RAMMaxBytes, s.Pool.AppendDeadline, s.Pool.MaxSenders = 2<<20, time.Millisecond, 1
		d.fails(syscall.EROFS, nil)
		st := opened(t, s)
		var err error
		for n := 0; err == nil && n < 100; n++ {
			err = put(t, st, 10_000)
		}
		if !errors.Is(err, sfpool.ErrStoreFull) {
			t.Errorf("error %v", err)
		}
		if got := st.Stats().RAMStats; got.MaxBytes != 2<<20 || got.StoreBytes > got.MaxBytes {
			t.Errorf("stats %+v", got)
		}
	})
}

// A block may meet the old pool when another block has left it already.
func TestWhoComesLateWithAFailedPoolIsSentToTheNewOne(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.settings())
		old, release, err := st.Pool()
		do(t, err)
		d.fails(syscall.EIO, nil)
		release()
		do(t, put(t, st, 1))
		for _, err := range []error{sfpool.ErrClosed, syscall.EIO} {
			if !st.Failed(old, err) {
				t.Errorf("%v is not tried again", err)
			}
		}
		if st.Failed(old, errDisk) {
			t.Error("a fault that another pool does not mend is tried again")
		}
		wants(t, st, 0, 1, true)
	})
}

// Some are on disk, and the others not yet: the figure of lost rows is an alarm.
func TestRowsThatAreBeingMovedAreNotShownAsLost(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EIO, nil)
		st := opened(t, d.settings())
		fillTwo(t, st)
		writes, hangs := 0, make(chan struct{})
		d.fails(syscall.EIO, func(op vfstest.Op) bool {
			if segmentWrites(op) {
				if writes++; writes == 2 {
					<-hangs
				}
			}
			return false
		})
		time.Sleep(31 * time.Second)
		if s := st.Stats(); s.Pending != 1 || s.Moved != 1 || s.RAMStats.Gone != 0 || s.RAMStats.Accepted != 1 {
			t.Errorf("stats %+v", s)
		}
		close(hangs)
		synctest.Wait()
		wants(t, st, 2, 0, false)
	})
}

// It opens each time, and fails at the first row: an outage of the disk each half
// minute, and of the server in each pool.
func TestADiskThatOpensAndTakesNoRowIsTriedLessAndLess(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.settings())
		d.fails(syscall.EIO, segmentWrites)
		for range 6 * 60 {
			do(t, put(t, st, 1))
			time.Sleep(10 * time.Second)
		}
		if n := d.log.lines(); n > 9*8 { // without the rule some 640
			t.Errorf("%d lines in an hour:\n%s", n, &d.log.buf)
		}
		d.fails(nil, nil)
		time.Sleep(10 * time.Minute)
		openAllSlots(t, st)
		wants(t, st, 360, 0, false)
		do(t, put(t, st, 1))
		time.Sleep(10 * time.Minute)
		d.fails(syscall.EIO, nil)
		do(t, put(t, st, 1))
		d.fails(nil, nil)
		time.Sleep(31 * time.Second) // as after a first failure
		wants(t, st, 362, 0, false)
	})
}

// The lock is ours, and so are the files that the old pool puts in order.
func TestTheDiskIsNotOpenedWhileTheFailedPoolIsBeingClosed(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		s := d.settings()
		s.Retry = 100 * time.Millisecond
		st := opened(t, s)
		do(t, put(t, st, 1))
		_, release, err := st.Pool() // another block is at it
		do(t, err)
		d.fails(syscall.EIO, nil)
		do(t, put(t, st, 2))
		d.fails(nil, nil)
		time.Sleep(2 * time.Second)
		wants(t, st, 1, 2, true)
		release()
		time.Sleep(time.Minute)
		wants(t, st, 3, 0, false)
		d.log.said(t, "already in use by another process", 0)
	})
}

// The slots do not count them: they never were there.
func TestDeadLettersAreCountedThroughEveryChangeOfPools(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.settings())
		for n := range int64(3) {
			do(t, reject(t, st))
			d.fails(syscall.EIO, nil)
			do(t, put(t, st, 1)) // to RAM
			time.Sleep(15 * time.Second)
			wants(t, st, n, 1, true)
			d.fails(nil, nil)
			time.Sleep(20 * time.Minute)
			wants(t, st, n+1, 0, false)
			if s := st.Stats(); s.DeadLettered != n+1 || s.Accepted != 2*(n+1) {
				t.Errorf("stats %+v", s)
			}
		}
		do(t, st.Release(context.Background()))
		if s := st.Stats(); s.DeadLettered != 3 || s.Accepted != 6 {
			t.Errorf("stats at the end %+v", s)
		}
	})
}

// reject stores a row that can never be sent.
func reject(t testing.TB, st *store.Store) error {
	t.Helper()
	p, release, err := st.Pool()
	do(t, err)
	defer release()
	s, err := p.Borrow(context.Background())
	do(t, err)
	defer s.Return()
	batch := p.NewBatch()
	batch.Reject(&sfpool.Row{Table: "t"}, "a reason of the test")
	return s.Flush(context.Background(), batch)
}
