// SPDX-License-Identifier: MIT

package slot_test

import (
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

const (
	outageBytes  = 1 << 30
	outageFrames = 12 << 10 // bytes of a frame: 150 rows of a small batch
)

// seedOutage leaves a backlog of 1 GiB in segments of 1 MiB, as a long outage does,
// a few frames of which are acked.
func seedOutage(t *testing.T, o slot.Options) (segments int) {
	t.Helper()
	s, err := slot.Open(o)
	do(t, err)
	var batch []slot.Frame
	for id := uint64(0); s.Stats().PendingBytes < outageBytes; {
		batch = batch[:0]
		for range 20 {
			batch = append(batch, frame(id, 100, outageFrames))
			id++
		}
		mustStore(t, s, batch...)
	}
	do(t, s.SettleAll([]slot.Done{{FSN: 0, Shares: []slot.Share{{As: slot.Acked, Rows: 100}}}, {FSN: 1, Shares: []slot.Share{{As: slot.Acked, Rows: 100}}},
		{FSN: 2, Shares: []slot.Share{{As: slot.Acked, Rows: 100}}}}))
	segments = s.Stats().Segments
	do(t, s.Close())
	return segments
}

// After a long outage a restart must reach the first row soon and without memory:
// summaries stand for what is in the segments.
func TestTheFirstFrameOfALargeBacklogCostsFewReads(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 1 GiB")
	}
	o := options(vfs.OS)
	o.Dir, o.SegmentBytes, o.MaxBytes, o.Durability = filepath.Join(t.TempDir(), "base-0"), 1<<20, 2<<30, slot.Memory
	segments := seedOutage(t, o)
	var read, table atomic.Int64
	o.FS = vfstest.Wrap(vfs.OS, func(op vfstest.Op) error {
		switch {
		case op.Kind != vfstest.OpRead:
		case strings.HasSuffix(op.Path, ".qsf-state"):
			table.Add(op.Len)
		default:
			read.Add(op.Len)
		}
		return nil
	})
	before := heap()
	s, err := slot.Open(o)
	do(t, err)
	defer s.Close()
	opened := read.Load()
	c := s.NewCursor()
	defer c.Close()
	e, ok, err := c.Next()
	if err != nil || !ok || e.FSN != 3 {
		t.Fatalf("%d, %t, %v", e.FSN, ok, err)
	}
	grown := heap() - before
	limit := int64(64*segments) + o.SegmentBytes
	t.Logf("%d segments: %d bytes read by Open, limit %d, and %d with the first frames to be sent; %d bytes of .qsf-state besides; heap +%d KiB",
		segments, opened, limit, read.Load()-opened, table.Load(), grown>>10)
	if opened > limit || read.Load()-opened > 64<<10 {
		t.Errorf("%d bytes read by Open, want at most %d, and %d with the first frames", opened, limit, read.Load()-opened)
	}
	if grown > 4<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	if st := s.Stats(); st.Recovered.TrustedSegments != segments-1 || st.PendingFrames == 0 {
		t.Errorf("%+v", st)
	}
	drainSome(t, s, c, before)
}

// drainSome sends on: memory stays what it is, however much is behind.
func drainSome(t *testing.T, s *slot.Slot, c *slot.Cursor, before int64) {
	t.Helper()
	for range 3000 {
		e, ok, err := c.Next()
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		do(t, s.Settle(e.FSN, 100, slot.Acked))
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("the heap has grown by %d KiB while sending", grown>>10)
	}
}

// heap returns the bytes in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
