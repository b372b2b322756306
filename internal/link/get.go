// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"fmt"
	"io"
	"net/http"
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
	s, err := l.secrets()
	if err != nil {
		return Answer{}, err
	}
	within := min(getTimeout, l.cfg.RequestTimeout)
	timeout := &TimeoutError{Host: h.host, What: "answer to a question", After: within}
	ctx, cancel := context.WithTimeoutCause(ctx, within, timeout)
	defer cancel()
	a, err := l.get(ctx, h, s, path)
	if err != nil {
		return Answer{}, &ConnectError{Host: h.host, Err: causeOr(ctx, err)}
	}
	return a, nil
}

// get uses the transport without http.Client, which would follow redirects and take
// the credentials along.
func (l *Link) get(ctx context.Context, h *host, s secrets, path string) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url("http", path), nil)
	if err != nil {
		return Answer{}, err
	}
	req.Header.Set("User-Agent", l.cfg.ClientID)
	if s.authorization != "" {
		req.Header.Set("Authorization", s.authorization)
	}
	resp, err := l.gets.transport(l, s).RoundTrip(req)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxGet+1))
	if err == nil && len(body) > maxGet {
		err = fmt.Errorf("the answer is larger than %d bytes", maxGet)
	}
	return Answer{resp.StatusCode, body}, err
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
// TLS settings, so that new certificates need a new one.
func (g *gets) transport(l *Link, s secrets) *http.Transport {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.use != nil && time.Since(g.made) < getLife {
		return g.use
	}
	if g.use != nil {
		g.use.CloseIdleConnections()
	}
	g.made = time.Now()
	g.use = &http.Transport{
		Proxy:               l.cfg.Proxy,
		DialContext:         l.dial,
		TLSClientConfig:     s.tls,
		TLSHandshakeTimeout: l.cfg.ConnectTimeout,
		DisableCompression:  true,
		MaxConnsPerHost:     1,
		IdleConnTimeout:     getIdle,
	}
	return g.use
}

func (g *gets) closeIdle() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.use != nil {
		g.use.CloseIdleConnections()
	}
}

// OneLine makes what a server said printable, on one line of at most limit bytes.
func OneLine(s string, limit int) string { return oneLine(s, limit) }
