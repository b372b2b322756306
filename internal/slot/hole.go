// SPDX-License-Identifier: MIT

package slot

import (
	"hash/crc32"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// hole is a place in a segment where frames were that cannot be read. It keeps
// their numbers: what stands behind it is found under the number it had.
type hole struct {
	at, end int64 // its bytes; none where a file is missing or ends early
	fsn     FSN   // of the first frame
	frames  int64
	// sure says that the lengths of the frames can still be read, and prove how many
	// they are. Then crc is what the last of them says is its checksum; else it is that
	// of the bytes.
	sure bool
	crc  uint32
}

// next is the FSN behind the hole.
func (h *hole) next() FSN { return h.fsn + FSN(h.frames) }

// area is the part of a segment that may be read.
type area struct {
	end   int64
	holes []hole // never changed, only replaced
}

func (g *segment) area() area { return area{end: g.end, holes: g.holes} }

// holeAt returns the hole that begins at a place; nil if none does.
func (a area) holeAt(p *position) *hole {
	for i := range a.holes {
		if h := &a.holes[i]; h.at == p.off && h.fsn == p.fsn {
			return h
		}
	}
	return nil
}

// below returns the holes that end at or before an offset.
func (a area) below(end int64) []hole {
	n := 0
	for n < len(a.holes) && a.holes[n].end <= end {
		n++
	}
	return a.holes[:n:n]
}

// jump moves p behind a hole.
func (p *position) jump(h *hole) {
	p.off, p.fsn = h.end, h.next()
	if h.end > h.at {
		p.crc = h.crc
	}
}

// holesHash tells apart how the frames of a segment are numbered.
func (g *segment) holesHash() uint32 {
	b := little.AppendUint64(nil, uint64(g.base))
	b = little.AppendUint64(b, uint64(g.created))
	for _, h := range g.holes {
		for _, n := range []int64{h.at, h.end, int64(h.fsn), h.frames} {
			b = little.AppendUint64(b, uint64(n))
		}
	}
	return max(1, crc32.Checksum(b, castagnoli)) // 0 is none
}

// surveyed is what a walk over a whole segment found that does not stop at a
// wound.
type surveyed struct {
	extent   // of the frames that can be read
	firstCRC uint32
	holes    []hole // all with a frame behind them; fsn counts from 0
	// torn are the bytes behind the last frame up to the last that is not zero.
	torn int64
	// tail is what stands there if the lengths of the frames can be read; its frames
	// are 0 if they cannot.
	tail hole
}

// least is how many frames there were at least.
func (v *surveyed) least() int64 {
	n := v.frames
	for _, h := range v.holes {
		n += h.frames
	}
	return n
}

// survey walks a segment file up to size, over what is no frame. visit, if given,
// sees every frame, with its number from 0 where every hole has its fewest frames.
func survey(f vfs.File, size int64, visit func(rec record)) (surveyed, error) {
	w := surveyor{size: size, last: -1}
	w.r.ahead = readAhead
	w.r.reset(f)
	w.v.end = headerSize
	for off := int64(headerSize); off < size; {
		rec, err := w.r.frame(off, size)
		if err != nil {
			return w.v, err
		}
		if rec.bad == "" {
			w.take(rec)
			if visit != nil {
				visit(rec)
			}
			off = w.v.end
			continue
		}
		if off, err = w.pass(off); err != nil || off == 0 {
			return w.v, err
		}
	}
	return w.v, nil
}

// surveyor is a survey under way.
type surveyor struct {
	r    reader
	size int64
	last int64 // offset of the last byte of the file that is not zero; -1 before it is known
	v    surveyed
}

func (w *surveyor) take(rec record) {
	if w.v.end == headerSize && len(w.v.holes) == 0 {
		w.v.firstCRC = rec.crc
	}
	if n := len(w.v.holes); n > 0 && w.v.holes[n-1].end > w.v.end {
		w.v.end = w.v.holes[n-1].end
	}
	w.v.end += rec.size
	w.v.frames++
}

// pass goes on behind a place where no frame is; 0 at the end of all frames.
func (w *surveyor) pass(off int64) (next int64, err error) {
	if w.last < 0 {
		if w.last, err = lastByte(w.r.f, off, w.size); err != nil {
			return 0, err
		}
	}
	if w.last < off {
		return 0, nil
	}
	if next, err = w.resume(off); err != nil {
		return 0, err
	}
	if next == 0 {
		w.v.torn = w.last + 1 - off
		h, err := w.lengths(off, w.last+1)
		h.at, h.end, h.fsn = off, max(h.end, w.last+1), FSN(w.v.frames)
		w.v.tail = h
		return 0, err
	}
	h, err := w.lengths(off, next)
	if err != nil {
		return 0, err
	}
	if !h.sure || h.end != next {
		h = hole{frames: 1}
	}
	h.at, h.end, h.fsn = off, next, FSN(w.v.frames)
	w.v.holes = append(w.v.holes, h)
	return next, nil
}

// resume returns where the next whole frame stands behind a damaged one: there
// where its own length says, if that is whole, and only else where one looks like
// a message. Rows may contain what looks like a frame.
func (w *surveyor) resume(off int64) (int64, error) {
	n, _, bad, err := w.r.length(off, w.size)
	if err != nil {
		return 0, err
	}
	if behind := off + recordHead + n; bad == "" && behind < w.size {
		rec, err := w.r.frame(behind, w.size)
		if err != nil || rec.bad == "" {
			return behind, err
		}
	}
	at, err := resync(w.r.f, off+1, w.last+1, w.size)
	if at == 0 || err != nil {
		return 0, err
	}
	rec, err := w.r.frame(at, w.size)
	if err != nil || rec.bad != "" {
		return 0, err
	}
	return at, nil
}

// lengths follows the lengths of damaged frames from off on to end or past it, and
// says how many there are and where they end; none where a length cannot be.
func (w *surveyor) lengths(off, end int64) (hole, error) {
	h := hole{end: off, sure: true}
	for h.end < end {
		size, crc, bad, err := w.r.length(h.end, w.size)
		if err != nil || bad != "" {
			return hole{}, err
		}
		h.end += recordHead + size
		h.crc = crc
		h.frames++
	}
	return h, nil
}

// hashHoles gives holes the checksum of their bytes that have none.
func hashHoles(f vfs.File, holes []hole) error {
	r := reader{ahead: readAhead}
	r.reset(f)
	for i := range holes {
		h := &holes[i]
		if h.sure {
			continue
		}
		for at := h.at; at < h.end; {
			n := min(readAhead, h.end-at)
			b, err := r.bytes(at, int(n), h.end)
			if err != nil {
				return err
			}
			h.crc = crc32.Update(h.crc, castagnoli, b)
			at += n
		}
	}
	return nil
}
