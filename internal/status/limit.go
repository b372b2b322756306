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
// those that ask nothing: the oldest that is between two requests gives way, or else the
// oldest that has never sent anything.
type limited struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once

	mu     sync.Mutex // guards what follows; no connection is closed under it
	idle   []net.Conn // the oldest first, like silent
	silent []net.Conn
	waits  bool // somebody has no place
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
		is := func(o net.Conn) bool { return o == c }
		l.idle, l.silent = slices.DeleteFunc(l.idle, is), slices.DeleteFunc(l.silent, is)
		switch state {
		case http.StateIdle:
			l.idle = append(l.idle, c)
		case http.StateNew:
			l.silent = append(l.silent, c)
		}
	})
}

// giveWay makes a change under mu, and closes a connection that asks nothing if somebody
// waits for its place.
func (l *limited) giveWay(change func()) {
	l.mu.Lock()
	change()
	var oldest net.Conn
	for _, list := range []*[]net.Conn{&l.idle, &l.silent} {
		if l.waits && oldest == nil && len(*list) > 0 {
			oldest, *list = (*list)[0], (*list)[1:]
		}
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
