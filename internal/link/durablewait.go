// SPDX-License-Identifier: MIT

package link

import (
	"errors"
	"time"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

const (
	// A server sends DURABLE_ACKs only while it handles what arrives. When nothing is
	// sent, PINGs keep it at that: at once every 200 ms, and the longer it takes the
	// less often, so that an outage behind the server costs no traffic to speak of.
	durablePing    = 200 * time.Millisecond
	maxDurablePing = 5 * time.Second
	pingsPerWait   = 10
	// refusalGrace is how long a refusal waits for what was taken before it to become
	// durable. What does not is sent once more on the next connection.
	refusalGrace = 10 * time.Second
	// durablePatience is how many times longer than for OKs a living server is waited
	// for: sending again makes nothing durable, but helps where its table is gone.
	durablePatience = 12
)

// acked says what an OK settles; fresh is false if it says nothing new.
func (c *qwpConn) acked(r *qwp.Response, fresh bool) (o Outcome, ok bool, err error) {
	if c.durable == nil || !fresh {
		return Outcome{Seq: r.Sequence}, fresh, nil
	}
	now := time.Now()
	start, err := c.durable.okay(r.Sequence, r.Tables, now)
	var recreated *recreatedError
	if errors.As(err, &recreated) {
		c.abandon(&LostError{Host: c.h.host, Err: err})
		return Outcome{}, false, nil
	}
	if err != nil {
		return Outcome{}, false, err
	}
	if start {
		c.durable.timer.Reset(durablePing)
	}
	if o.Seq, ok = c.durable.pop(now); !ok {
		o.Seq, ok = c.durable.roomAgain()
	}
	return o, ok, nil
}

// durableWindow is 0 while the link is busy, too. An OK then makes room without acking
// anything, and who waits for an outcome gets one that acks nothing new.
func (c *qwpConn) durableWindow() int {
	c.durable.awaitRoom(true) // before the look, or an OK in between would be missed
	if _, busy := c.busy(); busy {
		return 0
	}
	c.durable.awaitRoom(false)
	return c.durable.window()
}

func (d *durability) awaitRoom(closed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = closed
}

// roomAgain returns the last message that is durable, -1 for none, if somebody waits
// for room.
func (d *durability) roomAgain() (seq int64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ok, d.closed = d.closed, false
	return d.first - 1, ok
}

// durableAck says what a DURABLE_ACK settles: nothing where none is asked for.
func (c *qwpConn) durableAck(r *qwp.Response) (o Outcome, ok bool, err error) {
	if c.durable == nil {
		return Outcome{}, false, nil
	}
	now := time.Now()
	if err := c.durable.announced(r.Tables, now); err != nil {
		return Outcome{}, false, err
	}
	o.Seq, ok = c.durable.pop(now)
	return o, ok, nil
}

// hold keeps a refusal back while something before it may become durable: behind the
// refusal a connection ends, and what is not durable then is sent again.
func (c *qwpConn) hold(o Outcome) (held bool) {
	d := c.durable
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		d.over = true
		return false
	}
	if d.refusal == nil {
		d.refusal, d.refused = &o, time.Now()
	}
	return true
}

// release hands a refusal over that waits no longer. Only the reader calls it.
func (c *qwpConn) release(ending bool) {
	d := c.durable
	if d == nil {
		return
	}
	d.mu.Lock()
	o := d.refusal
	due := o != nil && (ending || len(d.queue) == 0 || time.Since(d.refused) >= refusalGrace)
	if due {
		d.refusal, d.over = nil, true
	}
	d.mu.Unlock()
	if due {
		c.deliver(*o)
	}
}

// durableWait is how a wait for durability is going.
type durableWait struct {
	messages int
	begun    time.Time // when something last became durable, or the wait began
	spoke    time.Time // the last DURABLE_ACK
	busy     bool      // something was sent since the last look
	told     bool
}

// waits takes a look; false if nothing waits, which ends the looks.
func (d *durability) waits() (w durableWait, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over || len(d.queue) == 0 {
		d.ticking = false
		return w, false
	}
	w = durableWait{len(d.sizes), d.progress, d.spoke, d.sent, d.told}
	d.sent = false
	return w, true
}

// keepAlive runs on a timer while something waits to be durable, and not at all
// otherwise.
func (c *qwpConn) keepAlive() {
	w, waits := c.durable.waits()
	if !waits || c.ending.cause() != nil {
		return
	}
	now := time.Now()
	silent, _, bytes, _ := c.flight.waiting(now)
	allowed, waited := c.link.cfg.timeout(bytes), now.Sub(w.begun)
	switch {
	case silent >= allowed:
		c.fail(c.silence("sign of life", silent))
		return
	case w.hopeless(waited, stallFactor*allowed):
		c.fail(c.silence("durable ack of rows it has taken", waited))
		return
	case waited >= allowed && !w.told:
		c.durable.tell()
		c.link.cfg.Log.Warn("the server has taken rows that are not durable yet; they stay in the store until it says they are",
			"host", c.h.host, "messages", w.messages, "for", waited.Round(time.Second))
	}
	every := min(max(durablePing, waited/pingsPerWait), maxDurablePing)
	if !w.busy {
		// A write that is under way holds it back, and will do.
		_ = c.ws.WriteControl(websocket.PingMessage, nil, now.Add(every))
	}
	c.durable.timer.Reset(every)
}

// hopeless says that a living server has had its time: a normal one where it says of
// other rows that they are durable, and a long one where it says nothing at all.
func (w *durableWait) hopeless(waited, stall time.Duration) bool {
	return waited >= durablePatience*stall || waited >= stall && w.spoke.Sub(w.begun) >= stall/2
}

func (d *durability) tell() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.told = true
}
