// SPDX-License-Identifier: MIT

package slot

import "time"

const (
	// arrivalStep is how exact the age of a frame is at least, as long as few are
	// pending.
	arrivalStep = time.Second
	// maxArrivals bounds the memory of hours without a server: beyond it the
	// steps double.
	maxArrivals = 256
)

// arrivals know when frames were published that are pending, so that the age of
// the oldest one can be told: a segment may take hours to fill, and the times of
// rows are their senders' own. Frames from before the slot was opened are not
// among them.
type arrivals struct {
	runs []arrival
	step time.Duration
}

// arrival is a run of frames; at is exact for the first of them. seen is the same
// moment on a clock that nobody sets.
type arrival struct {
	from FSN
	at   time.Time
	seen time.Time
}

// add notes frames from a number on; next is the one behind the watermark.
func (a *arrivals) add(from, next FSN, at time.Time) {
	a.forget(next)
	if n := len(a.runs); n > 0 && at.Sub(a.runs[n-1].at) < a.step {
		return
	}
	if len(a.runs) == maxArrivals {
		a.thin()
	}
	a.runs = append(a.runs, arrival{from: from, at: at, seen: time.Now()})
}

// thin joins runs in pairs.
func (a *arrivals) thin() {
	for i := range len(a.runs) / 2 {
		a.runs[i] = a.runs[2*i]
	}
	a.runs = a.runs[:len(a.runs)/2]
	a.step *= 2
}

// forget drops the runs that are wholly below next.
func (a *arrivals) forget(next FSN) {
	n := 0
	for n+1 < len(a.runs) && a.runs[n+1].from <= next {
		n++
	}
	a.runs = append(a.runs[:0], a.runs[n:]...)
	if len(a.runs) <= 1 {
		a.step = arrivalStep
	}
}

// of returns when the frame next, the oldest pending one, was published.
func (a *arrivals) of(next FSN) (at time.Time, ok bool) {
	a.forget(next)
	if len(a.runs) == 0 || a.runs[0].from > next {
		return time.Time{}, false
	}
	return a.runs[0].at, true
}

// before returns a moment, little later than when the frame last was published,
// on a clock that nobody sets; false for a frame from before the slot was opened.
func (a *arrivals) before(last FSN) (seen time.Time, ok bool) {
	n := len(a.runs)
	for n > 0 && a.runs[n-1].from > last {
		n--
	}
	if n == 0 {
		return time.Time{}, false
	}
	seen = a.runs[n-1].seen.Add(a.step)
	if n < len(a.runs) && a.runs[n].seen.Before(seen) {
		seen = a.runs[n].seen
	}
	return seen, true
}
