// SPDX-License-Identifier: MIT

package slot

import (
	"bytes"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Inspector tells how many rows a frame has and their span of time in
// microseconds since 1970. An error means that they cannot be counted.
type Inspector func(frame []byte) (rows int, minTime, maxTime int64, hasTime bool, err error)

// scanned is what a walk over a whole segment found.
type scanned struct {
	extent
	firstCRC uint32
	bad      string // why the walk stopped; "" at the end of the file
	torn     int64  // bytes behind the last frame up to the last that is not zero
	// follows is where a whole frame stands behind the place where the walk
	// stopped; 0 if none does. It tells a wound from the tail of a crash.
	follows int64
}

// scan walks a segment file of a size. visit, if given, sees every frame.
func scan(f vfs.File, size int64, visit func(rec record)) (scanned, error) {
	r := reader{ahead: readAhead}
	r.reset(f)
	s := scanned{extent: extent{end: headerSize}}
	for s.end < size {
		rec, err := r.frame(s.end, size)
		if err != nil {
			return s, err
		}
		if rec.bad != "" {
			s.bad = rec.bad
			break
		}
		if s.frames == 0 {
			s.firstCRC = rec.crc
		}
		s.end += rec.size
		s.frames++
		if visit != nil {
			visit(rec)
		}
	}
	return s, s.tail(&r, size)
}

// count adds the rows of a frame; one that cannot be read has none.
func (e *extent) count(frame []byte, inspect Inspector) {
	rows, low, high, ok, err := inspect(frame)
	if err != nil || rows < 0 {
		return
	}
	e.rows += int64(rows)
	e.add(span{min: low, max: high, ok: ok})
}

// tail looks at what is behind the last frame, of which r may have read some.
func (s *scanned) tail(r *reader, size int64) error {
	last, err := r.lastByte(s.end, size)
	if err != nil {
		return err
	}
	if last < 0 {
		return nil
	}
	s.torn = last + 1 - s.end
	s.follows, err = resync(r.f, s.end+1, last+1, size)
	return err
}

// lastByte returns the offset of the last byte in [from, to) that is not zero,
// or -1.
func lastByte(f vfs.File, from, to int64) (int64, error) {
	r := reader{ahead: readAhead}
	r.reset(f)
	return r.lastByte(from, to)
}

func (r *reader) lastByte(from, to int64) (int64, error) {
	last := int64(-1)
	for from < to {
		b, err := r.bytes(from, int(min(readAhead, to-from)), to)
		if err != nil {
			return 0, err
		}
		if i := len(bytes.TrimRight(b, "\x00")); i > 0 {
			last = from + int64(i) - 1
		}
		from += int64(len(b))
	}
	return last, nil
}

var qwpMagic = []byte("QWP1")

// resync looks for a frame that starts at from or later, has the magic of a QWP
// message and a matching checksum; 0 if there is none before to.
func resync(f vfs.File, from, to, size int64) (int64, error) {
	window := reader{ahead: readAhead}
	window.reset(f)
	c := candidates{size: size, budget: 16 * (size + readAhead)}
	c.r.reset(f)
	for at := from + recordHead; at < to; {
		n := min(readAhead, to-at)
		b, err := window.bytes(at, int(n), to)
		if err != nil {
			return 0, err
		}
		if start, err := c.first(b, at); start != 0 || err != nil {
			return start, err
		}
		at += max(1, n-int64(len(qwpMagic))+1) // a magic may lie across two windows
	}
	return 0, nil
}

// candidates checks what looks like a frame. Its work is bounded: bytes that
// look like frames often enough to matter are no torn tail, and count as one.
type candidates struct {
	r      reader
	size   int64
	budget int64
}

// first returns where the first frame with its payload in b stands.
func (c *candidates) first(b []byte, at int64) (int64, error) {
	for i := 0; ; i++ {
		k := bytes.Index(b[i:], qwpMagic)
		if k < 0 {
			return 0, nil
		}
		i += k
		start := at + int64(i) - recordHead
		n, _, bad, err := c.r.length(start, c.size)
		if err != nil {
			return 0, err
		}
		if bad != "" {
			continue
		}
		rec, err := c.r.frame(start, c.size)
		if err != nil {
			return 0, err
		}
		if c.budget -= n; rec.bad == "" || c.budget < 0 {
			return start, nil
		}
	}
}

// walk moves p over the frames of its segment by their record heads, and over
// holes, up to the frame fsn. All of them must be inside a.
func (p *position) walk(r *reader, fsn FSN, a area) error {
	for p.fsn < fsn {
		if h := a.holeAt(p); h != nil {
			p.jump(h)
			continue
		}
		size, crc, bad, err := r.skip(p.off, a.end)
		if err != nil {
			return err
		}
		if bad != "" {
			return &DamageError{Path: r.f.Name(), FSN: p.fsn, Offset: p.off, Reason: bad}
		}
		p.off += size
		p.crc = crc
		p.fsn++
	}
	return nil
}

// position is a place between two frames.
type position struct {
	seg *segment
	off int64
	fsn FSN    // of the frame that begins here
	crc uint32 // of the frame before, when walk came over it
}

func startOf(g *segment) position { return position{seg: g, off: headerSize, fsn: g.base} }
