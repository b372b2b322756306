// SPDX-License-Identifier: MIT

package link

import (
	"sync"
	"time"
)

const (
	// requestTime is what a request should take on a narrow link: long enough to use
	// it, short enough that little is lost with a connection, and that what is new has
	// its turn.
	requestTime = 5 * time.Second
	// firstRequest is the size of the first one to a host nothing is known of, in
	// bytes: 10 s at the slowest link to be put up with.
	firstRequest = 40 << 10
	// leastRequest is as small as requests become.
	leastRequest = 4 << 10
)

// pace finds the size of a request that takes requestTime, from how long others took.
// The sizes are those before compression. It may be used concurrently.
type pace struct {
	mu   sync.Mutex
	size int
	most int
}

func newPace(most int) *pace { return &pace{size: min(firstRequest, most), most: most} }

// bytes returns the size to aim at.
func (p *pace) bytes() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.size
}

// took notes a request that was answered. Sizes at most double and halve; those of
// requests that were small for other reasons tell nothing of larger ones.
func (p *pace) took(bytes int, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fit := p.most
	if d > 0 && float64(bytes)*float64(requestTime)/float64(d) < float64(p.most) {
		fit = int(float64(bytes) * float64(requestTime) / float64(d))
	}
	switch {
	case fit < p.size && d > requestTime:
		p.size = max(fit, p.size/2)
	case fit > p.size && bytes >= p.size/2:
		p.size = min(fit, 2*p.size)
	}
	p.size = min(max(p.size, leastRequest), p.most)
}

// failed notes a request of that many bytes that got no answer.
func (p *pace) failed(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = max(min(p.size, bytes/2), min(leastRequest, p.most))
}
