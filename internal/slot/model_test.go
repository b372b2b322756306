// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// model is a slot beside the plainest thing that could be one.
type model struct {
	mem *vfstest.Mem
	d   slot.Durability
	s   *slot.Slot
	c   *slot.Cursor
	w   *world
	// keeps has it keep acked segments.
	keeps bool
	// shown is the last frame that the cursor has given out.
	shown slot.FSN
}

func (m *model) options() slot.Options {
	o := crashOptions(m.mem, m.d)
	o.MaxBytes = 6 * 4096
	if m.keeps {
		return keeping(o, 0, 8*4096)
	}
	return o
}

func (m *model) open(t *rapid.T) {
	s, err := slot.Open(m.options())
	if err != nil {
		t.Fatal(err)
	}
	m.s, m.c, m.shown = s, s.NewCursor(), -1
}

func (m *model) store(t *rapid.T) {
	sizes := rapid.SliceOfN(rapid.IntRange(24, 2500), 1, 6).Draw(t, "sizes")
	if err := m.w.store(m.s, sizes...); err != nil && !isFull(err) {
		t.Fatal(err)
	}
	m.w.inFlight = nil
}

func (m *model) rollback(t *rapid.T) {
	sizes := rapid.SliceOfN(rapid.IntRange(24, 2500), 1, 6).Draw(t, "sizes")
	if err := m.w.rollback(m.s, sizes...); err != nil && !isFull(err) {
		t.Fatal(err)
	}
}

func (m *model) settle(t *rapid.T) {
	open := m.pending()
	if len(open) == 0 {
		return
	}
	n := rapid.IntRange(1, min(4, len(open))).Draw(t, "n")
	at := rapid.IntRange(0, len(open)-n).Draw(t, "at")
	if rapid.Bool().Draw(t, "in order") {
		at = 0
	}
	for _, e := range open[at : at+n] {
		if err := m.w.settle(m.s, e.fsn); err != nil {
			t.Fatal(err)
		}
	}
}

// evict gives up the oldest sealed segment: the rows that were pending in it, all of
// them and no others.
func (m *model) evict(t *rapid.T) {
	c, ok := m.s.Oldest()
	if !ok {
		return
	}
	want := int64(0)
	for _, e := range m.pending() {
		if e.fsn <= c.Last {
			want += 1 + int64(e.id%5)
			m.w.settled[e.fsn] = true
		}
	}
	if got, err := m.s.Evict(c.Last); err != nil || got.Rows != want || got.Segments != 1 {
		t.Fatalf("%+v, %v; want %d rows", got, err, want)
	}
}

// next reads a frame, which must be the first pending one behind the last.
func (m *model) next(t *rapid.T) {
	e, ok, err := m.c.Next()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range m.pending() {
		if want.fsn <= m.shown {
			continue
		}
		if !ok || e.FSN != want.fsn || idOf(e.Bytes) != want.id {
			t.Fatalf("cursor gives %d, %t; want %v", e.FSN, ok, want)
		}
		m.shown = e.FSN
		return
	}
	if ok {
		t.Fatalf("cursor gives %d where nothing is", e.FSN)
	}
}

func (m *model) rewind(*rapid.T) {
	m.c.Rewind()
	m.shown = -1
}

func (m *model) reopen(t *rapid.T) {
	before := m.s.Stats()
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	after := m.s.Stats()
	if before.Accepted != after.Accepted || before.Pending != after.Pending || after.Recovered.LedgerMoved != 0 ||
		before.Watermark != after.Watermark || before.PendingBytes != after.PendingBytes {
		t.Fatalf("before %+v\nafter %+v", before, after)
	}
}

func (m *model) crash(t *rapid.T) {
	left := m.mem.CrashKept()
	if m.d == slot.Flush {
		left = m.mem.Crash(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
	}
	_ = m.s.Close()
	m.mem = left
	m.open(t)
	list, err := readAll(m.s.NewCursor())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.w.judge(list); err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		delete(m.w.settled, e.fsn) // forgotten by the slot: it will be sent again
	}
}

func isFull(err error) bool { return errors.Is(err, slot.ErrFull) }

func (m *model) pending() []entry {
	var list []entry
	for fsn, id := range m.w.published {
		if !m.w.settled[slot.FSN(fsn)] {
			list = append(list, entry{slot.FSN(fsn), id})
		}
	}
	return list
}

func (m *model) check(t *rapid.T) {
	st, want := m.s.Stats(), m.pending()
	if st.Accepted != st.Pending+st.Acked+st.Evicted || st.PendingFrames != int64(len(want)) {
		t.Fatalf("%d frames pending: %+v", len(want), st)
	}
	rows := int64(0)
	for _, e := range want {
		rows += 1 + int64(e.id%5)
	}
	if st.Pending != rows {
		t.Fatalf("%d rows pending, want %d", st.Pending, rows)
	}
	if a := m.s.Audit(); a.Ledger != rows || a.Counted != rows {
		t.Fatalf("audit %+v, want %d rows", a, rows)
	}
	if st.SegmentBytes > m.options().MaxBytes {
		t.Fatalf("%d bytes of segments, cap %d", st.SegmentBytes, m.options().MaxBytes)
	}
	got, err := readAll(m.s.NewCursor())
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("pending %v, %v; want %v", got, err, want)
	}
}

func TestSlotBehavesLikeItsModel(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic, slot.Memory} {
		t.Run(d.String(), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				m := &model{mem: newMem(), d: d, w: &world{settled: map[slot.FSN]bool{}}, keeps: rapid.Bool().Draw(t, "keeps")}
				m.open(t)
				defer func() { _ = m.s.Close() }()
				t.Repeat(map[string]func(*rapid.T){
					"store": m.store, "rollback": m.rollback, "settle": m.settle, "evict": m.evict, "next": m.next,
					"rewind": m.rewind, "reopen": m.reopen, "crash": m.crash, "": m.check,
				})
			})
		})
	}
}
