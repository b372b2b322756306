// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// segment is a segment file made by hand.
type segment struct {
	base    uint64
	created uint64
	flags   byte
	frames  [][]byte
	size    int
}

func (g segment) bytes() []byte {
	b := append([]byte("SF01"), 1, g.flags, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, g.base)
	b = binary.LittleEndian.AppendUint64(b, max(g.created, 1))
	for _, f := range g.frames {
		b = append(b, record(f)...)
	}
	return append(b, make([]byte, max(g.size, 4096)-len(b))...)
}

func record(payload []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, payload...)
	binary.LittleEndian.PutUint32(b, crc32.Checksum(b[4:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func payloads(from, to uint64, size int) [][]byte {
	var list [][]byte
	for ; from < to; from++ {
		list = append(list, payload(from, 1, size))
	}
	return list
}

// closed returns a slot with n frames of 100 bytes that was closed in order.
func closed(t testing.TB, n uint64) *vfstest.Mem {
	t.Helper()
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, n, 100)
	do(t, s.Close())
	return mem
}

// edit changes a file by hand.
func edit(t testing.TB, mem *vfstest.Mem, name string, change func(b []byte) []byte) {
	t.Helper()
	write(t, mem, name, change(read(t, mem, name)))
}

func TestRecoverCutsATornTailAtEveryByte(t *testing.T) {
	whole := read(t, closed(t, 3), "sf-initial.sfa")
	begin, end := 24+2*108, 24+3*108
	for at := begin; at < end; at++ {
		for name, tear := range map[string]func(b []byte){
			"zeros from there on": func(b []byte) { clear(b[at:end]) },
			"flipped":             func(b []byte) { b[at] ^= 0x55 },
			"noise behind":        func(b []byte) { clear(b[at:end]); copy(b[end:], "noise") },
		} {
			mem := newMem()
			b := slices.Clone(whole)
			tear(b)
			write(t, mem, "sf-initial.sfa", b)
			s := open(t, options(mem))
			wantIDs(t, s, 0, 0, 1)
			if got := read(t, mem.CrashLost(), "sf-initial.sfa"); !bytes.Equal(got[begin:], make([]byte, len(got)-begin)) {
				t.Fatalf("%s at %d: the tail is not zeroed durably", name, at)
			}
			mustStore(t, s, frame(9, 1, 30))
			wantIDs(t, s, 0, 0, 1, 9)
			do(t, s.Close())
		}
	}
}

func TestRecoverOpensAWoundedSlotAndDeliversTheRest(t *testing.T) {
	for name, c := range map[string]struct {
		hurt func(b []byte) []byte
		want []entry
	}{
		"a payload":   {func(b []byte) []byte { b[24+108+50] ^= 1; return b }, []entry{{0, 0}, {2, 2}, {3, 3}}},
		"a length":    {func(b []byte) []byte { b[24+108+4] ^= 1; return b }, []entry{{0, 0}, {2, 2}, {3, 3}}},
		"first frame": {func(b []byte) []byte { b[24] ^= 1; return b }, []entry{{1, 1}, {2, 2}, {3, 3}}},
		"magic":       {func(b []byte) []byte { b[0] = 'X'; return b }, []entry{{0, 0}, {1, 1}, {2, 2}, {3, 3}}},
		"base":        {func(b []byte) []byte { b[15] = 0x80; return b }, []entry{{0, 0}, {1, 1}, {2, 2}, {3, 3}}},
		"only a stub": {func(b []byte) []byte { return b[:20] }, nil},
	} {
		for _, forget := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/forget=%t", name, forget), func(t *testing.T) {
				mem := closed(t, 4)
				edit(t, mem, "sf-initial.sfa", c.hurt)
				if forget {
					remove(t, mem, ".qsf-state")
				}
				for range 2 {
					s := open(t, options(mem))
					if got := pending(t, s); fmt.Sprint(got) != fmt.Sprint(c.want) {
						t.Fatalf("pending %v, want %v", got, c.want)
					}
					st := s.Stats()
					balanced(t, st)
					if lost := int64(4 - len(c.want)); !forget && st.Quarantined+st.Unknown != lost {
						t.Errorf("%d rows lost: %+v", lost, st)
					}
					do(t, s.Close())
				}
			})
		}
	}
}

func TestRecoverTellsATornAppendFromAWound(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 2, 700)
	tx, err := s.Reserve(t.Context(), []int{700, 700})
	do(t, err)
	do(t, tx.Append(frame(2, 1, 700), frame(3, 1, 700)))
	left := mem.CrashKept()
	do(t, tx.Rollback())
	tear := func(at int) *vfstest.Mem {
		m := left.CrashKept()
		edit(t, m, "sf-initial.sfa", func(b []byte) []byte { b[at] ^= 1; return b })
		return m
	}
	// The first frame of the open append: the second may have come first.
	torn := open(t, options(tear(24+2*708+300)))
	wantIDs(t, torn, 0, 0, 1)
	if n := torn.Stats().Recovered.TornBytes; n != 2*708 {
		t.Errorf("%d bytes torn", n)
	}
	// A frame that was synced.
	var told []slot.Incident
	o := options(tear(24 + 708 + 300))
	o.OnIncident = func(i slot.Incident) { told = append(told, i) }
	if got := pending(t, open(t, o)); fmt.Sprint(got) != "[{0 0} {2 2} {3 3}]" {
		t.Errorf("pending %v", got)
	}
	if len(told) != 1 || told[0].FirstFSN != 1 || told[0].LastFSN != 1 || told[0].Offset != 24+708 || told[0].Rows != 1 {
		t.Errorf("told %+v", told)
	}
}

func TestRecoverTellsOfAGapBetweenSegments(t *testing.T) {
	mem := newMem()
	write(t, mem, "sf-initial.sfa", segment{frames: payloads(0, 3, 50)}.bytes())
	write(t, mem, "sf-0000000000000000.sfa", segment{base: 4, frames: payloads(4, 6, 50)}.bytes())
	var told []slot.Incident
	o := options(mem)
	o.OnIncident = func(i slot.Incident) { told = append(told, i) }
	s := open(t, o)
	if got := pending(t, s); fmt.Sprint(got) != "[{0 0} {1 1} {2 2} {4 4} {5 5}]" {
		t.Errorf("pending %v", got)
	}
	if len(told) != 1 || told[0].FirstFSN != 3 || told[0].LastFSN != 3 || told[0].Bytes != 0 {
		t.Errorf("told %+v", told)
	}
	do(t, s.Close())
	if open(t, o); len(told) != 1 {
		t.Errorf("told again: %+v", told)
	}
}

func TestRecoverOrdersByHeaderAndNotByName(t *testing.T) {
	mem := newMem()
	write(t, mem, "sf-0000000000000001.sfa", segment{base: 0, frames: payloads(0, 3, 50)}.bytes())
	write(t, mem, "sf-0000000000000000.sfa", segment{base: 3, frames: payloads(3, 5, 50)}.bytes())
	write(t, mem, "sf-initial.sfa", segment{base: 5, frames: payloads(5, 6, 50)}.bytes())
	s := open(t, options(mem))
	fill(t, s, 6, 7, 50)
	wantIDs(t, s, 0, ids(0, 7)...)
}

func TestRecoverRemovesEmptySegmentsBeforeLookingForGaps(t *testing.T) {
	mem := closed(t, 3)
	write(t, mem, "sf-0000000000000007.sfa", segment{base: 1}.bytes())
	write(t, mem, "sf-0000000000000008.sfa", segment{base: 99}.bytes())
	write(t, mem, "sf-0000000000000009.sfa", make([]byte, 4096)) // before its header was written
	write(t, mem, "sf-000000000000000a.sfa", nil)
	write(t, mem, "sf-000000000000000b.sfa.tmp", []byte("half made"))
	s := open(t, options(mem))
	wantIDs(t, s, 0, 0, 1, 2)
	if got := segments(t, mem); !slices.Equal(got, []string{"sf-000000000000000c.sfa", "sf-initial.sfa"}) {
		t.Errorf("segments %v: the spare has to have a number that was never used", got)
	}
	if got := names(t, mem); slices.Contains(got, "sf-000000000000000b.sfa.tmp") {
		t.Errorf("files %v", got)
	}
}

func TestRecoverSetsAsideASegmentWithoutAWholeFrame(t *testing.T) {
	mem := closed(t, 2)
	torn := segment{base: 2, frames: payloads(2, 3, 900)}.bytes()
	clear(torn[600:])
	write(t, mem, "sf-0000000000000005.sfa", torn)
	write(t, mem, "sf-0000000000000005.sfa.corrupt", []byte("older"))
	s := open(t, options(mem))
	wantIDs(t, s, 0, 0, 1)
	if got := s.Stats().Recovered.Quarantined; !slices.Equal(got, []string{"sf-0000000000000005.sfa.corrupt.2"}) {
		t.Fatalf("quarantined %v", got)
	}
	if got := read(t, mem, "sf-0000000000000005.sfa.corrupt.2"); !bytes.Equal(got, torn) {
		t.Error("the bytes were not kept")
	}
	if got := read(t, mem, "sf-0000000000000005.sfa.corrupt"); string(got) != "older" {
		t.Error("an older one was replaced")
	}
}

func TestForeignGenerationsAreLeftByteIdentical(t *testing.T) {
	for name, file := range map[string]struct {
		name    string
		content []byte
	}{
		"manifest":             {"sf-manifest.bin", make([]byte, 8192)},
		"dictionary":           {".symbol-dict", []byte("SYD1\x01\x00\x00\x00")},
		"watermark":            {".ack-watermark", make([]byte, 8192)},
		"watermark of 128":     {".ack-watermark", make([]byte, 128)},
		"flag":                 {"sf-0000000000000000.sfa", segment{flags: 1, frames: payloads(0, 1, 50)}.bytes()},
		"flag of an empty one": {"sf-0000000000000000.sfa", segment{flags: 1}.bytes()},
		"unknown flag":         {"sf-0000000000000000.sfa", segment{flags: 0x80}.bytes()},
	} {
		t.Run(name, func(t *testing.T) {
			mem := newMem()
			write(t, mem, "sf-initial.sfa", segment{frames: payloads(0, 1, 50)}.bytes())
			write(t, mem, "sf-0000000000000009.sfa", segment{base: 1}.bytes())
			write(t, mem, ".lock", nil)
			write(t, mem, ".lock.pid", []byte("4711\n"))
			write(t, mem, file.name, file.content)
			before := snapshot(t, mem)
			var foreign *slot.ForeignError
			_, err := slot.Open(options(mem))
			if !errors.As(err, &foreign) || foreign.File != file.name || !strings.Contains(err.Error(), "left alone") {
				t.Fatalf("open: %v", err)
			}
			if !maps.Equal(before, snapshot(t, mem)) {
				t.Errorf("files changed: %v", names(t, mem))
			}
		})
	}
}

// TestFramesThatStandTwiceAreTakenAsOne is a crash within mend: the unsynced end
// of a segment was written again and not yet cut off.
func TestFramesThatStandTwiceAreTakenAsOne(t *testing.T) {
	for name, c := range map[string]struct {
		first, second [][]byte
		base          uint64
		want          []uint64
	}{
		"the end":              {payloads(0, 5, 100), payloads(3, 5, 100), 3, ids(0, 5)},
		"the end and new ones": {payloads(0, 5, 100), payloads(3, 8, 100), 3, ids(0, 8)},
		"all":                  {payloads(0, 5, 100), payloads(0, 5, 100), 0, ids(0, 5)},
		"fewer":                {payloads(0, 5, 100), payloads(3, 4, 100), 3, ids(0, 5)},
	} {
		t.Run(name, func(t *testing.T) {
			mem := newMem()
			write(t, mem, "sf-0000000000000001.sfa", segment{frames: c.first}.bytes())
			write(t, mem, "sf-0000000000000002.sfa", segment{base: c.base, frames: c.second}.bytes())
			s := open(t, options(mem))
			n := uint64(len(c.want))
			fill(t, s, n, n+1, 40)
			wantIDs(t, s, 0, append(c.want, n)...)
			do(t, s.Close())
			s = open(t, options(mem))
			wantIDs(t, s, 0, append(c.want, n)...)
			settle(t, s, 0, slot.FSN(n))
			if st := s.Stats(); st.Segments != 1 || st.Pending != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestTwoFilesThatClaimTheSameNumbersAreBothDelivered(t *testing.T) {
	mem := newMem()
	write(t, mem, "sf-0000000000000001.sfa", segment{frames: payloads(0, 5, 100)}.bytes())
	write(t, mem, "sf-0000000000000002.sfa", segment{base: 3, frames: payloads(70, 75, 100)}.bytes())
	want := append(ids(0, 5), ids(70, 75)...)
	for range 2 {
		s := open(t, options(mem))
		wantIDs(t, s, 0, want...)
		do(t, s.Close())
	}
}

func TestWoundInASealedSegmentIsPassedOverWhenItIsRead(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 8, 1000)
	do(t, s.Close())
	hurt := func(b []byte) []byte { b[24+1008+500] ^= 1; return b }
	edit(t, mem, "sf-initial.sfa", hurt)
	damaged := read(t, mem, "sf-initial.sfa")
	var told []slot.Incident
	o := options(mem)
	o.OnIncident = func(i slot.Incident) { told = append(told, i) }
	s = open(t, o)
	if s.Stats().Recovered.TrustedSegments != 1 {
		t.Fatalf("the segment is not trusted: %+v", s.Stats())
	}
	want := "[{0 0} {2 2} {3 3} {4 4} {5 5} {6 6} {7 7}]"
	for range 2 {
		if got := pending(t, s); fmt.Sprint(got) != want {
			t.Fatalf("pending %v", got)
		}
	}
	if len(told) != 1 || told[0].FirstFSN != 1 || told[0].LastFSN != 1 || told[0].Offset != 24+1008 || told[0].Rows != 1 ||
		!told[0].RowsKnown || told[0].KeptAs != "sf-initial.sfa.corrupt" {
		t.Fatalf("told %+v", told)
	}
	do(t, s.Close())
	s = open(t, o)
	if got := pending(t, s); fmt.Sprint(got) != want || len(told) != 1 {
		t.Fatalf("pending %v, told %+v", got, told)
	}
	if st := s.Stats(); st.Quarantined != 1 || st.Pending != 7 || st.Recovered.LedgerMoved != 0 {
		t.Errorf("%+v", st)
	}
	settle(t, s, 0, 7)
	if st := s.Stats(); st.Quarantined != 1 || st.Acked != 7 || st.Pending != 0 {
		t.Errorf("%+v", st)
	}
	do(t, s.Close())
	if got := read(t, mem, "sf-initial.sfa.corrupt"); !bytes.Equal(got, damaged) {
		t.Error("the bytes were not kept")
	}
	if got := segments(t, mem); len(got) != 0 {
		t.Errorf("segments %v", got)
	}
}

func TestSlotAboveItsCapIsDrainedAndThenGoesOn(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 40, 1000)
	do(t, s.Close())
	o := options(mem)
	o.MaxBytes = 2 * 4096
	s = open(t, o)
	if st := s.Stats(); st.SegmentBytes != 10*4096 {
		t.Fatalf("%+v", st)
	}
	if err := storeCtx(noWait(), s, frame(40, 1, 1000)); !errors.Is(err, slot.ErrFull) {
		t.Fatalf("append above the cap: %v", err)
	}
	settle(t, s, 0, 39)
	fill(t, s, 40, 44, 1000)
	wantIDs(t, s, 40, ids(40, 44)...)
}

func TestLargeSegmentOfBeforeDoesNotBlockASmallCap(t *testing.T) {
	mem := newMem()
	o := options(mem)
	o.SegmentBytes, o.MaxBytes = 64<<10, 128<<10
	s := open(t, o)
	fill(t, s, 0, 1, 60<<10)
	do(t, s.Close())
	s = open(t, options(mem)) // cap: 64 KiB, one file of which is there
	fill(t, s, 1, 6, 1000)
	wantIDs(t, s, 0, ids(0, 6)...)
}

func TestDurabilityHasNames(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic, slot.Memory} {
		if got, err := slot.ParseDurability(d.String()); got != d || err != nil {
			t.Errorf("%s: %v, %v", d, got, err)
		}
	}
	if _, err := slot.ParseDurability("often"); err == nil {
		t.Error("an unknown durability is taken")
	}
	if got := fmt.Sprint(slot.Durability(0), slot.Settlement(0), slot.DeadLettered); got != "durability 0 settlement 0 dead-lettered" {
		t.Error(got)
	}
}
