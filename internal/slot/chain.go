// SPDX-License-Identifier: MIT

package slot

import (
	"fmt"
	"os"
)

// add puts a segment with frames before those that were added already.
func (r *recovery) add(f found) error {
	if g := r.trusted(f); g != nil {
		r.chain = append(r.chain, g)
		return nil
	}
	g, s, err := r.scan(f)
	if err != nil {
		return err
	}
	next := r.next()
	switch {
	case next == nil:
		return r.addLast(f, g, s)
	case g.frames == 0 && g.base == next.base:
		return r.setAside(f, s)
	case g.next() < next.base:
		return r.gap(f, s)
	case g.next() > next.base:
		return r.overlap(f, g, s)
	}
	r.chain = append(r.chain, g)
	return nil
}

// next is the segment behind the one that is looked at; nil at the end.
func (r *recovery) next() *segment {
	if len(r.chain) == 0 {
		return nil
	}
	return r.chain[len(r.chain)-1]
}

// trusted returns the segment of a summary that agrees with the file and with
// the segment that follows. That it does is the whole proof: a summary may be
// older than what was appended to its segment after a crash.
func (r *recovery) trusted(f found) *segment {
	next := r.next()
	if next == nil {
		return nil
	}
	for _, sum := range r.stored.summaries[f.head.base] {
		if sum.created == f.head.created && sum.size == f.size && sum.firstCRC == f.firstCRC &&
			sum.next() == next.base {
			sum.name, sum.gen = f.name, f.gen
			return &sum
		}
	}
	return nil
}

// addLast adds the segment that is appended to. Only here a tail may be torn.
func (r *recovery) addLast(f found, g *segment, s scanned) error {
	if g.frames == 0 {
		return r.setAside(f, s)
	}
	if s.torn > 0 && !r.mayBeTorn(f, s) {
		return r.wound(f, s)
	}
	r.chain, r.torn = append(r.chain, g), s.torn
	return nil
}

// gap is a segment that ends before the next one begins.
func (r *recovery) gap(f found, s scanned) error {
	if s.torn > 0 {
		return r.wound(f, s)
	}
	return &DamageError{
		Path: r.path(f.name), FSN: f.head.base + FSN(s.frames), Offset: s.end,
		Reason: fmt.Sprintf("frame gap: the next segment, %s, begins with frame %d", r.next().name, r.next().base),
	}
}

// overlap is a segment whose last frames stand in the next one too: the crash
// came after mend had written them there and before it had cut them off here.
func (r *recovery) overlap(f found, g *segment, s scanned) error {
	next := r.next()
	here, err := r.crcs(g, next.base-g.base)
	if err != nil {
		return err
	}
	there, err := r.crcs(next, 0)
	if err != nil {
		return err
	}
	for i := range min(len(here), len(there)) {
		if here[i] != there[i] {
			return &DamageError{Path: r.path(g.name), FSN: next.base + FSN(i), Offset: -1,
				Reason: fmt.Sprintf("%s has another frame with this number", next.name)}
		}
	}
	if len(here) > len(there) {
		return r.redundant(f, g, s)
	}
	return r.shorten(g, next.base)
}

// redundant drops the next segment: all its frames stand in g.
func (r *recovery) redundant(f found, g *segment, s scanned) error {
	if len(r.chain) > 1 {
		return &DamageError{Path: r.path(g.name), FSN: g.base, Offset: -1,
			Reason: fmt.Sprintf("holds more frames than %s, which stands in its place", r.next().name)}
	}
	r.debris = append(r.debris, r.next().name)
	r.chain = nil
	return r.addLast(f, g, s)
}

// shorten ends g where the next segment begins.
func (r *recovery) shorten(g *segment, end FSN) error {
	if g.base == end {
		r.debris = append(r.debris, g.name)
		return nil
	}
	short := extent{end: headerSize}
	_, err := r.visit(g, func(rec record) {
		if g.base+FSN(short.frames) < end {
			short.end += rec.size
			short.frames++
			short.count(rec.payload, r.o.Inspect)
		}
	})
	if err != nil {
		return err
	}
	g.extent = short
	r.cut = append(r.cut, g)
	r.chain = append(r.chain, g)
	return nil
}

// crcs returns the checksums of the frames of a segment but the first skip.
func (r *recovery) crcs(g *segment, skip FSN) ([]uint32, error) {
	var list []uint32
	_, err := r.visit(g, func(rec record) {
		if skip--; skip < 0 {
			list = append(list, rec.crc)
		}
	})
	return list, err
}

func (r *recovery) visit(g *segment, frame func(rec record)) (scanned, error) {
	f, err := r.o.FS.OpenFile(r.path(g.name), os.O_RDONLY, 0)
	if err != nil {
		return scanned{}, err
	}
	defer f.Close()
	return scan(f, g.end, frame)
}
