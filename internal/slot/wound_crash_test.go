// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// wounds are ways to damage the slot of sick.
var wounds = map[string]func(files map[string][]byte){
	"torn tail":           func(files map[string][]byte) { copy(files["sf-0000000000000003.sfa"][3900:], "noise") },
	"wound in the last":   func(files map[string][]byte) { files["sf-0000000000000003.sfa"][1600] ^= 1 },
	"length in the last":  func(files map[string][]byte) { files["sf-0000000000000003.sfa"][29] ^= 0xff },
	"wound in a sealed":   func(files map[string][]byte) { files["sf-0000000000000001.sfa"][1200] ^= 1 },
	"a page of zeros":     func(files map[string][]byte) { clear(files["sf-0000000000000001.sfa"][512:2560]) },
	"first frame damaged": func(files map[string][]byte) { files["sf-0000000000000001.sfa"][24] ^= 1 },
	"no header":           func(files map[string][]byte) { clear(files["sf-0000000000000002.sfa"][:512]) },
	"another number":      func(files map[string][]byte) { files["sf-0000000000000002.sfa"][8] ^= 0x1f },
	"missing":             func(files map[string][]byte) { delete(files, "sf-0000000000000001.sfa") },
	"oldest missing":      func(files map[string][]byte) { delete(files, "sf-initial.sfa") },
	"last missing":        func(files map[string][]byte) { delete(files, "sf-0000000000000003.sfa") },
	"twice":               func(files map[string][]byte) { files["sf-00000000000000ff.sfa"] = files["sf-initial.sfa"] },
	"garbage":             func(files map[string][]byte) { files["sf-0000000000000077.sfa"] = []byte("garbage") },
	"damaged target":      func(files map[string][]byte) { files[".target"][3] ^= 1 },
}

// TestEveryCrashWhileAWoundedSlotIsOpenedChangesNothing cuts the power before every
// call of opening, reading and closing wounded slots: the next open finds what the
// first would have found. Intervals that did not reach the device are sent again.
func TestEveryCrashWhileAWoundedSlotIsOpenedChangesNothing(t *testing.T) {
	p, states := sick(t, true), 0
	for name, change := range wounds {
		mem, _ := p.with(t, change)
		want := look(t, mem.CrashKept())
		fsys := vfstest.Wrap(mem, func(op vfstest.Op) error {
			if op.Kind == vfstest.OpRead || t.Failed() {
				return nil
			}
			for i, state := range crashStates(mem, op.N, 4) {
				states++
				if got := look(t, state); !got.covers(want) {
					t.Errorf("%s, crash before call %d (%s %s), state %d:\nshows %v\nwant  %v", name, op.N, op.Kind, op.Path, i, got, want)
				}
			}
			return nil
		})
		if _, err := visit(options(fsys)); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d crash states of %d wounded slots", states, len(wounds))
}

// covers says whether nothing is missing, and nothing else was lost.
func (got outcome) covers(want outcome) bool {
	more := func(e entry) bool { return !slices.Contains(want.pending, e) }
	same := slices.Equal(slices.DeleteFunc(slices.Clone(got.pending), more), want.pending)
	return same && got.lost == want.lost && slices.Equal(got.told, want.told) && slices.Equal(got.aside, want.aside)
}

// TestEveryCrashWhileAWoundedSlotIsDrainedKeepsEveryByte cuts the power while wounded
// slots are emptied and written to: what is whole and not settled is delivered after
// that, and the bytes of what is not whole are still there in the end.
func TestEveryCrashWhileAWoundedSlotIsDrainedKeepsEveryByte(t *testing.T) {
	p, states := sick(t, true), 0
	for name, change := range wounds {
		mem, files := p.with(t, change)
		settled := map[uint64]bool{}
		fsys := vfstest.Wrap(mem, func(op vfstest.Op) error {
			if op.Kind == vfstest.OpRead || t.Failed() {
				return nil
			}
			for i, state := range crashStates(mem, op.N, 3) {
				states++
				if err := p.afterCrash(state, files, settled); err != nil {
					t.Errorf("%s, crash before call %d (%s %s), state %d: %v", name, op.N, op.Kind, op.Path, i, err)
				}
			}
			return nil
		})
		if err := drainSick(options(fsys), settled); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	t.Logf("%d crash states of %d wounded slots", states, len(wounds))
}

// drainSick settles frame by frame, and writes in between.
func drainSick(o slot.Options, settled map[uint64]bool) error {
	s, err := slot.Open(o)
	if err != nil {
		return err
	}
	defer s.Close()
	list, err := readAll(s.NewCursor())
	if err != nil {
		return err
	}
	for i, e := range list {
		if i == len(list)/2 {
			if err := store(s, frame(1<<40, 1, 3000), frame(1<<40+1, 1, 3000)); err != nil {
				return err
			}
		}
		settled[e.id] = true
		if err := s.Settle(e.fsn, 1+int(e.id%3), slot.Acked); err != nil {
			return err
		}
	}
	for fsn := s.Stats().Published - 1; fsn <= s.Stats().Published; fsn++ {
		if err := s.Settle(fsn, 1, slot.Acked); err != nil {
			return err
		}
	}
	return s.Close()
}

func (p *patient) afterCrash(mem *vfstest.Mem, files map[string][]byte, settled map[uint64]bool) error {
	s, err := slot.Open(options(mem))
	if err != nil {
		return err
	}
	defer s.Close()
	list, err := readAll(s.NewCursor())
	if err != nil {
		return err
	}
	got := map[uint64]bool{}
	var done []slot.Done
	for _, e := range list {
		got[e.id] = true
		done = append(done, slot.Done{FSN: e.fsn, Shares: []slot.Share{{As: slot.Acked, Rows: 1}}})
	}
	whole := p.undamaged(files)
	for _, id := range whole {
		if !settled[id] && !got[id] {
			return fmt.Errorf("frame %d is whole and gone: %v", id, list)
		}
	}
	if err := errors.Join(sums(s.Stats()), s.SettleAll(done), s.Close()); err != nil {
		return err
	}
	return p.kept(mem, files, whole)
}
