// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// patient is a small slot, and what was in it.
type patient struct {
	files   map[string][]byte
	pending map[string]uint64 // the records that must be delivered, as they stand on disk, and their ids
	at      map[string]place  // where they stand
	all     [][]byte          // what was ever stored, by id
}

type place struct {
	file string
	off  int
}

// sick builds a slot of four segments, some of it acked, some settled out of order.
// killed leaves it as the death of the process does.
func sick(t testing.TB, killed bool) *patient {
	t.Helper()
	mem := newMem()
	o := options(mem)
	o.MaxBytes = 8 * 4096
	o.Target = "http://questdb:9000\n"
	s := open(t, o)
	p := &patient{files: map[string][]byte{}, pending: map[string]uint64{}, at: map[string]place{}}
	sizes := []int{700, 900, 640, 1100, 400, 1500}
	for id := range uint64(19) {
		mustStore(t, s, frame(id, 1+int(id%3), sizes[id%6]))
		p.all = append(p.all, payload(id, 1+int(id%3), sizes[id%6]))
	}
	done := map[slot.FSN]bool{0: true, 1: true, 3: true, 7: true, 8: true, 14: true, 17: true}
	for fsn := range slot.FSN(19) {
		if done[fsn] {
			do(t, s.Settle(fsn, 1+int(fsn%3), slot.Acked))
		} else {
			p.pending[string(record(p.all[fsn]))] = uint64(fsn)
		}
	}
	left := mem
	if killed {
		left = mem.CrashKept()
	} else {
		do(t, s.Close())
	}
	for _, name := range names(t, left) {
		p.files[name] = read(t, left, name)
		for rec := range p.pending {
			if off := bytes.Index(p.files[name], []byte(rec)); off >= 0 {
				p.at[rec] = place{name, off}
			}
		}
	}
	return p
}

// with returns the slot with its files changed, and those files.
func (p *patient) with(t testing.TB, change func(files map[string][]byte)) (*vfstest.Mem, map[string][]byte) {
	t.Helper()
	files := map[string][]byte{}
	for name, b := range p.files {
		files[name] = bytes.Clone(b)
	}
	change(files)
	mem := newMem()
	for name, b := range files {
		write(t, mem, name, b)
	}
	return mem, files
}

// undamaged returns the pending records that stand whole in some segment file.
func (p *patient) undamaged(files map[string][]byte) map[string]uint64 {
	want := map[string]uint64{}
	for rec, id := range p.pending {
		for name, b := range files {
			at := p.at[rec]
			whole := name == at.file && bytes.HasPrefix(b[min(at.off, len(b)):], []byte(rec))
			if whole || strings.HasSuffix(name, ".sfa") && bytes.Contains(b, []byte(rec)) {
				want[rec] = id
				break
			}
		}
	}
	return want
}

// examine opens a damaged slot, and checks all that is promised of one.
func (p *patient) examine(mem *vfstest.Mem, files map[string][]byte) error {
	o := options(mem)
	o.MaxBytes = 8 * 4096
	o.Target = "http://questdb:9000\n"
	s, err := slot.Open(o)
	if foreign := (*slot.ForeignError)(nil); errors.As(err, &foreign) {
		if foreign.File != "sf-manifest.bin" && foreign.File != ".symbol-dict" {
			return fmt.Errorf("damage is taken for another client: %w", err)
		}
		return p.untouched(mem, files)
	}
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer s.Close()
	want := p.undamaged(files)
	first, err := p.delivered(s, want)
	if err != nil {
		return err
	}
	if err := sums(s.Stats()); err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	told := 0
	o.OnIncident = func(i slot.Incident) { told++ }
	if s, err = slot.Open(o); err != nil {
		return fmt.Errorf("open again: %w", err)
	}
	defer s.Close()
	second, err := p.delivered(s, want)
	if err != nil {
		return fmt.Errorf("opened again: %w", err)
	}
	st := s.Stats()
	if !slices.Equal(first, second) || told > 0 || st.Recovered.LedgerMoved != 0 {
		return fmt.Errorf("first %v, then %v, %d incidents, ledger moved by %d", first, second, told, st.Recovered.LedgerMoved)
	}
	if s.Target() != o.Target {
		return fmt.Errorf("target %q", s.Target())
	}
	if err := p.empty(s, second); err != nil {
		return err
	}
	return p.kept(mem, files, want)
}

// untouched checks that a slot which belongs to others was left as it was.
func (p *patient) untouched(mem *vfstest.Mem, files map[string][]byte) error {
	for name, b := range files {
		if got, err := contentOf(mem, name); err != nil || !bytes.Equal(got, b) {
			return fmt.Errorf("refused, and %s has changed: %v", name, err)
		}
	}
	return nil
}

func contentOf(mem *vfstest.Mem, name string) ([]byte, error) {
	f, err := mem.OpenFile(dir+"/"+name, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size == 0 {
		return nil, err
	}
	b := make([]byte, size)
	_, err = f.ReadAt(b, 0)
	return b, err
}

// delivered reads all that is pending, which has to have what is wanted, and
// nothing that was not stored.
func (p *patient) delivered(s *slot.Slot, want map[string]uint64) ([]entry, error) {
	c := s.NewCursor()
	defer c.Close()
	var list []entry
	got := map[uint64]bool{}
	for {
		e, ok, err := c.Next()
		if err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		if !ok {
			break
		}
		id := idOf(e.Bytes)
		if n := len(list); n > 0 && e.FSN <= list[n-1].fsn || id >= uint64(len(p.all)) || !bytes.Equal(e.Bytes, p.all[id]) {
			return nil, fmt.Errorf("frame %d is %d, behind %v", e.FSN, id, list)
		}
		got[id] = true
		list = append(list, entry{e.FSN, id})
	}
	for _, id := range want {
		if !got[id] {
			return nil, fmt.Errorf("frame %d is whole and was not delivered: %v", id, list)
		}
	}
	return list, nil
}

func sums(st slot.Stats) error {
	if st.Accepted != st.Pending+st.Acked+st.DeadLettered+st.Evicted+st.Quarantined+st.Unknown || st.Pending < 0 {
		return fmt.Errorf("ledger does not balance: %+v", st)
	}
	return nil
}

// empty appends, settles all, and closes.
func (p *patient) empty(s *slot.Slot, list []entry) error {
	if err := store(s, frame(1<<40, 1, 700)); err != nil {
		return err
	}
	again, err := readAll(s.NewCursor())
	if err != nil || len(again) != len(list)+1 || again[len(list)].id != 1<<40 {
		return fmt.Errorf("a new frame among %v, %v", again, err)
	}
	var done []slot.Done
	for _, e := range again {
		rows := 1
		if e.id < uint64(len(p.all)) {
			rows = 1 + int(e.id%3)
		}
		done = append(done, slot.Done{FSN: e.fsn, Shares: []slot.Share{{As: slot.Acked, Rows: rows}}})
	}
	if err := s.SettleAll(done); err != nil {
		return err
	}
	if st := s.Stats(); st.Pending != 0 || st.PendingFrames != 0 || st.PendingBytes != 0 {
		return fmt.Errorf("all is settled: %+v", st)
	}
	if err := sums(s.Stats()); err != nil {
		return err
	}
	return s.Close()
}

// kept checks that no segment is left, and that the bytes of every pending frame
// that was damaged are in some file still.
func (p *patient) kept(mem *vfstest.Mem, files map[string][]byte, whole map[string]uint64) error {
	entries, err := mem.ReadDir(dir)
	if err != nil {
		return err
	}
	var now [][]byte
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".sfa") {
			return fmt.Errorf("%s is left", e.Name())
		}
		if strings.Contains(e.Name(), ".corrupt") {
			b, err := contentOf(mem, e.Name())
			if err != nil {
				return err
			}
			now = append(now, b)
		}
	}
	for rec, at := range p.at {
		b := files[at.file]
		if _, is := whole[rec]; is || at.off >= len(b) {
			continue
		}
		left := b[at.off:min(len(b), at.off+len(rec))]
		if len(bytes.Trim(left, "\x00")) > 0 && !slices.ContainsFunc(now, func(b []byte) bool { return bytes.Contains(b, left) }) {
			return fmt.Errorf("the damaged bytes of frame %d, at %d of %s, are gone", p.pending[rec], at.off, at.file)
		}
	}
	return nil
}

// harm is one way to damage a slot.
type harm struct {
	name   string
	change func(files map[string][]byte)
}

// flips changes every byte of a file, step apart.
func flips(name string, size, step int, mask byte) []harm {
	var list []harm
	for at := 0; at < size; at += step {
		list = append(list, harm{fmt.Sprintf("%s[%d]^%02x", name, at, mask), func(files map[string][]byte) { files[name][at] ^= mask }})
	}
	return list
}

func truncations(name string, size, step int) []harm {
	var list []harm
	for n := 0; n < size; n += step {
		list = append(list, harm{fmt.Sprintf("%s cut at %d", name, n), func(files map[string][]byte) { files[name] = files[name][:n] }})
	}
	return list
}

func zeroed(name string, size, length int) []harm {
	var list []harm
	for at := 0; at < size; at += length {
		list = append(list, harm{fmt.Sprintf("%s zeroed from %d, %d bytes", name, at, length), func(files map[string][]byte) {
			clear(files[name][at:min(at+length, len(files[name]))])
		}})
	}
	return list
}

// misplaced are files that are missing, stand twice, were swapped, or are strange.
func (p *patient) misplaced() []harm {
	var list []harm
	sorted := slices.Sorted(maps.Keys(p.files))
	for i, name := range sorted {
		list = append(list,
			harm{name + " missing", func(files map[string][]byte) { delete(files, name) }},
			harm{name + " twice", func(files map[string][]byte) { files["sf-00000000000000ff.sfa"] = files[name] }},
			harm{name + " twice under an odd name", func(files map[string][]byte) { files["copy.sfa"] = files[name] }})
		for _, other := range sorted[i+1:] {
			if strings.HasSuffix(name, ".sfa") && strings.HasSuffix(other, ".sfa") {
				list = append(list, harm{name + " swapped with " + other, func(files map[string][]byte) {
					files[name], files[other] = files[other], files[name]
				}})
			}
		}
	}
	list = append(list,
		harm{"garbage", func(files map[string][]byte) { files["sf-0000000000000099.sfa"] = bytes.Repeat([]byte("garbage"), 600) }},
		harm{"an empty file", func(files map[string][]byte) { files["sf-0000000000000099.sfa"] = nil }},
		harm{"an unknown file", func(files map[string][]byte) { files["notes.txt"] = []byte("QWP1") }},
		harm{"no state and no watermark", func(files map[string][]byte) { delete(files, ".qsf-state"); delete(files, ".ack-watermark") }})
	return list
}

func (p *patient) harms(step int) []harm {
	list := p.misplaced()
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		size := len(p.files[name])
		list = append(list, flips(name, size, step, 0xff)...)
		list = append(list, flips(name, size, step, 0x01)...)
		list = append(list, truncations(name, size, step)...)
		list = append(list, zeroed(name, size, 512)...)
		list = append(list, zeroed(name, size, 4096)...)
	}
	return list
}

// TestEveryDamageOfASmallSlotCostsNoUndamagedFrame harms every byte of a slot, cuts
// and zeroes, removes, doubles and swaps its files: it opens, and all that is whole
// is delivered.
func TestEveryDamageOfASmallSlotCostsNoUndamagedFrame(t *testing.T) {
	step := thin
	if testing.Short() {
		step *= 23 // every 23rd byte: a prime, to meet all of a frame
	}
	gc := debug.SetGCPercent(400) // half of the time goes there
	var cases atomic.Int64
	t.Cleanup(func() {
		debug.SetGCPercent(gc)
		t.Logf("%d cases, every %d. byte", cases.Load(), step)
	})
	for _, killed := range []bool{false, true} {
		p := sick(t, killed)
		harms := p.harms(step)
		for part := range 4 {
			t.Run(fmt.Sprintf("killed=%t/%d", killed, part), func(t *testing.T) {
				t.Parallel()
				for i := part; i < len(harms); i += 4 {
					cases.Add(1)
					if err := p.examine(p.with(t, harms[i].change)); err != nil {
						t.Errorf("%s: %v", harms[i].name, err)
					}
				}
			})
		}
	}
}
