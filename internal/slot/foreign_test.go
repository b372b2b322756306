// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestForeignFixturesAreByteForByteThoseOfTheClients(t *testing.T) {
	for name, c := range map[string]struct {
		got  []byte
		at   int
		want string
	}{
		"watermark": {watermark(41), 4096, "414b5731" + "01000000" + "0100000000000000" + "2900000000000000" +
			strings.Repeat("00", 36) + "fbeda3de"},
		"manifest": {manifest(0, 0), 4096, "53464d31" + "01000000" + "0100000000000000" + strings.Repeat("00", 44) + "3027a8cb"},
		"chunk":    {chunk("A", "B"), 0, "020401410142" + "da2f6060"},
		"dictionary": {slices.Concat(newWriter(t).dict, chunk("one"), chunk("two", "three")), 0,
			"5359443101000000" + "0104036f6e6589318d70" + "020a0374776f057468726565a2444d7f"},
		"commit": {(&writer{symbols: []string{"a", "b"}}).commit(), 0, "51575031010800000200000002" + "00"},
	} {
		want := unhex(t, c.want)
		if !bytes.Equal(c.got[c.at:c.at+len(want)], want) {
			t.Errorf("%s: %x, want %x", name, c.got[c.at:c.at+len(want)], want)
		}
	}
}

func TestForeignSlotsOfEveryGenerationAreReadInOrder(t *testing.T) {
	w := newWriter(t)
	frames := [][]byte{w.full("a"), w.full("b"), w.full("a", "c")}
	for name, c := range map[string]struct {
		files files
		want  []string
	}{
		"G3": {g3(t), g3Rows},
		"G2": {g2(t), g3Rows},
		"G1": {files{"sf-initial.sfa": segment{frames: frames}.bytes(), ".ack-watermark": make([]byte, 16)},
			[]string{"0: 0=a", "1: 1=b", "2: 2=a 3=c"}},
		"G3 of 128 bytes": {g3(t).with(files{
			"sf-manifest.bin": dualFile("SFM1", 128, 2, 0, 4), ".ack-watermark": dualFile("AKW1", 128, 1, 1, 0),
		}), g3Rows[2:]},
		"G3 partly acked": {g3(t).with(files{".ack-watermark": watermark(2)}), g3Rows[3:]},
		"G3 trimmed": {g3(t).with(files{
			"sf-000000000000000b.sfa": nil, "sf-manifest.bin": manifest(2, 4), ".ack-watermark": watermark(2),
		}), g3Rows[3:]},
		"G3 with a stale segment": {g3(t).with(files{"sf-manifest.bin": manifest(2, 4)}), g3Rows[2:]},
		"G2 partly acked":         {g2(t).with(files{".ack-watermark": oldWatermark(1)}), g3Rows[2:]},
		"all acked":               {g3(t).with(files{".ack-watermark": watermark(4)}), nil},
		"rotated, nothing in it":  {g3(t).with(files{"sf-manifest.bin": manifest(0, 5)}), g3Rows},
		"watermark above the end": {g3(t).with(files{".ack-watermark": watermark(5)}), g3Rows},
		"old watermark above it":  {g2(t).with(files{".ack-watermark": oldWatermark(77)}), g3Rows},
		"drained close, interrupted": {files{
			"sf-manifest.bin": manifest(4, 4), ".symbol-dict": g3(t)[".symbol-dict"], ".ack-watermark": watermark(4),
		}, nil},
		"only a spare": {files{"sf-initial.sfa": segment{}.bytes(), ".symbol-dict": newWriter(t).dict}, nil},
		"nothing":      {files{".lock": {}}, nil},
		"half made files": {g3(t).with(files{
			"sf-00000000000000aa.sfa": make([]byte, 4096), "sf-00000000000000ab.sfa": {}, "sf-00000000000000ac.sfa.corrupt": []byte("x"),
		}), g3Rows},
	} {
		t.Run(name, func(t *testing.T) {
			mem := c.files.mem(t)
			f := openForeign(t, mem)
			wantRows(t, f, c.want...)
			balanced(t, f.Stats())
			do(t, settleAll(f))
			balanced(t, f.Stats())
			if st := f.Stats(); st.Pending != 0 || st.PendingFrames != 0 || st.PendingBytes != 0 || st.Watermark != st.Published {
				t.Errorf("settled, but %+v", st)
			}
			do(t, f.Close())
			got := slices.DeleteFunc(names(t, mem), func(n string) bool { return strings.HasSuffix(n, ".corrupt") })
			if !slices.Equal(got, []string{".lock", ".lock.pid"}) {
				t.Errorf("left: %v", got)
			}
		})
	}
}

func TestForeignSegmentOfTheJavaClientIsRead(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b []byte)
		want   []string
		torn   int64
	}{
		"whole":          {func([]byte) {}, []string{"one", "two-two"}, 0},
		"with its flag":  {func(b []byte) { b[5] = 1 }, []string{"one", "two-two"}, 0},
		"a flipped byte": {func(b []byte) { b[45] ^= 1 }, []string{"one"}, 15},
	} {
		t.Run(name, func(t *testing.T) {
			b := unhex(t, javaSegment)
			c.change(b)
			mem := files{"sf-initial.sfa": b, "sf-manifest.bin": manifest(42, 42)}.mem(t)
			f := openForeign(t, mem)
			var got []string
			for cur := f.NewCursor(); ; {
				e, ok, err := cur.Next()
				do(t, err)
				if !ok {
					break
				}
				got = append(got, string(e.Bytes))
			}
			if st := f.Stats(); !slices.Equal(got, c.want) || st.Watermark != 41 || st.Recovered.TornBytes != c.torn {
				t.Errorf("frames %q, %+v", got, st)
			}
		})
	}
}

func TestForeignFilesDoNotChangeBeforeTheEnd(t *testing.T) {
	list := g3(t).with(files{".target": []byte("http://a\n"), ".ack-watermark": watermark(0)})
	mem := list.mem(t)
	f := openForeign(t, mem)
	wantRows(t, f, g3Rows[1:]...)
	do(t, f.Settle(1, 1, slot.Acked))
	do(t, f.Settle(2, 2, slot.Acked))
	do(t, f.Close())
	left := snapshot(t, mem)
	if _, ok := left[".qsf-state"]; !ok {
		t.Error("no progress was noted")
	}
	delete(left, ".qsf-state")
	delete(left, ".lock.pid")
	for name, b := range list {
		if name != ".lock.pid" && left[name] != string(b) {
			t.Errorf("%s has changed", name)
		}
		delete(left, name)
	}
	if len(left) > 0 {
		t.Errorf("files that were not there: %v", slices.Collect(maps.Keys(left)))
	}
	f = openForeign(t, mem)
	wantRows(t, f, g3Rows[3:]...)
	if st := f.Stats(); st.Accepted != 7 || st.Acked != 3 || st.Pending != 4 || f.Target() != "http://a\n" {
		t.Errorf("%+v", st)
	}
}

func TestForeignProgressNeedsTheFrameItNames(t *testing.T) {
	mem := g3(t).mem(t)
	f := openForeign(t, mem)
	do(t, f.Settle(0, 2, slot.Acked))
	do(t, f.Settle(1, 1, slot.Acked))
	do(t, f.Settle(3, 1, slot.Acked)) // an interval
	do(t, f.Close())
	wantRows(t, openForeign(t, mem.CrashKept()), g3Rows[2], g3Rows[4])

	t.Run("another slot under this name", func(t *testing.T) {
		w := newWriter(t)
		state := read(t, mem, ".qsf-state")
		other := files{
			"sf-initial.sfa": segment{frames: [][]byte{w.delta("x"), w.delta("y"), w.delta("x"), w.delta("z")}}.bytes(),
			".symbol-dict":   w.dict, ".qsf-state": state, ".ack-watermark": oldWatermark(0),
		}.mem(t)
		f := openForeign(t, other)
		wantRows(t, f, "1: 1=y", "2: 2=x", "3: 3=z")
		if !f.Stats().Recovered.WatermarkReset {
			t.Error("it is not said")
		}
	})
	t.Run("its owner went on", func(t *testing.T) {
		write(t, mem, ".ack-watermark", watermark(3))
		wantRows(t, openForeign(t, mem), g3Rows[4])
	})
}

func TestForeignTornTailEndsTheSlot(t *testing.T) {
	list := g3(t)
	b := slices.Clone(list["sf-000000000000000c.sfa"])
	end := bytes.LastIndexFunc(b, func(r rune) bool { return r != 0 }) + 1
	copy(b[end+20:], "what a crash left") // behind a head that is not there
	f := openForeign(t, list.with(files{"sf-000000000000000c.sfa": b}).mem(t))
	wantRows(t, f, g3Rows...)
	if n := f.Stats().Recovered.TornBytes; n == 0 {
		t.Error("the torn bytes are not told")
	}
}

func TestForeignSegmentWithATornFirstFrameIsSetAside(t *testing.T) {
	b := segment{base: 5, flags: 1}.bytes()
	copy(b[24:], "\x01\x02\x03\x04\xff\x00\x00\x00torn")
	mem := g3(t).with(files{"sf-000000000000000d.sfa": b, "sf-manifest.bin": manifest(0, 5)}).mem(t)
	f := openForeign(t, mem)
	wantRows(t, f, g3Rows...)
	do(t, settleAll(f))
	do(t, f.Close())
	if got := read(t, mem, "sf-000000000000000d.sfa.corrupt"); !bytes.Equal(got, b) {
		t.Error("its bytes were not kept")
	}
	if got := segments(t, mem); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestForeignUnfinishedTailIsNeitherSentNorCounted(t *testing.T) {
	w := newWriter(t)
	mem := files{
		"sf-initial.sfa": segment{frames: [][]byte{
			deferred(w.delta("a")), deferred(w.delta("b", "c")), w.commit(), w.delta("a"), deferred(w.delta("d")),
		}}.bytes(),
		"sf-0000000000000000.sfa": segment{base: 5, frames: [][]byte{deferred(w.delta("e", "f"))}}.bytes(),
		".symbol-dict":            w.dict,
	}.mem(t)
	f := openForeign(t, mem)
	wantRows(t, f, "0: 0=a", "1: 1=b 2=c", "2:", "3: 3=a")
	st := f.Stats()
	if u := f.Unfinished(); u != (slot.Unfinished{Frames: 2, Rows: 3}) || st.Accepted != 4 || st.Published != 3 || st.PendingFrames != 4 {
		t.Errorf("unfinished %+v, %+v", u, st)
	}
	do(t, settleAll(f))
	if st := f.Stats(); st.PendingFrames != 0 || st.PendingBytes != 0 {
		t.Errorf("%+v", st)
	}
	do(t, f.Close())
	if got := names(t, mem); !slices.Equal(got, []string{".lock", ".lock.pid"}) {
		t.Errorf("left: %v", got)
	}
}

func TestForeignSlotOfAnUnfinishedGroupAloneIsEmptied(t *testing.T) {
	w := newWriter(t)
	mem := files{"sf-initial.sfa": segment{base: 7, frames: [][]byte{deferred(w.delta("a"))}}.bytes(), ".symbol-dict": w.dict}.mem(t)
	f := openForeign(t, mem)
	wantRows(t, f)
	if u := f.Unfinished(); u.Frames != 1 || f.Stats().Accepted != 0 {
		t.Errorf("unfinished %+v, %+v", u, f.Stats())
	}
	do(t, f.Close())
	if got := segments(t, mem); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestForeignMethodsAreThoseOfASlot(t *testing.T) {
	mem := g3(t).mem(t)
	o := foreignOptions(mem)
	o.Target = "http://ours\n"
	f, err := slot.OpenForeign(o)
	do(t, err)
	if f.Dir() != dir || f.Target() != "http://ours\n" || f.LockReleased() {
		t.Errorf("%q %q %t", f.Dir(), f.Target(), f.LockReleased())
	}
	if _, err := slot.OpenForeign(foreignOptions(mem)); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	for _, bad := range []error{f.Settle(5, 1, slot.Acked), f.Settle(-1, 0, slot.Acked), f.Settle(0, -1, slot.Acked), f.Settle(0, 1, 0)} {
		if bad == nil {
			t.Error("settled what cannot be")
		}
	}
	c := f.NewCursor()
	changed := f.Changed()
	do(t, f.SettleAll([]slot.Done{{FSN: 0, Shares: []slot.Share{{As: slot.Acked, Rows: 1}, {As: slot.DeadLettered, Rows: 1}}}}))
	do(t, f.Settle(0, 2, slot.Acked))
	if st := f.Stats(); st.Acked != 1 || st.DeadLettered != 1 || st.Pending != 7 || st.OldestPendingTime != 1 { // when the segment was made: its rows are older
		t.Errorf("%+v", st)
	}
	do(t, f.Close())
	do(t, f.Close())
	<-changed
	if _, _, err := c.Next(); !errors.Is(err, slot.ErrClosed) || !f.LockReleased() {
		t.Errorf("after Close: %v, released %t", err, f.LockReleased())
	}
	if _, _, err := f.NewCursor().Next(); !errors.Is(err, slot.ErrClosed) {
		t.Errorf("new cursor after Close: %v", err)
	}
	if err := f.Settle(1, 1, slot.Acked); !errors.Is(err, slot.ErrClosed) {
		t.Errorf("Settle after Close: %v", err)
	}
}

func TestForeignSettleAllNotesSeveralFramesOnceOrNone(t *testing.T) {
	writes := 0
	f := openForeign(t, vfstest.Wrap(g3(t).mem(t), func(op vfstest.Op) error {
		if op.Kind == vfstest.OpWrite {
			writes++
		}
		return nil
	}))
	var list []slot.Done
	for fsn, rows := range []int{2, 1, 2, 1} {
		list = append(list, slot.Done{FSN: slot.FSN(fsn), Shares: []slot.Share{{As: slot.Acked, Rows: rows}}})
	}
	writes = 0
	if err := f.SettleAll(append(list, slot.Done{FSN: 5})); err == nil || f.Stats().Acked != 0 || writes != 0 {
		t.Errorf("beyond the end: %v, %+v, %d writes", err, f.Stats(), writes)
	}
	do(t, f.SettleAll(list))
	if st := f.Stats(); st.Acked != 6 || st.Watermark != 3 || st.Pending != 3 || writes != 1 {
		t.Errorf("%+v after %d writes", st, writes)
	}
}

func TestForeignMemoryDoesNotGrowWithTheBacklog(t *testing.T) {
	w := newWriter(t)
	mem := newMem()
	fsn := uint64(0)
	for i := range 40 {
		var frames [][]byte
		for range 20 {
			frames = append(frames, w.delta("a", "b", "c"))
		}
		write(t, mem, "sf-"+strings.Repeat("0", 14)+string("0123456789abcdef"[i/16])+string("0123456789abcdef"[i%16])+".sfa",
			segment{base: fsn, frames: frames, size: 64 << 10}.bytes())
		fsn += 20
	}
	largest := int64(0)
	f := openForeign(t, vfstest.Wrap(mem, func(op vfstest.Op) error {
		if op.Kind == vfstest.OpRead {
			largest = max(largest, op.Len)
		}
		return nil
	}))
	do(t, settleAll(f))
	if st := f.Stats(); st.Acked != 2400 || largest > 64<<10 {
		t.Errorf("largest read %d, %+v", largest, st)
	}
}

func TestForeignCursorsReadWhileFramesAreSettled(t *testing.T) {
	f := openForeign(t, g3(t).mem(t))
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 20 {
				rows, err := foreignRows(f)
				if err != nil || len(rows) > 0 && rows[len(rows)-1] != g3Rows[4] {
					t.Errorf("%q, %v", rows, err)
				}
				balanced(t, f.Stats())
			}
		})
	}
	for fsn := range slot.FSN(4) {
		do(t, f.Settle(fsn, 1, slot.Acked))
	}
	readers.Wait()
}

func TestRecognizeAgreesWithOpen(t *testing.T) {
	for name, c := range map[string]struct {
		files files
		want  bool
	}{
		"G3": {g3(t), true}, "G2": {g2(t), true},
		"G1":      {files{"sf-initial.sfa": segment{frames: payloads(0, 1, 50)}.bytes()}, false},
		"damaged": {files{"sf-initial.sfa": []byte("not a segment at all, but something else")}, false},
		"ours":    {files{}, false},
	} {
		mem := c.files.mem(t)
		do(t, mem.MkdirAll(dir, 0o700))
		got, err := slot.Recognize(mem, dir)
		var foreign *slot.ForeignError
		_, opened := slot.Open(options(mem))
		if got != c.want || err != nil || errors.As(opened, &foreign) != got {
			t.Errorf("%s: %t, %v; open: %v", name, got, err, opened)
		}
	}
	if got, err := slot.Recognize(newMem(), "/nowhere"); got || err != nil {
		t.Errorf("no directory: %t, %v", got, err)
	}
}
