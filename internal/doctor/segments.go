// SPDX-License-Identifier: MIT

package doctor

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// headerSize is that of a segment; where it was created stands at its end, in
// microseconds since 1970: see internal/slot.
const headerSize = 24

// segments returns the bytes of the segment files in the slots, and at what rate the
// store has filled them, in bytes a second: 0 where they are too few to tell. Segments
// that were kept for a rewind tell, too.
func (x *examination) segments() (used int64, rate float64) {
	slots, _ := x.FS.ReadDir(x.Dir)
	for _, s := range slots {
		if !s.IsDir() || strings.HasPrefix(s.Name(), ".") {
			continue
		}
		n, r := x.segmentsOf(filepath.Join(x.Dir, s.Name()))
		used, rate = used+n, rate+r
	}
	return used, rate
}

// segmentsOf is segments for one slot. A segment is created when the one before it gets
// its first frame: by the time that the last was created all but two are full.
func (x *examination) segmentsOf(dir string) (used int64, rate float64) {
	type segment struct {
		created time.Time
		size    int64
	}
	var list []segment
	files, _ := x.FS.ReadDir(dir)
	for _, e := range files {
		if !strings.Contains(e.Name(), ".sfa") || strings.HasSuffix(e.Name(), ".corrupt") {
			continue
		}
		created, size := x.header(filepath.Join(dir, e.Name()))
		if isSegment(e.Name()) {
			used += size
		}
		if !created.IsZero() {
			list = append(list, segment{created, size})
		}
	}
	if len(list) < 3 {
		return used, 0
	}
	slices.SortFunc(list, func(a, b segment) int { return a.created.Compare(b.created) })
	var filled int64
	for _, g := range list[:len(list)-2] {
		filled += g.size
	}
	if took := list[len(list)-1].created.Sub(list[0].created); took >= minTold {
		rate = float64(filled) / took.Seconds()
	}
	return used, rate
}

// minTold is how long segments must have been filled for that to tell a rate.
const minTold = time.Minute

// header returns when a segment with frames was begun, zero if it has none, and the size
// of the file.
func (x *examination) header(name string) (created time.Time, size int64) {
	f, err := x.FS.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return created, 0
	}
	defer func() { _ = f.Close() }()
	size, _ = f.Size()
	b := make([]byte, headerSize+8) // and the length of the first frame
	if n, _ := f.ReadAt(b, 0); n < len(b) || string(b[:4]) != "SF01" || binary.LittleEndian.Uint32(b[headerSize+4:]) == 0 {
		return created, size
	}
	return time.UnixMicro(int64(binary.LittleEndian.Uint64(b[16:]))), size
}
