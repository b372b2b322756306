// SPDX-License-Identifier: MIT

package slot

import "slices"

// segmentOf is a segment as its file says.
func segmentOf(f found) *segment {
	return &segment{
		name: f.name, gen: f.gen, base: f.head.base, created: f.head.created, size: f.size, firstCRC: f.firstCRC, entry: -1,
	}
}

// add puts a segment with frames before those that were added already.
func (r *recovery) add(f found) error {
	if g := r.trusted(f); g != nil {
		r.chain = append(r.chain, g)
		return nil
	}
	g := segmentOf(f)
	v, err := surveyOf(r.o, f.name, f.size)
	if err != nil {
		return err
	}
	for next := r.next(); ; next = r.next() {
		switch {
		case next == nil:
			return r.addLast(f, g, v)
		case v.frames == 0:
			r.husks = append(r.husks, f)
			return nil
		case g.base+FSN(v.least()) <= next.base:
			r.keep(g, v, r.ownFrames(g, int64(next.base-g.base)))
			return nil
		}
		if done, err := r.overlap(f, g, v); done || err != nil {
			return err
		}
	}
}

// keep adds a segment whose file was read.
func (r *recovery) keep(g *segment, v *surveyed, total int64) {
	g.number(v, total)
	g.firstCRC = v.firstCRC
	r.views[g] = v
	r.chain = append(r.chain, g)
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
	if next == nil || r.deep || r.isWounded(f) {
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

// addLast adds the segment that is appended to. Only here a tail may be torn: from
// the first place on that is bad and was not on the device, whatever stands behind.
// Several frames of one append reach it in any order.
func (r *recovery) addLast(f found, g *segment, v *surveyed) error {
	limit := r.onDevice(f, v)
	torn := v.torn
	if i := slices.IndexFunc(v.holes, func(h hole) bool { return h.at >= limit }); i >= 0 {
		end := v.end + v.torn
		var err error
		if v, err = surveyOf(r.o, f.name, v.holes[i].at); err != nil {
			return err
		}
		torn = end - v.end
	}
	lost := r.missingIn(f, v, limit)
	switch {
	case v.frames == 0 && lost == 0:
		r.corrupt = append(r.corrupt, f.name)
		return nil
	case v.frames == 0:
		r.husks = append(r.husks, f)
		return nil
	}
	r.keep(g, v, v.least()+lost)
	r.torn = torn
	r.doubtful(g, false)
	return nil
}

// missingIn returns how many frames are missing at least at the end of the last
// segment.
func (r *recovery) missingIn(f found, v *surveyed, limit int64) int64 {
	st := &r.stored.state
	lost := int64(0)
	switch {
	case v.torn > 0 && v.end < limit:
		lost = max(1, v.tail.frames)
	case r.hinted(f) && f.gen == st.durableGen && v.end < limit:
		lost = 1 // the file ends early, or in zeros
	}
	behind := int64(st.next-f.head.base) - v.least()
	if (lost > 0 || len(v.holes) > 0) && r.follows(f) {
		lost = max(lost, behind)
	}
	return lost
}

// follows says whether what .qsf-state says of the next frame is about the frames of
// this file: another client may have begun to count anew.
func (r *recovery) follows(f found) bool {
	_, anchored := r.head()
	return r.hinted(f) && (anchored || f.known || f.gen == r.stored.state.durableGen)
}

// endIsMissing says that the segment is not in the chain of which .qsf-state knows
// that it was on the device with frames in it.
func (r *recovery) endIsMissing() bool {
	st := &r.stored.state
	return r.stored.valid && st.durableEnd > headerSize &&
		!slices.ContainsFunc(r.chain, func(g *segment) bool { return g.gen == st.durableGen })
}

// doubtful notes frames of a segment whose numbers are a guess that was not made
// before.
func (r *recovery) doubtful(g *segment, exact bool) {
	if d, is := g.doubt(exact); is && !slices.Contains(r.stored.state.numbered[:], g.holesHash()) {
		r.doubts = append(r.doubts, d)
	}
}

// overlap is a segment whose last frames have numbers of the next one. They may be
// the same: then the crash came after mend had written them there and before it had
// cut them off here, or somebody has copied a file. Or else the number of one of the
// files is damaged. done says that g has found its place; or else the next segment
// has lost its own.
func (r *recovery) overlap(f found, g *segment, v *surveyed) (done bool, err error) {
	g.number(v, 0)
	here, err := r.frames(g)
	if err != nil {
		return false, err
	}
	there, err := r.behind(g.next())
	if err != nil {
		return false, err
	}
	next := r.next()
	equal, beyond := true, false
	for _, one := range here {
		if one.fsn >= next.base {
			crc, has := there[one.fsn]
			equal = equal && (!has || crc == one.crc)
			beyond = beyond || !has
			delete(there, one.fsn)
		}
	}
	switch {
	case equal && !beyond:
		r.shorten(g, v, here, next.base)
		return true, nil
	case equal && len(there) == 0 && r.chain[0].next() <= g.next():
		r.dropNext()
		return false, nil
	}
	return r.part(f, g), nil
}

// behind returns the checksums of the frames of the chain before end.
func (r *recovery) behind(end FSN) (map[FSN]uint32, error) {
	all := map[FSN]uint32{}
	for _, g := range slices.Backward(r.chain) {
		if g.base >= end {
			break
		}
		list, err := r.frames(g)
		if err != nil {
			return nil, err
		}
		for _, one := range list {
			if one.fsn < end {
				all[one.fsn] = one.crc
			}
		}
	}
	return all, nil
}

// dropNext drops the segments behind: all their frames stand in the one that is
// looked at.
func (r *recovery) dropNext() {
	for _, g := range r.chain {
		if len(g.holes) > 0 {
			r.corrupt = append(r.corrupt, g.name)
		} else {
			r.debris = append(r.debris, g.name)
		}
	}
	r.chain, r.torn, r.doubts = nil, 0, nil
}

// part takes one of two segments out of the chain that claim the same numbers for
// different frames: the one that .qsf-state does not know, or the younger file. It
// gets numbers of its own. done says that it is g.
func (r *recovery) part(f found, g *segment) (done bool) {
	next := r.next()
	other := r.fileOf(next)
	if f.known != other.known && !f.known || f.known == other.known && f.gen > other.gen {
		r.strays = append(r.strays, f)
		return true
	}
	r.strays = append(r.strays, other)
	r.chain = r.chain[:len(r.chain)-1]
	if len(r.chain) == 0 {
		r.torn, r.doubts = 0, nil
	}
	return false
}

// shorten ends g where the next segment begins.
func (r *recovery) shorten(g *segment, v *surveyed, here []seen, end FSN) {
	if g.base == end {
		r.debris = append(r.debris, g.name)
		return
	}
	short := extent{end: headerSize}
	for _, one := range here {
		if one.fsn < end {
			short.end = one.off + one.size
			short.frames++
			short.rows += one.rows
			short.add(one.span)
		}
	}
	n := 0
	for ; n < len(g.holes) && g.holes[n].next() <= end; n++ {
		short.end = max(short.end, g.holes[n].end)
		short.frames += g.holes[n].frames
	}
	g.holes = g.holes[:n:n]
	g.extent = short
	g.firstCRC = v.firstCRC
	r.cut = append(r.cut, g)
	r.chain = append(r.chain, g)
}

// frames returns the frames of a segment, learning of its wounds.
func (r *recovery) frames(g *segment) ([]seen, error) {
	list, err := framesOf(r.o, g)
	if !isWound(err) {
		return list, err
	}
	if err := r.examine(g); err != nil {
		return nil, err
	}
	return framesOf(r.o, g)
}

// examine reads a segment that was trusted by its summary.
func (r *recovery) examine(g *segment) error {
	v, err := surveyOf(r.o, g.name, g.end)
	if err != nil {
		return err
	}
	total := g.frames
	g.number(v, total)
	r.views[g] = v
	r.doubtful(g, true)
	return nil
}

// closeGaps has every segment reach to the next one.
func (r *recovery) closeGaps() {
	for i, g := range r.chain {
		total := g.frames
		if i+1 < len(r.chain) {
			total = int64(r.chain[i+1].base - g.base)
		} else if r.endIsMissing() && r.follows(r.fileOf(g)) {
			total = max(total, int64(r.stored.state.next-g.base))
		}
		if v := r.views[g]; v != nil && total != g.frames {
			g.number(v, r.ownFrames(g, total))
		}
		g.missBehind(total - g.frames)
		if i+1 < len(r.chain) {
			r.doubtful(g, true)
		}
		r.countLost(g)
	}
}

// ownFrames returns how many of so many frames up to the next segment were in the file
// of g, if its summary tells: the others were in a file that is missing.
func (r *recovery) ownFrames(g *segment, total int64) int64 {
	for _, sum := range r.stored.summaries[g.base] {
		if sum.created == g.created && sum.frames < total {
			return sum.frames
		}
	}
	return total
}

// countLost compares the rows that can be read with those that the segment had when
// it was sealed. There may be two summaries of it.
func (r *recovery) countLost(g *segment) {
	if len(g.holes) == 0 {
		return
	}
	for _, sum := range r.stored.summaries[g.base] {
		if sum.created != g.created {
			continue
		}
		g.entry, g.wounded = sum.entry, g.wounded || sum.wounded
		if sum.next() == g.next() {
			lost := max(0, sum.rows-g.rows)
			g.lost += lost
			g.rows += lost
		}
	}
}
