// SPDX-License-Identifier: MIT

package sfpool

import (
	"sync"
	"time"
)

const (
	// ebbSpan is over how long the shrinking of a backlog is looked at, ebbStep how
	// far apart the looks are that are remembered.
	ebbSpan = time.Minute
	ebbStep = 5 * time.Second
)

// ebb is how fast the backlog shrinks.
type ebb struct {
	mu sync.Mutex // guards what follows
	trend
}

// rate is told what is pending now, and returns by how many bytes a second that shrinks;
// below 0 while it grows.
func (e *ebb) rate(now time.Time, bytes int64) float64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	if bytes == 0 {
		e.looks = e.looks[:0]
		return 0
	}
	growth, _ := e.trend.rate(now, bytes, ebbSpan, ebbStep)
	return -growth
}
