// SPDX-License-Identifier: MIT

package sender

import (
	"sync"
	"time"
)

const (
	// slowFactor times the best time for a row is what it takes a server that is in
	// trouble.
	slowFactor = 4
	// slowLeast is how long a request takes at least to count as slow.
	slowLeast = time.Second
	// slowMost bounds a pause.
	slowMost = 30 * time.Second
)

// Replay paces the backlogs of the senders that share it. A nil one does not.
type Replay struct {
	rate int64

	mu   sync.Mutex
	next time.Time // nothing of a backlog goes out before
	best float64   // seconds that a row took, about the least lately
	rows float64   // of a request, about the most lately
}

// NewReplay returns one that sends so many bytes of frames a second; 0 is no limit.
// Whatever the limit, it slows down with a server that does.
func NewReplay(bytesPerSecond int64) *Replay { return &Replay{rate: bytesPerSecond} }

// may says whether more of a backlog may go out.
func (r *Replay) may(now time.Time) bool { return !r.ready().After(now) }

// ready returns when more may go out.
func (r *Replay) ready() time.Time {
	if r == nil {
		return time.Time{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next
}

// sent counts what a request has of frames. How long the next one has to wait follows from
// that.
func (r *Replay) sent(bytes int) {
	if r == nil || r.rate <= 0 {
		return
	}
	d := time.Duration(float64(bytes) / float64(r.rate) * float64(time.Second))
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); r.next.Before(now) {
		r.next = now
	}
	r.next = r.next.Add(d)
}

// acked notes how long the answer to requests took, from when they were sent or the
// answer before. If that is much longer than it
// was, the server is busy: it is left alone for as long again, so that replay takes
// half of its time at the most.
func (r *Replay) acked(rows int, took time.Duration) {
	if r == nil || rows <= 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows = max(0.95*r.rows, float64(rows))
	small := float64(rows) < r.rows/4 // a round trip, and nothing of how busy it is
	cost := took.Seconds() / float64(rows)
	if !small && (r.best == 0 || cost < r.best) {
		r.best = cost
	} else if !small {
		r.best = min(1.05*r.best, cost)
	}
	until := time.Now().Add(min(took, slowMost))
	if !small && took >= slowLeast && cost > slowFactor*r.best && until.After(r.next) {
		r.next = until
	}
}
