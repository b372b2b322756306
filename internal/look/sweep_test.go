// SPDX-License-Identifier: MIT

package look_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/look"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

const (
	store = "/sf"
	name  = "box-0"
	aim   = "http://questdb:9000\n"
)

// patient is a small slot, and the records in it as they stand on disk.
type patient struct {
	files   map[string][]byte
	records [][]byte
}

// message is one row in a frame of its own.
func message(t testing.TB, id int64, size int) slot.Frame {
	t.Helper()
	var r qwp.Row
	r.Reset("t")
	r.Long("id", id)
	r.Varchar("fill", strings.Repeat("x", size))
	r.At(1700000000000000 + id)
	b := qwp.NewBuilder(1 << 20)
	do(t, b.Add(&r))
	i := b.Info()
	return slot.Frame{Bytes: b.AppendFrame(nil), Rows: i.Rows, MinTime: i.MinTime, MaxTime: i.MaxTime, HasTime: i.HasTime}
}

func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func options(mem *vfstest.Mem) slot.Options {
	return slot.Options{
		FS: mem, Dir: filepath.Join(store, name), SegmentBytes: 4096, MaxBytes: 8 * 4096, Durability: slot.Flush, Target: aim,
		Now: func() time.Time { return time.UnixMicro(1795364204056942) },
	}
}

// sick builds a slot of a few segments, some of it acked, some settled out of order.
// killed leaves it as the death of the process does.
func sick(t testing.TB, killed bool) *patient {
	t.Helper()
	mem := vfstest.NewMem()
	s, err := slot.Open(options(mem))
	do(t, err)
	p := &patient{files: map[string][]byte{}}
	for id := range int64(14) {
		f := message(t, id, 300+int(id%5)*200)
		do(t, s.Put(t.Context(), f))
		// A record is the CRC of the rest, the length of the frame, and the frame.
		rec := append(binary.LittleEndian.AppendUint32(nil, uint32(len(f.Bytes))), f.Bytes...)
		sum := crc32.Checksum(rec, crc32.MakeTable(crc32.Castagnoli))
		p.records = append(p.records, append(binary.LittleEndian.AppendUint32(nil, sum), rec...))
	}
	for _, fsn := range []slot.FSN{0, 1, 3, 6, 10, 12} {
		do(t, s.Settle(fsn, 1, slot.Acked))
	}
	left := mem
	if killed {
		left = mem.CrashKept()
	}
	do(t, s.Close())
	p.files = filesOf(t, left)
	if len(p.files) < 6 {
		t.Fatalf("files %v", slices.Sorted(maps.Keys(p.files)))
	}
	return p
}

func filesOf(t testing.TB, mem *vfstest.Mem) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	entries, err := mem.ReadDir(filepath.Join(store, name))
	do(t, err)
	for _, e := range entries {
		f, err := mem.OpenFile(filepath.Join(store, name, e.Name()), os.O_RDONLY, 0)
		do(t, err)
		size, err := f.Size()
		do(t, err)
		b := make([]byte, size)
		if size > 0 {
			_, err = f.ReadAt(b, 0)
			do(t, err)
		}
		do(t, f.Close())
		all[e.Name()] = b
	}
	return all
}

// with returns the slot with its files changed, and those files.
func (p *patient) with(t testing.TB, change func(files map[string][]byte)) (*vfstest.Mem, map[string][]byte) {
	t.Helper()
	files := map[string][]byte{}
	for name, b := range p.files {
		files[name] = bytes.Clone(b)
	}
	change(files)
	mem := vfstest.NewMem()
	do(t, mem.MkdirAll(filepath.Join(store, name), 0o700))
	for file, b := range files {
		f, err := mem.OpenFile(filepath.Join(store, name, file), os.O_RDWR|os.O_CREATE, 0o600)
		do(t, err)
		do(t, f.Truncate(int64(len(b))))
		if len(b) > 0 {
			_, err = f.WriteAt(b, 0)
			do(t, err)
		}
		do(t, f.Close())
	}
	return mem, files
}

// harms damage the slot in a thousand ways: a byte here and there in every file, files
// that are cut, zeroed, missing, doubled, swapped.
func (p *patient) harms(step int) map[string]func(files map[string][]byte) {
	list := map[string]func(files map[string][]byte){"none": func(map[string][]byte) {}}
	sorted := slices.Sorted(maps.Keys(p.files))
	for i, name := range sorted {
		list[name+" missing"] = func(files map[string][]byte) { delete(files, name) }
		list[name+" twice"] = func(files map[string][]byte) { files["sf-00000000000000ff.sfa"] = files[name] }
		if other := sorted[(i+1)%len(sorted)]; strings.HasSuffix(name, ".sfa") && strings.HasSuffix(other, ".sfa") {
			list[name+" swapped"] = func(files map[string][]byte) { files[name], files[other] = files[other], files[name] }
		}
		for at := 0; at < len(p.files[name]); at += step {
			for _, mask := range []byte{1, 0xff} {
				list[fmt.Sprintf("%s[%d]^%02x", name, at, mask)] = func(files map[string][]byte) { files[name][at] ^= mask }
			}
			list[fmt.Sprintf("%s cut at %d", name, at)] = func(files map[string][]byte) { files[name] = files[name][:at] }
			list[fmt.Sprintf("%s zeroed at %d", name, at)] = func(files map[string][]byte) {
				clear(files[name][at:min(at+512, len(files[name]))])
			}
		}
	}
	return list
}

// sound says whether every record that stood in a file still stands there.
func (p *patient) sound(files map[string][]byte) bool {
	for _, rec := range p.records {
		for name, was := range p.files {
			if at := bytes.Index(was, rec); at >= 0 && strings.HasSuffix(name, ".sfa") &&
				!bytes.HasPrefix(files[name][min(at, len(files[name])):], rec) {
				return false
			}
		}
	}
	return true
}

// has says whether every record that stood in a file stands in some file: their names have
// no meaning.
func (p *patient) has(files map[string][]byte) bool {
	in := func(files map[string][]byte, rec []byte) bool {
		for name, b := range files {
			if strings.HasSuffix(name, ".sfa") && bytes.Contains(b, rec) {
				return true
			}
		}
		return false
	}
	return !slices.ContainsFunc(p.records, func(rec []byte) bool { return in(p.files, rec) && !in(files, rec) })
}

// diagnose compares the grade that Verify gives with what the slot finds when it is opened
// and read.
func (p *patient) diagnose(t testing.TB, change func(map[string][]byte)) error {
	mem, files := p.with(t, change)
	v, err := look.Store{FS: mem, Dir: store, Target: aim}.Verify(t.Context(), nil)
	if err != nil || v.Unread > 0 || len(v.Slots) != 1 {
		return fmt.Errorf("%w: %+v", err, v)
	}
	if now := filesOf(t, mem); !maps.EqualFunc(files, now, bytes.Equal) {
		return errors.New("it was changed by looking at it")
	}
	o, told := options(mem), 0
	o.OnIncident = func(slot.Incident) { told++ }
	s, err := slot.Open(o)
	if foreign := (*slot.ForeignError)(nil); errors.As(err, &foreign) {
		if v.Slots[0].Foreign == "" {
			return fmt.Errorf("open says %w, grade %s", err, v.Grade)
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer s.Close()
	found := s.Stats().Recovered
	c := s.NewCursor()
	defer c.Close()
	for ok := true; ok; {
		if _, ok, err = c.Next(); err != nil {
			return err
		}
	}
	mends := found.TornBytes > 0 || found.MissingFrames > 0 || found.WatermarkReset || found.LedgerMoved != 0 && v.Slots[0].Closed || len(found.Quarantined) > 0
	switch {
	case told > 0 && v.Grade != slot.Wounded:
		return fmt.Errorf("the slot tells of %d wounds, the grade is %s: %+v", told, v.Grade, v.Slots)
	case told == 0 && v.Grade == slot.Wounded && p.sound(files):
		return fmt.Errorf("the slot finds no wound, the grade is %s: %+v", v.Grade, v.Slots)
	case mends && v.Grade == slot.Clean:
		return fmt.Errorf("the slot mends something, the grade is clean: %+v", found)
	case v.Grade == slot.Clean && !p.has(files):
		return errors.New("a frame is in no file any more, the grade is clean")
	}
	return nil
}

func TestVerifyGradesEveryWoundAsTheSlotItselfDoes(t *testing.T) {
	step := 31
	if testing.Short() {
		step = 499
	}
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed=%t", killed), func(t *testing.T) {
			t.Parallel()
			p := sick(t, killed)
			harms := p.harms(step)
			for _, name := range slices.Sorted(maps.Keys(harms)) {
				if err := p.diagnose(t, harms[name]); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			t.Logf("%d cases", len(harms))
		})
	}
}
