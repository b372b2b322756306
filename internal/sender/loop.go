// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// run is the life of the sender: wait for something to send, connect, serve,
// wait a while, again.
func (s *Sender) run(ctx context.Context) {
	defer close(s.done)
	lanes := newLanes(s.cfg.Slot, s.cfg.Order, s.cfg.Replay)
	defer lanes.close()
	defer s.parking.disarm()
	wait := backoff{initial: s.cfg.InitialBackoff, max: s.cfg.MaxBackoff, rand: s.cfg.Rand}
	for s.awaitFrames(ctx, lanes) {
		over := s.cfg.Voice.outageOver()
		progressed, err := s.session(ctx, lanes)
		if ctx.Err() != nil {
			return
		}
		if !s.walked {
			lanes.rewind()
		}
		if progressed {
			wait.reset()
		}
		if err == nil {
			continue
		}
		s.lost(err)
		if Stuck(err) {
			over = nil
		}
		if isBroken(err) {
			wait.spread()
		}
		if !sleep(ctx, max(wait.next(), s.slowly(err)), over) {
			return
		}
	}
}

// awaitFrames waits, without a connection, until something may be sent.
func (s *Sender) awaitFrames(ctx context.Context, lanes *lanes) bool {
	for ctx.Err() == nil {
		changed := s.cfg.Slot.Changed()
		pending := s.cfg.Slot.Stats().PendingFrames > 0
		var ready <-chan time.Time
		switch wait := lanes.waits(); {
		case !pending:
			s.parking.clear()
			clear(s.suspects)
			s.showHeld()
			s.setHeld(nil)
		case s.resting:
			s.parking.arm() // a connection may have ended in the moment of a try
			changed = s.wake
		case wait > 0:
			ready = time.After(wait)
			s.setWaiting(true)
		default:
			return true
		}
		select {
		case <-changed:
		case <-ready:
		case <-s.parking.due():
			s.parking.heard()
			s.offer = true
		case <-ctx.Done():
		}
		s.resting = false
	}
	return false
}

// atRest is told that nothing is on its way. If rows wait, all that may go out is
// acked, and only what is published from now on (changed) or another try has work
// for the sender; behind a frame that blocks, only the try.
func (s *Sender) atRest(changed <-chan struct{}, blocked bool) {
	if s.parking.rows() == 0 && !blocked {
		s.setHeld(nil)
		return
	}
	pending := s.cfg.Slot.Stats().Pending
	select {
	case <-changed:
		return // of which some may be pending
	default:
	}
	s.resting, s.walked, s.wake = true, !blocked && !s.unnoted, changed
	if blocked {
		s.wake = nil
	}
	s.showHeld() // before those who wait for the end of this are told
	if since := s.setHeld(&HeldError{Pending: pending, For: s.parking.why}); !since.IsZero() {
		s.hears(nil)
		s.cfg.Voice.recovered("the server is there again; what is left waits for its tables",
			s.name(), since, s.State(), pending)
	}
}

// setHeld says whether all that is pending waits. Then the server is there: an
// outage ends, and it is returned when that began.
func (s *Sender) setHeld(all *HeldError) (since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := &s.state
	var before *HeldError
	if errors.As(st.LastError, &before) {
		st.LastError = nil
	}
	if all == nil {
		return time.Time{}
	}
	since = st.Since
	st.LastError, st.Since = all, time.Time{}
	if before == nil || *before != *all {
		s.ring()
	}
	return since
}

// showHeld keeps State.Held up to date.
func (s *Sender) showHeld() {
	rows := s.parking.rows()
	if rows == s.shown {
		return
	}
	s.shown = rows
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Held, s.state.HeldFor = rows, ""
	if rows > 0 {
		s.state.HeldFor = s.parking.why
	}
}

// session makes one connection and serves it until it ends. It tells whether
// there was progress, and why it ended; nil for an orderly end, after which the
// next one is made at once.
func (s *Sender) session(ctx context.Context, lanes *lanes) (progressed bool, err error) {
	defer caught(&err)
	conn, err := s.connect(ctx, lanes)
	if err != nil {
		s.cutOff = true
		return false, err
	}
	defer conn.Close() // after a panic; else it is closed, or handed on
	fctx, leave, err := s.board(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	if s.cutOff { // what was refused may have been mended with the outage
		s.cutOff = false
		s.cfg.Book.Reconnected(conn.Host())
	}
	s.resting = false
	f := newFlight(s, conn, lanes, s.connected(conn))
	s.since = time.Time{}
	defer s.showHeld()
	defer s.disconnected()
	err = f.serveSafely(fctx)
	if fctx.Err() != nil && ctx.Err() == nil {
		err = errGivenUp
	}
	f.holdOff(err)
	if refusal := f.close(ctx); refusal != nil && errors.Is(err, link.ErrReconnect) {
		err = refusal // which is why the connection had served its time
	}
	if f.sent == 0 {
		s.since = f.replies.since // nothing is in doubt: what is known of the tables will do
	}
	return s.ended(f, err)
}

// setWaiting tells operators whether the sender waits for its turn.
func (s *Sender) setWaiting(yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Waiting = yes
}

// connect waits for a connection. Where the last one was ended for it, it is a new one.
func (s *Sender) connect(ctx context.Context, lanes *lanes) (link.Conn, error) {
	s.setWaiting(true)
	defer s.setWaiting(false)
	return s.cfg.Link.Connect(ctx, link.Wish{Fresh: s.renew, Urgent: lanes.urgent})
}

// ended tells what the end of a connection means.
func (s *Sender) ended(f *flight, err error) (progressed bool, _ error) {
	progressed = f.acked > 0
	usedUp, groupWaits := errors.Is(err, link.ErrReconnect), errors.Is(err, errGroupWaits)
	switch {
	case errors.Is(err, errGivenUp):
		return progressed, s.cutShort(progressed)
	case f.usedUp && !progressed && f.turn != nil && !f.turn.Fresh():
		s.renew = true // others had filled it
		return false, nil
	case usedUp && !progressed && f.inGroup():
		s.cfg.Log.Warn("a group of frames is too large for one connection; they are committed one by one",
			"slot", s.name(), "frames", len(f.fifo))
		s.ungroup = true
		return true, nil
	case groupWaits && !progressed:
		s.atRest(nil, true) // another connection would end in the same place
		return false, nil
	case groupWaits, s.resting, errors.Is(err, errKeysCame), errors.Is(err, errLookInto), errors.Is(err, errDated), errors.Is(err, errTurnOver), usedUp && (progressed || f.leaving):
		return progressed, nil
	}
	return progressed, err
}

// PanicError is a bug that was met while sending. The rows are on disk and other
// slots have other senders, so it is tried again as after any failure.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("bug: panic: %v\n%s", e.Value, e.Stack) }

// caught makes a panic the error of a function that defers it.
func caught(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}

// connected returns what Recycle closes.
func (s *Sender) connected(conn link.Conn) (recycle <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Connected, s.state.Transport, s.state.Host = true, conn.Transport(), conn.Host()
	if t, ok := conn.(turn); !ok || t.Fresh() {
		s.state.Connects++
	}
	s.recycle = make(chan struct{})
	return s.recycle
}

func (s *Sender) disconnected() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.Connected, s.recycle = false, nil
}

// lost notes the end of a connection or attempt. With nothing pending it is no
// outage: whether the server is there will be seen when there is something to
// send.
func (s *Sender) lost(err error) {
	st := s.cfg.Slot.Stats()
	pending := st.PendingFrames > 0
	s.mu.Lock()
	first := s.state.Since.IsZero()
	s.state.LastError = err
	if first && pending {
		s.state.Since = time.Now()
	}
	s.mu.Unlock()
	if !pending {
		return
	}
	s.cfg.Voice.failed(s.name(), err, st.Pending)
	if !Stuck(err) {
		s.hears(err)
	}
}

// hears tells how the server is.
func (s *Sender) hears(err error) {
	if s.cfg.OnServer != nil {
		s.cfg.OnServer(err)
	}
}

// name is that of the slot, as the pool has it.
func (s *Sender) name() string { return filepath.Base(s.cfg.Slot.Dir()) }

// localError is trouble with the rows or the disk, not with the connection.
type localError struct {
	doing string // "read" or "send"
	err   error
}

func (e *localError) Error() string { return e.err.Error() }
func (e *localError) Unwrap() error { return e.err }

func inWords(err error) string {
	var stranger *link.NotQuestDBError
	var refusal *link.Refusal
	var local *localError
	var bug *PanicError
	switch {
	case errors.As(err, &bug):
		return "sending stopped at a bug and is tried again; rows stay in the store"
	case errors.As(err, &stranger):
		return "somebody else answers in the server's place; rows stay in the store and are sent when it is back"
	case errors.As(err, &refusal):
		return "the server refused rows; they stay in the store and are offered again"
	case errors.As(err, &local) && local.doing == "read":
		return "the slot cannot be read; what it holds from there on stays in the store"
	case errors.As(err, &local):
		return "a row cannot be sent; it and those behind it stay in the store"
	}
	return "no connection; rows stay in the store and are sent when it is back"
}

// settle records that the server took something, and with it these frames.
func (s *Sender) settle(list []slot.Done) {
	s.note(list)
	if since := s.madeProgress(); !since.IsZero() || !s.proved {
		s.proved = true
		s.cfg.Voice.recovered("rows are taken again", s.name(), since, s.State(), s.cfg.Slot.Stats().Pending)
	}
}

// note settles frames.
func (s *Sender) note(list []slot.Done) {
	if len(list) == 0 {
		return
	}
	err := s.cfg.Slot.SettleAll(list)
	if err != nil && !s.unnoted {
		s.cfg.Log.Warn("cannot note progress; rows may be sent twice after a restart",
			"slot", s.name(), "fsn", int64(list[0].FSN), "error", err)
	}
	s.unnoted = err != nil
	s.ungroup = false
}

// wakeWaiters tells those who wait for frames to be settled that some were, though the
// server took nothing.
func (s *Sender) wakeWaiters() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring()
}

// backoff doubles from initial to max; each wait is drawn from [0, bound), so
// that many senders do not come back in step.
type backoff struct {
	initial, max, bound time.Duration
	rand                func() float64
}

func (b *backoff) reset() { b.bound = 0 }

// spread is told that a connection broke off: that of others may have, too, and they
// must not come back all at once. The waits begin with a longer bound.
func (b *backoff) spread() {
	if b.bound == 0 {
		b.bound = spreadFactor * b.initial / 2
	}
}

// spreadFactor times the first bound is that of the first wait after a connection broke.
const spreadFactor = 20

func (b *backoff) next() time.Duration {
	b.bound = min(max(b.initial, 2*b.bound), b.max)
	return time.Duration(b.rand() * float64(b.bound))
}

// sleep waits before the next attempt, but not longer than until another sender of
// the pool has shown that the outage is over. It reports whether ctx still lives.
func sleep(ctx context.Context, d time.Duration, over <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}
