// SPDX-License-Identifier: MIT

package netem

import (
	"io"
	"net"
	"sync"
	"time"
)

// conn is a connection of a client and the one to the server behind it. A
// goroutine for each direction reads, another writes what has arrived.
type conn struct {
	p      *Proxy
	client *net.TCPConn
	done   chan struct{} // closed when the connection is over
	once   sync.Once

	// mu guards what follows.
	mu        sync.Mutex
	server    *net.TCPConn
	over      bool
	hole      bool   // some bytes were thrown away
	carried   int64  // counted while Settings.ResetAfter is set
	head      []byte // of the request that was sent last
	answering bool   // the server has begun to answer it
}

func (c *conn) run() {
	defer c.p.leave(c)
	defer c.close()
	if c.p.settings().Swallow {
		c.swallow()
		return
	}
	if !c.flowing() || !c.reach() {
		c.cut()
		return
	}
	up := &flow{c: c, from: c.client, to: c.server, up: true, pace: &c.p.up, line: make(chan chunk, onItsWay)}
	down := &flow{c: c, from: c.server, to: c.client, pace: &c.p.down, line: make(chan chunk, onItsWay)}
	var flows sync.WaitGroup
	for _, f := range []*flow{up, down} {
		flows.Go(f.read)
		flows.Go(f.write)
	}
	flows.Wait()
}

// reach connects to the server; false when that cannot be had, or is no longer
// wanted.
func (c *conn) reach() bool {
	server, err := net.Dial("tcp", c.p.backend())
	if err != nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		_ = server.Close()
		return false
	}
	c.server = server.(*net.TCPConn)
	return true
}

// cut resets the connection, both ways.
func (c *conn) cut() { c.end(func(t *net.TCPConn) { _ = t.SetLinger(0) }) }

// close ends the connection in an orderly way, unless it is over.
func (c *conn) close() { c.end(func(*net.TCPConn) {}) }

func (c *conn) end(prepare func(*net.TCPConn)) {
	c.once.Do(func() {
		close(c.done)
		c.mu.Lock()
		c.over = true
		server := c.server
		c.mu.Unlock()
		for _, t := range []*net.TCPConn{c.client, server} {
			if t != nil {
				prepare(t)
				_ = t.Close()
			}
		}
	})
}

// flow is one direction of a connection.
type flow struct {
	c        *conn
	from, to *net.TCPConn
	up       bool
	pace     *pacer
	line     chan chunk
	last     time.Time // when the last chunk arrives
}

func (f *flow) rate(s *Settings) int64 {
	if f.up {
		return s.Up
	}
	return s.Down
}

// read puts on its way what the one end sends, as fast as the link takes it.
func (f *flow) read() {
	defer close(f.line)
	buf := make([]byte, maxChunk)
	narrow := false
	for {
		s := f.c.p.settings()
		if rate := f.rate(&s); rate > 0 && !narrow {
			narrow = true
			_ = f.from.SetReadBuffer(narrowBuffer)
		}
		n, err := f.from.Read(buf[:chunkSize(f.rate(&s))])
		if n > 0 && !f.send(chunk{bytes: append([]byte(nil), buf[:n]...)}) {
			return
		}
		if err != nil {
			f.send(chunk{end: err})
			return
		}
	}
}

// send puts a chunk on its way; false when the connection is over.
func (f *flow) send(k chunk) bool {
	s := f.c.p.settings()
	if f.up {
		f.c.p.count(int64(len(k.bytes)), 0)
	}
	if f.c.swallowed(s.Swallow) {
		if k.end != nil {
			f.c.close()
		}
		return k.end == nil
	}
	sent := f.pace.take(len(k.bytes), f.rate(&s), time.Now())
	if !f.c.until(sent) {
		return false
	}
	k.due = f.arrival(sent, &s)
	select {
	case f.line <- k:
		return true
	case <-f.c.done:
		return false
	}
}

// write gives the other end what has arrived.
func (f *flow) write() {
	for k := range f.line {
		if !f.c.until(k.due) || !f.c.flowing() {
			return
		}
		switch {
		case k.end == io.EOF:
			_ = f.to.CloseWrite()
			return
		case k.end != nil:
			f.c.cut()
			return
		case !f.deliver(k.bytes):
			return
		}
	}
}

// deliver writes bytes to their end; false when the connection is over.
func (f *flow) deliver(b []byte) bool {
	s := f.c.p.settings()
	if f.up {
		f.c.asked(b)
	} else if f.c.loses(s.Lose) {
		f.c.close()
		return false
	}
	allowed, last := f.c.allow(len(b), s.ResetAfter)
	err := writeSplit(f.to, b[:allowed], s.Split)
	if !f.up && err == nil {
		f.c.p.count(0, int64(allowed))
	}
	if last || err != nil {
		f.c.cut()
		return false
	}
	return true
}
