// SPDX-License-Identifier: MIT

package sender

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Order says what goes first when there is a backlog. Zero is no order.
type Order uint8

// The orders.
const (
	// LiveFirst sends what is new before the backlog, which gets a quarter at least.
	LiveFirst Order = iota + 1
	// OldestFirst sends everything in the order in which it was stored.
	OldestFirst
)

var orderNames = [...]string{LiveFirst: "live_first", OldestFirst: "oldest_first"}

// String returns the name that ParseOrder reads.
func (o Order) String() string {
	if o >= LiveFirst && int(o) < len(orderNames) {
		return orderNames[o]
	}
	return fmt.Sprintf("order %d", uint8(o))
}

// ParseOrder reads live_first or oldest_first.
func ParseOrder(s string) (Order, error) {
	for o := LiveFirst; o <= OldestFirst; o++ {
		if orderNames[o] == s {
			return o, nil
		}
	}
	return 0, fmt.Errorf("replay_order %q is unknown: use live_first or oldest_first", s)
}

const (
	// isNew is for how long a frame is new: on a good link all are sent before.
	isNew = 5 * time.Second
	// lags is how old what is new becomes before the live lane leaves it to the backlog.
	lags = 15 * time.Second
	// liveShare times what is sent of the backlog is how much of what is new goes before
	// it, in rows; a request more or less, and each time that the live lane lags.
	liveShare = 2
	// maxSkips is how often the live lane may leave frames to a backlog: each time makes a
	// gap of frames that are not settled, of which the slot can note 64.
	maxSkips = 24
)

// timed is a Store that knows when its frames came: one that is appended to.
type timed interface {
	// Since returns the first frame that was published at about t or later; the one
	// behind the last if there is none.
	Since(t time.Time) slot.FSN
	// FirstPending returns the first frame at or behind fsn that is published and not
	// settled; the one behind the last if there is none.
	FirstPending(fsn slot.FSN) slot.FSN
}

// lanes read a slot. As long as it is sent as it comes there is one, the backlog's. What
// is new when that lags behind gets a lane of its own, with a cursor, until the backlog
// is gone. All but urgent are for the send loop.
type lanes struct {
	store  Store
	order  Order
	replay *Replay

	back *slot.Cursor
	pos  slot.FSN     // behind the last frame that back has read
	live *slot.Cursor // nil while there is one lane
	from slot.FSN     // where the live lane begins, and the backlog ends
	edge slot.FSN     // frames below it are not new

	inLive bool     // the last frame was of the live lane
	sent   [2]int64 // rows of backlog and live lane, since there was something in both
	skips  int
	group  bool // the frame in view goes on: no other comes in between

	// next is the first frame that was not read, of the live lane where there is one.
	next atomic.Int64
}

// came says what came of a look for a frame.
type came uint8

const (
	frameCame came = iota + 1
	laneEnds       // the next one, if there is one, belongs into another request
	notYet         // the backlog has to wait, until Replay.ready
	allRead        // there is none
)

func newLanes(s Store, o Order, r *Replay) *lanes {
	return &lanes{store: s, order: o, replay: r, back: s.NewCursor()}
}

func (l *lanes) close() {
	l.back.Close()
	if l.live != nil {
		l.live.Close()
	}
}

// rewind goes back to what is not settled, in both lanes.
func (l *lanes) rewind() {
	l.back.Rewind()
	l.pos, l.group = 0, false
	if l.live != nil {
		l.liveFrom(l.from)
	} else {
		l.next.Store(0)
	}
}

// look begins a lane for what is new when the first frame that was not sent, hand, is
// not, and moves it on when it lags. inView says that hand was read last; quiet, that
// nothing is on its way: what is, must not be read again by the other lane.
func (l *lanes) look(hand slot.FSN, inView, quiet bool) {
	t, ok := l.store.(timed)
	if !ok {
		l.edge = math.MaxInt64 // nothing new comes to the slot of another client
		return
	}
	l.edge = t.Since(time.Now().Add(-isNew))
	switch {
	case l.order != LiveFirst, l.group:
	case l.live == nil && hand < l.edge:
		l.live = l.store.NewCursor()
		l.skips, l.sent = 0, [2]int64{}
		l.liveFrom(l.edge)
	case quiet && l.lagging(hand, inView):
		l.skips++
		l.inLive, l.sent = false, [2]int64{}
		l.liveFrom(l.edge)
	}
}

// lagging says whether something new waits behind frames of the live lane that are not.
func (l *lanes) lagging(hand slot.FSN, inView bool) bool {
	t, ok := l.store.(timed)
	if !ok || l.live == nil || l.skips >= maxSkips {
		return false
	}
	first, now := t.FirstPending(slot.FSN(l.next.Load())), time.Now()
	if inView && l.inLive {
		first = min(first, hand)
	}
	return first < t.Since(now.Add(-lags)) && t.Since(now.Add(-isNew)) <= l.store.Stats().Published
}

func (l *lanes) liveFrom(from slot.FSN) {
	l.from = from
	l.live.Seek(from)
	l.next.Store(int64(from))
}

// unread is the first frame of the backlog that was not read.
func (l *lanes) unread() slot.FSN {
	if t, ok := l.store.(timed); ok {
		return t.FirstPending(l.pos)
	}
	return max(l.pos, l.store.Stats().Watermark+1)
}

// hasLive says whether the live lane has frames that were not read.
func (l *lanes) hasLive() bool {
	t, ok := l.store.(timed)
	return ok && l.live != nil && t.FirstPending(slot.FSN(l.next.Load())) <= l.store.Stats().Published
}

// urgent says whether rows came lately that were not read, and go out next: they go
// before the backlog of other slots. Anybody may ask.
func (l *lanes) urgent() bool {
	t, ok := l.store.(timed)
	if !ok {
		return false
	}
	first, isNew := slot.FSN(l.next.Load()), t.Since(time.Now().Add(-lags))
	if l.order == LiveFirst {
		first = max(first, isNew)
	}
	first = t.FirstPending(first)
	return first >= isNew && first <= l.store.Stats().Published
}

// isOld says whether a frame is of a backlog.
func (l *lanes) isOld(fsn slot.FSN) bool { return fsn < l.edge && !l.inLive }

// liveIsNext says whether the next request is of the live lane; see look.
func (l *lanes) liveIsNext(hand slot.FSN, inView, quiet bool) bool {
	l.look(hand, inView, quiet)
	if l.live == nil || l.group {
		return false
	}
	if !l.hasLive() {
		l.sent = [2]int64{}
		return false
	}
	return l.sent[1] <= liveShare*l.sent[0] || !l.replay.may(time.Now())
}

// count notes the rows of a request.
func (l *lanes) count(rows int) {
	if l.inLive {
		l.sent[1] += int64(rows)
	} else {
		l.sent[0] += int64(rows)
	}
}

// frame returns the next one. While a request is being built it is of the same lane.
func (l *lanes) frame(building, quiet bool) (slot.Entry, came, error) {
	if !building {
		l.inLive = l.liveIsNext(l.unread(), false, quiet)
	}
	if l.inLive {
		return l.ofLive(building)
	}
	return l.ofBack(building)
}

func (l *lanes) ofLive(building bool) (slot.Entry, came, error) {
	e, ok, err := l.live.Next()
	switch {
	case err != nil:
		return e, 0, err
	case ok:
		l.next.Store(int64(e.FSN) + 1)
		return e, frameCame, nil
	case building:
		return e, laneEnds, nil
	}
	l.inLive = false
	return l.ofBack(false)
}

func (l *lanes) ofBack(building bool) (slot.Entry, came, error) {
	end := slot.FSN(math.MaxInt64)
	if l.live != nil {
		end = l.from
	}
	if !l.group && !l.replay.may(time.Now()) {
		if hand := l.unread(); hand < min(l.edge, end) && hand <= l.store.Stats().Published {
			return slot.Entry{}, notYet, nil
		}
	}
	e, ok, err := l.back.NextBelow(end)
	switch {
	case err != nil:
		return e, 0, err
	case ok:
		l.took(e)
		return e, frameCame, nil
	case l.live == nil:
		return e, allRead, nil
	case building:
		return e, laneEnds, nil
	}
	l.join()
	return l.ofBack(false)
}

// took notes a frame of the backlog, or of the only lane.
func (l *lanes) took(e slot.Entry) {
	l.pos = e.FSN + 1
	if l.live == nil {
		l.next.Store(int64(l.pos))
	}
}

// join makes the two lanes one again: the backlog is gone.
func (l *lanes) join() {
	l.back.Close()
	l.back, l.live = l.live, nil
	l.pos = slot.FSN(l.next.Load())
}

// putBack has the last frame read again: the rest of it has its turn later.
func (l *lanes) putBack(fsn slot.FSN) {
	if l.inLive {
		l.live.Seek(fsn)
		l.next.Store(int64(fsn))
	} else if fsn < l.pos { // else it was of the live lane, and its turn comes
		l.back.Seek(fsn)
		l.pos = fsn
	}
}

// waits returns the time until the backlog may go on, if nothing else may be sent; 0 if
// something may.
func (l *lanes) waits() time.Duration {
	t, ok := l.store.(timed)
	if ok && (l.hasLive() || l.unread() >= t.Since(time.Now().Add(-isNew))) {
		return 0
	}
	return max(0, time.Until(l.replay.ready()))
}
