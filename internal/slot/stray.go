// SPDX-License-Identifier: MIT

package slot

import (
	"bytes"
	"cmp"
	"slices"
)

// correct compares what the headers say with what .qsf-state knows, by which a
// damaged first number is found out. Such a header is written anew.
func (r *recovery) correct() {
	for i := range r.files {
		f := &r.files[i]
		if !r.summarized(f) {
			r.heads(f)
		}
	}
}

// summarized looks for the summary of a file: it has the same first frame and was
// created at the same time.
func (r *recovery) summarized(f *found) bool {
	if f.blank || f.size < SegmentOverhead {
		return false
	}
	is := func(sum segment) bool {
		return sum.created == f.head.created && sum.size == f.size && sum.firstCRC == f.firstCRC
	}
	if slices.ContainsFunc(r.stored.summaries[f.head.base], is) {
		f.known = true
		return true
	}
	best := FSN(-1)
	for base, list := range r.stored.summaries {
		if slices.ContainsFunc(list, is) {
			best = max(best, base)
		}
	}
	if best >= 0 {
		f.head.base, f.known = best, true
	}
	return best >= 0
}

// heads takes the number of the first segment from what .qsf-state says of it. Of a
// header of which nothing can be read, the name of the file is enough.
func (r *recovery) heads(f *found) {
	h := r.stored.state.head
	if !r.stored.valid || f.gen == foreignGen || f.gen != h.gen || f.blank && f.fault == "" {
		return
	}
	if f.fault != "" || f.head.created == h.created {
		f.head, f.known = header{base: h.base, created: h.created}, true
	}
}

// isWounded says whether it is known already that a file has lost rows.
func (r *recovery) isWounded(f found) bool {
	for _, sum := range r.stored.summaries[f.head.base] {
		if sum.wounded && sum.created == f.head.created {
			return true
		}
	}
	return r.isTold(f.name)
}

// isTold says whether there is an incident about a file.
func (r *recovery) isTold(name string) bool { return r.told[stem(name)] }

// note takes the name of a file that was found.
func (r *recovery) note(name string) {
	r.names = append(r.names, name)
	if about, ok := aboutOf(name); ok {
		r.told[about] = true
	}
}

// fileOf returns what was found of a segment.
func (r *recovery) fileOf(g *segment) found {
	if r.byName == nil {
		r.byName = map[string]int{}
		for i, f := range r.files {
			r.byName[f.name] = i
		}
	}
	return r.files[r.byName[g.name]]
}

// placeStrays gives files a place that do not say where they belong, or say
// something that cannot be: a gap in the chain that is large enough, or its end.
func (r *recovery) placeStrays() error {
	slices.SortFunc(r.strays, func(a, b found) int { return cmp.Compare(a.gen, b.gen) })
	for _, f := range r.strays {
		g := segmentOf(f)
		v, err := surveyOf(r.o, f.name, f.size)
		if err != nil {
			return err
		}
		if v.frames == 0 {
			r.husks = append(r.husks, f)
			continue
		}
		at := r.gapFor(v, f.head.base)
		if at == len(r.chain) {
			r.addStrayLast(f, g, v)
			continue
		}
		g.base = r.readTo(r.chain[at-1])
		g.number(v, int64(r.chain[at].base-g.base))
		r.insert(at, g, v)
	}
	return nil
}

// gapFor returns the index in the chain where frames fit in, before the segment
// that stands there now.
func (r *recovery) gapFor(v *surveyed, said FSN) int {
	best := len(r.chain)
	for i := 1; i < len(r.chain); i++ {
		from := r.readTo(r.chain[i-1])
		room := int64(r.chain[i].base - from)
		if room < v.least() {
			continue
		}
		if from == said {
			return i
		}
		if from > r.stored.state.watermark || room == v.least() {
			best = min(best, i)
		}
	}
	return best
}

// readTo returns the number behind what is known of a segment.
func (r *recovery) readTo(g *segment) FSN {
	if r.views[g] == nil {
		return g.next()
	}
	return g.next() - FSN(g.missing())
}

// addStrayLast puts a file at the end of the chain. Numbers that were given out are
// used again only if it explains all of them.
func (r *recovery) addStrayLast(f found, g *segment, v *surveyed) {
	st := &r.stored.state
	g.base = f.head.base
	if n := len(r.chain); n > 0 {
		g.base = r.chain[n-1].next()
	} else if r.stored.valid {
		g.base = st.watermark + 1
	} else if f.fault != "" {
		g.base = 0
	}
	if r.stored.valid && g.base+FSN(v.least()) < st.next {
		g.base = max(g.base, st.next)
	}
	total := v.least()
	if r.onDevice(f, v) > v.end && v.torn > 0 {
		total += max(1, v.tail.frames)
	}
	g.number(v, total)
	r.torn = v.torn
	r.insert(len(r.chain), g, v)
}

// insert puts a segment into the chain. What .qsf-state says of its numbers may be
// about other frames.
func (r *recovery) insert(at int, g *segment, v *surveyed) {
	g.firstCRC = v.firstCRC
	r.views[g] = v
	r.chain = slices.Insert(r.chain, at, g)
	r.doubts = append(r.doubts, interval{from: g.base, to: g.last()})
}

// checkHeaders notes the headers that are not what they should be.
func (r *recovery) checkHeaders() {
	for _, g := range r.chain {
		if !bytes.Equal(r.fileOf(g).raw, appendHeader(nil, header{base: g.base, created: g.created})) {
			r.headers = append(r.headers, g)
		}
	}
}
