// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// message is example 11.1 of the format notes.
const message = "51575031010c01005c00000000020141014202743102050173090" + "16c050164070176" + "0f000a" +
	"000001" + "000100000000000000feffffffffffffff" + "00000000000000f83f0000000000000240" +
	"01020000000002000000" + "6869" + "000000401e18240a060001401e18240a0600"

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	do(t, err)
	return b
}

func TestSegmentIsByteForByteTheGoldenExample(t *testing.T) {
	mem := newMem()
	o := options(mem)
	o.Inspect = nil
	s := open(t, o)
	msg := unhex(t, message)
	if len(msg) != 104 {
		t.Fatalf("the example has %d bytes", len(msg))
	}
	mustStore(t, s, slot.Frame{Bytes: msg, Rows: 2})
	head := unhex(t, "53463031"+"01000000"+"0000000000000000"+"6e11a0cddf600600"+"5d86387d"+"68000000")
	want := append(append(head, msg...), make([]byte, 4096-136)...)
	if got := read(t, mem, "sf-initial.sfa"); !bytes.Equal(got, want) {
		t.Errorf("segment\n%s\nwant\n%s", hex.Dump(got[:160]), hex.Dump(want[:160]))
	}
	if got := read(t, mem, ".ack-watermark"); !bytes.Equal(got, make([]byte, 16)) {
		t.Errorf(".ack-watermark before the first ack: %x", got)
	}
	do(t, s.Settle(0, 2, slot.Acked))
	if got := read(t, mem, ".ack-watermark"); !bytes.Equal(got, unhex(t, "414b5731"+"00000000"+"0000000000000000")) {
		t.Errorf(".ack-watermark after frame 0: %x", got)
	}
	want2 := []string{".ack-watermark", ".lock", ".lock.pid", ".qsf-state", "sf-0000000000000000.sfa", "sf-initial.sfa"}
	if got := names(t, mem); !slices.Equal(got, want2) {
		t.Errorf("files %v, want %v", got, want2)
	}
}

func TestRowsOfFramesOnDiskAreCountedAsMessages(t *testing.T) {
	mem := newMem()
	o := options(mem)
	o.Inspect = nil
	s := open(t, o)
	mustStore(t, s, slot.Frame{Bytes: unhex(t, message), Rows: 2})
	do(t, s.Close())
	remove(t, mem, ".qsf-state")
	s = open(t, o)
	if st := s.Stats(); st.Pending != 2 || st.OldestPendingTime != 1795364204056942 {
		t.Errorf("found %d rows stored at %d, want 2 at 1795364204056942, when the segment was made", st.Pending, st.OldestPendingTime)
	}
	if g := s.Segments()[0]; g.MinTime != 1700000000000000 {
		t.Errorf("their time is %d, want 1700000000000000", g.MinTime)
	}
}

const javaSegment = "53463031" + "01" + "00" + "0000" + "2a00000000000000" + "cb04fb711f010000" +
	"a60ecb49" + "03000000" + "6f6e65" + "3af60007" + "07000000" + "74776f2d74776f" + "0000000000000000000000000000"

func TestSegmentOfTheJavaClientIsRead(t *testing.T) {
	mem := newMem()
	write(t, mem, "sf-initial.sfa", unhex(t, javaSegment))
	s := open(t, options(mem))
	c := s.NewCursor()
	for i, want := range []string{"one", "two-two"} {
		e, ok, err := c.Next()
		if err != nil || !ok || string(e.Bytes) != want || e.FSN != slot.FSN(42+i) {
			t.Fatalf("frame %d: %+v, %v, %v", i, e, ok, err)
		}
	}
	if st := s.Stats(); st.Recovered.TornBytes != 0 || st.Published != 43 || st.Watermark != 41 {
		t.Errorf("%+v", st)
	}
}

func TestFlippedByteInTheJavaSegmentIsATornTail(t *testing.T) {
	mem := newMem()
	b := unhex(t, javaSegment)
	b[45] ^= 1
	b[63] = 1 // so that the tail reaches the end of the file, as in the example
	write(t, mem, "sf-initial.sfa", b)
	s := open(t, options(mem))
	if st := s.Stats(); st.Recovered.TornBytes != 29 || st.Recovered.Frames != 1 {
		t.Errorf("torn %d of 29 bytes, %d frames", st.Recovered.TornBytes, st.Recovered.Frames)
	}
	if got := read(t, mem, "sf-initial.sfa"); !bytes.Equal(got[35:], make([]byte, 29)) {
		t.Errorf("the torn tail is not zeroed: %x", got[35:])
	}
}

func TestFramesAppearOnlyWithPublish(t *testing.T) {
	s := open(t, options(newMem()))
	tx, err := s.Reserve(t.Context(), []int{50, 60})
	do(t, err)
	c := s.NewCursor()
	changed := s.Changed()
	do(t, tx.Append(frame(1, 1, 50)))
	do(t, tx.Append(frame(2, 1, 60)))
	do(t, tx.Sync())
	if got, err := readAll(c); len(got) != 0 || err != nil {
		t.Fatalf("before Publish %v, %v", got, err)
	}
	select {
	case <-changed:
		t.Fatal("Changed before Publish")
	default:
	}
	if first, last := tx.Publish(); first != 0 || last != 1 {
		t.Fatalf("published %d to %d", first, last)
	}
	<-changed
	got, err := readAll(c)
	do(t, err)
	if fmt.Sprint(got) != "[{0 1} {1 2}]" {
		t.Fatalf("after Publish %v", got)
	}
}

func TestRollbackLeavesTheSlotAsItWas(t *testing.T) {
	for _, n := range []int{1, 3, 12} { // 12 frames reach into other segments
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			mem := newMem()
			s := open(t, options(mem))
			fill(t, s, 0, 2, 1000)
			before, stats := read(t, mem, "sf-initial.sfa"), s.Stats()
			tx, err := s.Reserve(t.Context(), slices.Repeat([]int{900}, n))
			do(t, err)
			for i := range n {
				do(t, tx.Append(frame(uint64(100+i), 5, 900)))
			}
			do(t, tx.Sync())
			do(t, tx.Rollback())
			do(t, tx.Rollback())
			if !bytes.Equal(read(t, mem, "sf-initial.sfa"), before) {
				t.Error("the segment is not as before")
			}
			if got := s.Stats(); fmt.Sprint(got) != fmt.Sprint(stats) {
				t.Errorf("stats %+v, before %+v", got, stats)
			}
			if got := segments(t, mem); len(got) != 2 {
				t.Errorf("segments %v", got)
			}
			mustStore(t, s, frame(2, 1, 40))
			wantIDs(t, s, 0, 0, 1, 2)
		})
	}
}

func TestRotationKeepsOneSpareAndTheOrder(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 20, 1000) // four to a segment
	if got := segments(t, mem); len(got) != 6 {
		t.Errorf("segments %v, want five and a spare", got)
	}
	wantIDs(t, s, 0, ids(0, 20)...)
	if st := s.Stats(); st.Segments != 5 || st.SegmentBytes != 6*4096 || st.PendingBytes != 20*1008 || st.PendingFrames != 20 {
		t.Errorf("%+v", st)
	}
}

func TestOneTxMaySpanSegments(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	var frames []slot.Frame
	for id := range uint64(30) {
		frames = append(frames, frame(id, 1, 1000))
	}
	mustStore(t, s, frames...)
	wantIDs(t, s, 0, ids(0, 30)...)
	do(t, s.Close())
	wantIDs(t, open(t, options(mem)), 0, ids(0, 30)...)
}

func TestFrameLargerThanASegmentIsRefusedAtOnce(t *testing.T) {
	s := open(t, options(newMem()))
	for _, n := range []int{0, -1, 4096 - slot.SegmentOverhead + 1} {
		if _, err := s.Reserve(t.Context(), []int{n}); !errors.Is(err, slot.ErrFrameTooLarge) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	mustStore(t, s, frame(7, 1, 4096-slot.SegmentOverhead))
	wantIDs(t, s, 0, 7)
}

func TestFullSlotWaitsForTrimmingAndThenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(newMem())
		o.MaxBytes = 3 * 4096
		s := open(t, o)
		fill(t, s, 0, 12, 1000)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := storeCtx(ctx, s, frame(12, 1, 1000))
		var full *slot.FullError
		if !errors.As(err, &full) || !errors.Is(err, slot.ErrFull) || !errors.Is(err, context.DeadlineExceeded) || full.Never {
			t.Fatalf("full slot: %v", err)
		}
		if full.Cap != 3*4096 || full.PendingBytes != 12*1008 || !s.Stats().Full {
			t.Errorf("%+v", full)
		}
		stored := make(chan error)
		go func() { stored <- store(s, frame(12, 1, 1000)) }()
		synctest.Wait()
		settle(t, s, 0, 3)
		do(t, <-stored)
		wantIDs(t, s, 4, ids(4, 13)...)
		if s.Stats().Full {
			t.Error("still full after trimming made room")
		}
		do(t, s.Close())
	})
}

func TestBatchThatNeverFitsIsToldAtOnce(t *testing.T) {
	o := options(newMem())
	o.MaxBytes = 3 * 4096
	s := open(t, o)
	var full *slot.FullError
	if _, err := s.Reserve(t.Context(), slices.Repeat([]int{4000}, 4)); !errors.As(err, &full) || !full.Never {
		t.Fatalf("batch above the cap: %v", err)
	}
	mustStore(t, s, frame(0, 1, 4000), frame(1, 1, 4000), frame(2, 1, 4000))
}

func TestTxWaitsForTheOneBefore(t *testing.T) {
	s := open(t, options(newMem()))
	tx, err := s.Reserve(t.Context(), []int{50})
	do(t, err)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Reserve(done, []int{50}); !errors.Is(err, context.Canceled) || errors.Is(err, slot.ErrFull) {
		t.Fatalf("second Tx: %v", err)
	}
	do(t, tx.Rollback())
	next, err := s.Reserve(done, []int{50})
	if err != nil {
		t.Fatalf("a free slot is refused to a context that is done: %v", err)
	}
	do(t, next.Rollback())
}

func TestAppendIsOneWrite(t *testing.T) {
	var writes []vfstest.Op
	o := options(vfstest.Wrap(newMem(), func(op vfstest.Op) error {
		if op.Kind == vfstest.OpWrite || op.Kind == vfstest.OpSync {
			writes = append(writes, op)
		}
		return nil
	}))
	o.SegmentBytes, o.MaxBytes, o.Durability = 1<<20, 4<<20, slot.Memory
	s := open(t, o)
	mustStore(t, s, frame(0, 1, 60<<10))
	writes = nil
	mustStore(t, s, frame(1, 1, 60<<10))
	mustStore(t, s, frame(2, 1, 60<<10), frame(3, 1, 60<<10))
	if len(writes) != 2 || writes[0].Len != 60<<10+8 || writes[1].Len != 2*(60<<10+8) {
		t.Errorf("writes %+v", writes)
	}
}

func TestReadingAheadIsOneReadForSmallFrames(t *testing.T) {
	reads := 0
	o := options(vfstest.Wrap(newMem(), func(op vfstest.Op) error {
		if op.Kind == vfstest.OpRead {
			reads++
		}
		return nil
	}))
	o.SegmentBytes, o.MaxBytes = 1<<20, 4<<20
	s := open(t, o)
	fill(t, s, 0, 50, 1000)
	c := s.NewCursor()
	reads = 0
	got, err := readAll(c)
	do(t, err)
	if len(got) != 50 || reads != 1 {
		t.Errorf("%d frames in %d reads", len(got), reads)
	}
}

func TestTargetIsWrittenOnceAndKept(t *testing.T) {
	mem := newMem()
	o := options(mem)
	o.Target = "http://a:9000\n"
	do(t, open(t, o).Close())
	o.Target = "http://b:9000\n"
	s := open(t, o)
	if got := s.Target(); got != "http://a:9000\n" {
		t.Errorf("Target %q", got)
	}
	if got := string(read(t, mem, ".target")); got != "http://a:9000\n" {
		t.Errorf(".target %q", got)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for name, change := range map[string]func(*slot.Options){
		"no directory":   func(o *slot.Options) { o.Dir = "" },
		"small segments": func(o *slot.Options) { o.SegmentBytes = 4095 },
		"two segments":   func(o *slot.Options) { o.MaxBytes = 2*o.SegmentBytes - 1 },
		"durability":     func(o *slot.Options) { o.Durability = 0 },
		"interval":       func(o *slot.Options) { o.SyncInterval = -1 },
	} {
		o := options(newMem())
		change(&o)
		if s, err := slot.Open(o); err == nil {
			_ = s.Close()
			t.Errorf("%s: no error", name)
		} else if !strings.HasPrefix(err.Error(), "slot options: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMisusePanics(t *testing.T) {
	s := open(t, options(newMem()))
	tx, err := s.Reserve(t.Context(), []int{50})
	do(t, err)
	do(t, tx.Append(frame(1, 1, 50)))
	func() {
		defer func() {
			if recover() == nil {
				t.Error("Publish before Sync is let through under flush")
			}
		}()
		tx.Publish()
	}()
	if err := tx.Append(frame(2, 1, 50)); err == nil {
		t.Error("a frame that was not reserved is appended")
	}
	do(t, tx.Rollback())
	wantIDs(t, s, 0)
}

func TestNewDirectoryAndTargetAreDurable(t *testing.T) {
	mem := newMem()
	var synced []string
	o := options(vfstest.Wrap(mem, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSyncDir {
			synced = append(synced, op.Path)
		}
		return nil
	}))
	o.Target = "here"
	open(t, o)
	if !slices.Contains(synced, "/sf") {
		t.Errorf("synced %v, not the parent of a new slot", synced)
	}
	if got := string(read(t, mem.CrashLost(), ".target")); got != "here" {
		t.Errorf(".target after a crash %q", got)
	}
}
