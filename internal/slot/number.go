// SPDX-License-Identifier: MIT

package slot

import (
	"os"
	"path/filepath"
	"slices"
)

// number takes over what a survey found and gives every frame and hole its number.
// total is how many numbers the segment has, where what follows proves it; with 0
// every hole has its fewest frames. Frames that are missing for certain, but leave
// no room in a hole, are missing at the end.
func (g *segment) number(v *surveyed, total int64) {
	end, frames := v.end, v.frames
	g.holes = slices.Clone(v.holes)
	rest := total - v.least()
	if rest > 0 && v.torn > 0 {
		h := v.tail
		if h.frames = min(h.frames, rest); h.frames == 0 {
			h.frames = 1
		}
		rest -= h.frames
		g.holes, end = append(g.holes, h), h.end
	}
	if rest > 0 {
		g.addLost(rest, end, frames)
	}
	lost := FSN(0)
	for i := range g.holes {
		g.holes[i].fsn += g.base + lost
		lost += FSN(g.holes[i].frames)
	}
	g.extent = v.extent
	g.end, g.frames = end, frames+int64(lost)
}

// addLost puts frames that must have been there into the last hole that may hold
// more than is seen, or behind the end.
func (g *segment) addLost(n, end, frames int64) {
	for i := len(g.holes) - 1; i >= 0; i-- {
		if !g.holes[i].sure {
			g.holes[i].frames += n
			return
		}
	}
	g.holes = append(g.holes, hole{at: end, end: end, fsn: FSN(frames), frames: n, sure: true})
}

// missBehind notes frames that are missing behind the file.
func (g *segment) missBehind(n int64) {
	if n > 0 {
		g.holes = append(slices.Clone(g.holes), hole{at: g.end, end: g.end, fsn: g.next(), frames: n, sure: true})
		g.frames += n
	}
}

// missing is how many frames are missing behind the file.
func (g *segment) missing() int64 {
	if n := len(g.holes); n > 0 && g.holes[n-1].at == g.holes[n-1].end {
		return g.holes[n-1].frames
	}
	return 0
}

// doubt returns the frames whose numbers are a guess. exact says that the number of
// all frames of the segment is none: then one hole that hides how many frames it
// had is filled by what is left.
func (g *segment) doubt(exact bool) (interval, bool) {
	var guesses []hole
	for _, h := range g.holes {
		if !h.sure {
			guesses = append(guesses, h)
		}
	}
	switch n := len(guesses); {
	case n == 0, exact && n == 1:
		return interval{}, false
	case exact:
		return interval{from: guesses[0].fsn, to: guesses[n-1].next() - 1}, true
	}
	return interval{from: guesses[0].fsn, to: g.last()}, true
}

// lostFrames is how many frames of the segment are in holes.
func (g *segment) lostFrames() int64 {
	n := int64(0)
	for _, h := range g.holes {
		n += h.frames
	}
	return n
}

// seen is a frame that can be read.
type seen struct {
	fsn    FSN
	off    int64
	crc    uint32
	size   int64
	extent // its rows alone
}

// framesOf reads a segment and returns its frames. A *DamageError says that there is
// a wound that is not known.
func framesOf(o Options, g *segment) ([]seen, error) {
	f, err := o.FS.OpenFile(filepath.Join(o.Dir, g.name), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := reader{ahead: readAhead}
	r.reset(f)
	var list []seen
	for p := startOf(g); p.fsn < g.next(); {
		if h := g.area().holeAt(&p); h != nil {
			p.jump(h)
			continue
		}
		rec, err := r.frame(p.off, g.end)
		if err != nil {
			return nil, err
		}
		if rec.bad != "" {
			return nil, &DamageError{Path: f.Name(), FSN: p.fsn, Offset: p.off, Reason: rec.bad}
		}
		one := seen{fsn: p.fsn, off: p.off, crc: rec.crc, size: rec.size}
		one.count(rec.payload, o.Inspect)
		list = append(list, one)
		p.off, p.fsn = p.off+rec.size, p.fsn+1
	}
	return list, nil
}

// frameAt returns the bytes of one frame, and where it stands.
func frameAt(o Options, g *segment, fsn FSN) (payload []byte, off int64, err error) {
	f, err := o.FS.OpenFile(filepath.Join(o.Dir, g.name), os.O_RDONLY, 0)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	var r reader
	r.reset(f)
	p := startOf(g)
	if err := p.walk(&r, fsn, g.area()); err != nil {
		return nil, 0, err
	}
	rec, err := r.frame(p.off, g.end)
	if err == nil && rec.bad != "" {
		err = &DamageError{Path: f.Name(), FSN: fsn, Offset: p.off, Reason: rec.bad}
	}
	return rec.payload, p.off, err
}

// surveyOf surveys the file of a segment up to an offset, and counts its rows.
func surveyOf(o Options, name string, end int64) (*surveyed, error) {
	f, err := o.FS.OpenFile(filepath.Join(o.Dir, name), os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	var sum extent
	v, err := survey(f, min(size, end), func(rec record) { sum.count(rec.payload, o.Inspect) })
	if err != nil {
		return nil, err
	}
	v.rows, v.span = sum.rows, sum.span
	if err := hashHoles(f, v.holes); err != nil {
		return nil, err
	}
	tail := []hole{v.tail}
	if err := hashHoles(f, tail); err != nil {
		return nil, err
	}
	v.tail = tail[0]
	return &v, nil
}
