// SPDX-License-Identifier: MIT

package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
)

// wound damages a file of the store, of which only the first used bytes mean
// anything. It returns the new content and the bytes from ≤ i < to that are not what
// they were.
type wound func(file []byte, used int) (damaged []byte, from, to int)

// wounds are the damages of the baseline, at the places where they hurt: its buffer
// files end with their last record, our files are preallocated and end with zeros.
var wounds = []struct {
	name string
	do   wound
}{
	{"s5trunc cut 10 bytes before the end of the last frame", func(file []byte, used int) ([]byte, int, int) {
		return file[:used-10], used - 10, used
	}},
	{"s5flip one bit flipped at 90 %", func(file []byte, used int) ([]byte, int, int) {
		at := used * 9 / 10
		file[at] ^= 1
		return file, at, at + 1
	}},
	{"s5garbage 37 random bytes behind the last frame", func(file []byte, used int) ([]byte, int, int) {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 37 {
			file[used+i] = byte(r.Uint32() | 1)
		}
		return file, used, used
	}},
	{"s5zero last 300 bytes are zeros", func(file []byte, used int) ([]byte, int, int) {
		clear(file[used-300 : used])
		return file, used - 300, used
	}},
	{"s5first one bit flipped in the first byte", func(file []byte, used int) ([]byte, int, int) {
		file[0] ^= 1
		return file, 0, 1
	}},
}

// woundedSegment damages the segment that the rows of a backlog are in: exactly the
// rows of frames that were hit are lost.
func woundedSegment(do wound) func(b *lossBed) {
	return func(b *lossBed) {
		b.woundedBacklog(func(slot string) {
			file := fullest(b, slot)
			data := must(os.ReadFile(file))(b)
			frames := framesOf(b, data)
			damaged, from, to := do(data, frames[len(frames)-1].end)
			for _, f := range frames {
				if from < f.end && f.start < to {
					b.missing = append(b.missing, f.ids...)
				}
			}
			check(b, os.WriteFile(file, damaged, 0o600))
		})
	}
}

// woundedState damages the notes of the slot: no row is lost, nor is any sent twice
// that was not on its way.
func woundedState(do wound) func(b *lossBed) {
	return func(b *lossBed) {
		b.woundedBacklog(func(slot string) {
			file := filepath.Join(slot, ".qsf-state")
			data := must(os.ReadFile(file))(b)
			const noted = 8192 // two records: summaries stand behind them
			damaged, _, _ := do(data, noted)
			check(b, os.WriteFile(file, damaged, 0o600))
		})
	}
}

// woundedBacklog lets Telegraf start on a backlog of which something was damaged.
func (b *lossBed) woundedBacklog(damage func(slot string)) {
	b.end(b.backlog(5000))
	damage(filepath.Join(b.sf, "default-0"))
	slices.Sort(b.missing)
	b.up()
	a := b.start()
	b.drained()
	b.end(a)
}

// booked fails unless the store counts as lost what is missing, with a receipt.
func (b *lossBed) booked(o *outcome) {
	b.Helper()
	if lost := o.books.Quarantined + o.books.Unknown; lost != int64(len(b.missing)) {
		b.Errorf("the books say that %d rows were lost in wounds, %d are missing", lost, len(b.missing))
	}
	receipts := must(filepath.Glob(filepath.Join(b.sf, "*", "incident-*.json")))(b)
	told := strings.Contains(strings.Join(o.told, ""), "damage in a slot")
	if told != (len(receipts) > 0) || len(b.missing) > 0 && !told {
		b.Errorf("%d rows missing, %d receipts, told of damage: %v", len(b.missing), len(receipts), told)
	}
}

// fullest returns the segment file with most in it.
func fullest(b testing.TB, slot string) (file string) {
	most := 0
	for _, name := range must(fs.Glob(os.DirFS(slot), "*.sfa"))(b) {
		data := must(os.ReadFile(filepath.Join(slot, name)))(b)
		if n := len(bytes.TrimRight(data, "\x00")); n > most {
			file, most = filepath.Join(slot, name), n
		}
	}
	return file
}

// storedFrame is a frame in a segment: its place, and the ids of its rows.
type storedFrame struct {
	start, end int
	ids        []int64
}

// framesOf reads a segment by its format, not as the product does.
func framesOf(b testing.TB, segment []byte) (list []storedFrame) {
	b.Helper()
	const header, head = 24, 8
	for at := header; at+head <= len(segment); {
		n := int(binary.LittleEndian.Uint32(segment[at+4:]))
		if n == 0 {
			break
		}
		f := storedFrame{start: at, end: at + head + n}
		f.ids = idsOf(b, segment[at+head:f.end])
		list, at = append(list, f), f.end
	}
	if len(list) < 3 {
		b.Fatalf("%d frames: a wound in one of them shows nothing", len(list))
	}
	return list
}

func idsOf(b testing.TB, message []byte) (ids []int64) {
	b.Helper()
	var v qwp.View
	var row qwp.Row
	check(b, v.Parse(message, nil))
	for i := range v.Tables() {
		t := &v.Tables()[i]
		for r := range t.All(0, t.Rows, &row) {
			for _, c := range r.Cells {
				if c.Name == gen.RowID {
					ids = append(ids, c.Int())
				}
			}
		}
	}
	return ids
}

// woundCases are the wounds, in a segment and in the notes of a slot.
func woundCases() (list []lossCase) {
	for _, w := range wounds {
		list = append(list,
			lossCase{name: w.name, play: woundedSegment(w.do), judge: (*lossBed).booked},
			lossCase{name: fmt.Sprint(w.name, ", of .qsf-state"), play: woundedState(w.do), judge: (*lossBed).booked})
	}
	return list
}
