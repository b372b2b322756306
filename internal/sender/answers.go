// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

// answer is what the receiving goroutine hands over: an outcome, or the error
// that ended it.
type answer struct {
	outcome link.Outcome
	err     error
}

// receive hands over answers until the connection ends.
func (f *flight) receive(ctx context.Context) {
	defer close(f.answers)
	for {
		o, err := f.recv(ctx)
		f.answers <- answer{o, err}
		if err != nil || o.Refusal != nil && f.conn.Transport() == link.QWP {
			return // which uses a connection up over QWP
		}
	}
}

func (f *flight) recv(ctx context.Context) (o link.Outcome, err error) {
	defer caught(&err)
	return f.conn.Recv(ctx)
}

// linger takes the answers that are still on their way after sending has
// failed: an ack that is left in the old socket becomes a duplicate. Inside a
// group that is no ack but may be a refusal, which is why the connection takes no
// more.
func (f *flight) linger(ctx context.Context, cause error) error {
	refused := f.inGroup() && errors.Is(cause, link.ErrReconnect)
	if !f.due() && !refused {
		return cause
	}
	timeout := time.NewTimer(lingerTime)
	defer timeout.Stop()
	for f.due() || refused {
		select {
		case a, ok := <-f.answers:
			if !ok {
				return cause
			}
			if err := f.take(ctx, a); err != nil && a.outcome.Refusal != nil {
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

// close ends the connection and the receiver. Answers that were handed over but
// not looked at still count; a refusal among them is returned.
func (f *flight) close(ctx context.Context) (refusal error) {
	defer f.handOn()()
	for a := range f.answers {
		if err := f.take(ctx, a); err != nil && a.outcome.Refusal != nil {
			refusal = err
		}
	}
	return refusal
}

// take applies an answer: everything up to its sequence is settled.
func (f *flight) take(ctx context.Context, a answer) error {
	if a.err != nil {
		return a.err
	}
	if a.outcome.Refusal != nil {
		return f.refused(a.outcome)
	}
	if f.void {
		return nil
	}
	requests, units := 0, 0
	for requests < len(f.fifo) && f.fifo[requests].seq <= a.outcome.Seq {
		f.s.cfg.Acks.Since(f.fifo[requests].at)
		units += f.fifo[requests].units
		requests++
	}
	if requests == 0 {
		return nil // there is only more room
	}
	f.timeOld(requests)
	if err := f.confirm(ctx, requests == len(f.fifo)); err != nil {
		return err
	}
	f.fifo = slices.Delete(f.fifo, 0, requests)
	f.sent -= units
	f.settle(units)
	return nil
}

// settle notes that the first n units are acked, and removes them. Frames of which
// nothing is left are settled.
func (f *flight) settle(n int) {
	if slices.ContainsFunc(f.units[:n], hasRows) {
		f.s.hears(nil)
		f.s.tookRows(f.conn.Host())
	}
	f.done, f.shares = f.done[:0], f.shares[:0]
	for i := range f.units[:n] {
		u := &f.units[i]
		if hasRows(*u) {
			f.s.cfg.Book.Accepted(f.conn.Host(), u.table)
		}
		if u.probe != nil {
			f.probing = verdict.Key{}
			f.lifted(u.probe)
		}
		f.settleUnit(u)
	}
	f.units = slices.Delete(f.units, 0, n)
	f.acked += int64(n)
	if n > 0 {
		f.s.settle(f.done)
		f.again = f.again || f.s.parking.unproven
	}
}

// hasRows is false of a frame without rows: that it is settled proves nothing about
// the server, which over ILP has not even seen it.
func hasRows(u unit) bool { return u.n > 0 }

func (f *flight) settleUnit(u *unit) {
	f.s.tookPastTTL(u.past)
	if u.last {
		f.s.parking.drop(u.fsn)
		f.shares = append(f.shares, slot.Share{As: slot.Acked, Rows: u.n})
		f.done = append(f.done, slot.Done{FSN: u.fsn, Bytes: u.bytes, Shares: f.shares[len(f.shares)-1:]})
		return
	}
	if l := f.s.parking.took(u.fsn, u.part); l != nil {
		f.done = append(f.done, slot.Done{FSN: u.fsn, Bytes: u.bytes, Shares: l.shares()})
		f.s.parking.drop(u.fsn)
	}
}
