// SPDX-License-Identifier: MIT

package parcel_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/parcel"
)

func sample(t testing.TB, frames ...string) []byte {
	t.Helper()
	h := parcel.Header{
		Slot: "default-0", Target: "http://db:9000\n", Created: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC),
		Frames: int64(len(frames)), Rows: 3, Bytes: int64(len(strings.Join(frames, ""))),
	}
	var b bytes.Buffer
	w, err := parcel.NewWriter(&b, h)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := w.Add([]byte(f)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func read(b []byte) (list []string, _ error) {
	r, err := parcel.Open(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, err
	}
	for {
		f, err := r.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, string(f))
	}
}

func TestAFileHasTheBytesThatItsFormatSays(t *testing.T) {
	body := "questdb_sf slot export 1\n" +
		`{"slot":"default-0","target":"http://db:9000\n","created":"2026-11-28T12:00:00Z","frames":2,"rows":3,"bytes":5}` + "\n" +
		"\x02\x00\x00\x00ab\x03\x00\x00\x00cde\x00\x00\x00\x00"
	sum := sha256.Sum256([]byte(body))
	if got := sample(t, "ab", "cde"); string(got) != body+string(sum[:]) {
		t.Errorf("%q\n%s", got, hex.EncodeToString(sum[:]))
	}
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	for _, frames := range [][]string{{}, {"ab"}, {"ab", "cde"}, {strings.Repeat("x", 3<<20), "y"}} {
		if got, err := read(sample(t, frames...)); err != nil || strings.Join(got, "|") != strings.Join(frames, "|") {
			t.Errorf("%d frames, %v", len(got), err)
		}
	}
}

func TestEveryByteThatIsHarmedAndEveryCutIsNoticed(t *testing.T) {
	whole := sample(t, "ab", "cde")
	for i := range whole {
		harmed := bytes.Clone(whole)
		harmed[i] ^= 0x10
		if _, err := read(harmed); err == nil {
			t.Errorf("byte %d harmed is not noticed", i)
		}
		if _, err := read(whole[:i]); !errors.As(err, new(*parcel.DamagedError)) {
			t.Errorf("cut at %d: %v", i, err)
		}
	}
	if _, err := read(append(bytes.Clone(whole), 0)); err == nil {
		t.Error("a byte more is not noticed")
	}
}

func TestALaterVersionIsSaidToBeOne(t *testing.T) {
	later := bytes.Replace(sample(t, "ab"), []byte("export 1"), []byte("export 2"), 1)
	if _, err := read(later); err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("%v", err)
	}
}

func TestAWriterThatDoesNotKeepItsWordFails(t *testing.T) {
	w, err := parcel.NewWriter(io.Discard, parcel.Header{Frames: 2, Bytes: 4})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Add([]byte("ab")), w.Add(nil)); err == nil {
		t.Error("a frame without a byte")
	}
	if w.Close() == nil {
		t.Error("a frame is missing")
	}
}

func FuzzNoBytesFromOutsideDoHarm(f *testing.F) {
	f.Add(sample(f, "ab", "cde"))
	f.Add([]byte("questdb_sf slot export 1\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sum := sha256.Sum256(b)
		for _, text := range [][]byte{b, append(bytes.Clone(b), sum[:]...)} {
			if list, err := read(text); err == nil && len(fmt.Sprint(list)) > len(text)+2*len(list)+2 {
				t.Errorf("more than there was")
			}
		}
	})
}
