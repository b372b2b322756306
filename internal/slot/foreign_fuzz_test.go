// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"maps"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// FuzzOpenForeign takes any bytes as the files of a slot: whatever they are,
// OpenForeign neither panics nor changes what it refuses, what it accepts can be
// read to the end, and settled it leaves nothing. With sealed they are payloads,
// and get the checksums that random bytes do not have.
func FuzzOpenForeign(f *testing.F) {
	list := g3(f)
	w := newWriter(f)
	open := segment{base: 4, flags: 1, frames: [][]byte{w.full("a"), deferred(w.full("b"))}}.bytes()
	add := func(list files, last []byte) {
		f.Add(list["sf-000000000000000b.sfa"], last, list["sf-manifest.bin"], list[".symbol-dict"], list[".ack-watermark"], false)
	}
	f.Add(w.delta("c"), w.delta("d", "a"), []byte{0, 2}, texts("a", "b"), []byte{0}, true)
	f.Add(w.full("c"), deferred(w.full("d", "a")), []byte{0, 0}, texts("a", "b"), []byte{}, true)
	f.Add(w.commit(), w.bare(), []byte{}, []byte{}, []byte{1}, true)
	add(list, list["sf-000000000000000c.sfa"])
	add(list.with(files{"sf-manifest.bin": manifest(0, 2)}), list["sf-000000000000000a.sfa"])
	add(list.with(files{"sf-manifest.bin": manifest(4, 4)}), open)
	add(list.with(files{".ack-watermark": watermark(1), ".symbol-dict": {}}), nil)
	add(g2(f), g2(f)["sf-000000000000000a.sfa"])
	add(files{".ack-watermark": oldWatermark(1), ".symbol-dict": []byte("SYD1\x01\x00\x00\x00\x01\x02\xff")}, open)
	f.Fuzz(func(t *testing.T, first, last, man, dict, ack []byte, sealed bool) {
		if sealed {
			first, last, man, dict, ack = seal(first, last, man, dict, ack)
		}
		list := files{"sf-initial.sfa": first, "sf-0000000000000000.sfa": last}
		for name, b := range (files{"sf-manifest.bin": man, ".symbol-dict": dict, ".ack-watermark": ack}) {
			if len(b) > 0 {
				list[name] = b
			}
		}
		mem := list.mem(t)
		before := snapshot(t, mem)
		s, err := slot.OpenForeign(foreignOptions(mem))
		if err != nil {
			refused(t, err)
			after := snapshot(t, mem)
			if delete(after, ".lock"); !maps.Equal(before, after) {
				t.Fatal("refused, and changed")
			}
			return
		}
		settleAny(t, s, append(bytes.Clone(first), last...))
		st := s.Stats()
		balanced(t, st)
		if st.PendingFrames != 0 || st.PendingBytes != 0 {
			t.Fatalf("settled, but %+v", st)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := segments(t, mem); len(got) > 0 {
			t.Fatalf("left %v", got)
		}
	})
}

// seal makes files of what is to stand in them: two frames and the one behind,
// the strings of a dictionary, and numbers.
func seal(first, last, man, dict, ack []byte) (_, _, _, _, _ []byte) {
	flags := byte(0)
	if len(man) > 1 {
		man, flags = manifest(int64(man[0]), int64(man[1])), 1
	}
	if len(ack) > 0 {
		ack = watermark(int64(ack[0]))
	}
	if len(dict) > 0 {
		b := append([]byte{dict[0]}, byte(len(dict)-1))
		b = append(b, dict[1:]...)
		dict = append([]byte("SYD1\x01\x00\x00\x00"), append(b, le32(sum(b))...)...)
	}
	one := segment{flags: flags, frames: [][]byte{first, last}, size: 64 + len(first) + len(last)}
	two := segment{base: 2, flags: flags, frames: [][]byte{last}, size: 64 + len(last)}
	return one.bytes(), two.bytes(), man, dict, ack
}

// settleAny settles all frames, whatever they are, and checks that they stand in
// the files. A frame may be changed only by taking its dictionary away.
func settleAny(t *testing.T, s *slot.Foreign, all []byte) {
	t.Helper()
	for c := s.NewCursor(); ; {
		e, ok, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return
		}
		if e.Dict != nil && !bytes.Contains(all, record(e.Bytes)) {
			t.Fatalf("frame %x does not stand in a file", e.Bytes)
		}
		if err := s.Settle(e.FSN, 0, slot.Acked); err != nil {
			t.Fatal(err)
		}
	}
}
