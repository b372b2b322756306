// SPDX-License-Identifier: MIT

package link

import (
	"time"

	"github.com/gorilla/websocket"
)

const (
	// pingsPerTimeout: a PING goes out this often within RequestTimeout while
	// answers are due. It makes the server flush acks that it holds back
	// (facts/qwp-and-slots.md §8.8), and a server that lives answers it.
	pingsPerTimeout = 3
	// stallFactor times RequestTimeout is how long a server may answer PINGs but
	// no message, before it is left for another connection.
	stallFactor = 10
)

func (c *qwpConn) pingInterval() time.Duration { return c.link.cfg.RequestTimeout / pingsPerTimeout }

// watch runs on a timer while answers are due, and not at all otherwise. It
// notices a half-open TCP connection, which would else look idle for ever.
func (c *qwpConn) watch() {
	silent, stalled, bytes, due := c.flight.waiting(time.Now())
	if !due || c.ending.cause() != nil {
		return
	}
	allowed := c.link.cfg.timeout(bytes)
	switch {
	case silent >= allowed:
		c.h.stream.failed(bytes)
		c.fail(c.silence("sign of life", silent))
		return
	case stalled >= stallFactor*allowed:
		c.fail(c.silence("answer but pongs", stalled))
		return
	}
	// A write that is under way holds the PING back; that is no fault.
	_ = c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(c.pingInterval()))
	c.timer.Reset(c.pingInterval())
}

func (c *qwpConn) silence(what string, d time.Duration) error {
	timeout := &TimeoutError{Host: c.h.host, What: what, After: d.Round(time.Millisecond)}
	return &LostError{Host: c.h.host, Err: timeout}
}
