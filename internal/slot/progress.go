// SPDX-License-Identifier: MIT

package slot

import "os"

// progress is what was settled, as far as it can be believed. Any doubt moves it
// back: frames are then sent again, never skipped.
type progress struct {
	watermark FSN
	crc       uint32
	hasCRC    bool
	settled   []interval
	floor     position // of the frame behind the watermark
	reset     bool     // what was noted is not believed
}

// progress weighs what .qsf-state, or without it .ack-watermark, says about the
// chain.
func (r *recovery) progress() (progress, error) {
	low := r.chain[0].base - 1
	p := progress{watermark: low, floor: startOf(r.chain[0])}
	st := &r.stored.state
	switch {
	case r.stored.valid && st.watermark > low:
		err := r.claim(&p, st.watermark, st)
		return p, err
	case r.stored.valid:
		_, anchored := r.head()
		if anchored && st.watermark == low {
			p.settled = st.settled
		}
		p.clip(r.end())
		return p, nil
	case r.stored.found:
		return p, nil
	}
	b, err := readSmall(r.o.FS, r.path(ackName), ackSize)
	if err != nil {
		return p, ignoreMissing(err)
	}
	if w := parseAck(b); w > low {
		err = r.claim(&p, w, nil)
		return p, err
	}
	return p, nil
}

// end is the last FSN on disk.
func (r *recovery) end() FSN { return r.chain[len(r.chain)-1].last() }

// claim raises the watermark to w if the frame of that number is on disk and,
// where st says so, has the checksum it had then.
func (r *recovery) claim(p *progress, w FSN, st *state) error {
	p.reset = true
	if w > r.end() || st != nil && !st.hasCRC {
		return nil
	}
	at, err := r.locate(w + 1)
	if isWound(err) {
		return nil
	} else if err != nil {
		return err
	}
	if st != nil && st.crc != at.crc {
		return nil
	}
	p.reset, p.watermark, p.crc, p.hasCRC, p.floor = false, w, at.crc, true, at
	if st != nil {
		p.settled = st.settled
		p.clip(r.end())
	}
	return nil
}

// locate returns the position behind the frame before fsn.
func (r *recovery) locate(fsn FSN) (position, error) {
	at := len(r.chain) - 1
	for r.chain[at].base >= fsn {
		at--
	}
	p, err := r.locateIn(at, fsn)
	if !isWound(err) {
		return p, err
	}
	if err := r.examine(r.chain[at]); err != nil {
		return position{}, err
	}
	return r.locateIn(at, fsn)
}

func (r *recovery) locateIn(at int, fsn FSN) (position, error) {
	f, err := r.o.FS.OpenFile(r.path(r.chain[at].name), os.O_RDONLY, 0)
	if err != nil {
		return position{}, err
	}
	defer f.Close()
	var heads reader
	heads.reset(f)
	p := startOf(r.chain[at])
	err = p.walk(&heads, fsn, p.seg.area())
	return p, err
}

// clip keeps the intervals that make sense between the watermark and the end.
func (p *progress) clip(end FSN) {
	above := p.watermark + 1
	for i, v := range p.settled {
		if v.from <= above || v.to < v.from || v.from > end {
			p.settled = p.settled[:i]
			return
		}
		p.settled[i].to = min(v.to, end)
		above = v.to + 1
	}
}

// covers says whether a frame is settled.
func (p *progress) covers(fsn FSN) bool {
	if fsn <= p.watermark {
		return true
	}
	for _, v := range p.settled {
		if v.from <= fsn && fsn <= v.to {
			return true
		}
	}
	return false
}

// touches says whether some but not all frames of a segment are settled, and
// whether all are.
func (p *progress) touches(g *segment) (some, all bool) {
	if g.last() <= p.watermark {
		return false, true
	}
	some = g.base <= p.watermark
	for _, v := range p.settled {
		if v.from <= g.base && g.last() <= v.to {
			return false, true
		}
		some = some || v.from <= g.last() && g.base <= v.to
	}
	return some, false
}

// settledRows counts the rows on disk that are settled already. It reads the
// few segments of which only a part is, unless the ledger of a clean close tells.
func (r *recovery) settledRows(p *progress) (int64, error) {
	if n, ok := r.settledByLedger(p); ok {
		return n, nil
	}
	var sum extent
	for _, g := range r.chain {
		some, all := p.touches(g)
		if all {
			g.gone = g.rows - g.lost
			sum.rows += g.gone
			continue
		}
		if !some {
			continue
		}
		list, err := r.frames(g)
		if err != nil {
			return 0, err
		}
		before := sum.rows
		for _, one := range list {
			if p.covers(one.fsn) {
				sum.rows += one.rows
			}
		}
		g.gone = sum.rows - before
	}
	return sum.rows, nil
}

// forget takes doubtful frames out of what is settled: they may have had other
// numbers. Those at or below the watermark stand before a frame that is known.
func (p *progress) forget(doubts []interval) {
	for _, d := range doubts {
		p.settled = without(p.settled, d)
	}
}
