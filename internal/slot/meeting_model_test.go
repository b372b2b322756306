// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// ward is a slot in which wounds, settlements, evictions and single frames that are
// set aside meet. Frames are known by their ids: of a slot that was damaged while it
// was closed the numbers may be guesses.
type ward struct {
	tb     testing.TB // of the helpers
	mem    *vfstest.Mem
	d      slot.Durability
	s      *slot.Slot
	next   uint64
	stored int64 // rows
	// pending are the ids that have left in no way that is known.
	pending map[uint64]bool
	list    []entry // as it was read last
	// exact is false where frames may be sent again.
	exact  bool
	rotten map[string]bool // bytes that were changed
	harmed bool            // while it was closed: once, or no number is sure any more
}

func rowsIn(id uint64) int64 { return 1 + int64(id%5) }

func (m *ward) open(t *rapid.T) {
	o := crashOptions(m.mem, m.d)
	o.MaxBytes = 8 * 4096
	s, err := slot.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	m.s = s
	m.check(t)
	m.read(t)
}

// Frames are larger than the change of a length by rot: one that ended where a later
// frame begins would hide those between.
func (m *ward) store(t *rapid.T) {
	var frames []slot.Frame
	rows := int64(0)
	for _, size := range rapid.SliceOfN(rapid.IntRange(130, 1200), 1, 6).Draw(t, "sizes") {
		id := m.next + uint64(len(frames))
		frames = append(frames, frame(id, int(rowsIn(id)), size))
		rows += rowsIn(id)
	}
	if err := storeCtx(noWait(), m.s, frames...); isFull(err) {
		return
	} else if err != nil {
		t.Fatal(err)
	}
	for range frames {
		m.pending[m.next] = true
		m.next++
	}
	m.stored += rows
}

// pick draws some of the frames that were read last and are pending.
func (m *ward) pick(t *rapid.T, most int) []entry {
	list := slices.DeleteFunc(slices.Clone(m.list), func(e entry) bool { return !m.pending[e.id] })
	if len(list) == 0 {
		return nil
	}
	at := rapid.IntRange(0, len(list)-1).Draw(t, "at")
	if rapid.Bool().Draw(t, "in order") {
		at = 0
	}
	return list[at:min(len(list), at+rapid.IntRange(1, most).Draw(t, "n"))]
}

func (m *ward) settle(t *rapid.T) {
	var done []slot.Done
	for _, e := range m.pick(t, 6) {
		m.pending[e.id] = false
		done = append(done, slot.Done{FSN: e.fsn, Shares: []slot.Share{{As: slot.Acked, Rows: int(rowsIn(e.id))}}})
	}
	if err := m.s.SettleAll(done); err != nil {
		t.Fatal(err)
	}
}

func (m *ward) setAside(t *rapid.T) {
	for _, e := range m.pick(t, 1) {
		err := m.s.Quarantine(e.fsn, "drawn")
		if err == nil {
			m.pending[e.id] = false
		} else if m.read(t); slices.Contains(m.list, e) {
			t.Fatalf("frame %v is whole: %v", e, err)
		}
	}
}

func (m *ward) evict(t *rapid.T) {
	if rapid.Bool().Draw(t, "read before") {
		m.read(t)
	}
	c, ok := m.s.Oldest()
	if !ok {
		return
	}
	if _, err := m.s.Evict(c.Last); err != nil {
		t.Fatal(err)
	}
	if st := m.s.Stats(); st.Watermark < c.Last {
		t.Fatalf("watermark %d after %d was evicted", st.Watermark, c.Last)
	}
	if m.list, _ = readAll(m.s.NewCursor()); len(m.list) > 0 && m.list[0].fsn <= c.Last {
		t.Fatalf("evicted up to %d, and read %v", c.Last, m.list)
	}
	for id := range m.pending { // some that were given up have never been read
		m.pending[id] = m.pending[id] && slices.ContainsFunc(m.list, func(e entry) bool { return e.id == id })
	}
}

// rot changes a byte of a frame, but no length, so that all numbers stay sure.
func (m *ward) rot(t *rapid.T) { m.flip(t, false) }

// rotLength changes a byte of a length, or any other, and looks at once.
func (m *ward) rotLength(t *rapid.T) {
	m.flip(t, true)
	m.exact = false
	m.read(t)
}

// segmentFile draws the name of a segment file; "" if there is none.
func (m *ward) segmentFile(t *rapid.T) string {
	list := slices.DeleteFunc(names(m.tb, m.mem), func(n string) bool { return !strings.HasSuffix(n, ".sfa") })
	if len(list) == 0 {
		return ""
	}
	return rapid.SampledFrom(list).Draw(t, "file")
}

func (m *ward) flip(t *rapid.T, lengths bool) {
	name := m.segmentFile(t)
	if name == "" {
		return
	}
	b := read(m.tb, m.mem, name)
	var offsets []int64
	for at := int64(24); at+8 < int64(len(b)); {
		size := int64(uint32(b[at+4]) | uint32(b[at+5])<<8 | uint32(b[at+6])<<16 | uint32(b[at+7])<<24)
		if size == 0 || size > int64(len(b))-at-8 {
			break
		}
		from := at + 8
		if lengths {
			from = at
		}
		offsets = append(offsets, rapid.Int64Range(from, min(at+8+size-1, from+40)).Draw(t, "offset"))
		at += 8 + size
	}
	if len(offsets) == 0 {
		return
	}
	at := rapid.SampledFrom(offsets).Draw(t, "one")
	if where := fmt.Sprint(name, at); !m.rotten[where] { // twice would mend it
		m.rotten[where] = true
		rot(m.tb, m.mem, name, at)
	}
}

// read reads all that is pending: whatever is whole, and what the ledger says.
func (m *ward) read(t *rapid.T) {
	list, err := readAll(m.s.NewCursor())
	if err != nil {
		t.Fatal(err)
	}
	rows, there := int64(0), map[uint64]bool{}
	for _, e := range list {
		is, known := m.pending[e.id]
		if there[e.id] || !known || m.exact && !is {
			t.Fatalf("frame %v in %v, pending %t, known %t", e, list, is, known)
		}
		there[e.id] = true
		rows += rowsIn(e.id)
	}
	m.wantWhole(t, list, there)
	m.list = list
	if a := m.s.Audit(); a.Ledger != rows || a.Counted != rows {
		t.Fatalf("audit %+v, %d rows can be read: %v\n%+v", a, rows, list, m.s.Stats())
	}
}

// wantWhole checks that every pending frame that stands whole in a segment was read.
func (m *ward) wantWhole(t *rapid.T, list []entry, there map[uint64]bool) {
	var all [][]byte
	for _, name := range segments(m.tb, m.mem) {
		all = append(all, read(m.tb, m.mem, name))
	}
	for id, is := range m.pending {
		m.pending[id] = there[id]
		if !is || there[id] {
			continue
		}
		head := payload(id, int(rowsIn(id)), 24)
		for _, b := range all {
			at := bytes.Index(b, head[:16])
			if at < 8 {
				continue
			}
			size := int(uint32(b[at-4]) | uint32(b[at-3])<<8)
			if at+size <= len(b) && bytes.HasPrefix(b[at-8:], record(payload(id, int(rowsIn(id)), size))) {
				t.Fatalf("frame %d is whole and was not read: %v", id, list)
			}
		}
	}
}

// check is what holds at any moment, whatever was not found yet.
func (m *ward) check(t *rapid.T) {
	st, a := m.s.Stats(), m.s.Audit()
	if err := sums(st); err != nil {
		t.Fatal(err)
	}
	if a.Ledger != a.Counted || a.Ledger != st.Pending {
		t.Fatalf("audit %+v, %+v", a, st)
	}
	if m.exact && st.Accepted != m.stored {
		t.Fatalf("%d rows stored, %+v", m.stored, st)
	}
	if st.Pending < 0 || st.PendingFrames < 0 || st.PendingBytes < 0 || st.Quarantined < 0 || st.Acked < 0 {
		t.Fatalf("%+v", st)
	}
}

func (m *ward) reopen(t *rapid.T) {
	m.end(t)
	m.open(t)
}

// end closes the slot, or kills its process. Under Periodic the end that is not synced
// counts as torn after that, from a wound on: there it is only closed.
func (m *ward) end(t *rapid.T) {
	if m.d != slot.Periodic && rapid.Bool().Draw(t, "killed") {
		left := m.mem.CrashKept()
		_ = m.s.Close()
		m.mem, m.exact = left, false
	} else if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.exact = m.exact && m.d != slot.Memory
}

// harmClosed damages the slot while nobody has it.
func (m *ward) harmClosed(t *rapid.T) {
	if m.harmed {
		return
	}
	m.end(t)
	m.exact, m.harmed = false, true
	if name := m.segmentFile(t); name != "" {
		b := read(m.tb, m.mem, name)
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		switch rapid.SampledFrom([]string{"flip", "flip", "zero", "cut", "missing"}).Draw(t, "harm") {
		case "flip":
			b[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
			write(m.tb, m.mem, name, b)
		case "zero":
			clear(b[at:min(len(b), at+512)])
			write(m.tb, m.mem, name, b)
		case "cut":
			write(m.tb, m.mem, name, b[:at])
		case "missing":
			remove(m.tb, m.mem, name)
		}
	}
	m.open(t)
}

// TestWoundsEvictionsAndSettlementsMeetAndTheLedgerHolds has them meet in any order,
// over reopens, kills and damage to the closed slot: at any moment the audit agrees
// with the ledger, and what can be read is what the ledger has pending, to the row.
func TestWoundsEvictionsAndSettlementsMeetAndTheLedgerHolds(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic, slot.Memory} {
		t.Run(d.String(), func(tb *testing.T) {
			rapid.Check(tb, func(t *rapid.T) {
				m := &ward{tb: tb, mem: newMem(), d: d, pending: map[uint64]bool{}, rotten: map[string]bool{}, exact: true}
				m.open(t)
				defer func() { _ = m.s.Close() }()
				t.Repeat(map[string]func(*rapid.T){
					"store": m.store, "settle": m.settle, "evict": m.evict, "set aside": m.setAside, "rot": m.rot,
					"rot of a length": m.rotLength, "read": m.read, "reopen": m.reopen,
					"harm while closed": m.harmClosed, "": m.check,
				})
			})
		})
	}
}
