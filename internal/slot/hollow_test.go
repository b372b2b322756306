// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// hollows counts the segment files that hold nothing but the numbers of frames.
func hollows(t testing.TB, mem *vfstest.Mem) (n int) {
	t.Helper()
	for _, name := range segments(t, mem) {
		if len(read(t, mem, name)) < 1000 {
			n++
		}
	}
	return n
}

func TestSegmentsSettledBehindAPendingFrameGiveTheirRoomBack(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic, slot.Memory} {
		t.Run(d.String(), func(t *testing.T) {
			mem := newMem()
			o := options(mem)
			o.Durability = d
			s := open(t, o)
			for id := range uint64(200) { // 50 segments, where there is room for 16
				mustStore(t, s, frame(id, 1, 1000))
				if id > 0 {
					do(t, s.Settle(slot.FSN(id), 1, slot.Acked))
				}
			}
			st := s.Stats()
			if st.Segments != 50 || st.PendingFrames != 1 || st.PendingBytes > 2*4*1008 || st.SegmentBytes > 3*4096+48*(24+4*22) {
				t.Fatalf("%+v", st)
			}
			if n := hollows(t, mem); n != 48 {
				t.Errorf("%d hollow segments", n)
			}
			auditedAt(t, s, 1)
			wantIDs(t, s, 0, 0)
			do(t, s.Close())
			s = open(t, o)
			if st := s.Stats(); st.PendingFrames != 1 || st.Recovered.LedgerMoved != 0 || st.Acked != 199 || st.PendingBytes != 2*4*1008 {
				t.Errorf("after reopen %+v", st)
			}
			wantIDs(t, s, 0, 0)
			do(t, s.SettleAll([]slot.Done{{FSN: 0, Bytes: 1000, Shares: []slot.Share{{As: slot.Acked, Rows: 1}}}}))
			if st := s.Stats(); st.Segments != 1 || st.PendingBytes != 0 || st.Watermark != 199 || st.AppendedBytes != 0 || st.AckedBytes != 1008 {
				t.Errorf("%+v", st)
			}
			auditedAt(t, s, 0)
		})
	}
}

// What is in the place of the frames is a message to every client, and nothing to send.
func TestFramesOfAHollowSegmentAreMessagesWithoutRows(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 12, 1000)
	settle(t, s, 4, 7)
	do(t, s.Close())
	remove(t, mem, ".qsf-state")
	o := options(mem)
	o.Inspect = nil
	s = open(t, o)
	c := s.NewCursor()
	var v qwp.View
	for fsn := range slot.FSN(12) {
		e, ok, err := c.Next()
		if !ok || err != nil || e.FSN != fsn {
			t.Fatalf("frame %d: %d %t %v", fsn, e.FSN, ok, err)
		}
		if fsn < 4 || fsn > 7 {
			continue
		}
		if err := v.Parse(e.Bytes, nil); err != nil || v.Info().Rows != 0 || v.DeferCommit() {
			t.Errorf("frame %d: %x %+v %v", fsn, e.Bytes, v.Info(), err)
		}
	}
	if st := s.Stats(); st.Incidents != 0 || st.PendingFrames != 12 {
		t.Errorf("%+v", st)
	}
	for fsn := range slot.FSN(12) {
		do(t, s.Settle(fsn, 0, slot.Acked))
	}
	if st := s.Stats(); st.PendingFrames != 0 || st.Segments != 1 {
		t.Errorf("%+v", st)
	}
}

// A cursor that is in the middle of a file goes on when another one is put in its place.
func TestACursorGoesOnWhereItsSegmentBecomesHollow(t *testing.T) {
	s := open(t, options(newMem()))
	fill(t, s, 0, 16, 1000)
	c := s.NewCursor()
	for range 6 {
		_, _, err := c.Next()
		do(t, err)
	}
	settle(t, s, 4, 11)
	got, err := readAll(c)
	do(t, err)
	if fmt.Sprint(got) != "[{12 12} {13 13} {14 14} {15 15}]" {
		t.Errorf("cursor goes on with %v", got)
	}
	c.Rewind()
	got, err = readAll(c)
	do(t, err)
	if len(got) != 8 {
		t.Errorf("after Rewind %v", got)
	}
}

func TestOldRowsAreNotEvictedForTheRoomOfSettledOnes(t *testing.T) {
	s := open(t, options(newMem()))
	fill(t, s, 0, 4, 1000)
	for id := uint64(4); id < 100; id++ {
		do(t, storeCtx(noWait(), s, frame(id, 1, 1000)))
		do(t, s.Settle(slot.FSN(id), 1, slot.Acked))
	}
	if e, err := s.Evict(3); err != nil || e.Rows != 4 || e.Segments != 1 {
		t.Errorf("%+v %v", e, err)
	}
	if st := s.Stats(); st.Watermark != 99 || st.Segments != 1 || st.PendingBytes != 0 || st.Evicted != 4 {
		t.Errorf("%+v", st)
	}
}

// .qsf-state has room for 64 intervals: what it cannot say is not made hollow, until it
// can.
func TestOnlyWhatTheStateSaysIsMadeHollow(t *testing.T) {
	mem := newMem()
	o := options(mem)
	o.MaxBytes = 100 * 4096
	s := open(t, o)
	fill(t, s, 0, 300, 1000)
	for fsn := slot.FSN(1); fsn < 2*64; fsn += 2 {
		do(t, s.Settle(fsn, 1, slot.Acked))
	}
	settle(t, s, 200, 219)
	if n := hollows(t, mem); n != 0 {
		t.Fatalf("%d segments are hollow that .qsf-state calls pending", n)
	}
	do(t, s.Settle(2, 1, slot.Acked))
	if n := hollows(t, mem); n != 5 {
		t.Errorf("%d hollow segments, want 5", n)
	}
	before := s.Stats()
	left := mem.CrashLost()
	o.FS = left
	s = open(t, o)
	if st := s.Stats(); st.PendingFrames != before.PendingFrames || st.Recovered.LedgerMoved != 0 {
		t.Errorf("before %+v\nafter %+v", before, st)
	}
}

// A disk that is full keeps the file; it is tried again a little later.
func TestAFullDiskKeepsASegmentFromBecomingHollowForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full, tries := false, 0
		mem := newMem()
		s := open(t, options(vfstest.Wrap(mem, func(op vfstest.Op) error {
			if full && strings.HasSuffix(op.Path, ".tmp") && op.Kind != vfstest.OpRemove {
				tries++
				return syscall.ENOSPC
			}
			return nil
		})))
		fill(t, s, 0, 16, 1000)
		full = true
		settle(t, s, 4, 11)
		if n := hollows(t, mem); n != 0 || tries != 1 {
			t.Fatalf("%d hollow segments, %d tries", n, tries)
		}
		full = false
		time.Sleep(10 * time.Second)
		do(t, s.Settle(12, 1, slot.Acked))
		if n := hollows(t, mem); n != 2 {
			t.Errorf("%d hollow segments", n)
		}
		if slices.ContainsFunc(names(t, mem), func(n string) bool { return strings.HasSuffix(n, ".tmp") }) {
			t.Errorf("files %v", names(t, mem))
		}
		wantPending(t, s, "[{0 0} {1 1} {2 2} {3 3} {13 13} {14 14} {15 15}]")
		do(t, s.Close())
	})
}

// Who waits for room has what a full disk kept back before.
func TestReserveHasTheRoomOfSegmentsThatBecomeHollowLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := true
		o := options(vfstest.Wrap(newMem(), func(op vfstest.Op) error {
			if full && strings.HasSuffix(op.Path, ".tmp") && op.Kind != vfstest.OpRemove {
				return syscall.ENOSPC
			}
			return nil
		}))
		o.MaxBytes = 4 * 4096
		s := open(t, o)
		fill(t, s, 0, 16, 1000)
		settle(t, s, 4, 11)
		if err := storeCtx(noWait(), s, frame(16, 1, 1000)); !isFull(err) {
			t.Fatalf("no room is left: %v", err)
		}
		full = false
		time.Sleep(10 * time.Second)
		do(t, storeCtx(noWait(), s, frame(16, 1, 1000)))
		do(t, s.Close())
	})
}

// A segment with a wound is evidence, and is kept as it is.
func TestAWoundedSegmentIsNotMadeHollow(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 12, 1000)
	rot(t, mem, "sf-0000000000000000.sfa", 24+1008+100)
	wantPending(t, s, "[{0 0} {1 1} {2 2} {3 3} {4 4} {6 6} {7 7} {8 8} {9 9} {10 10} {11 11}]")
	settle(t, s, 4, 7)
	if st := s.Stats(); hollows(t, mem) != 0 || st.PendingBytes != 2*4*1008 {
		t.Errorf("%d hollow segments, %+v", hollows(t, mem), st)
	}
	settle(t, s, 0, 3)
	if n := len(read(t, mem, "sf-0000000000000000.sfa.corrupt")); n != 4096 {
		t.Errorf("%d bytes are kept", n)
	}
}

// A slot whose .qsf-state is lost while segments are hollow: frames that
// are pending come again as they were, and those that were settled as they were or empty.
func TestALostStateBringsNoSettledFrameBackButEmpty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		mem := newMem()
		s := open(t, options(mem))
		w := &world{settled: map[slot.FSN]bool{}}
		for range rapid.IntRange(1, 12).Draw(rt, "stores") {
			_ = w.store(s, rapid.SliceOfN(rapid.IntRange(24, 2500), 1, 4).Draw(rt, "sizes")...)
			w.inFlight = nil
			from := slot.FSN(rapid.IntRange(0, max(0, len(w.published)-1)).Draw(rt, "from"))
			to := min(from+slot.FSN(rapid.IntRange(0, 8).Draw(rt, "n")), slot.FSN(len(w.published)-1))
			do(t, w.settle(s, fsns(from, to)...))
		}
		if rapid.Bool().Draw(rt, "killed") {
			mem = mem.CrashLost()
		}
		_ = s.Close()
		remove(t, mem, ".qsf-state")
		s = open(t, options(mem))
		seen := map[slot.FSN]bool{}
		for c := s.NewCursor(); ; {
			e, ok, err := c.Next()
			do(t, err)
			if !ok {
				break
			}
			seen[e.FSN] = true
			want := payload(w.published[e.FSN], 1+int(w.published[e.FSN]%5), len(e.Bytes))
			isEmpty := binary.LittleEndian.Uint16(e.Bytes[6:]) == 0 && len(e.Bytes) == 14
			if !bytes.Equal(e.Bytes, want) && !(isEmpty && w.settled[e.FSN]) {
				rt.Fatalf("frame %d, settled %t: %x", e.FSN, w.settled[e.FSN], e.Bytes)
			}
		}
		for fsn := range slot.FSN(len(w.published)) {
			if !w.settled[fsn] && !seen[fsn] {
				rt.Fatalf("frame %d is gone", fsn)
			}
		}
		if st := s.Stats(); st.Incidents != 0 {
			rt.Fatalf("%+v", st)
		}
		do(t, s.Close())
	})
}

// Damage to a hollow segment costs nothing: all of it is settled. Where it makes the
// numbers of the frames a guess they come again, with nothing in them.
func TestEveryHarmedByteOfAHollowSegmentCostsNoRow(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 14, 1000)
	settle(t, s, 4, 7)
	do(t, s.Close())
	const name = "sf-0000000000000000.sfa"
	whole := read(t, mem, name)
	if len(whole) != 24+4*22 {
		t.Fatalf("%d bytes", len(whole))
	}
	for at := range whole {
		left := mem.CrashKept()
		rot(t, left, name, int64(at))
		s := open(t, options(left))
		var got []uint64
		for c := s.NewCursor(); ; {
			e, ok, err := c.Next()
			do(t, err)
			if !ok {
				break
			}
			if rows, _, _, _, _ := inspect(e.Bytes); rows == 1 {
				got = append(got, idOf(e.Bytes))
			}
		}
		if want := append(ids(0, 4), ids(8, 14)...); !slices.Equal(got, want) {
			t.Errorf("byte %d: pending %v", at, got)
		}
		auditedAt(t, s, 10)
		if st := s.Stats(); st.Acked != 4 || st.Quarantined+st.Unknown != 0 || st.Accepted != 14 {
			t.Errorf("byte %d: %+v", at, st)
		}
	}
}

// Appends, settlements behind a pending frame and two cursors go on at once while
// segments are replaced.
func TestSegmentsBecomeHollowUnderEverybodyElse(t *testing.T) {
	o := options(newMem())
	o.MaxBytes = 64 * 4096
	s := open(t, o)
	const frames = 1200
	var wg sync.WaitGroup
	wg.Go(func() {
		for id := range uint64(frames) {
			if err := store(s, frame(id, 1, 500)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	read := func(each func(e slot.Entry) error) {
		c := s.NewCursor()
		for last := slot.FSN(-1); last < frames-1; {
			changed := s.Changed()
			e, ok, err := c.Next()
			if err == nil && !ok {
				<-changed
				continue
			}
			if err == nil && (e.FSN <= last || idOf(e.Bytes) != uint64(e.FSN)) {
				err = fmt.Errorf("frame %d is %d, behind %d", e.FSN, idOf(e.Bytes), last)
			}
			if err == nil {
				last, err = e.FSN, each(e)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	}
	wg.Go(func() {
		read(func(e slot.Entry) error {
			if e.FSN == 0 || e.FSN == frames-1 {
				return nil // that one stays, and this one wakes the other cursor
			}
			return s.Settle(e.FSN, 1, slot.Acked)
		})
	})
	wg.Go(func() { read(func(slot.Entry) error { return nil }) })
	wg.Wait()
	if st := s.Stats(); st.PendingFrames != 2 || st.SegmentBytes > 4*4096+int64(st.Segments)*300 {
		t.Errorf("%+v", st)
	}
	auditedAt(t, s, 2)
}
