// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"slices"
)

// TryBorrow is Borrow for one who can do without: it returns an idle sender, or
// opens a free slot, which takes until ctx or AcquireTimeout ends at the longest,
// and never waits for other borrowers. It is false when there is neither, when
// the slot cannot be opened, and when the pool is closed.
func (p *Pool) TryBorrow(ctx context.Context) (*Sender, bool) {
	s, w := p.tryRequest()
	if w != nil {
		s, _ = p.await(ctx, w)
	}
	return s, s != nil
}

// tryRequest takes an idle sender, or queues if there is a slot to open.
func (p *Pool) tryRequest() (*Sender, *waiter) {
	p.mu.Lock()
	defer p.unlock()
	if p.closed {
		return nil, nil
	}
	if m := p.takeIdle(); m != nil {
		return p.lend(m), nil
	}
	if p.pick() < 0 {
		return nil, nil
	}
	w := &waiter{grant: make(chan grant, 1), brief: true}
	p.waiters = append(p.waiters, w)
	p.hire()
	return nil, w
}

// errNoneToOpen is why a brief wait ends. TryBorrow keeps it to itself.
var errNoneToOpen = errors.New("there is no free slot any more")

// dismiss ends the brief waits for which no build is under way, the latest first.
// WARNING: the caller must hold mu.
func (p *Pool) dismiss() {
	for i := len(p.waiters) - 1; i >= 0 && p.hired < len(p.waiters); i-- {
		if w := p.waiters[i]; w.brief {
			p.waiters = slices.Delete(p.waiters, i, i+1)
			w.grant <- grant{err: errNoneToOpen}
		}
	}
}

// MaxSenders returns the number of slots: how many senders can be borrowed at a
// time when nothing is wrong.
func (p *Pool) MaxSenders() int { return len(p.places) }

// LeastPending returns the PendingBytes of the sender that Borrow would lend now; 0
// while none is idle.
func (p *Pool) LeastPending() int64 {
	p.mu.Lock()
	defer p.unlock()
	if at := p.leastIdle(); at >= 0 {
		return p.idle[at].pendingBytes()
	}
	return 0
}
