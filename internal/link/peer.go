// SPDX-License-Identifier: MIT

package link

import (
	"crypto/tls"
	"net/http"
	"sync"
	"time"
)

// Peer is what the last answers of the servers tell besides.
type Peer struct {
	// ClockAhead is by how much the clock of this machine is ahead of the server's, to
	// a second or two; negative when it is behind. ClockKnown is false until a server
	// has said what time it is.
	ClockAhead time.Duration
	ClockKnown bool
	// CertNotAfter is when the certificate expires that the server showed at the last
	// handshake; zero without TLS.
	CertNotAfter time.Time
}

// peer is a Peer that several connections write.
type peer struct {
	mu   sync.Mutex // guards last, for an instant
	last Peer
}

// answered is told of an answer. The time that it took is part of ClockAhead: on a
// slow link that is a second or two as well, and nobody sets a clock for it.
func (p *peer) answered(header http.Header, state *tls.ConnectionState) {
	date, err := http.ParseTime(header.Get("Date"))
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.last.ClockAhead, p.last.ClockKnown = time.Since(date).Round(time.Second), true
	}
	if state != nil && len(state.PeerCertificates) > 0 {
		p.last.CertNotAfter = state.PeerCertificates[0].NotAfter
	}
}

// Peer returns what the last answers told. It does no I/O.
func (l *Link) Peer() Peer {
	l.peer.mu.Lock()
	defer l.peer.mu.Unlock()
	return l.peer.last
}
