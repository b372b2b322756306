// SPDX-License-Identifier: MIT

package netem

import (
	"net/http"
	"time"
)

// Settings are the troubles of a network. The zero value has none. Up is from the
// client to the server, down is back.
type Settings struct {
	// Up and Down are what the link carries in bytes per second, all connections
	// together; 0 is no limit.
	Up, Down int64
	// Delay is the time that a byte takes one way. Jitter is how much more it may
	// be; order is kept.
	Delay, Jitter time.Duration
	// Split is the most bytes that one write carries; 0 is no limit.
	Split int
	// Stall stops what is on its way, both ways, with the connections open. New
	// connections are accepted and wait, too.
	Stall bool
	// Swallow takes bytes and throws them away. A connection that has lost some
	// stays a black hole afterwards.
	Swallow bool
	// ResetEvery resets all connections at this interval; 0 never.
	ResetEvery time.Duration
	// ResetAfter resets a connection that has carried so many bytes, both ways
	// together; 0 never.
	ResetAfter int64
	// MaxConns is how many connections are served at a time; 0 is no limit.
	MaxConns int
	// Lose says of a request, by its first bytes (512 at most), whether the
	// connection closes when the server begins to answer it. Calls may come from
	// several connections at once.
	Lose func(request []byte) bool
	// Answer answers HTTP in the place of the server. A change between none and
	// one resets all connections, as an interception that begins or ends does.
	Answer http.Handler
}

// Set changes the settings. change must not call the proxy.
func (p *Proxy) Set(change func(*Settings)) {
	p.mu.Lock()
	before := p.set.Answer != nil
	change(&p.set)
	switched := before != (p.set.Answer != nil)
	p.tell()
	p.mu.Unlock()
	if switched {
		p.Reset()
	}
}

func (p *Proxy) settings() Settings {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.set
}

// tell wakes whoever waits for a change. The caller holds p.mu.
func (p *Proxy) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// waitFor returns true when f, which runs under p.mu, is true, and false when
// done closes before.
func (p *Proxy) waitFor(done <-chan struct{}, f func() bool) bool {
	for {
		p.mu.Lock()
		ok, changed := f(), p.changed
		p.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}
