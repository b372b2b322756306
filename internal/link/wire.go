// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"net"
	"sync/atomic"
)

// wire counts what goes over connections, handshakes of TLS and HTTP included.
type wire struct{ sent, received atomic.Int64 }

// dialer opens a TCP connection, as Config.Dial does.
type dialer func(ctx context.Context, network, addr string) (net.Conn, error)

// count makes the connections of a dialer count.
func (w *wire) count(dial dialer) dialer {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return countedConn{conn, w}, nil
	}
}

type countedConn struct {
	net.Conn
	wire *wire
}

func (c countedConn) Read(p []byte) (n int, err error) {
	n, err = c.Conn.Read(p)
	c.wire.received.Add(int64(n))
	return n, err
}

func (c countedConn) Write(p []byte) (n int, err error) {
	n, err = c.Conn.Write(p)
	c.wire.sent.Add(int64(n))
	return n, err
}

// Wire returns the bytes that went to the hosts and came from them: rows, answers,
// questions about tables, and what TLS, HTTP and WebSocket add to them. What TCP and
// IP add is not counted.
func (l *Link) Wire() (sent, received int64) {
	return l.wire.sent.Load(), l.wire.received.Load()
}
