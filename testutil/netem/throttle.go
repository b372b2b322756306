// SPDX-License-Identifier: MIT

package netem

import (
	"sync"
	"time"
)

const (
	// maxChunk is the most that is passed on at a time, in bytes.
	maxChunk = 16 << 10
	// grain is how long a chunk keeps a narrow link busy at most, so that others
	// have their turn and the rate is even.
	grain = 20 * time.Millisecond
	// narrowBuffer is what the kernel may take in behind a narrow link, in bytes.
	// By default that is megabytes, which no such link has.
	narrowBuffer = 8 << 10
)

// pacer is one direction of the link, which all connections share.
type pacer struct {
	// mu guards free.
	mu   sync.Mutex
	free time.Time // when the link has sent what it was given
}

// take gives the link n bytes and returns when it will have sent them.
func (p *pacer) take(n int, rate int64, now time.Time) time.Time {
	if rate <= 0 {
		return now
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return p.free
}

// chunkSize is how much to read at a time for a link of that rate.
func chunkSize(rate int64) int {
	if rate <= 0 {
		return maxChunk
	}
	return int(max(64, min(maxChunk, rate*int64(grain)/int64(time.Second))))
}
