// SPDX-License-Identifier: MIT

package status

import (
	"net"
	"net/http"
	"slices"
	"sync"
)

// maxConns is more than a browser, a scraper and a watchdog need.
const maxConns = 32

// limited is a listener that has so many connections at a time. Others wait, but not for
// those that only stay open between two requests: the oldest of them gives way.
type limited struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once

	mu    sync.Mutex // guards what follows; no connection is closed under it
	idle  []net.Conn // the oldest first
	waits bool       // somebody has no place
}

func limit(l net.Listener) *limited {
	return &limited{Listener: l, places: make(chan struct{}, maxConns), closed: make(chan struct{})}
}

func (l *limited) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	select {
	case l.places <- struct{}{}:
	default:
		if !l.await() {
			_ = c.Close()
			return nil, net.ErrClosed
		}
	}
	return &limitedConn{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// await waits for a place; false when the listener is closed before.
func (l *limited) await() bool {
	l.giveWay(func() { l.waits = true })
	defer l.giveWay(func() { l.waits = false })
	select {
	case l.places <- struct{}{}:
		return true
	case <-l.closed:
		return false
	}
}

// note is http.Server.ConnState: it learns which connections nobody is using.
func (l *limited) note(c net.Conn, state http.ConnState) {
	l.giveWay(func() {
		l.idle = slices.DeleteFunc(l.idle, func(o net.Conn) bool { return o == c })
		if state == http.StateIdle {
			l.idle = append(l.idle, c)
		}
	})
}

// giveWay makes a change under mu, and closes the connection that is idle for the longest
// time if somebody waits for its place.
func (l *limited) giveWay(change func()) {
	l.mu.Lock()
	change()
	var oldest net.Conn
	if l.waits && len(l.idle) > 0 {
		oldest, l.idle = l.idle[0], l.idle[1:]
	}
	l.mu.Unlock()
	if oldest != nil {
		_ = oldest.Close()
	}
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	leave func()
}

func (c *limitedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
