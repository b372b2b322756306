// SPDX-License-Identifier: MIT

package slot

import "slices"

// settledByLedger counts them where one segment is settled in part and the ledger is
// that of a clean close, which nothing has come after. With rows missing it would
// take those that are lost for pending, and those that are sent again for settled.
func (r *recovery) settledByLedger(p *progress) (settled int64, ok bool) {
	st := &r.stored.state
	if !r.stored.valid || !st.clean || p.reset || p.watermark != st.watermark || st.next != r.end()+1 || r.isHurt() {
		return 0, false
	}
	var partly *segment
	settled = -st.ledger.pending()
	whole := int64(0)
	for _, g := range r.chain {
		settled += g.rows - g.lost
		some, all := p.touches(g)
		switch {
		case all:
			whole += g.rows - g.lost
		case some && partly != nil:
			return 0, false
		case some:
			partly = g
		}
	}
	if partly == nil || settled < whole || settled > whole+partly.rows-partly.lost {
		return 0, false
	}
	for _, g := range r.chain {
		if _, all := p.touches(g); all {
			g.gone = g.rows - g.lost
		}
	}
	partly.gone = settled - whole
	return settled, true
}

// isHurt says whether rows may be missing, or are sent again.
func (r *recovery) isHurt() bool {
	return len(r.losses)+len(r.husks)+len(r.doubts) > 0 || slices.ContainsFunc(r.chain, func(g *segment) bool { return len(g.holes) > 0 })
}
