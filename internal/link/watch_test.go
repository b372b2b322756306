// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// inBubble runs test against a server whose time is synctest's.
func inBubble(t *testing.T, talk func(ws *websocket.Conn), test func(t *testing.T, c link.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipeNet(t)
		s := newHandler()
		s.upgrade = speakQWP(talk, nil)
		net.serve(s)
		cfg := config("ws://h")
		cfg.Dial = net.dial
		cfg.RequestTimeout = 30 * time.Second
		c := connect(t, newLink(t, cfg))
		test(t, c)
		_ = c.Close()
		time.Sleep(2 * time.Hour) // until the server has slept enough
	})
}

func TestSilenceWhileAnswersAreDueIsATimeout(t *testing.T) {
	dead := func(ws *websocket.Conn) {
		ws.SetPingHandler(func(string) error { return nil })
		hear(ws)
	}
	inBubble(t, dead, func(t *testing.T, c link.Conn) {
		time.Sleep(time.Hour) // idle is no silence
		add(t, c, frame(t, simpleRow("a", 1)))
		send(t, c)
		begin := time.Now()
		_, err := c.Recv(context.Background())
		var timeout *link.TimeoutError
		if !errors.As(err, &timeout) || timeout.Host != "h:9000" {
			t.Fatalf("Recv: %v", err)
		}
		if waited := time.Since(begin); waited < 30*time.Second || waited > time.Minute {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestPingsFlushAcksThatAreHeldBack(t *testing.T) {
	lazy := func(ws *websocket.Conn) {
		ws.SetPingHandler(func(data string) error {
			reply(ws, ok(0))
			return ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		})
		hear(ws)
	}
	inBubble(t, lazy, func(t *testing.T, c link.Conn) {
		begin := time.Now()
		if o := exchange(t, c, frame(t, simpleRow("a", 1))); o.Seq != 0 || o.Refusal != nil {
			t.Errorf("outcome %+v", o)
		}
		if waited := time.Since(begin); waited != 10*time.Second {
			t.Errorf("acked after %v", waited)
		}
	})
}

func TestServerThatOnlyPongsIsLeftAtLast(t *testing.T) {
	inBubble(t, hear, func(t *testing.T, c link.Conn) {
		add(t, c, frame(t, simpleRow("a", 1)))
		send(t, c)
		begin := time.Now()
		_, err := c.Recv(context.Background())
		var timeout *link.TimeoutError
		if !errors.As(err, &timeout) || time.Since(begin) < 5*time.Minute {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestIdleConnectionSendsNothing(t *testing.T) {
	var pings atomic.Int32
	count := func(ws *websocket.Conn) {
		ws.SetPingHandler(func(string) error { pings.Add(1); return nil })
		ackAll(ws)
	}
	inBubble(t, count, func(t *testing.T, c link.Conn) {
		exchange(t, c, frame(t, simpleRow("a", 1)))
		time.Sleep(24 * time.Hour)
		if n := pings.Load(); n != 0 {
			t.Errorf("%d pings in an idle day", n)
		}
		exchange(t, c, frame(t, simpleRow("a", 2)))
	})
}

// sleep reads nothing.
func sleep(*websocket.Conn) { time.Sleep(time.Hour) }

func TestStuckWriteIsATimeout(t *testing.T) {
	inBubble(t, sleep, func(t *testing.T, c link.Conn) {
		add(t, c, frame(t, simpleRow(strings.Repeat("x", 1<<20), 1)))
		_, err := c.Send(context.Background())
		var timeout *link.TimeoutError
		if !errors.As(err, &timeout) {
			t.Errorf("Send: %v", err)
		}
	})
}

func TestEndedContextEndsAStuckWrite(t *testing.T) {
	inBubble(t, sleep, func(t *testing.T, c link.Conn) {
		add(t, c, frame(t, simpleRow(strings.Repeat("x", 1<<20), 1)))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := c.Send(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Send: %v", err)
		}
	})
}
