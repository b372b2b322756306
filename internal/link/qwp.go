// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

const (
	// qwpWindow is how many messages may be unanswered. The server acks every
	// eighth at the latest.
	qwpWindow = 64
	// The dictionary of a connection ends well below the server's limit of
	// 1,000,000 strings, and its memory is bounded (DESIGN.md 2).
	maxDictStrings = 65_536
	maxDictBytes   = 8 << 20
	// closeGrace bounds the farewell: the time for writing a close frame, or for
	// hearing why a write failed.
	closeGrace = time.Second
)

// qwpConn sends messages over a WebSocket. One goroutine reads; it ends with the
// connection, and Close waits for it.
type qwpConn struct {
	link  *Link
	h     *host
	ws    *websocket.Conn
	limit int // largest message in bytes
	slow  bool

	dict  qwp.ConnDict
	msg   []byte
	built bool

	outcomes chan Outcome // closed by the reader when it ends
	ending   *ending
	flight   flight
	timer    *time.Timer // runs flight's watch while answers are due
	durable  *durability // nil: an OK is all that is asked for
}

func (l *Link) newQWPConn(h *host, ws *websocket.Conn, limit int) *qwpConn {
	c := &qwpConn{
		link:     l,
		h:        h,
		ws:       ws,
		limit:    limit,
		outcomes: make(chan Outcome, qwpWindow),
		ending:   newEnding(),
	}
	c.timer = time.AfterFunc(time.Hour, c.watch)
	c.timer.Stop()
	if l.cfg.RequestDurableAck {
		c.durable = newDurability()
		c.durable.timer = time.AfterFunc(time.Hour, c.keepAlive)
		c.durable.timer.Stop()
	}
	ws.SetReadLimit(maxResponse)
	ping := ws.PingHandler()
	ws.SetPingHandler(func(data string) error {
		c.flight.heard(time.Now())
		return ping(data)
	})
	ws.SetPongHandler(func(string) error {
		c.flight.heard(time.Now())
		c.release(false)
		return nil
	})
	go c.read()
	return c
}

func (c *qwpConn) Transport() Transport { return QWP }
func (c *qwpConn) Host() string         { return c.h.host }

// Window is qwpWindow, unless as many bytes are unanswered as the link takes in
// requestTime: then it is what is unanswered.
func (c *qwpConn) Window() int {
	if c.durable != nil {
		return c.durableWindow()
	}
	if messages, busy := c.busy(); busy {
		return messages
	}
	return qwpWindow
}

// busy says whether the link has enough to do for now.
func (c *qwpConn) busy() (messages int, _ bool) {
	messages, bytes := c.flight.due()
	return messages, messages > 0 && bytes >= c.h.stream.bytes()
}

// Alive says that nothing has ended the connection yet.
func (c *qwpConn) Alive() bool { return c.ending.cause() == nil }

// Crowded says that the server had little time for us when we came.
func (c *qwpConn) Crowded() bool { return c.slow }

func (c *qwpConn) Add(v *qwp.View, p qwp.Part) error { return c.AddWith(v, p, nil) }

func (c *qwpConn) AddWith(v *qwp.View, p qwp.Part, more qwp.AddLong) error {
	switch {
	case c.ending.cause() != nil:
		return c.ending.err
	case c.built:
		return ErrRequestFull // one message per request
	case c.durable != nil && c.durable.full():
		return ErrReconnect
	case c.flight.isRefused() || c.dict.Len() >= maxDictStrings || c.dict.TextBytes() >= maxDictBytes:
		return ErrReconnect
	}
	c.msg = c.dict.AppendMessageWith(c.msg[:0], v, p, more)
	if limit, tooLarge := c.outgrown(v.PartRows(p)); tooLarge {
		c.dict.Rollback()
		return &TooLargeError{Host: c.h.host, Size: len(c.msg), Limit: limit}
	}
	c.built = true
	return nil
}

// outgrown says whether the message is larger than the server takes, or than the link
// takes in good time; a single row goes out as it is.
func (c *qwpConn) outgrown(rows int) (limit int, tooLarge bool) {
	if len(c.msg) > c.limit {
		return c.limit, true
	}
	limit = narrowCap(c.h.stream.bytes())
	return limit, rows > 1 && len(c.msg) > limit
}

func (c *qwpConn) Send(ctx context.Context) (int64, error) {
	if err := c.ending.cause(); err != nil {
		return 0, err
	}
	if !c.built {
		return 0, ErrEmptyRequest
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	c.built = false
	c.dict.Commit()
	if c.durable != nil {
		c.durable.launched(len(c.msg))
	}
	seq, first := c.flight.launch(len(c.msg), time.Now())
	if first {
		c.timer.Reset(c.pingInterval())
	}
	stop := context.AfterFunc(ctx, func() { c.fail(&LostError{Host: c.h.host, Err: context.Cause(ctx)}) })
	defer stop()
	if err := c.write(); err != nil {
		return 0, c.writeFailed(err)
	}
	return seq, nil
}

func (c *qwpConn) write() error {
	within := c.link.cfg.timeout(len(c.msg))
	_ = c.ws.SetWriteDeadline(time.Now().Add(within))
	err := c.ws.WriteMessage(websocket.BinaryMessage, c.msg)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &TimeoutError{Host: c.h.host, What: "room for a message", After: within}
	}
	return err
}

// writeFailed gives the reader a moment to find out why: a server that closes
// with a code has usually said so before the write broke.
func (c *qwpConn) writeFailed(err error) error {
	grace := time.AfterFunc(closeGrace, func() { c.fail(&LostError{Host: c.h.host, Err: err}) })
	defer grace.Stop()
	<-c.ending.done
	return c.ending.err
}

func (c *qwpConn) Recv(ctx context.Context) (Outcome, error) {
	select {
	case o, ok := <-c.outcomes:
		if !ok {
			return Outcome{}, c.ending.err
		}
		return o, nil
	case <-ctx.Done():
		return Outcome{}, context.Cause(ctx)
	}
}

// Close says goodbye with code 1000, which leaves to the server what it has not
// answered; the caller replays it.
func (c *qwpConn) Close() error {
	if c.ending.end(ErrClosed) {
		c.stopTimers()
		bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
		_ = c.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(closeGrace))
		_ = c.ws.Close()
	}
	for range c.outcomes {
		// Wait for the reader; nobody is interested in outcomes any more.
	}
	return nil
}

// fail ends the connection at once, and the host is not the first choice of the
// next round.
func (c *qwpConn) fail(err error) {
	if c.abandon(err) {
		c.link.lost(c.h)
		c.link.addresses.silent(c.h.host, err)
	}
}

// abandon ends the connection at once for a reason that is not the host's.
func (c *qwpConn) abandon(err error) (first bool) {
	if first = c.ending.end(err); first {
		c.stopTimers()
		_ = c.ws.Close()
	}
	return first
}

func (c *qwpConn) stopTimers() {
	c.timer.Stop()
	if c.durable != nil {
		c.durable.timer.Stop()
	}
}

func (c *qwpConn) read() {
	defer close(c.outcomes)
	for {
		kind, data, err := c.ws.ReadMessage()
		if err != nil {
			c.release(true)
			c.fail(c.readError(err))
			return
		}
		c.flight.heard(time.Now())
		if kind != websocket.BinaryMessage {
			continue // reserved for the future: facts/qwp-and-slots.md §8.1
		}
		o, ok, err := c.outcome(data)
		if err != nil {
			c.fail(&ProtocolError{Host: c.h.host, Err: err})
			return
		}
		if ok && !c.deliver(o) {
			return
		}
		c.release(false)
	}
}

// deliver hands an outcome to Recv; false when the connection ended meanwhile.
func (c *qwpConn) deliver(o Outcome) bool {
	select {
	case c.outcomes <- o:
		return true
	case <-c.ending.done:
		return false
	}
}

func (c *qwpConn) readError(err error) error {
	var closed *websocket.CloseError
	if !errors.As(err, &closed) || closed.Code == websocket.CloseAbnormalClosure {
		return &LostError{Host: c.h.host, Err: err}
	}
	orderly := closed.Code == websocket.CloseNormalClosure || closed.Code == websocket.CloseGoingAway
	return &ClosedError{Host: c.h.host, Code: closed.Code, Text: OneLine(closed.Text, maxMessage), Orderly: orderly}
}

// outcome reads a response. ok is false for responses that settle nothing, or
// nothing yet: acks of what is acked, of what is not durable, and refusals that are
// held.
func (c *qwpConn) outcome(data []byte) (o Outcome, ok bool, err error) {
	r, err := qwp.ParseResponse(data)
	if err != nil {
		return Outcome{}, false, err
	}
	if r.Status == qwp.StatusDurableAck {
		return c.durableAck(&r)
	}
	refused := r.Status != qwp.StatusOK
	fresh, sent := c.flight.answered(r.Sequence, refused, time.Now(), c.h.stream)
	if r.Sequence < -1 || r.Sequence >= sent {
		return Outcome{}, false, fmt.Errorf("%v for message %d, but %d were sent", r.Status, r.Sequence, sent)
	}
	if !refused {
		return c.acked(&r, fresh)
	}
	if r.Status == qwp.StatusNotWritable {
		c.link.mark(c.h, hostReadOnly) // another host may be the primary now
	}
	o = Outcome{Seq: r.Sequence, Refusal: &Refusal{
		Host:    c.h.host,
		Status:  r.Status,
		Class:   classifyQWP(r.Status),
		Message: OneLine(r.Message, maxMessage),
	}}
	return o, !c.hold(o), nil
}

// flight is what is known of the messages on their way. The sequence number is
// given out before the write: an answer can be quicker than the return of the
// write call.
type flight struct {
	mu       sync.Mutex
	sent     int64     // messages sent, or being sent
	acked    int64     // messages acked
	open     []message // those in between, oldest first
	bytes    int       // of those
	refused  bool
	lastIn   time.Time // when anything last arrived, or the wait began
	progress time.Time // when an answer last arrived, or the wait began
}

// message is one on its way: its size, and how much was on its way with it when it
// was sent, in bytes.
type message struct {
	size, queued int
	at           time.Time
}

// launch numbers a message; first says that nothing was on its way before.
func (f *flight) launch(size int, now time.Time) (seq int64, first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	first = len(f.open) == 0
	if first {
		f.lastIn, f.progress = now, now
	}
	f.bytes += size
	f.open = append(f.open, message{size, f.bytes, now})
	f.sent++
	return f.sent - 1, first
}

// heard notes that the server lives.
func (f *flight) heard(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastIn = now
}

// answered applies a response, and tells the pace how long it took. fresh says that it
// acks something new.
func (f *flight) answered(seq int64, refused bool, now time.Time, p *pace) (fresh bool, sent int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if refused {
		f.refused = true
		return false, f.sent
	}
	if seq < f.acked || seq >= f.sent {
		return false, f.sent
	}
	n := int(seq + 1 - f.acked)
	last := f.open[n-1]
	p.took(last.queued, now.Sub(last.at))
	for _, m := range f.open[:n] {
		f.bytes -= m.size
	}
	f.open = f.open[:copy(f.open, f.open[n:])]
	f.acked, f.progress = seq+1, now
	return true, f.sent
}

func (f *flight) isRefused() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refused
}

// due counts what is unanswered.
func (f *flight) due() (messages, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open), f.bytes
}

// waiting returns how long nothing arrived and how long nothing was answered,
// and the bytes in flight; due is false when no answer is expected.
func (f *flight) waiting(now time.Time) (silent, stalled time.Duration, bytes int, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.Sub(f.lastIn), now.Sub(f.progress), f.bytes, len(f.open) > 0 && !f.refused
}
