// SPDX-License-Identifier: MIT

package slot_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// foreignModel is a slot of random frames and what is known of it.
type foreignModel struct {
	t       *rapid.T
	mem     *vfstest.Mem
	slot    *slot.Foreign
	rows    []string     // of the frames with a commit
	counts  []int        // rows of each
	settled map[int]bool // Settle was called and the power did not go since
	floor   int          // frames below were acked before we came
}

// frames draws what one or two processes of a client may have written.
func (m *foreignModel) frames(w *writer) [][]byte {
	var frames [][]byte
	n := rapid.IntRange(1, 14).Draw(m.t, "frames")
	symbols := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", ""}), 0, 3)
	full := rapid.IntRange(0, n).Draw(m.t, "full frames first")
	open := 0
	for i := range n {
		list := symbols.Draw(m.t, "symbols")
		var f []byte
		switch {
		case i < full && len(list) > 0:
			f = w.full(list...)
		case len(list) > 0:
			f = w.delta(list...)
		default:
			f = rapid.SampledFrom([]func() []byte{w.bare, w.commit}).Draw(m.t, "kind")()
		}
		if open++; rapid.Bool().Draw(m.t, "deferred") {
			f = deferred(f)
		} else {
			open = 0
		}
		frames = append(frames, f)
	}
	m.describe(w, frames, len(frames)-open)
	return frames
}

// describe notes what the frames up to the last commit should read as.
func (m *foreignModel) describe(w *writer, frames [][]byte, end int) {
	var dict qwp.Dict
	for _, s := range w.symbols {
		_ = dict.Append([]byte(s))
	}
	for i, f := range frames[:end] {
		var view qwp.View
		if err := view.Parse(f, &dict); err != nil {
			m.t.Fatal(err)
		}
		m.rows = append(m.rows, fmt.Sprintf("%d:%s", i, rowsOf(&view)))
		m.counts = append(m.counts, view.Info().Rows)
	}
}

// build lays the frames out as segments of G2 or G3.
func (m *foreignModel) build(t testing.TB) {
	w := newWriter(t)
	frames := m.frames(w)
	m.mem = newMem()
	flags, base, active := byte(rapid.IntRange(0, 1).Draw(m.t, "G3")), 0, 0
	for i := 0; base < len(frames); i++ {
		n := rapid.IntRange(1, len(frames)-base).Draw(m.t, "frames of a segment")
		write(t, m.mem, fmt.Sprintf("sf-%016x.sfa", 99-i),
			segment{base: uint64(base), flags: flags, frames: frames[base : base+n]}.bytes())
		active, base = base, base+n
	}
	m.floor = rapid.IntRange(0, len(m.rows)).Draw(m.t, "acked")
	if flags == 1 {
		write(t, m.mem, "sf-manifest.bin", manifest(0, int64(active)))
		write(t, m.mem, ".ack-watermark", watermark(int64(m.floor-1)))
	} else if m.floor > 0 {
		write(t, m.mem, ".ack-watermark", oldWatermark(int64(m.floor-1)))
	}
	if rapid.Bool().Draw(m.t, "dictionary") {
		write(t, m.mem, ".symbol-dict", append(newWriter(t).dict, chunk(w.symbols...)...))
	}
}

func (m *foreignModel) open(t *rapid.T) {
	var err error
	if m.slot, err = slot.OpenForeign(foreignOptions(m.mem)); err != nil {
		t.Fatal(err)
	}
}

func (m *foreignModel) pending() (list []string, rows int64) {
	for i := m.floor; i < len(m.rows); i++ {
		if !m.settled[i] {
			list, rows = append(list, m.rows[i]), rows+int64(m.counts[i])
		}
	}
	return list, rows
}

func (m *foreignModel) settle(t *rapid.T) {
	if m.floor == len(m.rows) {
		t.Skip("nothing is pending")
	}
	i := rapid.IntRange(m.floor, len(m.rows)-1).Draw(t, "frame")
	if err := m.slot.Settle(slot.FSN(i), m.counts[i], slot.Acked); err != nil {
		t.Fatal(err)
	}
	m.settled[i] = true
}

// reopen closes a slot in which something is pending, or kills its owner.
func (m *foreignModel) reopen(t *rapid.T) {
	if list, _ := m.pending(); len(list) == 0 {
		t.Skip("nothing is pending")
	}
	if rapid.Bool().Draw(t, "killed") {
		m.mem = m.mem.CrashKept()
	} else if err := m.slot.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
}

// crash cuts the power: what was settled may be pending again, and nothing else.
func (m *foreignModel) crash(t *rapid.T) {
	m.mem = m.mem.Crash(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
	m.open(t)
	got, err := foreignRows(m.slot)
	if err != nil {
		t.Fatal(err)
	}
	for i := m.floor; i < len(m.rows); i++ {
		found := slices.Contains(got, m.rows[i])
		if !found && !m.settled[i] {
			t.Fatalf("%q is lost", m.rows[i])
		}
		m.settled[i] = !found
	}
}

func (m *foreignModel) check(t *rapid.T) {
	want, rows := m.pending()
	got, err := foreignRows(m.slot)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("pending %q, want %q, %v", got, want, err)
	}
	st := m.slot.Stats()
	if st.Pending != rows || st.PendingFrames != int64(len(want)) || st.Accepted != st.Pending+st.Acked ||
		(st.PendingBytes == 0) != (st.Watermark == st.Published) {
		t.Fatalf("%d rows of %d frames are pending, but %+v", rows, len(want), st)
	}
}

func TestForeignSlotBehavesLikeItsModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &foreignModel{t: r, settled: map[int]bool{}}
		m.build(t)
		m.open(r)
		r.Repeat(map[string]func(*rapid.T){"settle": m.settle, "reopen": m.reopen, "crash": m.crash, "": m.check})
		if err := settleAll(m.slot); err != nil {
			r.Fatal(err)
		}
		if err := m.slot.Close(); err != nil {
			r.Fatal(err)
		}
		if got := names(t, m.mem); !slices.Equal(got, []string{".lock", ".lock.pid"}) {
			r.Fatalf("left: %v", got)
		}
	})
}
