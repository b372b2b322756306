// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// giveaway lets frames be given up beside a send loop that may have them on their
// way.
type giveaway struct {
	// lane has one place: for a connection that is served, or for who gives frames
	// up meanwhile.
	lane   chan struct{}
	wishes chan *wish // heard by a connection that waits
	wish   *wish      // the loop's own: to be granted when the connection is closed
	cuts   int        // the loop's own: connections in a row that ended so, without an ack
	hurry  context.CancelFunc
}

func newGiveaway() giveaway {
	return giveaway{lane: make(chan struct{}, 1), wishes: make(chan *wish)}
}

// wish asks for frames up to last to be given up.
type wish struct {
	last  slot.FSN
	evict func() error
	taken atomic.Bool // by who runs it, or by who does not wait for it any more
	done  chan error
}

// run evicts, unless nobody waits for it any more.
func (w *wish) run() (err error) {
	defer caught(&err)
	if !w.taken.CompareAndSwap(false, true) {
		return nil
	}
	return w.evict()
}

// await waits for the loop to grant the wish. Once it has begun, ctx does not count.
func (w *wish) await(ctx context.Context) error {
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		if w.taken.CompareAndSwap(false, true) {
			return notGivenUp(ctx)
		}
		return <-w.done
	}
}

func notGivenUp(ctx context.Context) error {
	return fmt.Errorf("the connection could not be given up in time: %w", ctx.Err())
}

// errGivenUp ends a connection with frames on their way that are given up.
var errGivenUp = errors.New("the connection was given up together with the oldest rows, before it had an answer")

// giveUpGrace is how long a connection that is busy has until it is cut.
const giveUpGrace = 100 * time.Millisecond

// maxCuts is how many connections in a row may be given up without an ack before
// that counts as an outage: a server may be there and never answer.
const maxCuts = 3

// GiveUp runs evict, which settles frames up to last, while none of them is on its
// way: a connection that has some is dropped first, after the answers that are there
// were taken, and sending goes on behind what was evicted. It does not wait for a
// server, nor for a connection that is being made. It returns what evict returned;
// or, without evict having run, an error when ctx ends before. After Stop it still
// runs evict.
func (s *Sender) GiveUp(ctx context.Context, last slot.FSN, evict func() error) error {
	w := &wish{last: last, evict: evict, done: make(chan error, 1)}
	grace := time.NewTimer(giveUpGrace)
	defer grace.Stop()
	for {
		select {
		case s.lane <- struct{}{}:
			defer func() { <-s.lane }()
			return w.run()
		case s.wishes <- w:
			return w.await(ctx)
		case <-grace.C:
			s.hurryUp()
		case <-ctx.Done():
			return notGivenUp(ctx)
		}
	}
}

// hurryUp cuts a connection that does not hear.
func (s *Sender) hurryUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hurry != nil {
		s.hurry()
	}
}

// board begins to use a connection, which must wait while frames are given up. The
// context that it returns ends when somebody is in a hurry; leave is called when
// the connection is closed.
func (s *Sender) board(ctx context.Context) (_ context.Context, leave func(), _ error) {
	select {
	case s.lane <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	s.hurry = cancel
	s.mu.Unlock()
	return ctx, func() {
		if w := s.wish; w != nil {
			s.wish = nil
			w.done <- w.run()
		}
		s.mu.Lock()
		s.hurry = nil
		s.mu.Unlock()
		cancel()
		<-s.lane
	}, nil
}

// hear grants a wish at once where nothing that it is about is on its way; else
// with the end of the connection.
func (f *flight) hear(w *wish) error {
	if f.holds(w.last) {
		f.s.wish = w
		return errGivenUp
	}
	w.done <- w.run()
	f.s.parking.forget(f.s.cfg.Slot.Stats().Watermark)
	return nil
}

// holds says whether a frame up to last is on its way or in hand.
func (f *flight) holds(last slot.FSN) bool {
	return len(f.parts) > 0 && f.fsn <= last || slices.ContainsFunc(f.units, func(u unit) bool { return u.fsn <= last })
}

// cutShort tells what the end of a connection means that was given up: nothing, as
// long as the server answers.
func (s *Sender) cutShort(progressed bool) error {
	if s.cuts++; progressed || s.cuts < maxCuts {
		if progressed {
			s.cuts = 0
		}
		return nil
	}
	s.cuts = 0
	return errGivenUp
}
