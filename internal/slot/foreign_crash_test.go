// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// foreignSlots are what the exhaustive tests go through.
func foreignSlots(t testing.TB) map[string]files {
	w := newWriter(t)
	tail := segment{base: 5, flags: 1, frames: [][]byte{deferred(w.full("a")), deferred(w.full("b"))}}
	torn := segment{base: 5, flags: 1}.bytes()
	copy(torn[24:], "\x01\x02\x03\x04\xff\x00\x00\x00torn")
	return map[string]files{
		"G3": g3(t).with(files{".failed": []byte("reason"), ".last_error": []byte("text")}),
		"G2": g2(t),
		"G3 with an unfinished tail": g3(t).with(files{
			"sf-000000000000000d.sfa": tail.bytes(), "sf-manifest.bin": manifest(0, 5)}),
		"G3 with stale and torn segments": g3(t).with(files{
			"sf-000000000000000d.sfa": torn, "sf-manifest.bin": manifest(2, 4), ".ack-watermark": watermark(1)}),
		"G3 with an old watermark": g3(t).with(files{".ack-watermark": oldWatermark(0)}),
	}
}

// drainForeign settles everything and closes. It tells for how many frames it
// called Settle.
func drainForeign(fsys vfs.FS) (settled int, err error) {
	f, err := slot.OpenForeign(foreignOptions(fsys))
	if err != nil {
		return 0, err
	}
	settled, err = settleCount(f)
	return settled, errors.Join(err, f.Close())
}

// nothingAgain opens what a crash left as we would and as another client would,
// for which there is no .qsf-state: nothing is to be sent again.
func nothingAgain(state *vfstest.Mem) error {
	other := state.CrashKept()
	if err := other.Remove(dir + "/.qsf-state"); err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	for _, who := range []struct {
		name string
		mem  *vfstest.Mem
	}{{"we", state}, {"another client", other}} {
		f, err := slot.OpenForeign(foreignOptions(who.mem))
		if err != nil {
			return fmt.Errorf("%s: %w", who.name, err)
		}
		rows, err := foreignRows(f)
		err = errors.Join(err, f.Close())
		if err != nil || len(rows) > 0 {
			return fmt.Errorf("%s: %w, and %q is to be sent again", who.name, err, rows)
		}
		left, err := who.mem.ReadDir(dir)
		if len(left) > 3 || err != nil { // .lock, .lock.pid and what was torn
			return fmt.Errorf("%s: left %v, %w", who.name, left, err)
		}
	}
	return nil
}

// TestEveryCrashOfAForeignCloseLeavesASlotInWhichAllIsAcked cuts the power before
// every call of Close.
func TestEveryCrashOfAForeignCloseLeavesASlotInWhichAllIsAcked(t *testing.T) {
	for name, list := range foreignSlots(t) {
		t.Run(name, func(t *testing.T) {
			mem := list.mem(t)
			closing, marked, states := false, false, 0
			f := openForeign(t, vfstest.Wrap(mem, func(op vfstest.Op) error {
				if !closing || t.Failed() || op.N%thin != 0 && op.Kind != vfstest.OpRemove {
					return nil
				}
				// Another client knows it with the watermark, which is the first file of theirs to change.
				marked = marked || op.Kind == vfstest.OpRemove || op.Kind == vfstest.OpRename
				for i, state := range crashStates(mem, op.N, 12) {
					states++
					check := nothingAgain
					if !marked {
						check = noLoss
					}
					if err := check(state); err != nil {
						t.Errorf("crash before %s %s, state %d: %v", op.Kind, op.Path, i, err)
					}
				}
				return nil
			}))
			do(t, settleAll(f))
			closing = true
			do(t, f.Close())
			if err := nothingAgain(mem.CrashLost()); err != nil {
				t.Errorf("after Close: %v", err)
			}
			t.Logf("%d crash states", states)
		})
	}
}

// TestForeignCloseSaysThatAllIsAckedInTheFormOfTheManifest stops Close before it
// removes anything. Clients with a manifest believe no watermark of another size.
func TestForeignCloseSaysThatAllIsAckedInTheFormOfTheManifest(t *testing.T) {
	later := func(b []byte, at int) []byte { return b[at : at+64] }
	for name, c := range map[string]struct {
		files     files
		ack, man  []byte
		ackAt, at int
	}{
		"never acked":        {g3(t), watermark(4), dualFile("SFM1", 8192, 2, 4, 4), 4096, 0},
		"acked before":       {g3(t).with(files{".ack-watermark": watermark(1)}), dualFile("AKW1", 8192, 2, 4, 0), dualFile("SFM1", 8192, 2, 4, 4), 0, 0},
		"an older watermark": {g3(t).with(files{".ack-watermark": oldWatermark(1)}), watermark(4), dualFile("SFM1", 8192, 2, 4, 4), 4096, 0},
		"no watermark":       {g3(t).with(files{".ack-watermark": nil}), watermark(4), dualFile("SFM1", 8192, 2, 4, 4), 4096, 0},
		"of 128 bytes": {g3(t).with(files{"sf-manifest.bin": dualFile("SFM1", 128, 7, 0, 4)}),
			dualFile("AKW1", 128, 1, 4, 0), dualFile("SFM1", 128, 8, 4, 4), 64, 0},
		"G2": {g2(t), append(oldWatermark(4), make([]byte, 48)...), nil, 0, 0},
	} {
		mem := c.files.mem(t)
		f := openForeign(t, vfstest.Wrap(mem, func(op vfstest.Op) error {
			if op.Kind == vfstest.OpRemove {
				return syscall.EIO
			}
			return nil
		}))
		do(t, settleAll(f))
		if err := f.Close(); !errors.Is(err, syscall.EIO) || !f.LockReleased() {
			t.Errorf("%s: %v", name, err)
		}
		left := mem.CrashLost()
		if ack := append(read(t, left, ".ack-watermark"), make([]byte, 48)...); !bytes.Equal(later(ack, c.ackAt), later(c.ack, c.ackAt)) {
			t.Errorf("%s: watermark %x, want %x", name, later(ack, c.ackAt), later(c.ack, c.ackAt))
		}
		if c.man == nil {
			continue
		}
		if man := read(t, left, "sf-manifest.bin"); len(man) != len(c.man) || !bytes.Equal(later(man, c.at), later(c.man, c.at)) {
			t.Errorf("%s: manifest %x", name, later(man, c.at))
		}
	}
}

// noLoss allows frames to be sent again.
func noLoss(state *vfstest.Mem) error {
	_, err := drainForeign(state)
	return err
}

// TestEveryCrashOfAForeignDrainLosesNothing cuts the power anywhere: what was not
// settled is found, and what is found is what was there.
func TestEveryCrashOfAForeignDrainLosesNothing(t *testing.T) {
	mem := g3(t).mem(t)
	settled := 0
	fsys := vfstest.Wrap(mem, func(op vfstest.Op) error {
		if t.Failed() || op.Kind == vfstest.OpRead || op.N%thin != 0 {
			return nil
		}
		for i, state := range crashStates(mem, op.N, 4) {
			f, err := slot.OpenForeign(foreignOptions(state))
			if err != nil {
				t.Fatalf("crash before %s %s, state %d: %v", op.Kind, op.Path, i, err)
			}
			rows, err := foreignRows(f)
			from := len(g3Rows) - len(rows)
			if err != nil || from > settled || !slices.Equal(rows, g3Rows[max(0, from):]) {
				t.Errorf("crash before %s %s with %d settled, state %d: %q, %v", op.Kind, op.Path, settled, i, rows, err)
			}
			balanced(t, f.Stats())
			do(t, f.Close())
		}
		return nil
	})
	f := openForeign(t, fsys)
	for fsn, rows := range []int{2, 1, 2, 1} {
		settled++
		do(t, f.Settle(slot.FSN(fsn), rows, slot.Acked))
	}
	do(t, f.Close())
}

// TestForeignErrorAtEveryCallLosesNothing fails each call once, and all from
// there on. The disk being at fault is never taken for damage.
func TestForeignErrorAtEveryCallLosesNothing(t *testing.T) {
	for name, list := range foreignSlots(t) {
		for _, bad := range []error{syscall.EIO, syscall.ENOSPC} {
			for _, forever := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/forever=%t", name, bad, forever), func(t *testing.T) {
					want, at := list.mem(t), int64(1)
					rows, err := foreignRows(openForeign(t, want))
					do(t, err)
					for ; foreignErrorAt(t, list, rows, fault{at: at, forever: forever, err: bad}); at += thin {
						if t.Failed() {
							return
						}
					}
					t.Logf("%d calls", at)
				})
			}
		}
	}
}

func foreignErrorAt(t *testing.T, list files, want []string, f fault) (reached bool) {
	t.Helper()
	mem := list.mem(t)
	settled, err := drainForeign(vfstest.Wrap(mem, f.hook))
	f.healed = true
	var wound *slot.DamageError
	if errors.As(err, &wound) {
		t.Errorf("%v at call %d: %v", f.err, f.at, err)
	}
	if f.reached && f.forever && err == nil {
		t.Errorf("%v from call %d on, and no error", f.err, f.at)
	}
	for i, state := range crashStates(mem, f.at, 2) {
		s, err := slot.OpenForeign(foreignOptions(state))
		if err != nil {
			t.Errorf("%v at call %d, state %d: %v", f.err, f.at, i, err)
			continue
		}
		rows, err := foreignRows(s)
		from := len(want) - len(rows)
		if err != nil || from < 0 || from > settled || !slices.Equal(rows, want[from:]) {
			t.Errorf("%v at call %d, state %d: %q, %v", f.err, f.at, i, rows, err)
		}
		if err := errors.Join(settleAll(s), s.Close()); err != nil {
			t.Errorf("%v at call %d, state %d: %v", f.err, f.at, i, err)
		}
	}
	return f.reached
}

func TestForeignOpenThatCannotReadChangesNothing(t *testing.T) {
	list := g3(t)
	for at := int64(1); ; at++ {
		mem := list.mem(t)
		before := snapshot(t, mem)
		failed := false
		f, err := slot.OpenForeign(foreignOptions(vfstest.Wrap(mem, func(op vfstest.Op) error {
			switch op.Kind {
			case vfstest.OpRead, vfstest.OpReadDir, vfstest.OpStat, vfstest.OpSize:
				if op.N == at {
					failed = true
					return syscall.EIO
				}
			}
			return nil
		})))
		if err == nil {
			do(t, f.Close())
			if at > 100 {
				return
			}
			continue
		}
		after := snapshot(t, mem)
		delete(after, ".qsf-state") // which is ours
		before[".lock.pid"] = after[".lock.pid"]
		if !failed || !errors.Is(err, syscall.EIO) || !maps.Equal(before, after) {
			t.Errorf("call %d: %v, files %v", at, err, names(t, mem))
		}
	}
}
