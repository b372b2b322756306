// SPDX-License-Identifier: MIT

package sfpool

import "time"

// trend is how fast a number has changed lately. It remembers what those who ask for
// Stats saw, so that nothing has to look while nobody asks. Its owner guards it.
type trend struct {
	looks []numberAt
}

type numberAt struct {
	at time.Time
	n  int64
}

// rate is told what the number is now, and returns by how much a second it has grown in
// the last span or, if looks are rarer, since the one before. It remembers looks that
// are a step apart; known is false before the first step.
func (t *trend) rate(now time.Time, n int64, span, step time.Duration) (rate float64, known bool) {
	for len(t.looks) > 1 && now.Sub(t.looks[1].at) >= span {
		t.looks = t.looks[1:]
	}
	if k := len(t.looks); k > 0 {
		if first := t.looks[0]; now.Sub(first.at) >= step {
			rate, known = float64(n-first.n)/now.Sub(first.at).Seconds(), true
		}
		if now.Sub(t.looks[k-1].at) < step {
			return rate, known
		}
	}
	t.looks = append(t.looks, numberAt{at: now, n: n})
	return rate, known
}
