// SPDX-License-Identifier: MIT

package qwpserver_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a server under test and the time that a test may take.
type bed struct {
	testing.TB
	*qwpserver.Server
	ctx context.Context
}

func start(t testing.TB, opts qwpserver.Options) *bed {
	t.Helper()
	s, err := qwpserver.Start(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return &bed{t, s, ctx}
}

func (b *bed) wait(f func(*qwpserver.State) bool) {
	b.Helper()
	if err := b.Wait(b.ctx, f); err != nil {
		b.Fatal(err)
	}
}

// client is a bare websocket client that knows only messages and responses.
type client struct {
	testing.TB
	ws   *websocket.Conn
	dict qwp.ConnDict
}

// dial connects with headers given as key, value, key, value.
func (b *bed) dial(headers ...string) (*client, *http.Response, error) {
	header := http.Header{"X-Qwp-Max-Version": {"1"}}
	for i := 0; i+1 < len(headers); i += 2 {
		header.Set(headers[i], headers[i+1])
	}
	url := strings.Replace(b.URL(), "http", "ws", 1) + "/write/v4"
	ws, resp, err := websocket.DefaultDialer.DialContext(b.ctx, url, header)
	if err != nil {
		return nil, resp, err
	}
	deadline, _ := b.ctx.Deadline()
	_ = ws.SetReadDeadline(deadline)
	b.Cleanup(func() { _ = ws.Close() })
	return &client{TB: b.TB, ws: ws}, resp, nil
}

func (b *bed) connect(headers ...string) *client {
	b.Helper()
	c, _, err := b.dial(headers...)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// point makes a row of one value at a second of 2023.
func point(table string, second int64, fill func(*qwp.Row)) *qwp.Row {
	var r qwp.Row
	r.Reset(table)
	fill(&r)
	r.At((1700000000 + second) * 1e6)
	return &r
}

func long(table string, second, v int64) *qwp.Row {
	return point(table, second, func(r *qwp.Row) { r.Long("v", v) })
}

// message encodes rows as one message for this connection.
func (c *client) message(rows ...*qwp.Row) []byte {
	c.Helper()
	b := qwp.NewBuilder(1 << 20)
	for _, r := range rows {
		if err := b.Add(r); err != nil {
			c.Fatal(err)
		}
	}
	var view qwp.View
	var dict qwp.Dict
	if err := view.Parse(b.AppendFrame(nil), &dict); err != nil {
		c.Fatal(err)
	}
	msg := c.dict.AppendMessage(nil, &view, qwp.WholeMessage)
	c.dict.Commit()
	return msg
}

func (c *client) send(rows ...*qwp.Row) {
	c.Helper()
	c.write(c.message(rows...))
}

// deferred sends a message that a later one commits: flag 0x01 of byte 5.
func (c *client) deferred(rows ...*qwp.Row) {
	c.Helper()
	msg := c.message(rows...)
	msg[5] |= 0x01
	c.write(msg)
}

func (c *client) write(msg []byte) {
	c.Helper()
	if err := c.ws.WriteMessage(websocket.BinaryMessage, msg); err != nil {
		c.Fatal(err)
	}
}

// answer reads the next response.
func (c *client) answer() qwp.Response {
	c.Helper()
	_, payload, err := c.ws.ReadMessage()
	if err != nil {
		c.Fatal(err)
	}
	r, err := qwp.ParseResponse(payload)
	if err != nil {
		c.Fatal(err)
	}
	return r
}

// until reads OKs up to the one for that sequence.
func (c *client) until(seq int64) {
	c.Helper()
	for last := int64(-1); last < seq; {
		r := c.answer()
		if r.Status != qwp.StatusOK || r.Sequence <= last {
			c.Fatalf("after OK %d: %+v", last, r)
		}
		last = r.Sequence
	}
}

// end reads until the connection ends and returns how.
func (c *client) end() error {
	for {
		if _, _, err := c.ws.ReadMessage(); err != nil {
			return err
		}
	}
}

// nothingMore proves with a ping, which is answered in order, that no response
// is under way.
func (c *client) nothingMore() {
	c.Helper()
	ponged := make(chan struct{})
	c.ws.SetPongHandler(func(string) error { close(ponged); return c.ws.SetReadDeadline(time.Now()) })
	if err := c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(10*time.Second)); err != nil {
		c.Fatal(err)
	}
	_, payload, err := c.ws.ReadMessage()
	if err == nil {
		r, _ := qwp.ParseResponse(payload)
		c.Fatalf("unexpected response %+v", r)
	}
	select {
	case <-ponged:
	default:
		c.Fatalf("no pong: %v", err)
	}
}
