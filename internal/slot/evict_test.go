// SPDX-License-Identifier: MIT

package slot_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// evict gives up the oldest sealed segment.
func evict(t testing.TB, s *slot.Slot) slot.Eviction {
	t.Helper()
	c, ok := s.Oldest()
	if !ok {
		t.Fatal("there is no sealed segment")
	}
	e, err := s.Evict(c.Last)
	do(t, err)
	return e
}

func TestTheOldestSegmentIsGivenUpWholeAndCounted(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 10, 1000) // four in a segment
	before := len(segments(t, mem))
	if e, want := evict(t, s), (slot.Eviction{
		Rows: 4, Frames: 4, Segments: 1, Bytes: 4096, MinTime: 0, MaxTime: 4, HasTime: true,
	}); e != want {
		t.Errorf("%+v, want %+v", e, want)
	}
	if n := len(segments(t, mem)); n != before-1 {
		t.Errorf("%d files, before %d", n, before)
	}
	wantIDs(t, s, 4, ids(4, 10)...)
	st := s.Stats()
	balanced(t, st)
	if st.Evicted != 4 || st.Pending != 6 || st.Watermark != 3 || st.PendingBytes != 6*1008 {
		t.Errorf("%+v", st)
	}
	do(t, s.Close())
	s = open(t, options(mem))
	wantIDs(t, s, 4, ids(4, 10)...)
	if st := s.Stats(); st.Evicted != 4 || st.Pending != 6 || st.Recovered.LedgerMoved != 0 {
		t.Errorf("after a restart: %+v", st)
	}
}

func TestRowsThatAreSettledAreNotEvicted(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	for id := range uint64(10) {
		mustStore(t, s, frame(id, 1+int(id), 1000))
	}
	do(t, s.Settle(0, 1, slot.Acked))
	do(t, s.Settle(2, 3, slot.DeadLettered))
	do(t, s.Settle(5, 6, slot.Acked)) // of the next segment
	do(t, s.Close())
	s = open(t, options(mem)) // which counts what is settled anew
	if e := evict(t, s); e.Rows != 2+4 || e.Frames != 2 {
		t.Errorf("%+v", e)
	}
	if e := evict(t, s); e.Rows != 5+7+8 || e.Frames != 3 {
		t.Errorf("%+v", e)
	}
	wantIDs(t, s, 8, 8, 9)
	st := s.Stats()
	balanced(t, st)
	if st.Evicted != 26 || st.Acked != 7 || st.DeadLettered != 3 || st.Pending != 19 {
		t.Errorf("%+v", st)
	}
	audited(t, s)
	if _, ok := s.Oldest(); ok {
		t.Error("the segment that is appended to can be given up")
	}
	if e, err := s.Evict(math.MaxInt64); err != nil || e != (slot.Eviction{}) {
		t.Errorf("%+v, %v", e, err)
	}
}

// audited fails the test unless ledger and segments agree.
func audited(t testing.TB, s *slot.Slot) {
	t.Helper()
	if a := s.Audit(); a.Ledger != a.Counted {
		t.Errorf("the ledger has %d rows pending, the segments %d", a.Ledger, a.Counted)
	}
}

func TestSettledFramesBehindWhatIsEvictedMoveTheWatermark(t *testing.T) {
	s := open(t, options(newMem()))
	fill(t, s, 0, 14, 1000)
	settle(t, s, 4, 9)
	settle(t, s, 11, 11)
	evict(t, s)
	if got := fmt.Sprint(pending(t, s)); got != "[{10 10} {12 12} {13 13}]" {
		t.Errorf("pending %s", got)
	}
	if st := s.Stats(); st.Watermark != 9 || st.PendingFrames != 3 || st.Segments != 2 {
		t.Errorf("%+v", st)
	}
	audited(t, s)
	fill(t, s, 14, 15, 1000)
	do(t, s.Settle(3, 1, slot.Acked)) // an ack that comes too late changes nothing
	if st := s.Stats(); st.Evicted != 4 || st.Acked != 7 {
		t.Errorf("%+v", st)
	}
}

func TestACursorGoesOnBehindWhatIsEvicted(t *testing.T) {
	s := open(t, options(newMem()))
	fill(t, s, 0, 10, 1000)
	c := s.NewCursor()
	defer c.Close()
	if e, ok, err := c.Next(); err != nil || !ok || e.FSN != 0 {
		t.Fatalf("%+v, %t, %v", e, ok, err)
	}
	evict(t, s)
	if e, ok, err := c.Next(); err != nil || !ok || e.FSN != 4 {
		t.Fatalf("%+v, %t, %v", e, ok, err)
	}
}

// An eviction needs no byte more on the disk, and gives bytes back.
func TestAFullDiskDoesNotStopEviction(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic, slot.Memory} {
		mem := newMem()
		o := options(mem)
		o.Durability = d
		s := open(t, o)
		fill(t, s, 0, 12, 1000)
		total, free, err := mem.Space(dir)
		do(t, err)
		mem.SetCapacity(total - free)
		if err := store(s, frame(12, 1, 4000), frame(13, 1, 4000), frame(14, 1, 4000)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("append on a full disk: %v", err)
		}
		for evictable := true; evictable; _, evictable = s.Oldest() {
			evict(t, s)
		}
		mustStore(t, s, frame(12, 1, 4000))
		wantIDs(t, s, 8, 8, 9, 10, 11, 12)
	}
}

func TestRoomIsThereAfterAnEviction(t *testing.T) {
	o := options(newMem())
	o.MaxBytes = 4 * 4096
	s := open(t, o)
	fill(t, s, 0, 16, 1000)
	if err := storeCtx(noWait(), s, frame(16, 1, 1000)); !errors.Is(err, slot.ErrFull) {
		t.Fatalf("%v", err)
	}
	evict(t, s)
	do(t, storeCtx(noWait(), s, frame(16, 1, 1000)))
	wantIDs(t, s, 4, ids(4, 17)...)
}

func TestWhoWaitsForRoomHasItAfterAnEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(newMem())
		o.MaxBytes = 4 * 4096
		s := open(t, o)
		fill(t, s, 0, 16, 1000)
		stored := make(chan error, 1)
		go func() { stored <- store(s, frame(16, 1, 1000)) }()
		synctest.Wait()
		evict(t, s)
		do(t, <-stored)
	})
}

func TestTheAgeOfASegmentIsThatOfItsYoungestFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMem()
		o := options(mem)
		o.Now = time.Now
		s := open(t, o)
		for id := range uint64(9) {
			mustStore(t, s, frame(id, 1, 1000))
			time.Sleep(time.Hour)
		}
		want := 9*time.Hour - 3*time.Hour // four frames in the segment
		age, last, ok := s.Age(time.Now())
		if !ok || last != 3 || age > want || want-age > time.Hour {
			t.Errorf("%s of frame %d, want up to %s", age, last, want)
		}
		if early, _, _ := s.Age(time.Now().Add(-24 * time.Hour)); early != age {
			t.Errorf("%s by a clock that was set back", early)
		}
		do(t, s.Close())
		s = open(t, o)
		time.Sleep(time.Hour)
		// The clock on the wall is all that is known now; the file is begun before.
		if old, last, ok := s.Age(time.Now()); !ok || last != 3 || old < age {
			t.Errorf("%s of frame %d after a restart", old, last)
		}
		if future, _, _ := s.Age(time.UnixMicro(0)); future >= 0 {
			t.Errorf("%s of a segment from the future", future)
		}
	})
}

func TestAnEvictionThatCannotBeNotedIsFinishedLater(t *testing.T) {
	mem := newMem()
	broken := false
	s := open(t, options(vfstest.Wrap(mem, func(op vfstest.Op) error {
		if broken && strings.HasSuffix(op.Path, ".qsf-state") {
			return syscall.EIO
		}
		return nil
	})))
	fill(t, s, 0, 10, 1000)
	before := len(segments(t, mem))
	broken = true
	e, err := s.Evict(3)
	if !errors.Is(err, syscall.EIO) || e.Rows != 4 {
		t.Fatalf("%+v, %v", e, err)
	}
	wantIDs(t, s, 4, ids(4, 10)...)
	if n := len(segments(t, mem)); n != before {
		t.Errorf("%d files, before %d: unlinked before it was noted", n, before)
	}
	broken = false
	settle(t, s, 4, 4)
	if n := len(segments(t, mem)); n != before-1 {
		t.Errorf("%d files, before %d", n, before)
	}
}

func TestRowsThatNeverWereInAFrameAreKeptInTheLedger(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 2, 100)
	do(t, s.Book(slot.Share{As: slot.Evicted, Rows: 7}, slot.Share{As: slot.DeadLettered, Rows: 5}))
	if err := s.Book(slot.Share{As: slot.Evicted, Rows: -1}); err == nil {
		t.Error("negative rows are booked")
	}
	for _, s := range []*slot.Slot{s, open(t, options(mem.CrashKept()))} {
		st := s.Stats()
		balanced(t, st)
		if st.Accepted != 14 || st.Evicted != 7 || st.DeadLettered != 5 || st.Pending != 2 {
			t.Errorf("%+v", st)
		}
		audited(t, s)
	}
}

func TestTheAuditFindsRowsThatWereSettledWithAWrongNumber(t *testing.T) {
	s := open(t, options(newMem()))
	for id := range uint64(9) {
		mustStore(t, s, frame(id, 2, 1000))
	}
	settle(t, s, 0, 4) // as one row each
	if a := s.Audit(); a.Ledger == a.Counted {
		t.Errorf("%+v", a)
	}
}

// What was settled before a failed sync goes with its frames when they are written
// anew.
func TestTheAuditHoldsWhenASegmentIsWrittenAnew(t *testing.T) {
	t.Run("whole", func(t *testing.T) { writtenAnew(t, func(*vfstest.Mem, *slot.Slot) {}) })
	t.Run("wounded", func(t *testing.T) {
		writtenAnew(t, func(mem *vfstest.Mem, s *slot.Slot) {
			rot(t, mem, "sf-0000000000000000.sfa", 24+1008+100)
			pending(t, s)
		})
	})
}

func writtenAnew(t *testing.T, harm func(*vfstest.Mem, *slot.Slot)) {
	t.Helper()
	mem := newMem()
	fail := false
	o := crashOptions(vfstest.Wrap(mem, func(op vfstest.Op) error {
		if fail && op.Kind == vfstest.OpSync && strings.HasSuffix(op.Path, "/sf-0000000000000000.sfa") {
			fail = false
			return syscall.EIO
		}
		return nil
	}), slot.Periodic)
	s := open(t, o)
	for id := range uint64(7) { // the second segment begins with frame 4
		mustStore(t, s, frame(id, 1+int(id), 1000))
	}
	for _, fsn := range []slot.FSN{0, 4, 6} {
		do(t, s.Settle(fsn, 1+int(fsn), slot.Acked))
	}
	harm(mem, s)
	audited(t, s)
	fail = true
	for id := uint64(7); id < 12; id++ {
		_ = store(s, frame(id, 1+int(id), 1000))
	}
	if fail || !slices.Contains(segments(t, mem), "sf-0000000000000003.sfa") {
		t.Fatalf("no sync has failed, or nothing was written anew: %v", segments(t, mem))
	}
	audited(t, s)
	for evictable := true; evictable; _, evictable = s.Oldest() {
		evict(t, s)
		audited(t, s)
	}
}

func TestAStoreIsFullWhileTheFilesystemHasLessThanIsToBeKeptFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Int64
		free.Store(100 << 10)
		looks := 0
		o := options(newMem())
		o.Budget = slot.NewBudget(64 << 10)
		o.Budget.KeepFree(
			func() (int64, int64, error) { looks++; return 1 << 20, free.Load(), nil },
			func(total int64) int64 { return total / 20 })
		s := open(t, o)
		fill(t, s, 0, 3, 1000)
		before := looks
		mustStore(t, s, frame(3, 1, 100), frame(4, 1, 100))
		if looks != before {
			t.Errorf("%d looks for a batch that needs no file", looks-before)
		}
		free.Store(50 << 10) // below a twentieth
		time.Sleep(2 * time.Second)
		var err error
		for id := uint64(5); err == nil; id++ {
			err = storeCtx(noWait(), s, frame(id, 1, 1000))
		}
		var full *slot.FullError
		if !errors.As(err, &full) || !full.LowSpace || full.Never || full.Keep != 1<<20/20 || !strings.Contains(err.Error(), "sf_min_free_space") {
			t.Fatalf("%v", err)
		}
		if st := s.Stats(); st.SegmentBytes != 2*4096 {
			t.Errorf("%d bytes: two segments each slot may have", st.SegmentBytes)
		}
		stored := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		go func() { stored <- storeCtx(ctx, s, frame(100, 1, 1000)) }()
		time.Sleep(5 * time.Second)
		free.Store(1 << 20) // by somebody else's doing
		start := time.Now()
		do(t, <-stored)
		if waited := time.Since(start); waited > 2*time.Second {
			t.Errorf("waited for %s", waited)
		}
	})
}

func TestADiskThatDoesNotSayWhatIsFreeIsNotFull(t *testing.T) {
	o := options(newMem())
	o.Budget = slot.NewBudget(64 << 10)
	o.Budget.KeepFree(func() (int64, int64, error) { return 0, 0, syscall.EIO }, func(int64) int64 { return 1 << 40 })
	fill(t, open(t, o), 0, 20, 1000)
}

func TestEvictionsAddUpOverEveryCrash(t *testing.T) {
	mem := newMem()
	states := 0
	fsys := vfstest.Wrap(mem, func(op vfstest.Op) error {
		for i, state := range crashStates(mem, op.N, 4) {
			states++
			if err := addsUp(state); err != nil {
				t.Errorf("crash before call %d (%s %s), state %d: %v", op.N, op.Kind, op.Path, i, err)
			}
		}
		return nil
	})
	s, err := slot.Open(crashOptions(fsys, slot.Flush))
	do(t, err)
	fill(t, s, 0, 14, 1000)
	settle(t, s, 1, 2)
	evict(t, s)
	settle(t, s, 9, 9)
	do(t, s.Book(slot.Share{As: slot.Evicted, Rows: 3}))
	evict(t, s)
	do(t, s.Close())
	t.Logf("%d crash states", states)
}

// addsUp opens what a crash left: its ledger balances and agrees with what is there.
func addsUp(state *vfstest.Mem) error {
	s, err := slot.Open(crashOptions(state, slot.Flush))
	if err != nil {
		return err
	}
	defer s.Close()
	st := s.Stats()
	if a := s.Audit(); a.Ledger != a.Counted || st.Accepted != st.Pending+st.Acked+st.Evicted {
		return fmt.Errorf("%+v, %+v", a, st)
	}
	list, err := readAll(s.NewCursor())
	if int64(len(list)) != st.Pending {
		return fmt.Errorf("%d rows are there, %d pending", len(list), st.Pending)
	}
	return err
}
