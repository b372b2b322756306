// SPDX-License-Identifier: MIT

package slot_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func sum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// writer makes the frames of an official client: one process with one
// dictionary. Each symbol of a frame is one row.
type writer struct {
	testing.TB
	symbols []string // by id
	dict    []byte   // .symbol-dict
	next    int64    // id of the next row
}

func newWriter(t testing.TB) *writer {
	return &writer{TB: t, dict: append([]byte("SYD1"), 1, 0, 0, 0)}
}

// columns returns the block of a frame: a SYMBOL s by its id, and a LONG id.
func (w *writer) columns(ids []int) []byte {
	b := append([]byte{1, 't', byte(len(ids)), 2}, 1, 's', 0x09, 2, 'i', 'd', 0x05)
	if len(ids) == 0 {
		return nil
	}
	b = append(b, 0)
	for _, id := range ids {
		b = binary.AppendUvarint(b, uint64(id))
	}
	b = append(b, 0)
	for range ids {
		b = binary.LittleEndian.AppendUint64(b, uint64(w.next))
		w.next++
	}
	return b
}

// ids gives new symbols their ids, and tells how many there were before.
func (w *writer) ids(symbols []string) (ids []int, before int) {
	before = len(w.symbols)
	for _, s := range symbols {
		id := slices.Index(w.symbols, s)
		if id < 0 {
			id = len(w.symbols)
			w.symbols = append(w.symbols, s)
		}
		ids = append(ids, id)
	}
	return ids, before
}

// delta makes a frame that brings its new symbols alone, and their chunk.
func (w *writer) delta(symbols ...string) []byte {
	ids, before := w.ids(symbols)
	if fresh := w.symbols[before:]; len(fresh) > 0 {
		w.dict = append(w.dict, chunk(fresh...)...)
	}
	return message3(before, w.symbols[before:], w.columns(ids))
}

// full makes a frame that brings all symbols of the process.
func (w *writer) full(symbols ...string) []byte {
	ids, _ := w.ids(symbols)
	return message3(0, w.symbols, w.columns(ids))
}

// bare makes a frame with a row but no symbol.
func (w *writer) bare() []byte {
	b := append([]byte{1, 't', 1, 1}, 2, 'i', 'd', 0x05, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(w.next))
	w.next++
	return message3(len(w.symbols), nil, b)
}

// commit makes a frame without rows.
func (w *writer) commit() []byte { return message3(len(w.symbols), nil, nil) }

func message3(start int, symbols []string, block []byte) []byte {
	b := append([]byte("QWP1"), 1, 0x08, 0, 0, 0, 0, 0, 0)
	if block != nil {
		b[6] = 1
	}
	b = binary.AppendUvarint(b, uint64(start))
	b = binary.AppendUvarint(b, uint64(len(symbols)))
	b = append(append(b, texts(symbols...)...), block...)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)-12))
	return b
}

func texts(symbols ...string) []byte {
	var b []byte
	for _, s := range symbols {
		b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
	}
	return b
}

// chunk is what .symbol-dict gets for the symbols of one frame.
func chunk(symbols ...string) []byte {
	entries := texts(symbols...)
	b := binary.AppendUvarint(nil, uint64(len(symbols)))
	b = append(binary.AppendUvarint(b, uint64(len(entries))), entries...)
	return binary.LittleEndian.AppendUint32(b, sum(b))
}

// deferred sets the flag of a frame that waits for a later one.
func deferred(frame []byte) []byte {
	frame = slices.Clone(frame)
	frame[5] |= 1
	return frame
}

// dualFile is a side file of G3 with one record.
func dualFile(magic string, size int, generation uint64, first, second int64) []byte {
	r := append([]byte(magic), 1, 0, 0, 0)
	r = binary.LittleEndian.AppendUint64(r, generation)
	r = binary.LittleEndian.AppendUint64(r, uint64(first))
	r = binary.LittleEndian.AppendUint64(r, uint64(second))
	r = append(r, make([]byte, 28)...)
	r = binary.LittleEndian.AppendUint32(r, sum(r))
	b := make([]byte, size)
	copy(b[int(generation&1)*size/2:], r)
	return b
}

func manifest(head, active int64) []byte { return dualFile("SFM1", 8192, 1, head, active) }

func watermark(fsn int64) []byte { return dualFile("AKW1", 8192, 1, fsn, 0) }

func oldWatermark(fsn int64) []byte {
	return binary.LittleEndian.AppendUint64([]byte("AKW1\x00\x00\x00\x00"), uint64(fsn))
}

// files are the contents of a directory by name.
type files map[string][]byte

func (list files) mem(t testing.TB) *vfstest.Mem {
	t.Helper()
	mem := newMem()
	for name, b := range list {
		write(t, mem, name, b)
	}
	return mem
}

// with returns a copy with other files; a nil one is left out.
func (list files) with(other files) files {
	all := files{}
	for _, m := range []files{list, other} {
		for name, b := range m {
			if all[name] = b; b == nil {
				delete(all, name)
			}
		}
	}
	return all
}

// g3 is a slot of the newest clients: three segments of two frames, the last of
// one, in the order of time b, a, c by name, and a spare.
func g3(t testing.TB) files {
	w := newWriter(t)
	return files{
		".lock": {}, ".lock.pid": []byte("4711\n"),
		"sf-000000000000000b.sfa": segment{base: 0, flags: 1, frames: [][]byte{w.delta("a", "b"), w.delta("c")}}.bytes(),
		"sf-000000000000000a.sfa": segment{base: 2, flags: 1, frames: [][]byte{w.delta("a", "d"), w.delta("b")}}.bytes(),
		"sf-000000000000000c.sfa": segment{base: 4, flags: 1, frames: [][]byte{w.delta("c", "e", "a")}}.bytes(),
		"sf-000000000000000d.sfa": segment{base: 5, flags: 1}.bytes(),
		".symbol-dict":            w.dict,
		"sf-manifest.bin":         manifest(0, 4),
		".ack-watermark":          make([]byte, 8192),
	}
}

// g3Rows are the rows of g3 by frame.
var g3Rows = []string{"0: 0=a 1=b", "1: 2=c", "2: 3=a 4=d", "3: 5=b", "4: 6=c 7=e 8=a"}

// g2 is the same slot one generation older.
func g2(t testing.TB) files {
	list := g3(t).with(files{"sf-manifest.bin": nil, ".ack-watermark": make([]byte, 16)})
	for name, b := range list {
		if b = slices.Clone(b); len(name) > 20 {
			b[5] = 0
			list[name] = b
		}
	}
	return list
}

func foreignOptions(fsys vfs.FS) slot.Options { return slot.Options{FS: fsys, Dir: dir} }

func openForeign(t testing.TB, fsys vfs.FS) *slot.Foreign {
	t.Helper()
	f, err := slot.OpenForeign(foreignOptions(fsys))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// foreignRows reads what is pending, as g3Rows shows it.
func foreignRows(f *slot.Foreign) ([]string, error) {
	var list []string
	var view qwp.View
	for c := f.NewCursor(); ; {
		e, ok, err := c.Next()
		if err != nil || !ok {
			return list, err
		}
		if err := view.Parse(e.Bytes, e.Dict); err != nil {
			return list, fmt.Errorf("frame %d: %w", e.FSN, err)
		}
		list = append(list, fmt.Sprintf("%d:%s", e.FSN, rowsOf(&view)))
	}
}

func rowsOf(view *qwp.View) string {
	text := ""
	for i := range view.Tables() {
		t := &view.Tables()[i]
		var row qwp.Row
		for r := range t.All(0, t.Rows, &row) {
			symbol, id := "", int64(0)
			for k := range r.Cells {
				if c := &r.Cells[k]; c.Type == qwp.TypeSymbol {
					symbol = "=" + string(c.Text)
				} else {
					id = c.Int()
				}
			}
			text += fmt.Sprintf(" %d%s", id, symbol)
		}
	}
	return text
}

func wantRows(t testing.TB, f *slot.Foreign, want ...string) {
	t.Helper()
	got, err := foreignRows(f)
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("pending %q, want %q, %v", got, want, err)
	}
}

// settleAll settles every pending frame with its rows.
func settleAll(f *slot.Foreign) error {
	_, err := settleCount(f)
	return err
}

// settleCount tells also for how many frames it called Settle.
func settleCount(f *slot.Foreign) (n int, err error) {
	var view qwp.View
	for c := f.NewCursor(); ; n++ {
		e, ok, err := c.Next()
		if err != nil || !ok {
			return n, err
		}
		if err := view.Parse(e.Bytes, e.Dict); err != nil {
			return n, err
		}
		if err := f.Settle(e.FSN, view.Info().Rows, slot.Acked); err != nil {
			return n + 1, err
		}
	}
}
