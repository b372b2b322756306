// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestSettlingTrimsSegments(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 12, 1000)
	settle(t, s, 0, 2)
	if n := len(segments(t, mem)); n != 4 {
		t.Fatalf("%d segments after three of four frames", n)
	}
	settle(t, s, 3, 3)
	if n := len(segments(t, mem)); n != 3 {
		t.Fatalf("%d segments after the first is settled", n)
	}
	settle(t, s, 4, 11)
	st := s.Stats()
	if n := len(segments(t, mem)); n != 2 || st.Segments != 1 || st.SegmentBytes != 2*4096 {
		t.Fatalf("%d segments after all is settled, %+v", n, st)
	}
	if st.Pending != 0 || st.PendingBytes != 0 || st.PendingFrames != 0 || st.Acked != 12 || st.HasOldest {
		t.Errorf("%+v", st)
	}
}

func TestFramesSettleInAnyOrder(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 12, 1000)
	c := s.NewCursor()
	for _, fsn := range []slot.FSN{5, 4, 7, 1, 11} {
		do(t, s.Settle(fsn, 1, slot.Acked))
		do(t, s.Settle(fsn, 1, slot.Acked)) // twice is once
	}
	if st := s.Stats(); st.Watermark != -1 || st.PendingFrames != 7 || st.Pending != 7 || st.Acked != 5 {
		t.Fatalf("%+v", st)
	}
	got, err := readAll(c)
	do(t, err)
	if fmt.Sprint(got) != "[{0 0} {2 2} {3 3} {6 6} {8 8} {9 9} {10 10}]" {
		t.Fatalf("cursor shows %v", got)
	}
	do(t, s.Settle(0, 1, slot.DeadLettered))
	if w := s.Stats().Watermark; w != 1 {
		t.Fatalf("watermark %d, want 1", w)
	}
	do(t, s.Close())
	s = open(t, options(mem))
	st := s.Stats()
	if st.Watermark != 1 || st.PendingFrames != 6 || st.Pending != 6 || st.Acked != 5 || st.DeadLettered != 1 || st.Recovered.LedgerMoved != 0 {
		t.Fatalf("after reopen %+v", st)
	}
	balanced(t, st)
	settle(t, s, 2, 11)
	if st := s.Stats(); st.Watermark != 11 || st.Pending != 0 {
		t.Fatalf("%+v", st)
	}
}

func TestRewindGoesBackToTheFirstUnsettledFrame(t *testing.T) {
	s := open(t, options(newMem()))
	fill(t, s, 0, 9, 1000)
	c := s.NewCursor()
	_, err := readAll(c)
	do(t, err)
	settle(t, s, 0, 5)
	c.Rewind()
	got, err := readAll(c)
	do(t, err)
	if fmt.Sprint(got) != "[{6 6} {7 7} {8 8}]" {
		t.Fatalf("after Rewind %v", got)
	}
}

func TestReopenFindsWhatWasPending(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic, slot.Memory} {
		t.Run(d.String(), func(t *testing.T) {
			mem := newMem()
			o := options(mem)
			o.Durability = d
			s := open(t, o)
			fill(t, s, 0, 18, 1000)
			for fsn := range slot.FSN(6) {
				do(t, s.SettleAll([]slot.Done{{FSN: fsn, Bytes: 1000, Shares: []slot.Share{{As: slot.Acked, Rows: 1}}}}))
			}
			before := s.Stats()
			do(t, s.Close())
			if !s.LockReleased() {
				t.Error("lock not released")
			}
			s = open(t, o)
			after := s.Stats()
			wantIDs(t, s, 6, ids(6, 18)...)
			if after.Recovered.TrustedSegments != 3 || after.Recovered.LedgerMoved != 0 || after.Recovered.WatermarkReset {
				t.Errorf("%+v", after.Recovered)
			}
			if before.AppendedBytes != before.AckedBytes+before.PendingBytes || after.AppendedBytes+after.AckedBytes != 0 {
				t.Errorf("bytes before %+v\nafter %+v", before, after)
			}
			before.AppendedBytes, before.AckedBytes = 0, 0           // since it was opened
			before.OldestPendingTime, after.OldestPendingTime = 0, 0 // of rows, where it is not known when they came
			after.OldestPublished = before.OldestPublished           // likewise
			before.Recovered, after.Recovered = slot.Recovered{}, slot.Recovered{}
			if fmt.Sprint(before) != fmt.Sprint(after) {
				t.Errorf("before %+v\nafter %+v", before, after)
			}
		})
	}
}

// Who shows what comes and what leaves must not take for sent what was lost.
func TestOnlyTheAckedPartOfAFrameCountsAsAckedBytes(t *testing.T) {
	s := open(t, options(newMem()))
	for range 4 {
		mustStore(t, s, frame(0, 4, 1000))
	}
	one := func(as slot.Settlement, rows int) slot.Share { return slot.Share{As: as, Rows: rows} }
	for fsn, shares := range [][]slot.Share{
		{one(slot.Acked, 4)},
		{one(slot.Acked, 1), one(slot.DeadLettered, 3)},
		{one(slot.Evicted, 4)},
		{one(slot.Acked, 0)},
	} {
		for range 2 { // twice is once
			do(t, s.SettleAll([]slot.Done{{FSN: slot.FSN(fsn), Bytes: 1000, Shares: shares}}))
		}
	}
	if st := s.Stats(); st.AckedBytes != 1008+1008/4 || st.AppendedBytes != 4*1008 || st.PendingBytes != 0 {
		t.Errorf("%+v", st)
	}
}

func TestDrainedCloseLeavesNoSegmentAndNumbersGoOn(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 9, 1000)
	settle(t, s, 0, 8)
	do(t, s.Close())
	do(t, s.Close())
	if got := names(t, mem); !slices.Equal(got, []string{".lock", ".lock.pid", ".qsf-state"}) {
		t.Fatalf("files %v", got)
	}
	s = open(t, options(mem))
	if st := s.Stats(); st.Published != 8 || st.Watermark != 8 || st.Accepted != 9 || st.Acked != 9 {
		t.Fatalf("%+v", st)
	}
	fill(t, s, 9, 10, 100)
	wantIDs(t, s, 9, 9)
}

func TestCloseWaitsForTheOpenTx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, options(newMem()))
		tx, err := s.Reserve(t.Context(), []int{50})
		do(t, err)
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		if len(closed) != 0 || s.LockReleased() {
			t.Fatal("closed under an open Tx")
		}
		do(t, tx.Rollback())
		do(t, <-closed)
	})
}

func TestClosedSlotSaysSo(t *testing.T) {
	s := open(t, options(newMem()))
	c := s.NewCursor()
	changed := s.Changed()
	do(t, s.Close())
	<-changed
	<-s.Changed()
	if _, err := s.Reserve(t.Context(), []int{50}); !errors.Is(err, slot.ErrClosed) {
		t.Errorf("Reserve: %v", err)
	}
	if _, _, err := c.Next(); !errors.Is(err, slot.ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	if _, _, err := s.NewCursor().Next(); !errors.Is(err, slot.ErrClosed) {
		t.Errorf("Next of a late cursor: %v", err)
	}
	if err := s.Settle(0, 1, slot.Acked); !errors.Is(err, slot.ErrClosed) {
		t.Errorf("Settle: %v", err)
	}
	c.Close()
}

func TestFramesOfOneAckAreNotedWithOneWrite(t *testing.T) {
	writes := 0
	mem := newMem()
	s := open(t, options(vfstest.Wrap(mem, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpWrite {
			writes++
		}
		return nil
	})))
	fill(t, s, 0, 12, 1000)
	do(t, s.Settle(2, 1, slot.DeadLettered))
	writes = 0
	var list []slot.Done
	for fsn := range slot.FSN(10) {
		list = append(list, slot.Done{FSN: fsn, Shares: []slot.Share{{As: slot.Acked, Rows: 1}}})
	}
	do(t, s.SettleAll(list))
	if writes != 2 { // of .qsf-state and .ack-watermark
		t.Errorf("%d writes for ten frames", writes)
	}
	st := s.Stats()
	if st.Watermark != 9 || st.Acked != 9 || st.DeadLettered != 1 || st.Pending != 2 || st.PendingBytes != 2*1008 || st.Segments != 1 {
		t.Errorf("%+v", st)
	}
	balanced(t, st)
	do(t, s.Close())
	wantIDs(t, open(t, options(mem)), 10, 10, 11)
}

func TestFramesThatCannotBeSettledKeepTheOthersOfTheirAck(t *testing.T) {
	s := open(t, options(newMem()))
	fill(t, s, 0, 3, 100)
	acked := []slot.Share{{As: slot.Acked, Rows: 1}}
	for name, bad := range map[string]slot.Done{
		"not there": {FSN: 3, Shares: acked}, "none": {FSN: -1, Shares: acked},
		"no way": {FSN: 1, Shares: []slot.Share{{Rows: 1}}}, "negative": {FSN: 1, Shares: []slot.Share{{As: slot.Acked, Rows: -1}}},
	} {
		if err := s.SettleAll([]slot.Done{{FSN: 0, Shares: acked}, bad}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if st := s.Stats(); st.Acked != 0 || st.Watermark != -1 {
		t.Errorf("%+v", st)
	}
}
