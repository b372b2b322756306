// SPDX-License-Identifier: MIT

package netem

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Proxy is a bad network. All methods may be called from any goroutine.
type Proxy struct {
	answers  *http.Server
	stranger string // where answers listens
	real     http.Handler
	hop      *http.Transport // of real
	up, down pacer
	done     chan struct{} // closed by Close
	running  sync.WaitGroup

	// mu guards what follows. Nothing that can block runs while it is held.
	mu       sync.Mutex
	closed   bool
	target   string // host:port of the server
	addr     string // where the proxy listens
	set      Settings
	changed  chan struct{} // closed and replaced when something below it changes
	listener *net.TCPListener
	conns    map[*conn]struct{}
	stats    Stats
}

// Start puts a proxy before the server at target, host:port, on a free port of
// 127.0.0.1. The server need not be there yet.
func Start(target string, s Settings) (*Proxy, error) {
	return StartAt("127.0.0.1:0", target, s)
}

// StartAt is Start at an address of the caller's choice.
func StartAt(addr, target string, s Settings) (*Proxy, error) {
	p := &Proxy{
		target:  target,
		addr:    addr,
		done:    make(chan struct{}),
		set:     s,
		changed: make(chan struct{}),
		conns:   make(map[*conn]struct{}),
	}
	if err := p.startAnswers(); err != nil {
		return nil, err
	}
	if err := p.Listen(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.running.Go(p.resetEvery)
	return p, nil
}

// Addr returns where the proxy listens, as host:port.
func (p *Proxy) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// URL returns where the proxy listens, as http://host:port.
func (p *Proxy) URL() string { return "http://" + p.Addr() }

// Retarget has new connections go to another server; Reset the others if they
// should follow.
func (p *Proxy) Retarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// server returns where the real server is, whoever answers now.
func (p *Proxy) server() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.target
}

// Close ends everything and waits for it. It may be called again.
func (p *Proxy) Close() error {
	if !p.shut() {
		return nil
	}
	err := p.Refuse()
	p.Reset()
	err = errors.Join(err, p.answers.Close())
	p.hop.CloseIdleConnections()
	p.running.Wait()
	return err
}

// shut reports whether it is the first to close the proxy.
func (p *Proxy) shut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.closed
	if first {
		p.closed = true
		close(p.done)
	}
	return first
}

// accept serves what a listener brings until it is closed.
func (p *Proxy) accept(l *net.TCPListener) {
	for {
		client, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // no descriptor is free, or the client is gone
			continue
		}
		p.noteConnect(time.Now())
		c := &conn{p: p, client: client, done: make(chan struct{})}
		if !p.admit(c) {
			_ = client.Close()
			return
		}
		p.running.Go(c.run)
	}
}

// backend is who answers now: the server, or the stranger in its place.
func (p *Proxy) backend() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.set.Answer != nil {
		return p.stranger
	}
	return p.target
}
