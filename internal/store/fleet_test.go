// SPDX-License-Identifier: MIT

package store_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// telling are the settings of a block that writes rows on outages, and of status at an
// interval if that is not 0.
func (d *disk) telling(every time.Duration) store.Settings {
	s := d.settings()
	s.Fleet = fleet.Options{Events: true, StatusEvery: every, Version: "v1"}
	return s
}

// told releases a store and returns the rows of a table that it holds on disk, as
// "name=value …".
func told(t testing.TB, d *disk, st *store.Store, table string) (rows []string) {
	t.Helper()
	do(t, st.Release(context.Background()))
	list, err := d.ReadDir("/sf")
	do(t, err)
	for _, e := range list {
		if strings.HasPrefix(e.Name(), "default-") {
			rows = append(rows, rowsIn(t, d, "/sf/"+e.Name(), table)...)
		}
	}
	slices.Sort(rows)
	return rows
}

func rowsIn(t testing.TB, d *disk, dir, table string) (rows []string) {
	t.Helper()
	s, err := slot.Open(slot.Options{FS: d.Mem, Dir: dir, SegmentBytes: 1 << 20, Durability: slot.Memory, Budget: slot.NewBudget(1 << 30)})
	do(t, err)
	defer s.Close()
	c := s.NewCursor()
	defer c.Close()
	for {
		e, ok, err := c.Next()
		do(t, err)
		if !ok {
			return rows
		}
		var v qwp.View
		do(t, v.Parse(e.Bytes, nil))
		for i := range v.Tables() {
			if block := &v.Tables()[i]; block.Name == table {
				rows = append(rows, textOf(block)...)
			}
		}
	}
}

func textOf(block *qwp.Table) (rows []string) {
	var r qwp.Row
	for row := range block.All(0, block.Rows, &r) {
		var cells []string
		for i := range row.Cells {
			cells = append(cells, cellText(&row.Cells[i]))
		}
		rows = append(rows, time.UnixMicro(row.Time).UTC().Format(time.TimeOnly)+" "+strings.Join(cells, " "))
	}
	return rows
}

func cellText(c *qwp.Cell) string {
	switch c.Type {
	case qwp.TypeTimestamp:
		return c.Name + "=" + time.UnixMicro(c.Int()).UTC().Format(time.TimeOnly)
	case qwp.TypeLong:
		return c.Name + "=" + text(c.Int())
	case qwp.TypeDouble:
		return c.Name + "=" + strconv.FormatFloat(c.Float(), 'f', 1, 64)
	}
	return c.Name + "=" + string(c.Text)
}

func text(n int64) string { return strconv.FormatInt(n, 10) }

// outage is some rows, a server that is down for a while, and its return.
func outage(t testing.TB, st *store.Store, rows int, lasts time.Duration) {
	t.Helper()
	do(t, put(t, st, rows))
	synctest.Wait() // the first attempt fails at once
	time.Sleep(lasts)
	st.Took()
	synctest.Wait()
}

func TestAnOutageIsOneRowWithTheRightFigures(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.telling(0))
		time.Sleep(time.Hour)
		outage(t, st, 7, time.Minute)
		st.Took()
		time.Sleep(time.Hour)
		bytes := st.Stats().PendingBytes
		rows := told(t, d, st, fleet.EventsTable)
		if len(rows) != 1 {
			t.Fatalf("%d rows: %q", len(rows), rows)
		}
		for _, want := range []string{
			"01:01:00 box=" + fleet.Box() + " sender_id=default from=01:00:00 to=01:01:00 rows=7 bytes=", " lost=0 cause=server: connect to 127.0.0.1:1: ",
		} {
			if !strings.Contains(rows[0], want) {
				t.Errorf("%q lacks %q; %d bytes are pending", rows[0], want, bytes)
			}
		}
	})
}

func TestABlipAndAnOutageWhileItIsOffAreNoRow(t *testing.T) {
	for name, c := range map[string]struct {
		events bool
		lasts  time.Duration
	}{"blip": {true, 9 * time.Second}, "off": {false, time.Hour}} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, d *disk) {
				s := d.telling(0)
				s.Fleet.Events = c.events
				st := opened(t, s)
				outage(t, st, 2, c.lasts)
				time.Sleep(time.Hour)
				if rows := told(t, d, st, fleet.EventsTable); len(rows) > 0 || d.log.lines() == 0 {
					t.Errorf("rows %q", rows)
				}
			})
		})
	}
}

// The next process knows of the outage since its own start only.
func TestAKillInAnOutageGivesOneRowAtMost(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.telling(0))
		do(t, put(t, st, 3))
		time.Sleep(time.Minute)
		next := &disk{Mem: d.CrashKept()}
		do(t, st.Release(context.Background()))
		st = opened(t, next.telling(0))
		outage(t, st, 2, 20*time.Second)
		rows := told(t, next, st, fleet.EventsTable)
		if len(rows) != 1 || !strings.Contains(rows[0], "from=00:01:0") || !strings.Contains(rows[0], "rows=5 ") {
			t.Errorf("rows %q", rows)
		}
		again := &disk{Mem: next.CrashKept()}
		st = opened(t, again.telling(0))
		time.Sleep(time.Minute)
		if rows := told(t, again, st, fleet.EventsTable); len(rows) != 1 {
			t.Errorf("after the next start %q", rows)
		}
	})
}

func TestADiskInTroubleIsAnOutageThatTellsOfIt(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.telling(0))
		d.fails(syscall.EROFS, nil)
		do(t, put(t, st, 3))
		time.Sleep(time.Minute)
		d.fails(nil, nil)
		time.Sleep(time.Minute) // the disk has the rows; the server is still away
		st.Took()
		synctest.Wait()
		rows := told(t, d, st, fleet.EventsTable)
		if len(rows) != 1 || !strings.Contains(rows[0], "; store: its filesystem is read-only") || !strings.Contains(rows[0], "rows=3 ") {
			t.Errorf("rows %q", rows)
		}
	})
}

// small is a store with room for two segments that drops its oldest rows.
func small(t testing.TB, d *disk) *store.Store {
	t.Helper()
	s := d.telling(0)
	s.Pool.MaxSenders, s.Pool.MaxSegmentBytes, s.Pool.MaxTotalBytes, s.Pool.Full = 1, 64<<10, 128<<10, sfpool.FullDropOldest
	return opened(t, s)
}

func TestWhatIsDroppedInAnOutageIsInItsRow(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := small(t, d)
		telegraf := int64(11)
		st.LostBefore(func() int64 { return telegraf })
		do(t, put(t, st, 1))
		synctest.Wait()
		telegraf += 4
		for range 30 {
			do(t, put(t, st, 2000))
		}
		lost := st.Stats().Evicted
		outage(t, st, 1, time.Minute)
		rows := told(t, d, st, fleet.EventsTable)
		if lost == 0 || len(rows) != 1 || !strings.Contains(rows[0], " lost="+text(lost+4)+" ") {
			t.Errorf("%d lost, rows %q", lost, rows)
		}
	})
}

// A store that is full to the last small row waits with the row on the outage.
func TestNoRowGivesWayToARowOnAnOutage(t *testing.T) {
	most := 0
	inTime(t, func(t *testing.T, d *disk) {
		for st := small(t, d); st.Stats().Evicted == 0; most++ {
			do(t, put(t, st, 1))
		}
	})
	inTime(t, func(t *testing.T, d *disk) {
		st := small(t, d)
		for range most - 1 {
			do(t, put(t, st, 1))
		}
		outage(t, st, 0, time.Minute)
		time.Sleep(20 * time.Minute)
		if s := st.Stats(); s.Evicted != 0 || s.Pending != int64(most-1) {
			t.Errorf("%d rows gave way, %d of %d are pending", s.Evicted, s.Pending, most-1)
		}
		do(t, st.Release(context.Background()))
		d.log.said(t, "the row on an outage could not be stored", 1)
	})
}

func TestAStoreWithoutRoomIsAnOutageUntilItsHoldersHaveSome(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st, other := opened(t, d.telling(0)), opened(t, d.telling(0))
		other.Full("the store is full")
		time.Sleep(time.Minute)
		do(t, other.Release(context.Background())) // who knew of no room is gone
		time.Sleep(time.Minute)
		st.Took() // the row on it
		st.Full("the store is full")
		time.Sleep(time.Minute)
		st.Full("")
		synctest.Wait()
		rows := told(t, d, st, fleet.EventsTable)
		if len(rows) != 2 || !strings.HasSuffix(rows[0], "cause=full: the store is full") || !strings.Contains(rows[1], "from=00:02:00 to=00:03:00") {
			t.Errorf("rows %q", rows)
		}
	})
}

// Rows on outages do not bring about rows on outages.
func TestARowOnAnOutageThatCannotBeSentIsNotToldOf(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := opened(t, d.telling(0))
		st.Full("a reason without any row")
		time.Sleep(time.Minute)
		st.Full("")
		time.Sleep(time.Minute) // there is one now, and no server for it
		st.Took()
		time.Sleep(time.Minute)
		if rows := told(t, d, st, fleet.EventsTable); len(rows) != 1 {
			t.Errorf("rows %q", rows)
		}
	})
}

func TestARowOnAnOutageIsStoredWhenThereIsRoomAgain(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		s := d.telling(0)
		s.RAM = false
		st := opened(t, s)
		do(t, put(t, st, 1))
		time.Sleep(time.Minute)
		d.fails(syscall.ENOSPC, nil)
		st.Took()
		time.Sleep(10 * time.Second)
		if n := st.Stats().Pending; n != 1 {
			t.Errorf("%d rows are pending without room", n)
		}
		d.fails(nil, nil)
		time.Sleep(time.Minute)
		if rows := told(t, d, st, fleet.EventsTable); len(rows) != 1 || !strings.HasPrefix(rows[0], "00:01:00 ") {
			t.Errorf("rows %q", rows)
		}
	})
}

func TestAnEndWhileARowOnAnOutageCannotBeStoredIsNotHeldUp(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		s := d.telling(0)
		s.RAM = false
		st := opened(t, s)
		do(t, put(t, st, 1))
		time.Sleep(time.Minute)
		d.fails(syscall.ENOSPC, nil)
		st.Took()
		time.Sleep(5 * time.Second)
		began := time.Now()
		_ = st.Release(context.Background()) // the disk fails its close, too
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it took %s", took)
		}
		d.log.said(t, "the row on an outage could not be stored", 1)
	})
}

func TestStatusIsToldAtItsIntervalAndOnlyIfItIsOn(t *testing.T) {
	for every, want := range map[time.Duration]int{0: 0, time.Minute: 10} {
		inTime(t, func(t *testing.T, d *disk) {
			st := opened(t, d.telling(every))
			do(t, put(t, st, 5))
			time.Sleep(10*time.Minute + time.Second)
			rows := told(t, d, st, fleet.StatusTable)
			if len(rows) != want {
				t.Fatalf("every %s: %d rows: %q", every, len(rows), rows)
			}
			if want == 0 {
				return
			}
			for _, has := range []string{"00:03:00 ", " version=v1 started=00:00:00 every_s=60 pending_rows=7 ", " oldest_age_s=180 ", " lost=0 incidents=0 dead_letters=0 ", " disk_free_bytes="} {
				if !strings.Contains(rows[2], has) {
					t.Errorf("%q lacks %q", rows[2], has)
				}
			}
		})
	}
}

func TestABoxThatOnlyDropsRowsTellsThatNothingGoesOut(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		s := d.telling(time.Minute)
		s.Pool.MaxSenders, s.Pool.MaxSegmentBytes, s.Pool.MaxTotalBytes, s.Pool.Full = 1, 64<<10, 128<<10, sfpool.FullDropOldest
		st := opened(t, s)
		for range 60 {
			do(t, put(t, st, 2500)) // three fill a segment, but for some small rows
			time.Sleep(5 * time.Second)
		}
		time.Sleep(time.Second) // for the row of the last minute, which nothing drops
		if st.Stats().Evicted == 0 {
			t.Fatal("nothing was dropped")
		}
		rows := told(t, d, st, fleet.StatusTable)
		if last := rows[len(rows)-1]; !strings.Contains(last, " out_bytes_s=0.0 ") || strings.Contains(last, " in_bytes_s=0.0 ") {
			t.Errorf("%q", last)
		}
	})
}

func TestStatusInRAMIsThatOfTheRAM(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		s := d.telling(time.Minute)
		s.RAMMaxBytes = 4 << 20
		d.fails(syscall.EROFS, nil)
		st := opened(t, s)
		do(t, put(t, st, 3))
		time.Sleep(2*time.Minute + time.Second)
		wants(t, st, 0, 5, true)
		d.fails(nil, nil)
		time.Sleep(31 * time.Second)
		rows := told(t, d, st, fleet.StatusTable)
		if len(rows) != 2 || !strings.Contains(rows[1], " pending_rows=4 ") || !strings.Contains(rows[1], " store_max_bytes=4194304 ") ||
			!strings.Contains(rows[1], " disk_free_bytes=-1 clock_ahead_s=0 ") {
			t.Errorf("rows %q", rows)
		}
	})
}

// What is mounted there while the disk cannot be used nobody knows.
func TestStatusInRAMDoesNotTellOfTheFilesystemBelow(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		d.fails(syscall.EROFS, func(op vfstest.Op) bool { return op.Kind == vfstest.OpMkdir || op.Kind == vfstest.OpOpen })
		st := opened(t, d.telling(time.Minute))
		time.Sleep(time.Minute + time.Second)
		wants(t, st, 0, 1, true)
		if _, free, err := d.Space("/sf"); err != nil || free == 0 {
			t.Fatalf("the filesystem tells nothing: %d, %v", free, err)
		}
		d.fails(nil, nil)
		time.Sleep(31 * time.Second)
		rows := told(t, d, st, fleet.StatusTable)
		if len(rows) != 1 || !strings.Contains(rows[0], " disk_free_bytes=-1 ") {
			t.Errorf("rows %q", rows)
		}
	})
}

func TestWhatAHolderLostIsStillLostWhenItIsGone(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st, other := opened(t, d.telling(time.Minute)), opened(t, d.telling(time.Minute))
		st.LostBefore(func() int64 { return 3 })
		other.LostBefore(func() int64 { return 4 })
		time.Sleep(time.Minute + time.Second)
		do(t, other.Release(context.Background()))
		time.Sleep(time.Minute)
		rows := told(t, d, st, fleet.StatusTable)
		if len(rows) != 2 || !strings.Contains(rows[0], " lost=7 ") || !strings.Contains(rows[1], " lost=7 ") {
			t.Errorf("rows %q", rows)
		}
	})
}
