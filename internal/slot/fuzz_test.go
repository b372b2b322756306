// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// FuzzRecover takes any bytes as a segment file: whatever they are, Open neither
// panics nor claims a frame whose checksum does not match, what it accepts it
// accepts again, and only another generation of the format is refused.
func FuzzRecover(f *testing.F) {
	java, err := hex.DecodeString(javaSegment)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(java)
	f.Add(segment{frames: payloads(0, 3, 50)}.bytes())
	torn := segment{base: 7, frames: payloads(0, 3, 50)}.bytes()
	clear(torn[170:])
	f.Add(torn)
	wound := segment{frames: payloads(0, 3, 50)}.bytes()
	wound[90] ^= 1
	f.Add(wound)
	f.Add(segment{flags: 1}.bytes())
	f.Add([]byte("SF01"))
	f.Add([]byte{})
	f.Add(append(segment{}.bytes()[:24], bytes.Repeat([]byte("\x00\x00\x00\x00\x10\x00\x00\x00QWP1"), 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		mem := newMem()
		write(t, mem, "sf-initial.sfa", b)
		s, err := slot.Open(options(mem))
		if err != nil {
			if foreign := (*slot.ForeignError)(nil); !errors.As(err, &foreign) {
				t.Fatal(err)
			}
			if !bytes.Equal(read(t, mem, "sf-initial.sfa"), b) {
				t.Fatal("refused, and changed")
			}
			return
		}
		if st := s.Stats(); st.Accepted != st.Pending+st.Quarantined+st.Unknown {
			t.Fatalf("the ledger does not balance: %+v", st)
		}
		first := frames(t, s)
		for _, p := range first {
			if !bytes.Contains(b, record(p)) {
				t.Fatalf("frame %x does not stand in the file", p)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, options(mem))
		if again := frames(t, s); len(again) != len(first) {
			t.Fatalf("%d frames, then %d", len(first), len(again))
		}
	})
}

// refused checks that an error is one of those that OpenForeign may have for bytes.
func refused(t *testing.T, err error) {
	t.Helper()
	var wound *slot.DamageError
	var foreign *slot.ForeignError
	if !errors.As(err, &wound) && !errors.As(err, &foreign) {
		t.Fatal(err)
	}
}

func frames(t *testing.T, s *slot.Slot) [][]byte {
	t.Helper()
	var list [][]byte
	for c := s.NewCursor(); ; {
		e, ok, err := c.Next()
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return list
		}
		list = append(list, bytes.Clone(e.Bytes))
	}
}

// FuzzState takes any bytes as .qsf-state beside a slot with frames: none of
// them may be lost to it.
func FuzzState(f *testing.F) {
	f.Add([]byte{}, uint8(0))
	f.Add(read(f, closed(f, 3), ".qsf-state"), uint8(0))
	f.Add(bytes.Repeat([]byte("QSF1"), 3000), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, seed uint8) {
		mem := newMem()
		write(t, mem, "sf-initial.sfa", segment{base: uint64(seed), created: 99, frames: payloads(0, 3, 50)}.bytes())
		write(t, mem, ".qsf-state", b)
		s, err := slot.Open(options(mem))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(frames(t, s)); n != 3 {
			t.Fatalf("%d frames of 3", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
