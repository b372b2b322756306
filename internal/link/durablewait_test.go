// SPDX-License-Identifier: MIT

package link_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// inDurableBubble is inBubble in durable-ack mode. The log is read when all is over.
func inDurableBubble(t *testing.T, talk func(ws *websocket.Conn), test func(t *testing.T, c link.Conn)) (log string) {
	var said bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		net := newPipeNet(t)
		s := newHandler()
		s.upgrade = speakQWP(talk, map[string]string{"X-Qwp-Durable-Ack": "enabled"})
		net.serve(s)
		cfg := config("ws://h")
		cfg.Dial, cfg.RequestTimeout, cfg.RequestDurableAck = net.dial, 30*time.Second, true
		cfg.Log = slog.New(slog.NewTextHandler(&said, nil))
		c := connect(t, newLink(t, cfg))
		test(t, c)
		_ = c.Close()
		synctest.Wait()
	})
	return said.String()
}

// okayThen answers every message with an OK, transaction by transaction, and PINGs
// when pinged has said what it has to: it knows for how long the server has run.
func okayThen(pinged func(ws *websocket.Conn, n int, since time.Duration)) func(ws *websocket.Conn) {
	return func(ws *websocket.Conn) {
		begin, n := time.Now(), 0
		ws.SetPingHandler(func(data string) error {
			n++
			pinged(ws, n, time.Since(begin))
			return ws.WriteControl(websocket.PongMessage, []byte(data), time.Now().Add(time.Second))
		})
		for seq := 0; ; seq++ {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
			reply(ws, okOf(int64(seq), "t", seq+1))
		}
	}
}

func TestPingsFetchDurableAcks(t *testing.T) {
	var pings atomic.Int32
	fetched := okayThen(func(ws *websocket.Conn, n int, _ time.Duration) {
		if pings.Store(int32(n)); n == 3 {
			reply(ws, durableAck("t", 1))
		}
	})
	inDurableBubble(t, fetched, func(t *testing.T, c link.Conn) {
		begin := time.Now()
		if o := exchange(t, c, frame(t, simpleRow("a", 1))); o.Seq != 0 || o.Refusal != nil {
			t.Errorf("outcome %+v", o)
		}
		if waited := time.Since(begin); waited != 600*time.Millisecond {
			t.Errorf("durable after %v", waited)
		}
		time.Sleep(24 * time.Hour)
		if n := pings.Load(); n != 3 {
			t.Errorf("%d pings, most of them idle", n)
		}
	})
}

func TestNoPingGoesOutWhileMessagesDo(t *testing.T) {
	var pings atomic.Int32
	inDurableBubble(t, okayThen(func(_ *websocket.Conn, n int, _ time.Duration) { pings.Store(int32(n)) }), func(t *testing.T, c link.Conn) {
		for i := range 20 {
			add(t, c, frame(t, simpleRow("a", int64(i))))
			send(t, c)
			time.Sleep(100 * time.Millisecond)
		}
		if n := pings.Load(); n != 0 {
			t.Errorf("%d pings", n)
		}
		time.Sleep(time.Second)
		if pings.Load() == 0 {
			t.Error("no ping afterwards")
		}
	})
}

// An outage of what makes rows durable is none of the server, and sending again would
// only double rows.
func TestAServerThatTakesLongToMakeDurableIsNotTakenForDead(t *testing.T) {
	var pings atomic.Int32
	slow := okayThen(func(ws *websocket.Conn, n int, since time.Duration) {
		if pings.Store(int32(n)); since > 45*time.Minute {
			reply(ws, durableAck("t", 2))
		}
	})
	log := inDurableBubble(t, slow, func(t *testing.T, c link.Conn) {
		for i := range 2 {
			add(t, c, frame(t, simpleRow("a", int64(i))))
			send(t, c)
		}
		if o := recv(t, c); o.Seq != 1 || o.Refusal != nil {
			t.Errorf("outcome %+v", o)
		}
		if n := pings.Load(); n > 1000 {
			t.Errorf("%d pings in 45 minutes", n)
		}
	})
	if n := strings.Count(log, "not durable yet"); n != 1 || !strings.Contains(log, "messages=2") {
		t.Errorf("said %d times:\n%s", n, log)
	}
}

func TestRowsThatNeverBecomeDurableAreSentAgainAtLast(t *testing.T) {
	for name, tc := range map[string]struct {
		pinged   func(ws *websocket.Conn, n int, since time.Duration)
		from, to time.Duration
	}{
		"nothing becomes durable": {func(*websocket.Conn, int, time.Duration) {}, time.Hour, time.Hour + time.Minute},
		"only others do": {
			func(ws *websocket.Conn, n int, _ time.Duration) { reply(ws, durableAck("u", n)) }, 5 * time.Minute, 6 * time.Minute,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inDurableBubble(t, okayThen(tc.pinged), func(t *testing.T, c link.Conn) {
				add(t, c, frame(t, simpleRow("a", 1)))
				send(t, c)
				begin := time.Now()
				_, err := c.Recv(context.Background())
				var timeout *link.TimeoutError
				if !errors.As(err, &timeout) || !strings.Contains(err.Error(), "gave no durable ack") {
					t.Errorf("Recv: %v", err)
				}
				if waited := time.Since(begin); waited < tc.from || waited > tc.to {
					t.Errorf("after %v", waited)
				}
			})
		})
	}
}

func TestSilenceWhileRowsAreNotDurableIsATimeout(t *testing.T) {
	dead := func(ws *websocket.Conn) {
		ws.SetPingHandler(func(string) error { return nil })
		hearMessages(ws, 1)
		reply(ws, okOf(0, "t", 1))
		hear(ws)
	}
	inDurableBubble(t, dead, func(t *testing.T, c link.Conn) {
		add(t, c, frame(t, simpleRow("a", 1)))
		send(t, c)
		begin := time.Now()
		_, err := c.Recv(context.Background())
		var timeout *link.TimeoutError
		if !errors.As(err, &timeout) || !strings.Contains(err.Error(), "no sign of life") {
			t.Errorf("Recv: %v", err)
		}
		if waited := time.Since(begin); waited < 30*time.Second || waited > time.Minute {
			t.Errorf("after %v", waited)
		}
	})
}

func TestARefusalDoesNotWaitForDurabilityForLong(t *testing.T) {
	never := func(ws *websocket.Conn) {
		hearMessages(ws, 2)
		reply(ws, okOf(0, "t", 1))
		reply(ws, qwp.Response{Status: qwp.StatusSchemaMismatch, Sequence: 1, Message: "no"})
		hear(ws)
	}
	inDurableBubble(t, never, func(t *testing.T, c link.Conn) {
		begin := time.Now()
		sendRows(t, c, 2)
		if o := recv(t, c); o.Seq != 1 || o.Refusal == nil {
			t.Errorf("outcome %+v", o)
		}
		if waited := time.Since(begin); waited < 10*time.Second || waited > 12*time.Second {
			t.Errorf("after %v", waited)
		}
		time.Sleep(24 * time.Hour) // nothing is waited for any more
	})
}
