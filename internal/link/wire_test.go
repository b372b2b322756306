// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// tapped counts what goes over the connections of a server, from its side.
type tapped struct {
	net.Listener
	in, out *atomic.Int64
}

func (l tapped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return tap{c, l}, err
}

type tap struct {
	net.Conn
	l tapped
}

func (c tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.l.in.Add(int64(n))
	return n, err
}

func (c tap) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.l.out.Add(int64(n))
	return n, err
}

// tappedServer is newServer with taps, and TLS if it is secure.
func tappedServer(t *testing.T, in, out *atomic.Int64, secure bool) (s *server, url string, settings func() (*tls.Config, error)) {
	s = newHandler()
	s.Server = httptest.NewUnstartedServer(s)
	s.Listener = tapped{s.Listener, in, out}
	t.Cleanup(s.Close)
	if !secure {
		s.Start()
		return s, s.URL, nil
	}
	s.StartTLS()
	return s, s.URL, func() (*tls.Config, error) {
		return s.Client().Transport.(*http.Transport).TLSClientConfig.Clone(), nil
	}
}

func TestBytesOnTheWireAreThoseThatTheServerSees(t *testing.T) {
	for name, how := range map[string]struct {
		transport link.Transport
		secure    bool
	}{"QWP": {link.QWP, false}, "ILP": {link.ILP, false}, "QWP over TLS": {link.QWP, true}, "ILP over TLS": {link.ILP, true}} {
		t.Run(name, func(t *testing.T) {
			var in, out atomic.Int64
			s, url, settings := tappedServer(t, &in, &out, how.secure)
			s.upgrade = speakQWP(ackAll, nil)
			cfg := config(url)
			cfg.Transport, cfg.TLS = how.transport, settings
			l := newLink(t, cfg)
			c := connect(t, l)
			for i := range int64(20) {
				exchange(t, c, frame(t, simpleRow("a", i)))
			}
			if _, err := l.Get(context.Background(), c.Host(), "/settings"); err != nil {
				t.Fatal(err)
			}
			// All that was sent is answered, and nobody has said goodbye. The server counts
			// what it has written a moment after it is read.
			sent, received := l.Wire()
			for end := time.Now().Add(10 * time.Second); received != out.Load() && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			if sent != in.Load() || received != out.Load() || how.secure && sent < 1000 {
				t.Errorf("sent %d, the server got %d; received %d, the server sent %d", sent, in.Load(), received, out.Load())
			}
		})
	}
}
