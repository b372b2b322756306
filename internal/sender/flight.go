// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// unit is what one request carries one or more of: a part of a frame. A frame
// is settled with its last unit, because units leave in order and acks are
// cumulative.
type unit struct {
	fsn  slot.FSN
	part qwp.Part
	rows int // of the whole frame
	last bool
}

// request is one message or HTTP request that waits for its answer. One that is
// deferred is answered together with the one that commits its group.
type request struct {
	seq      int64
	units    int
	deferred bool
}

// flight is one connection with what is on its way over it.
type flight struct {
	s      *Sender
	conn   link.Conn
	cursor *slot.Cursor

	view   qwp.View
	fsn    slot.FSN   // of the frame in view
	parts  []qwp.Part // of that frame, not yet added, in order
	spare  []qwp.Part
	fifo   []request // sent, in order, unanswered
	units  []unit    // of those, in order, and of the request that is being built
	sent   int       // how many of the units are of fifo
	done   []slot.Done
	shares []slot.Share // of done

	answers  chan answer
	acked    int64
	filled   bool   // the request that is being built carries something
	deferred bool   // its last frame waits for a later one
	begun    bool   // a part of the frame in view was added, and not all
	single   []byte // a frame of a group that is sent as if it were none
	recycle  <-chan struct{}
	leaving  bool // the connection takes no frame behind this one
	retiring bool // it takes no more; it ends with its last answer
}

// answer is what the receiving goroutine hands over: an outcome, or the error
// that ended it.
type answer struct {
	outcome link.Outcome
	err     error
}

func newFlight(s *Sender, conn link.Conn, cursor *slot.Cursor, recycle <-chan struct{}) *flight {
	return &flight{s: s, conn: conn, cursor: cursor, recycle: recycle, answers: make(chan answer, conn.Window()+1)}
}

// close ends the connection and the receiver. Answers that were handed over but
// not looked at still count; a refusal among them is returned.
func (f *flight) close() (refusal error) {
	_ = f.conn.Close()
	for a := range f.answers {
		if err := f.take(a); err != nil && a.outcome.Refusal != nil {
			refusal = err
		}
	}
	return refusal
}

func (f *flight) serveSafely(ctx context.Context) (err error) {
	defer caught(&err)
	go f.receive(ctx)
	return f.serve(ctx)
}

// serve sends and settles until the connection ends. The error says why; it is
// never nil.
func (f *flight) serve(ctx context.Context) error {
	for {
		changed := f.s.cfg.Slot.Changed()
		if err := f.fill(ctx); err != nil {
			return f.linger(ctx, err)
		}
		select {
		case a, ok := <-f.answers:
			if !ok {
				return errors.New("receiver ended")
			}
			if err := f.take(a); err != nil {
				return err
			}
		case <-changed:
		case <-f.recycle:
			f.leaving, f.recycle = true, nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// receive hands over answers until the connection ends.
func (f *flight) receive(ctx context.Context) {
	defer close(f.answers)
	for {
		o, err := f.recv(ctx)
		f.answers <- answer{o, err}
		if err != nil || o.Refusal != nil {
			return
		}
	}
}

func (f *flight) recv(ctx context.Context) (o link.Outcome, err error) {
	defer caught(&err)
	return f.conn.Recv(ctx)
}

// linger takes the answers that are still on their way after sending has
// failed: an ack that is left in the old socket becomes a duplicate.
func (f *flight) linger(ctx context.Context, cause error) error {
	if !f.due() {
		return cause
	}
	timeout := time.NewTimer(lingerTime)
	defer timeout.Stop()
	for f.due() {
		select {
		case a, ok := <-f.answers:
			if !ok {
				return cause
			}
			var refusal *link.Refusal
			if err := f.take(a); errors.As(err, &refusal) {
				return err // the server's words tell more than the broken pipe
			} else if err != nil {
				return cause
			}
		case <-timeout.C:
			return cause
		case <-ctx.Done():
			return cause
		}
	}
	return cause
}

// lingerTime bounds linger; acks that are there at all are there at once.
const lingerTime = time.Second

// fill sends requests while there are frames and the window has room. It never
// stops inside a group that is finished in the slot.
func (f *flight) fill(ctx context.Context) error {
	for f.room() {
		f.retiring = f.retiring || f.leaving && !f.begun
		if f.retiring {
			break
		}
		more, err := f.build()
		if len(f.units) > f.sent {
			if err := f.send(ctx); err != nil {
				return err
			}
		}
		if err != nil {
			return err // what stands before the trouble is on its way
		}
		if !more {
			break
		}
	}
	if f.retiring && !f.due() {
		return link.ErrReconnect
	}
	return nil
}

// room says whether one more request may go out. A group is not answered before
// it is whole, however many requests that takes.
func (f *flight) room() bool { return len(f.fifo) < f.conn.Window() || f.inGroup() }

// inGroup says whether the last request waits for one that commits it.
func (f *flight) inGroup() bool { return len(f.fifo) > 0 && f.fifo[len(f.fifo)-1].deferred }

// due says whether an answer is to be expected.
func (f *flight) due() bool {
	return slices.ContainsFunc(f.fifo, func(r request) bool { return !r.deferred })
}

// build adds units to a request until it is full (more) or nothing is pending. On
// a connection that is left the last one ends with the frame.
func (f *flight) build() (more bool, err error) {
	for {
		if len(f.parts) == 0 {
			if f.leaving {
				return true, nil
			}
			if ok, err := f.load(); err != nil || !ok {
				return false, err
			}
		}
		switch err := f.add(); {
		case err == nil:
			f.added()
		case errors.Is(err, link.ErrRequestFull):
			return true, nil
		case isUnsupported(err):
			return false, &localError{doing: "send", err: fmt.Errorf("frame %d: %w", f.fsn, err)}
		case isTooLarge(err):
			if err := f.split(err); err != nil {
				return false, err
			}
		case errors.Is(err, link.ErrReconnect):
			f.retiring = true // what was added goes out first
			return false, nil
		default:
			return false, err
		}
	}
}

// add puts the first part of the frame into the request. A frame without rows is
// only a commit, which line protocol neither has nor needs.
func (f *flight) add() error {
	if f.view.Info().Rows == 0 && f.conn.Transport() == link.ILP {
		return nil
	}
	err := f.conn.Add(&f.view, f.parts[0])
	if err == nil {
		f.filled, f.deferred = true, f.view.DeferCommit() && f.conn.Transport() == link.QWP
	}
	return err
}

func isTooLarge(err error) bool {
	var tooLarge *link.TooLargeError
	return errors.As(err, &tooLarge)
}

func isUnsupported(err error) bool {
	var unsupported *link.UnsupportedError
	return errors.As(err, &unsupported)
}

// load takes the next frame from the slot; false when there is none.
func (f *flight) load() (bool, error) {
	e, ok, err := f.cursor.Next()
	if err != nil {
		return false, &localError{doing: "read", err: err}
	}
	if !ok {
		return false, nil
	}
	if err := f.parse(e); err != nil {
		return false, &localError{doing: "read", err: &slot.DamageError{
			Path: f.s.cfg.Slot.Dir(), FSN: e.FSN, Offset: -1, Reason: "the frame is whole but not a message: " + err.Error(),
		}}
	}
	f.fsn = e.FSN
	f.parts = append(f.parts[:0], qwp.WholeMessage)
	return true, nil
}

// flagsAt is where a message has its flags.
const flagsAt = 5

// parse reads a frame; one of a group that fits no connection as if it stood
// alone.
func (f *flight) parse(e slot.Entry) error {
	err := f.view.Parse(e.Bytes, e.Dict)
	if err != nil || !f.s.ungroup || !f.view.DeferCommit() {
		return err
	}
	f.single = append(f.single[:0], e.Bytes...)
	f.single[flagsAt] &^= qwp.FlagDeferCommit
	return f.view.Parse(f.single, e.Dict)
}

// added moves the first part of the frame into the request.
func (f *flight) added() {
	u := unit{fsn: f.fsn, part: f.parts[0], last: len(f.parts) == 1}
	if u.last {
		u.rows = f.view.Info().Rows
	}
	f.begun = !u.last
	f.units = append(f.units, u)
	f.parts = f.parts[1:]
}

// split replaces a part that the server would find too large by its pieces.
func (f *flight) split(cause error) error {
	f.spare = f.view.Split(f.spare[:0], f.parts[0])
	if len(f.spare) < 2 {
		return &localError{doing: "send", err: fmt.Errorf("frame %d: one row is too large: %w", f.fsn, cause)}
	}
	f.spare = append(f.spare, f.parts[1:]...)
	f.parts, f.spare = f.spare, f.parts[:0]
	return nil
}

func (f *flight) send(ctx context.Context) error {
	r, filled := request{units: len(f.units) - f.sent, deferred: f.deferred}, f.filled
	f.filled, f.deferred = false, false
	if !filled { // nothing goes out, and behind nothing: the window of ILP is one request
		f.settle(r.units)
		return nil
	}
	f.sent = len(f.units)
	seq, err := f.conn.Send(ctx)
	if err != nil {
		return err
	}
	r.seq = seq
	f.fifo = append(f.fifo, r)
	return nil
}

// take applies an answer: everything up to its sequence is settled.
func (f *flight) take(a answer) error {
	if a.err != nil {
		return a.err
	}
	if a.outcome.Refusal != nil {
		return a.outcome.Refusal
	}
	requests, units := 0, 0
	for requests < len(f.fifo) && f.fifo[requests].seq <= a.outcome.Seq {
		units += f.fifo[requests].units
		requests++
	}
	f.fifo = slices.Delete(f.fifo, 0, requests)
	f.sent -= units
	f.settle(units)
	return nil
}

// settle settles the frames whose last part is among the first n units, which it
// removes.
func (f *flight) settle(n int) {
	f.done, f.shares = f.done[:0], f.shares[:0]
	for _, u := range f.units[:n] {
		if u.last {
			f.shares = append(f.shares, slot.Share{As: slot.Acked, Rows: u.rows})
			f.done = append(f.done, slot.Done{FSN: u.fsn, Shares: f.shares[len(f.shares)-1:]})
		}
	}
	f.units = slices.Delete(f.units, 0, n)
	if len(f.done) > 0 {
		f.s.settle(f.done)
		f.acked += int64(len(f.done))
	}
}
