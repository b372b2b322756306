// SPDX-License-Identifier: MIT

package slot_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// rot changes bytes of a file under an open slot.
func rot(t testing.TB, mem *vfstest.Mem, name string, offsets ...int64) {
	t.Helper()
	f, err := mem.OpenFile(dir+"/"+name, os.O_RDWR, 0)
	do(t, err)
	defer f.Close()
	b := make([]byte, 1)
	for _, at := range offsets {
		_, err = f.ReadAt(b, at)
		do(t, err)
		b[0] ^= 0x80
		_, err = f.WriteAt(b, at)
		do(t, err)
	}
}

// auditedAt checks that so many rows are pending, by the ledger and by the segments.
func auditedAt(t testing.TB, s *slot.Slot, rows int64) {
	t.Helper()
	balanced(t, s.Stats())
	if a := s.Audit(); a.Ledger != rows || a.Counted != rows {
		t.Fatalf("audit %+v, want %d rows; %+v", a, rows, s.Stats())
	}
}

func wantPending(t testing.TB, s *slot.Slot, want string) {
	t.Helper()
	if got := fmt.Sprint(pending(t, s)); got != want {
		t.Fatalf("pending %s, want %s", got, want)
	}
}

// Rows that were acked are not lost again with the frame they stood in, nor are
// those of its neighbours instead.
func TestAWoundCountsNoRowsOfFramesThatWereAcked(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	mustStore(t, s, frame(0, 5, 500), frame(1, 3, 500), frame(2, 2, 500), frame(3, 4, 500))
	do(t, s.Settle(0, 5, slot.Acked))
	rot(t, mem, "sf-initial.sfa", 24+100, 24+508+100)
	wantPending(t, s, "[{2 2} {3 3}]")
	auditedAt(t, s, 6)
	if st := s.Stats(); st.Accepted != 14 || st.Quarantined != 3 || st.Acked != 5 {
		t.Errorf("%+v", st)
	}
	do(t, s.Settle(2, 2, slot.Acked))
	do(t, s.Settle(3, 4, slot.Acked))
	auditedAt(t, s, 0)
	if st := s.Stats(); st.Accepted != 14 {
		t.Errorf("%+v", st)
	}
}

// Two damaged lengths in one segment hide how many frames were where.
func TestFramesWhoseNumbersBecomeDoubtfulAreSentAgainAndCounted(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	for id := range uint64(7) {
		mustStore(t, s, frame(id, 1+int(id), 500))
	}
	for _, fsn := range []slot.FSN{3, 5} {
		do(t, s.Settle(fsn, 1+int(fsn), slot.Acked))
	}
	rot(t, mem, "sf-initial.sfa", 24+508+7, 24+5*508+7)
	wantPending(t, s, "[{0 0} {2 2} {3 3} {4 4} {6 6}]")
	auditedAt(t, s, 1+3+4+5+7)
	for _, fsn := range []slot.FSN{0, 2, 3, 4, 6} {
		do(t, s.Settle(fsn, 1+int(fsn), slot.Acked))
	}
	auditedAt(t, s, 0)
	do(t, s.Close())
	s = open(t, options(mem))
	wantPending(t, s, "[]")
	auditedAt(t, s, 0)
}

// The rows of two such frames are as many as the segment has more than can be
// counted, together.
func TestFramesThatAreNoMessagesTakeTheirOwnRowsWithThemAndNoOthers(t *testing.T) {
	s := open(t, options(newMem()))
	garbage := slot.Frame{Bytes: []byte("this is no message at all"), Rows: 7}
	mustStore(t, s, frame(0, 2, 100), garbage, garbage, frame(3, 3, 100))
	do(t, s.Quarantine(1, "it has no magic"))
	do(t, s.Quarantine(2, "it has no magic"))
	wantPending(t, s, "[{0 0} {3 3}]")
	auditedAt(t, s, 5)
	do(t, s.Settle(0, 2, slot.Acked))
	do(t, s.Settle(3, 3, slot.Acked))
	auditedAt(t, s, 0)
	if st := s.Stats(); st.Accepted != 19 || st.Unknown != 14 {
		t.Errorf("%+v", st)
	}
}

// A wound elsewhere in the segment, before or behind, does not keep a frame from
// being set aside: nothing else would ever find it.
func TestAFrameIsSetAsideBesideAWound(t *testing.T) {
	for name, at := range map[string]int64{"settled before": 24 + 4, "behind": 24 + 108 + 33 + 50} {
		t.Run(name, func(t *testing.T) {
			mem := newMem()
			s := open(t, options(mem))
			garbage := slot.Frame{Bytes: []byte("this is no message at all"), Rows: 7}
			mustStore(t, s, frame(0, 2, 100), garbage, frame(2, 3, 100), frame(3, 4, 100))
			do(t, s.Settle(0, 2, slot.Acked))
			rot(t, mem, "sf-initial.sfa", at)
			do(t, s.Quarantine(1, "it has no magic"))
			list := pending(t, s)
			if at == 24+4 {
				wantPending(t, s, "[{2 2} {3 3}]")
			} else {
				wantPending(t, s, "[{3 3}]")
			}
			for _, e := range list {
				do(t, s.Settle(e.fsn, 1+int(e.id), slot.Acked))
			}
			auditedAt(t, s, 0)
			if st := s.Stats(); st.Accepted != 16 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// The ledger of a clean close tells how many rows of a segment are settled only if
// all the others can be read.
func TestAWoundInASegmentThatIsAckedInPartIsCountedAfterACleanClose(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	for id := range uint64(5) {
		mustStore(t, s, frame(id, 1+int(id), 500))
	}
	do(t, s.Settle(0, 1, slot.Acked))
	do(t, s.Settle(2, 3, slot.Acked))
	do(t, s.Close())
	rot(t, mem, "sf-initial.sfa", 24+3*508+100)
	s = open(t, options(mem))
	wantPending(t, s, "[{1 1} {4 4}]")
	auditedAt(t, s, 7)
	do(t, s.Settle(1, 2, slot.Acked))
	do(t, s.Settle(4, 5, slot.Acked))
	auditedAt(t, s, 0)
	if st := s.Stats(); st.Accepted != 15 || st.Acked != 11 || st.Unknown+st.Quarantined != 4 {
		t.Errorf("%+v", st)
	}
}

// A slot that was opened since a frame was set aside has two summaries of its segment.
func TestAWoundAfterTwoOpensOfAToldSegmentIsCountedOnce(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	for id := range uint64(10) {
		mustStore(t, s, frame(id, 1+int(id), 900))
	}
	for fsn := range slot.FSN(4) {
		do(t, s.Settle(fsn, 1+int(fsn), slot.Acked)) // the first file is gone
	}
	do(t, s.Quarantine(4, "the server panics"))
	do(t, s.Close())
	s = open(t, options(mem))
	auditedAt(t, s, 40)
	do(t, s.Close())
	rot(t, mem, "sf-0000000000000000.sfa", 24+908+100)
	for range 2 {
		s = open(t, options(mem))
		wantPending(t, s, "[{6 6} {7 7} {8 8} {9 9}]")
		auditedAt(t, s, 34)
		do(t, s.Close())
	}
}

// A damaged length hides frames of its own file, not those of a file that is missing:
// else the whole frames behind it would get the numbers of others, which are settled.
func TestFramesBeforeAMissingFileKeepTheirNumbersBehindADamagedLength(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 12, 900)
	settle(t, s, 6, 7)
	do(t, s.Close())
	remove(t, mem, "sf-0000000000000000.sfa")
	rot(t, mem, "sf-initial.sfa", 24+908+7)
	for range 2 {
		s = open(t, options(mem))
		wantPending(t, s, "[{0 0} {2 2} {3 3} {8 8} {9 9} {10 10} {11 11}]")
		auditedAt(t, s, 7)
		do(t, s.Close())
	}
}

// The same where the length goes bad after the missing file was noticed.
func TestADamagedLengthBeforeAMissingFileIsMetWhileReading(t *testing.T) {
	mem := newMem()
	s := open(t, options(mem))
	fill(t, s, 0, 12, 900)
	do(t, s.Close())
	remove(t, mem, "sf-0000000000000000.sfa")
	s = open(t, options(mem))
	rot(t, mem, "sf-initial.sfa", 24+908+7)
	wantPending(t, s, "[{0 0} {2 2} {3 3} {8 8} {9 9} {10 10} {11 11}]")
	auditedAt(t, s, 7)
}

func TestAHeaderWithZerosBehindItsMagicIsDamageAndNoOtherClient(t *testing.T) {
	mem := closed(t, 3)
	edit(t, mem, "sf-initial.sfa", func(b []byte) []byte { clear(b[4:24]); return b })
	wantIDs(t, open(t, options(mem)), 0, 0, 1, 2)
}

// Under Memory nothing says how far the file was on the device; a kill alone tears
// nothing.
func TestWhatIsWholeBehindAWoundIsDeliveredUnderMemory(t *testing.T) {
	mem := newMem()
	o := options(mem)
	o.Durability = slot.Memory
	s := open(t, o)
	fill(t, s, 0, 4, 500)
	rot(t, mem, "sf-initial.sfa", 24+508+100)
	o.FS = mem.CrashKept()
	s = open(t, o)
	wantPending(t, s, "[{0 0} {2 2} {3 3}]")
	auditedAt(t, s, 3)
}

// A power cut may leave a receipt half written, each time one.
func TestReceiptsThatWereNotWrittenToTheirEndDoNotPileUp(t *testing.T) {
	mem := closed(t, 3)
	write(t, mem, "incident-sf-initial-01234567.json.tmp", []byte("{"))
	write(t, mem, "notes.json.tmp", []byte("{"))
	do(t, open(t, options(mem)).Close())
	for _, name := range names(t, mem) {
		if name == "incident-sf-initial-01234567.json.tmp" {
			t.Errorf("%s is still there", name)
		}
	}
	if string(read(t, mem, "notes.json.tmp")) != "{" {
		t.Error("a file of somebody else was touched")
	}
}
