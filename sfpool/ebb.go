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

// ebb is how fast the backlog shrinks. It remembers what those who ask for Stats saw,
// so that nothing has to look while nobody asks.
type ebb struct {
	mu    sync.Mutex // guards what follows
	looks []backlogAt
}

type backlogAt struct {
	at    time.Time
	bytes int64
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
	for len(e.looks) > 1 && now.Sub(e.looks[1].at) >= ebbSpan {
		e.looks = e.looks[1:]
	}
	rate := 0.0
	if n := len(e.looks); n > 0 {
		if first := e.looks[0]; now.Sub(first.at) >= ebbStep {
			rate = float64(first.bytes-bytes) / now.Sub(first.at).Seconds()
		}
		if now.Sub(e.looks[n-1].at) < ebbStep {
			return rate
		}
	}
	e.looks = append(e.looks, backlogAt{at: now, bytes: bytes})
	return rate
}
