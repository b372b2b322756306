// SPDX-License-Identifier: MIT

// Package latency counts how long something takes, in buckets whose bounds never
// change. An observation takes two atomic additions and no memory.
package latency

import (
	"sort"
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of the buckets, inclusive; a last one without a bound
// follows. From a write into the page cache to an answer over a bad link.
var Bounds = [...]time.Duration{
	50 * time.Microsecond, 200 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond,
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second, time.Minute,
}

// Histogram counts observations. Its zero value is empty; its methods are safe for
// concurrent use, and those of nil do nothing.
type Histogram struct {
	buckets [len(Bounds) + 1]atomic.Int64
	sum     atomic.Int64 // nanoseconds
}

// Observe counts one.
func (h *Histogram) Observe(d time.Duration) {
	if h == nil {
		return
	}
	d = max(d, 0)
	h.buckets[sort.Search(len(Bounds), func(i int) bool { return d <= Bounds[i] })].Add(1)
	h.sum.Add(int64(d))
}

// Since observes the time since an instant; for defer.
func (h *Histogram) Since(from time.Time) { h.Observe(time.Since(from)) }

// Snapshot returns what was counted. Observations that come meanwhile may be in one
// of its numbers and not in another.
func (h *Histogram) Snapshot() (s Snapshot) {
	if h == nil {
		return s
	}
	s.Sum = time.Duration(h.sum.Load())
	for i := range h.buckets {
		s.Buckets[i] = h.buckets[i].Load()
	}
	return s
}

// Snapshot is a Histogram at one moment.
type Snapshot struct {
	// Buckets count the observations up to each of Bounds and above the bound before
	// it; the last those above all bounds.
	Buckets [len(Bounds) + 1]int64
	Sum     time.Duration
}

// Count returns the number of observations.
func (s *Snapshot) Count() (n int64) {
	for _, b := range s.Buckets {
		n += b
	}
	return n
}

// Plus returns both together.
func (s Snapshot) Plus(o Snapshot) Snapshot {
	s.Sum += o.Sum
	for i := range s.Buckets {
		s.Buckets[i] += o.Buckets[i]
	}
	return s
}

// Quantile returns the bound of the bucket in which the observation at q, from 0 to
// 1, lies: so many took no longer. Above all bounds it is the last; 0 if there are
// no observations.
func (s *Snapshot) Quantile(q float64) time.Duration {
	n := s.Count()
	if n == 0 {
		return 0
	}
	for i := range Bounds {
		if n -= s.Buckets[i]; float64(n) <= (1-q)*float64(s.Count()) {
			return Bounds[i]
		}
	}
	return Bounds[len(Bounds)-1]
}
