// SPDX-License-Identifier: MIT

package qwp

import "math"

// Info sums up a message.
type Info struct {
	Rows   int
	Tables int // blocks: a table may have several
	// MinTime and MaxTime are the span of the designated timestamps in
	// microseconds since 1970, 0 and HasTime false when no row has one.
	MinTime, MaxTime int64
	HasTime          bool
}

// addTime widens the span by a designated timestamp. Nanoseconds round down.
func (n *Info) addTime(t Type, v int64) {
	if v == math.MinInt64 {
		return // QuestDB's null
	}
	if t == TypeTimestampNanos {
		v = floorMicros(v)
	}
	if !n.HasTime {
		n.MinTime, n.MaxTime, n.HasTime = v, v, true
		return
	}
	n.MinTime, n.MaxTime = min(n.MinTime, v), max(n.MaxTime, v)
}

func floorMicros(nanos int64) int64 {
	micros := nanos / 1000
	if nanos%1000 < 0 {
		micros--
	}
	return micros
}
