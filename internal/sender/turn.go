// SPDX-License-Identifier: MIT

package sender

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// turn is what a connection has besides that is handed on between senders: *link.Lease.
type turn interface {
	// Made is when it was made; Fresh says that nobody has used it before.
	Made() time.Time
	Fresh() bool
	// Wanted closes when others wait for it, or it has had its time.
	Wanted() <-chan struct{}
	// Idle is how long to keep it while nothing is sent.
	Idle() time.Duration
	// Hold has nobody connect for that long.
	Hold(d time.Duration)
	// Crowd tells that the server takes no more connections.
	Crowd()
	// Quiet ends Recv with an error, and the connection stays; Return hands it on.
	Quiet()
	Return()
}

// turnTime is how long a sender keeps a connection that others want, as long as it has
// something to send; a request goes to its end. It is short against the seconds in
// which new rows should be there, and long against what a change costs.
const turnTime = time.Second

// errTurnOver ends the use of a connection that others want, or nobody needs.
var errTurnOver = errors.New("the connection is left to others")

// isBroken says whether an error is the end of a connection that came about.
func isBroken(err error) bool {
	return errors.As(err, new(*link.LostError)) || errors.As(err, new(*link.ClosedError))
}

// share begins the turn on a connection that is handed on.
func (f *flight) share() {
	t, ok := f.conn.(turn)
	if !ok {
		return
	}
	f.turn, f.made = t, t.Made()
	f.idle, f.ready = time.NewTimer(time.Hour), time.NewTimer(time.Hour)
	f.idle.Stop()
	f.ready.Stop()
}

// isWanted says whether the connection should be given up soon.
func (f *flight) isWanted() bool {
	if f.turn == nil {
		return false
	}
	select {
	case <-f.turn.Wanted():
		return true
	default:
		return false
	}
}

// heedOthers ends the turn when it has lasted.
func (f *flight) heedOthers() {
	if f.open || f.inGroup() {
		return
	}
	if !f.leaving && f.isWanted() && time.Since(f.began) >= turnTime {
		f.leaving, f.yields = true, true
	}
	if f.yields && f.begun && f.mayWait() && !f.isOnItsWay(f.fsn) {
		f.putBack() // the rest of a large frame has its turn later
	}
}

// putBack has the rest of the frame in view sent later.
func (f *flight) putBack() {
	f.lanes.putBack(f.fsn)
	f.parts, f.begun = nil, false
}

// wanted is ready when others want the connection and nothing is on its way.
func (f *flight) wanted() <-chan struct{} {
	if f.turn == nil || len(f.units) > 0 {
		return nil
	}
	return f.turn.Wanted()
}

// unused is ready when nothing was on its way for so long that the connection is not
// worth its place at the server.
func (f *flight) unused() <-chan time.Time {
	if f.turn == nil || len(f.units) > 0 {
		return nil
	}
	f.idle.Reset(max(0, f.turn.Idle()-time.Since(f.rested)))
	return f.idle.C
}

// backlogReady is ready when the backlog, which is all that is left, may go on.
func (f *flight) backlogReady() <-chan time.Time {
	if !f.paused {
		return nil
	}
	wait := time.Until(f.s.cfg.Replay.ready())
	if f.ready == nil {
		return time.After(wait)
	}
	f.ready.Reset(wait)
	return f.ready.C
}

// handOn ends the use of the connection, and returns what is to be done when nobody is
// in Recv any more: it is closed, unless it may be handed on.
func (f *flight) handOn() func() {
	if f.yields && len(f.units) == 0 && !f.filled && !f.void && !f.usedUp {
		f.turn.Quiet()
		return f.turn.Return
	}
	_ = f.conn.Close()
	return func() {}
}

// holdOff keeps the other senders from asking a server that wants to be left alone.
func (f *flight) holdOff(err error) {
	var refusal *link.Refusal
	if f.turn != nil && errors.As(err, &refusal) && refusal.HTTPStatus == http.StatusTooManyRequests {
		f.turn.Crowd()
	}
	if d := retryAfter(err); d > 0 && f.turn != nil {
		f.turn.Hold(f.s.later(d))
	}
}

// timeOld tells how long the answer to the first so many requests took, if they are of a
// backlog.
func (f *flight) timeOld(requests int) {
	if requests == 0 {
		return
	}
	rows, began := 0, f.fifo[0].at
	for _, r := range f.fifo[:requests] {
		if r.old {
			rows += r.rows
		}
	}
	if f.answered.After(began) {
		began = f.answered
	}
	f.answered = time.Now()
	f.s.cfg.Replay.acked(rows, f.answered.Sub(began))
}

// noFrame notes why there is none.
func (f *flight) noFrame(why came) {
	switch why {
	case laneEnds:
		f.cut = true
	case notYet:
		f.paused = true
	default:
		f.s.parking.end()
		f.anew = false
	}
}

// belong notes, with its first rows, what a request is of.
func (f *flight) belong() {
	if !f.filled {
		f.old, f.day = f.lanes.isOld(f.fsn), f.dayInView()
	}
}

const dayMicros = 24 * 60 * 60 * 1e6

func (f *flight) dayInView() int64 {
	day := f.view.Info().MinTime / dayMicros
	if f.view.Info().MinTime%dayMicros < 0 {
		day--
	}
	return day
}

// otherDay says whether the frame in view is of another UTC day than the request: a
// backlog goes out a partition at a time, so that the server does not commit out of
// order over many.
func (f *flight) otherDay() bool { return f.old && f.dayInView() != f.day }

// giveWay lets another lane go before the rest of the frame in view, once nothing of that
// is on its way: what was acked of it is known. It says whether the rest has to wait
// although no other lane has anything.
func (f *flight) giveWay() (wait bool) {
	if len(f.parts) == 0 {
		return false
	}
	switch {
	case !f.mayWait():
	case f.otherLane():
		if !f.isOnItsWay(f.fsn) {
			f.putBack()
		}
	case f.lanes.isOld(f.fsn):
		return !f.s.cfg.Replay.may(time.Now())
	}
	return false
}

// otherLane says whether the next request is of another lane than the frame in view.
func (f *flight) otherLane() bool {
	live := f.lanes.liveIsNext(f.fsn, true, len(f.units) == 0)
	return live != f.lanes.inLive // which look may have changed
}

// mayWait says whether the rest of the frame in view may be sent later: all but rows by
// which something is found out.
func (f *flight) mayWait() bool {
	return !slices.ContainsFunc(f.parts, func(p parcel) bool { return p.probe != nil || p.alone })
}

// holdsUp says whether what is on its way keeps what is new from its turn, until it is
// answered.
func (f *flight) holdsUp() bool {
	if len(f.units) == 0 || f.inGroup() {
		return false
	}
	if f.lanes.lagging(f.fsn, len(f.parts) > 0) || f.yields && f.begun && f.mayWait() && f.isOnItsWay(f.fsn) {
		return true
	}
	return len(f.parts) > 0 && !f.lanes.inLive && f.lanes.hasLive() && f.mayWait() && f.isOnItsWay(f.fsn)
}

// isOnItsWay says whether something of a frame is unanswered.
func (f *flight) isOnItsWay(fsn slot.FSN) bool {
	return slices.ContainsFunc(f.units, func(u unit) bool { return u.fsn == fsn })
}
