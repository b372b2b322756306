// SPDX-License-Identifier: MIT

package qwpserver

import (
	"errors"
	"io"
	"net"
	"slices"
	"time"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// queued is how many received messages wait for being processed. The reader
// stops beyond it, and TCP makes the client stop.
const queued = 256

// conn is one connection. Its reader goroutine only fills the queue; all else,
// writing included, happens on the goroutine of process.
type conn struct {
	srv   *Server
	ws    *websocket.Conn
	id    int
	queue chan item
	done  chan struct{} // closed when process has returned
	// stopped is closed when the server stops.
	stopped <-chan struct{}

	dict qwp.Dict
	view qwp.View
	next int64 // sequence of the next message
	dead bool  // an error was answered or silence fell: nothing is processed any more
	// polite says that a close frame was sent, which the client must get to see.
	polite bool

	group group // deferred messages that nothing has committed yet
	ok    pendingOK

	durable   bool             // DURABLE_ACKs were asked for and offered
	announced map[string]int64 // the last one of each table that it has written to
}

// item is what the reader found: a message, a ping, or the end.
type item struct {
	kind int // websocket.BinaryMessage, PingMessage, CloseMessage
	data []byte
	code int
}

func newConn(s *Server, ws *websocket.Conn, id int, stopped <-chan struct{}) *conn {
	return &conn{
		srv: s, ws: ws, id: id,
		queue:   make(chan item, queued),
		done:    make(chan struct{}),
		stopped: stopped,
		ok:      newPendingOK(),

		announced: make(map[string]int64),
	}
}

// serve runs a connection until its end.
func (s *Server) serve(c *conn) {
	if !s.register(c) {
		c.cut()
		return
	}
	reader := make(chan struct{})
	go func() {
		defer close(reader)
		c.read()
	}()
	c.process()
	close(c.done)
	if c.polite {
		c.linger(reader)
	}
	_ = c.ws.Close()
	<-reader
	s.unregister(c)
}

// linger reads what the client still sends after our close frame. Closing with
// unread bytes would reset the connection and could destroy that frame on its
// way.
func (c *conn) linger(reader <-chan struct{}) {
	tcp := c.ws.NetConn()
	_ = tcp.SetReadDeadline(time.Now().Add(2 * time.Second))
	<-reader
	_, _ = io.Copy(io.Discard, tcp)
}

func (s *Server) register(c *conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return false
	}
	s.open[c] = struct{}{}
	s.state.Connections++
	s.state.Open++
	s.wake()
	return true
}

func (s *Server) unregister(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	s.state.Open--
	s.wake()
}

// cut ends the TCP connection without a close frame.
func (c *conn) cut() { _ = c.ws.NetConn().Close() }

// read fills the queue until the connection ends. Pings and the client's close
// go through the queue too: what was received before them is answered first.
func (c *conn) read() {
	defer close(c.queue)
	c.ws.SetPingHandler(func(data string) error {
		return c.put(item{kind: websocket.PingMessage, data: []byte(data)})
	})
	c.ws.SetCloseHandler(func(code int, _ string) error {
		return c.put(item{kind: websocket.CloseMessage, code: code})
	})
	for {
		kind, data, err := c.ws.ReadMessage()
		if errors.Is(err, websocket.ErrReadLimit) {
			// gorilla has sent the close frame, 1009.
			_ = c.put(item{kind: websocket.CloseMessage, code: websocket.CloseMessageTooBig})
			return
		}
		if err != nil {
			return
		}
		if kind != websocket.BinaryMessage {
			continue
		}
		c.srv.update(func(st *State) { st.Messages++ })
		if c.put(item{kind: kind, data: data}) != nil {
			return
		}
	}
}

var errDone = errors.New("qwpserver: connection is being closed")

func (c *conn) put(it item) error {
	select {
	case c.queue <- it:
		return nil
	case <-c.done:
		return errDone
	}
}

// process takes the queue item by item until the connection ends or is to end.
func (c *conn) process() {
	for {
		it, ok := c.take()
		if !ok {
			return
		}
		var err error
		switch it.kind {
		case websocket.BinaryMessage:
			err = c.message(it.data)
		case websocket.PingMessage:
			c.srv.update(func(st *State) { st.Pings++ })
			err = errors.Join(c.flush(), c.announce(), c.control(websocket.PongMessage, it.data))
		case websocket.CloseMessage:
			_ = c.flush()
			_ = c.closeWith(echo(it.code), "")
			return
		}
		if err != nil {
			return
		}
	}
}

// take returns the next item. When none is ready it first acknowledges what was
// processed, as the real server does when its receive pass runs dry.
func (c *conn) take() (it item, ok bool) {
	select {
	case it, ok = <-c.queue:
		return it, ok
	default:
	}
	for {
		if c.flush() != nil {
			return item{}, false
		}
		select {
		case it, ok = <-c.queue:
			return it, ok
		case <-c.ok.held:
			c.ok.held = nil
		}
	}
}

func (c *conn) control(kind int, data []byte) error {
	return c.ws.WriteControl(kind, data, time.Now().Add(10*time.Second))
}

// closeWith sends a close frame and ends the connection.
func (c *conn) closeWith(code int, text string) error {
	c.polite = true
	_ = c.control(websocket.CloseMessage, websocket.FormatCloseMessage(code, text))
	return net.ErrClosed
}

// echo returns the code to answer a close with: a close without a code has none
// to send back.
func echo(code int) int {
	if slices.Contains([]int{websocket.CloseNoStatusReceived, websocket.CloseAbnormalClosure}, code) {
		return websocket.CloseNormalClosure
	}
	return code
}
