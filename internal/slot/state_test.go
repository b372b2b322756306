// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestLosingTheStateLosesNoFrame(t *testing.T) {
	build := func() *vfstest.Mem {
		mem := newMem()
		s := open(t, options(mem))
		fill(t, s, 0, 10, 1000)
		settle(t, s, 0, 5)
		do(t, s.Close())
		return mem
	}
	for name, lose := range map[string]func(mem *vfstest.Mem){
		"removed": func(mem *vfstest.Mem) { remove(t, mem, ".qsf-state"); remove(t, mem, ".ack-watermark") },
		"emptied": func(mem *vfstest.Mem) { write(t, mem, ".qsf-state", nil) },
		"zeroed":  func(mem *vfstest.Mem) { write(t, mem, ".qsf-state", make([]byte, 10_000)) },
		"noise":   func(mem *vfstest.Mem) { write(t, mem, ".qsf-state", bytes.Repeat([]byte("QSF1"), 3000)) },
		"both records hurt": func(mem *vfstest.Mem) {
			edit(t, mem, ".qsf-state", func(b []byte) []byte { b[20] ^= 1; b[4096+20] ^= 1; return b })
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := build()
			lose(mem)
			s := open(t, options(mem))
			wantIDs(t, s, 4, ids(4, 10)...) // the first segment was trimmed
			st := s.Stats()
			if st.Accepted != 6 || st.Pending != 6 || st.Recovered.LedgerMoved != 6 {
				t.Errorf("%+v", st)
			}
			balanced(t, st)
		})
	}
}

func TestOneRecordOfTheStateIsEnough(t *testing.T) {
	mem := closed(t, 6)
	s := open(t, options(mem))
	settle(t, s, 0, 3)
	left := mem.CrashKept()
	for at := range 2 {
		state := left.CrashKept()
		edit(t, state, ".qsf-state", func(b []byte) []byte { b[4096*at+20] ^= 1; return b })
		st := open(t, options(state)).Stats()
		if st.Accepted != 6 || st.Watermark > 3 {
			t.Errorf("record %d hurt: %+v", at, st)
		}
		balanced(t, st)
	}
}

func TestWatermarkOfOtherFramesIsNotBelieved(t *testing.T) {
	mem := closed(t, 5)
	s := open(t, options(mem))
	settle(t, s, 0, 2)
	do(t, s.Close())
	// Another client drained the slot and began anew.
	write(t, mem, "sf-initial.sfa", segment{created: 77, frames: payloads(100, 105, 100)}.bytes())
	s = open(t, options(mem))
	wantIDs(t, s, 0, ids(100, 105)...)
	if !s.Stats().Recovered.WatermarkReset {
		t.Error("WatermarkReset is not told")
	}
}

func TestWatermarkAboveTheEndIsResetDurably(t *testing.T) {
	mem := closed(t, 5)
	s := open(t, options(mem))
	do(t, s.Settle(4, 1, slot.Acked)) // an interval
	settle(t, s, 0, 2)
	do(t, s.Close())
	write(t, mem, "sf-initial.sfa", segment{frames: payloads(100, 102, 100)}.bytes())
	o := options(mem)
	var lost *vfstest.Mem
	o.FS = vfstest.Wrap(mem, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpWrite && op.Path == dir+"/sf-initial.sfa" && op.Off > 24 && lost == nil {
			lost = mem.CrashLost() // just before the first append
		}
		return nil
	})
	s = open(t, o)
	fill(t, s, 102, 105, 100)
	wantIDs(t, s, 0, ids(100, 105)...)
	// Were the old watermark still there, frame numbers used again would count
	// as settled.
	write(t, lost, "sf-initial.sfa", read(t, mem, "sf-initial.sfa"))
	wantIDs(t, open(t, options(lost)), 0, ids(100, 105)...)
	if got := read(t, lost, ".ack-watermark"); !bytes.Equal(got, make([]byte, 16)) {
		t.Errorf(".ack-watermark %x", got)
	}
}

func TestAckWatermarkCountsOnlyWithoutAState(t *testing.T) {
	ack := func(fsn uint64) []byte {
		return binary.LittleEndian.AppendUint64([]byte("AKW1\x00\x00\x00\x00"), fsn)
	}
	for _, c := range []struct {
		fsn  uint64
		want uint64 // first pending
	}{{0, 1}, {3, 4}, {4, 5}, {5, 0}, {1 << 63, 0}} {
		mem := newMem()
		write(t, mem, "sf-initial.sfa", segment{frames: payloads(0, 5, 50)}.bytes())
		write(t, mem, ".ack-watermark", ack(c.fsn))
		wantIDs(t, open(t, options(mem)), slot.FSN(c.want), ids(c.want, 5)...)
	}
	mem := closed(t, 5)
	write(t, mem, ".ack-watermark", ack(3))
	wantIDs(t, open(t, options(mem)), 0, ids(0, 5)...)
}

func TestSixtyFourIntervalsOutliveARestart(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 150, 30)
	for fsn := slot.FSN(1); fsn < 150; fsn += 2 {
		do(t, s.Settle(fsn, 1, slot.Acked))
	}
	if st := s.Stats(); st.PendingFrames != 75 || st.Pending != 75 {
		t.Fatalf("%+v", st)
	}
	do(t, s.Close())
	s = open(t, options(mem))
	st := s.Stats()
	balanced(t, st)
	if st.PendingFrames != 150-64 || st.Pending != 150-64 || st.Recovered.LedgerMoved != 11 {
		t.Errorf("%+v", st)
	}
}

func TestSealedSegmentsAreTrustedByTheirSummary(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 40, 1000)
	do(t, s.Close())
	bytesRead := int64(0)
	o := options(vfstest.Wrap(mem, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpRead && strings.HasSuffix(op.Path, ".sfa") {
			bytesRead += op.Len
		}
		return nil
	}))
	st := open(t, o).Stats()
	if st.Recovered.TrustedSegments != 9 || st.Pending != 40 || st.PendingBytes != 40*1008 {
		t.Errorf("%+v", st)
	}
	if most := int64(10*64 + 3*4096); bytesRead > most {
		t.Errorf("%d bytes read of ten segments, want no more than %d", bytesRead, most)
	}
}

func TestSummaryThatDoesNotAgreeIsScanned(t *testing.T) {
	for name, hurt := range map[string]func(mem *vfstest.Mem){
		"summary": func(mem *vfstest.Mem) {
			edit(t, mem, ".qsf-state", func(b []byte) []byte { b[8192+3] ^= 1; return b })
		},
		"size": func(mem *vfstest.Mem) {
			edit(t, mem, "sf-initial.sfa", func(b []byte) []byte { return append(b, make([]byte, 100)...) })
		},
		"table gone": func(mem *vfstest.Mem) {
			edit(t, mem, ".qsf-state", func(b []byte) []byte { return b[:8192] })
		},
	} {
		mem := newMem()
		s := open(t, options(mem))
		fill(t, s, 0, 12, 1000)
		do(t, s.Close())
		hurt(mem)
		s = open(t, options(mem))
		st := s.Stats()
		if st.Recovered.TrustedSegments >= 2 || st.Pending != 12 {
			t.Errorf("%s: %+v", name, st)
		}
		wantIDs(t, s, 0, ids(0, 12)...)
		do(t, s.Close())
		if st := open(t, options(mem)).Stats(); st.Recovered.TrustedSegments != 2 {
			t.Errorf("%s: the summary was not written again: %+v", name, st)
		}
	}
}

func TestFramesLostWithTheirFilesAreMissed(t *testing.T) {
	mem := closed(t, 5)
	remove(t, mem, "sf-initial.sfa")
	s := open(t, options(mem))
	st := s.Stats()
	if st.Recovered.MissingFrames != 5 || st.Unknown != 5 || st.Recovered.LedgerMoved != 0 || st.Published != 4 || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
	fill(t, s, 5, 6, 50)
	wantIDs(t, s, 5, 5)
}

// TestFrameNumbersUsedAgainAreNotSettled loses the end of a slot, settled frames
// with it, and uses their numbers again: neither record of the state may call
// the new frames settled.
func TestFrameNumbersUsedAgainAreNotSettled(t *testing.T) {
	mem := newMem()
	o := options(mem)
	o.Durability = slot.Memory // nothing is known to be on the device
	s := open(t, o)
	fill(t, s, 0, 5, 100)
	do(t, s.Settle(4, 1, slot.Acked))
	do(t, s.Close())
	edit(t, mem, "sf-initial.sfa", func(b []byte) []byte { clear(b[24+2*108:]); return b })
	s = open(t, options(mem))
	if st := s.Stats(); st.PendingFrames != 2 {
		t.Errorf("%+v", st)
	}
	fill(t, s, 2, 6, 100)
	wantIDs(t, s, 0, ids(0, 6)...)
	for at := range 2 {
		left := mem.CrashLost()
		edit(t, left, ".qsf-state", func(b []byte) []byte { b[4096*at+20] ^= 1; return b })
		wantIDs(t, open(t, options(left)), 0, ids(0, 6)...)
	}
}

func TestNumbersGoOnAfterADrainedCloseAndACrash(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 9, 1000)
	settle(t, s, 0, 8)
	do(t, s.Close())
	st := open(t, options(mem.CrashLost())).Stats()
	if st.Published != 8 || st.Acked != 9 || st.Accepted != 9 {
		t.Errorf("%+v", st)
	}
}

// TestSummaryIsBoundToItsSegment changes a sealed segment so that its summary is
// wrong in one point each.
func TestSummaryIsBoundToItsSegment(t *testing.T) {
	const created = 1795364204056942
	for name, c := range map[string]struct {
		sealed, last segment
		want         int64 // rows
	}{
		"a frame more": {
			segment{created: created, frames: append(payloads(0, 4, 1000), payload(4, 1, 24))},
			segment{created: created, base: 5, frames: payloads(5, 6, 700)}, 6,
		},
		"other frames": {
			segment{created: created, frames: [][]byte{payload(0, 9, 1000), payload(1, 9, 1000), payload(2, 9, 1000), payload(3, 9, 1000)}},
			segment{created: created, base: 4, frames: payloads(4, 6, 700)}, 38,
		},
	} {
		mem := newMem()
		s := open(t, options(mem))
		fill(t, s, 0, 5, 1000)
		do(t, s.Close())
		write(t, mem, "sf-initial.sfa", c.sealed.bytes())
		write(t, mem, "sf-0000000000000000.sfa", c.last.bytes())
		s = open(t, options(mem))
		if st := s.Stats(); st.Pending != c.want || st.Recovered.TrustedSegments != 0 {
			t.Errorf("%s: %+v", name, st)
		}
		wantIDs(t, s, 0, ids(0, 6)...)
	}
}

// TestSummaryDoesNotOutliveTheGrowthOfItsSegment loses the segment behind a
// sealed one, and the last frame of that, and lets it be filled again. Its new
// summary then stands behind the old one in the table.
func TestSummaryDoesNotOutliveTheGrowthOfItsSegment(t *testing.T) {
	mem := newMem()
	o := options(mem)
	o.Durability = slot.Memory // nothing is known to be on the device
	s := open(t, o)
	fill(t, s, 0, 9, 1000)
	settle(t, s, 0, 3)
	fill(t, s, 9, 13, 1000)
	do(t, s.Close())
	remove(t, mem, "sf-0000000000000002.sfa")
	edit(t, mem, "sf-0000000000000001.sfa", func(b []byte) []byte { clear(b[24+3*1008:]); return b })
	s = open(t, options(mem))
	settle(t, s, 4, 7)
	fill(t, s, 11, 12, 900)
	fill(t, s, 12, 14, 1000)
	do(t, s.Close())
	s = open(t, options(mem))
	wantIDs(t, s, 8, ids(8, 14)...)
	if st := s.Stats(); st.PendingBytes != 5*1008+908 {
		t.Errorf("%+v", st)
	}
}
