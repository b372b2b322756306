// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// getTimeout bounds a question and its answer, however long a write may take:
	// what is asked are a few words about a table.
	getTimeout = 15 * time.Second
	// getIdle is how long the connection of a question is kept for the next one:
	// QuestDB takes 256 connections in all by default.
	getIdle = 5 * time.Second
	// getLife is how long TLS settings are used before they are asked for again.
	getLife = time.Minute
	// maxGet bounds the answer to a question, in bytes.
	maxGet = 1 << 20
)

// Answer is what a host said to a Get, whatever its status.
type Answer struct {
	Status int
	Body   []byte
}

// Get asks the endpoint called host, as Conn.Host names it, for path with its
// query, which begins with a slash; the path prefix of the endpoint comes before
// it. The credentials are asked for anew, as at a connect. A redirect is an answer
// like any other. Errors: a host that is none of Config.URLs, credentials that
// cannot be had, and inside a *ConnectError what the network says, no answer within
// 15 s or RequestTimeout, and an answer of more than 1 MiB. It is not for rows: it
// neither uses nor changes what is known of the hosts.
func (l *Link) Get(ctx context.Context, host, path string) (Answer, error) {
	h := l.named(host)
	if h == nil {
		return Answer{}, fmt.Errorf("%s is none of the endpoints in urls", host)
	}
	authorization, err := l.authorization()
	if err != nil {
		return Answer{}, err
	}
	if c := l.unused(h); c != nil {
		return c.question(ctx, path, authorization)
	}
	client, err := l.gets.transport(l)
	if err != nil {
		return Answer{}, err
	}
	a, err := l.ask(ctx, h, client, path, authorization)
	if err != nil {
		l.gets.forget(client) // its TLS files may have been the reason, and are read anew
	}
	return a, err
}

func (l *Link) ask(ctx context.Context, h *host, client *http.Transport, path, authorization string) (Answer, error) {
	within := min(getTimeout, l.cfg.RequestTimeout)
	timeout := &TimeoutError{Host: h.host, What: "answer to a question", After: within}
	ctx, cancel := context.WithTimeoutCause(ctx, within, timeout)
	defer cancel()
	a, err := l.get(ctx, client, h, path, authorization)
	if err != nil {
		return Answer{}, &ConnectError{Host: h.host, Err: explainTLS(h, causeOr(ctx, err), time.Now())}
	}
	return a, nil
}

// get uses the transport without http.Client, which would follow redirects and take
// the credentials along.
func (l *Link) get(ctx context.Context, client *http.Transport, h *host, path, authorization string) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url("http", path), nil)
	if err != nil {
		return Answer{}, err
	}
	l.identify(req, authorization)
	resp, err := client.RoundTrip(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	l.peer.answered(resp.Header, resp.TLS)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxGet+1))
	if err == nil && len(body) > maxGet {
		err = fmt.Errorf("the answer is larger than %d bytes", maxGet)
	}
	return Answer{resp.StatusCode, l.mask(h, body, authorization)}, err
}

// unused returns a connection of rows to a host over which a question can be asked
// now, and which is locked for that: QuestDB takes few connections, and one is enough
// for a box. Nil where there is none.
func (l *Link) unused(h *host) *ilpConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range h.conns {
		if !c.Alive() {
			continue
		}
		select {
		case c.busy <- struct{}{}:
			return c
		default:
		}
	}
	return nil
}

// question asks over the connection, which is occupied. One that is closed meanwhile
// ends it, and is left to nobody.
func (c *ilpConn) question(ctx context.Context, path, authorization string) (Answer, error) {
	defer func() {
		<-c.busy
		if !c.Alive() {
			c.client.CloseIdleConnections()
		}
	}()
	if err := c.Announce(ctx); err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if !c.begin(cancel) {
		return Answer{}, &ConnectError{Host: c.h.host, Err: c.ending.err}
	}
	defer c.finish()
	return c.link.ask(ctx, c.h, c.client, path, authorization)
}

// enter lets questions go over a connection, until leave.
func (l *Link) enter(c *ilpConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.h.conns = append(c.h.conns, c)
}

func (l *Link) leave(c *ilpConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.h.conns = slices.DeleteFunc(c.h.conns, func(o *ilpConn) bool { return o == c })
}

// CloseIdle closes the connection that a Get left open for the next one, which
// would close by itself a few seconds later.
func (l *Link) CloseIdle() { l.gets.closeIdle() }

// named returns the endpoint of that name, nil if there is none.
func (l *Link) named(name string) *host {
	for _, h := range l.hosts {
		if h.host == name {
			return h
		}
	}
	return nil
}

// gets keeps the connections of Get apart from those of the rows. The zero value is
// ready.
type gets struct {
	mu   sync.Mutex
	use  *http.Transport
	made time.Time
}

// transport returns one that was made within getLife: a transport cannot change its
// TLS settings, so that new certificates need a new one. That is when their files
// are read; a failure brings it about at once.
func (g *gets) transport(l *Link) (*http.Transport, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.use != nil && time.Since(g.made) < getLife {
		return g.use, nil
	}
	settings, err := l.tls()
	if err != nil {
		return nil, err
	}
	if g.use != nil {
		g.use.CloseIdleConnections()
	}
	g.made, g.use = time.Now(), l.newTransport(settings)
	g.use.IdleConnTimeout = getIdle
	return g.use, nil
}

// forget has the next question make another transport.
func (g *gets) forget(t *http.Transport) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.use == t {
		g.use = nil
		t.CloseIdleConnections()
	}
}

func (g *gets) closeIdle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.use != nil {
		g.use.CloseIdleConnections()
	}
}
