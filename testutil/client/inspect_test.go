// SPDX-License-Identifier: MIT

package client_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/testutil/client"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// segment is what a .sfa file holds.
type segment struct {
	name   string
	base   int64
	frames [][]byte
}

func (s *segment) end() int64 { return s.base + int64(len(s.frames)) }

// segments reads the segments with frames, in the order of the frames, and the
// spares. It asks that each has the header and the size of generation G3, but for
// a spare that a killed client was still making: nothing or zeros only.
func segments(t testing.TB, dir string) (used, spare []segment) {
	t.Helper()
	for _, name := range files(t, dir) {
		if !strings.HasSuffix(name, ".sfa") {
			continue
		}
		b := read(t, dir, name)
		if len(bytes.Trim(b, "\x00")) == 0 {
			spare = append(spare, segment{name: name})
			continue
		}
		if len(b) != client.SegmentBytes || !bytes.HasPrefix(b, []byte("SF01\x01\x01\x00\x00")) {
			t.Fatalf("%s has %d bytes and begins with % x", name, len(b), b[:min(8, len(b))])
		}
		s := segment{name: name, base: int64(binary.LittleEndian.Uint64(b[8:]))}
		var rest []byte
		if s.frames, rest = frames(b[24:]); len(bytes.Trim(rest, "\x00")) > 0 {
			t.Fatalf("%s has bytes behind its %d frames", name, len(s.frames))
		}
		if len(s.frames) == 0 {
			spare = append(spare, s)
			continue
		}
		used = append(used, s)
	}
	slices.SortFunc(used, func(a, b segment) int { return int(a.base - b.base) })
	return used, spare
}

// frames returns the payloads up to the first record that is none, and the rest.
func frames(b []byte) (all [][]byte, rest []byte) {
	for len(b) >= 8 {
		n := int64(binary.LittleEndian.Uint32(b[4:]))
		if 8+n > int64(len(b)) || crc32.Checksum(b[4:8+n], castagnoli) != binary.LittleEndian.Uint32(b) {
			break
		}
		all, b = append(all, b[8:8+n]), b[8+n:]
	}
	return all, b
}

// newest returns the two numbers behind the generation in the newer record of a
// file with two records, and whether there is a record.
func newest(t testing.TB, dir, name, magic string) (a, b int64, ok bool) {
	t.Helper()
	data := read(t, dir, name)
	if len(data) != 8192 {
		t.Fatalf("%s has %d bytes, want 8192", name, len(data))
	}
	var generation uint64
	for _, r := range [][]byte{data[:64], data[4096:4160]} {
		valid := bytes.HasPrefix(r, []byte(magic+"\x01\x00\x00\x00")) &&
			crc32.Checksum(r[:60], castagnoli) == binary.LittleEndian.Uint32(r[60:])
		if g := binary.LittleEndian.Uint64(r[8:]); valid && g > generation {
			generation, ok = g, true
			a, b = int64(binary.LittleEndian.Uint64(r[16:])), int64(binary.LittleEndian.Uint64(r[24:]))
		}
	}
	return a, b, ok
}

// symbols reads .symbol-dict.
func symbols(t testing.TB, dir string) (all []string) {
	t.Helper()
	b, found := bytes.CutPrefix(read(t, dir, ".symbol-dict"), []byte("SYD1\x01\x00\x00\x00"))
	if !found {
		t.Fatal(".symbol-dict has another header")
	}
	for len(b) > 0 {
		count, k := binary.Uvarint(b)
		size, m := binary.Uvarint(b[k:])
		end := k + m + int(size)
		if crc32.Checksum(b[:end], castagnoli) != binary.LittleEndian.Uint32(b[end:]) {
			t.Fatalf("chunk of .symbol-dict behind %d symbols has a wrong CRC", len(all))
		}
		entries := b[k+m : end]
		for ; count > 0; count-- {
			n, k := binary.Uvarint(entries)
			all = append(all, string(entries[k:k+int(n)]))
			entries = entries[k+int(n):]
		}
		b = b[end+4:]
	}
	return all
}

func read(t testing.TB, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func files(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
