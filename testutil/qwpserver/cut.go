// SPDX-License-Identifier: MIT

package qwpserver

import (
	"net"
	"sync/atomic"
)

// listener hands out connections that can be cut at a byte.
type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &cuttable{Conn: c}, nil
}

// cuttable is a connection that resets itself once it has read a given number
// of bytes: a peer that dies in the middle of a websocket frame.
type cuttable struct {
	net.Conn
	armed atomic.Bool
	left  atomic.Int64
}

// cutAfter arms the cut. n bytes of what arrives from now on are still read.
func (c *cuttable) cutAfter(n int64) {
	c.left.Store(n)
	c.armed.Store(true)
}

func (c *cuttable) Read(p []byte) (int, error) {
	if !c.armed.Load() {
		return c.Conn.Read(p)
	}
	left := c.left.Load()
	if left <= 0 {
		c.reset()
		return 0, net.ErrClosed
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	n, err := c.Conn.Read(p)
	c.left.Add(-int64(n))
	return n, err
}

// reset closes with RST, so that the peer learns it at once and data still
// under way is thrown away.
func (c *cuttable) reset() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Conn.Close()
}
