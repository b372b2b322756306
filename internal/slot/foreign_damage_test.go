// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// edited returns a copy of a file of list.
func (list files) edited(name string, change func(b []byte) []byte) files {
	return list.with(files{name: change(slices.Clone(list[name]))})
}

func flip(at int) func(b []byte) []byte {
	return func(b []byte) []byte { b[at] ^= 1; return b }
}

func TestForeignDamageIsToldAndNothingChanges(t *testing.T) {
	const first, second, third = "sf-000000000000000b.sfa", "sf-000000000000000a.sfa", "sf-000000000000000c.sfa"
	w := newWriter(t)
	for name, c := range map[string]struct {
		files  files
		fsn    slot.FSN
		reason string
	}{
		"flag without a manifest":                     {g3(t).with(files{"sf-manifest.bin": nil}), 0, "sf-manifest.bin"},
		"flag and a manifest of zeros":                {g3(t).with(files{"sf-manifest.bin": make([]byte, 8192)}), 0, "sf-manifest.bin"},
		"flag and a short manifest":                   {g3(t).with(files{"sf-manifest.bin": manifest(0, 4)[:4097]}), 0, "sf-manifest.bin"},
		"the head is missing":                         {g3(t).with(files{first: nil}), 0, "missing"},
		"a gap":                                       {g3(t).with(files{second: nil}), 2, "gap"},
		"the active is missing":                       {g3(t).with(files{third: nil}), 4, "missing"},
		"rotated, and it is missing":                  {g3(t).with(files{"sf-000000000000000d.sfa": nil, "sf-manifest.bin": manifest(0, 5)}), 5, "missing"},
		"everything is missing":                       {files{"sf-manifest.bin": manifest(0, 4), ".symbol-dict": w.dict}, 0, "missing"},
		"behind the active":                           {g3(t).with(files{"sf-manifest.bin": manifest(0, 2)}), 4, "behind the active"},
		"over the head":                               {g3(t).with(files{"sf-manifest.bin": manifest(1, 4)}), 1, "over the head"},
		"a gap of G2":                                 {g2(t).with(files{second: nil}), 2, "gap"},
		"an overlap of G2":                            {g2(t).with(files{"sf-00000000000000aa.sfa": g2(t)[second]}), 4, "overlap"},
		"a torn tail before the last":                 {g3(t).edited(first, func(b []byte) []byte { b[4000] = 1; return b }), 2, "another segment follows"},
		"a flipped byte in a segment before the last": {g3(t).edited(first, flip(70)), 0, "frame follows"},
		"a flipped byte before a frame of the last":   {g2(t).edited(third, func(b []byte) []byte { return wounded(b) }), 4, "frame follows"},
		"a torn segment behind a gap": {g2(t).with(files{
			"sf-00000000000000aa.sfa": append(segment{base: 9}.bytes()[:24], "\x01\x02\x03\x04\xff\x00\x00\x00torn"...)}), 5, "gap"},
		"no header": {g3(t).with(files{"sf-00000000000000aa.sfa": []byte("these are not the bytes of a segment")}), -1, "SF01"},
	} {
		t.Run(name, func(t *testing.T) {
			mem := c.files.mem(t)
			before := snapshot(t, mem)
			var wound *slot.DamageError
			_, err := slot.OpenForeign(foreignOptions(mem))
			if !errors.As(err, &wound) || wound.FSN != c.fsn || !strings.Contains(wound.Reason, c.reason) {
				t.Fatalf("open: %v", err)
			}
			after := snapshot(t, mem)
			if delete(after, ".lock"); !maps.Equal(before, mapWithout(after, before, ".lock")) {
				t.Errorf("files changed: %v", names(t, mem))
			}
		})
	}
}

// mapWithout puts back what was there under a name that does not count.
func mapWithout(after, before map[string]string, name string) map[string]string {
	if b, ok := before[name]; ok {
		after[name] = b
	}
	return after
}

// wounded flips a byte of the only frame and puts a whole one behind it.
func wounded(b []byte) []byte {
	end := bytes.LastIndexFunc(b, func(r rune) bool { return r != 0 }) + 1
	copy(b[end+16:], record(payload(1, 1, 40)))
	b[40] ^= 1
	return b
}

func TestForeignGenerationThatIsNotKnownIsLeftAlone(t *testing.T) {
	for name, at := range map[string]int{"version": 4, "flag": 5, "reserved": 6} {
		list := g3(t).edited("sf-000000000000000a.sfa", func(b []byte) []byte { b[at] |= 0x40; return b })
		mem := list.mem(t)
		before := snapshot(t, mem)
		var foreign *slot.ForeignError
		if _, err := slot.OpenForeign(foreignOptions(mem)); !errors.As(err, &foreign) {
			t.Errorf("%s: %v", name, err)
		}
		if !maps.Equal(before, snapshot(t, mem)) {
			t.Errorf("%s: files changed", name)
		}
	}
}

func TestForeignDictionaryIsMendedByTheFrames(t *testing.T) {
	whole := g3(t)[".symbol-dict"]
	head := len("SYD1") + 4
	for name, dict := range map[string][]byte{
		"whole": whole, "missing": nil, "empty": {}, "no chunk": whole[:head],
		"torn in a chunk":       whole[:head+9],
		"torn behind a chunk":   whole[:head+2+4+4],
		"a zero tail":           append(slices.Clone(whole), make([]byte, 5000)...),
		"a flipped byte":        flip(head + 13)(slices.Clone(whole)),
		"another magic":         flip(0)(slices.Clone(whole)),
		"another version":       flip(4)(slices.Clone(whole)),
		"a length beyond it":    append(slices.Clone(whole[:head]), 1, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"a varint that is none": append(slices.Clone(whole[:head]), bytes.Repeat([]byte{0xff}, 40)...),
		"entries that do not fill": append(slices.Clone(whole[:head]), func() []byte {
			b := append([]byte{1, 3}, "\x01ab"...)
			return append(b, le32(sum(b))...)
		}()...),
	} {
		t.Run(name, func(t *testing.T) {
			f := openForeign(t, g3(t).with(files{".symbol-dict": dict}).mem(t))
			wantRows(t, f, g3Rows...)
			if st := f.Stats(); st.Accepted != 9 || st.Pending != 9 {
				t.Errorf("%+v", st)
			}
		})
	}
}

func le32(n uint32) []byte { return []byte{byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)} }

func TestForeignFramesThatNeedLostSymbolsAreUnreplayable(t *testing.T) {
	trimmed := g3(t).with(files{
		"sf-000000000000000b.sfa": nil, "sf-manifest.bin": manifest(2, 4), ".symbol-dict": nil,
	})
	mem := trimmed.mem(t)
	before := snapshot(t, mem)
	var wound *slot.DamageError
	_, err := slot.OpenForeign(foreignOptions(mem))
	if !errors.As(err, &wound) || wound.FSN != 2 || !strings.Contains(wound.Reason, "unreplayable") || !strings.HasSuffix(wound.Path, "a.sfa") {
		t.Fatalf("open: %v", err)
	}
	if !maps.Equal(before, snapshot(t, mem)) {
		t.Error("files changed")
	}
	t.Run("settled frames do not count", func(t *testing.T) {
		wantRows(t, openForeign(t, trimmed.with(files{".ack-watermark": watermark(4)}).mem(t)))
	})
	t.Run("nor does an unfinished tail", func(t *testing.T) {
		w := newWriter(t)
		one := w.full("a")
		w.delta("b")
		list := files{"sf-initial.sfa": segment{frames: [][]byte{one, deferred(w.delta("c"))}}.bytes(), ".symbol-dict": chunk("a")}
		wantRows(t, openForeign(t, list.mem(t)), "0: 0=a")
	})
}

func TestForeignDictionaryOfAnotherSlotIsNoticed(t *testing.T) {
	stale := append(slices.Clone(newWriter(t).dict), chunk("x", "y", "z", "q", "r")...)
	var wound *slot.DamageError
	_, err := slot.OpenForeign(foreignOptions(g2(t).with(files{".symbol-dict": stale}).mem(t)))
	if !errors.As(err, &wound) || wound.FSN != 1 || !strings.Contains(wound.Reason, "otherwise") {
		t.Errorf("open: %v", err)
	}
}

func TestForeignFramesWithoutSymbolsNeedNoDictionary(t *testing.T) {
	w := newWriter(t)
	w.delta("a", "b")
	frames := [][]byte{w.bare(), w.bare(), w.full("c")}
	f := openForeign(t, files{"sf-initial.sfa": segment{base: 1, frames: frames}.bytes(), ".symbol-dict": {}}.mem(t))
	wantRows(t, f, "1: 2", "2: 3", "3: 4=c")
	if st := f.Stats(); st.Accepted != 3 {
		t.Errorf("%+v", st)
	}
}

// TestForeignFramesOfSeveralProcessesAreMixed has frames of two processes that
// repeated their dictionaries, and of a third that went on from the first with
// new strings alone.
func TestForeignFramesOfSeveralProcessesAreMixed(t *testing.T) {
	one, two := newWriter(t), newWriter(t)
	two.next = 100
	frames := [][]byte{one.full("a", "b"), one.full("c"), two.full("x"), two.full("y", "x")}
	frames = append(frames, one.delta("d", "a"), one.delta("b", "d"), one.full("e", "a"), one.delta("f", "e"))
	want := []string{"0: 0=a 1=b", "1: 2=c", "2: 100=x", "3: 101=y 102=x", "4: 3=d 4=a", "5: 5=b 6=d", "6: 7=e 8=a", "7: 9=f 10=e"}
	for name, dict := range map[string][]byte{
		"rebuilt by the frames": nil,
		"rebuilt by the client": slices.Concat(newWriter(t).dict, chunk("a", "b", "c"), chunk("d"), chunk("e"), chunk("f")),
	} {
		t.Run(name, func(t *testing.T) {
			wantRows(t, openForeign(t, files{"sf-initial.sfa": segment{frames: frames}.bytes(), ".symbol-dict": dict}.mem(t)), want...)
		})
	}
}

func TestForeignFrameThatIsNoMessageIsReadAndNotCounted(t *testing.T) {
	w := newWriter(t)
	list := files{"sf-initial.sfa": segment{frames: [][]byte{deferred(w.full("a")), payload(1, 1, 50), w.full("b")}}.bytes()}
	f := openForeign(t, list.mem(t))
	if st := f.Stats(); st.PendingFrames != 3 || st.Pending != 2 || st.Accepted != 2 {
		t.Errorf("%+v", st)
	}
}
