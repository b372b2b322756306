// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
)

// pipeNet is a network of net.Pipes, so that time can be synctest's.
type pipeNet struct {
	tb     testing.TB
	accept chan net.Conn
	closed chan struct{}
}

func newPipeNet(tb testing.TB) *pipeNet {
	return &pipeNet{tb: tb, accept: make(chan net.Conn), closed: make(chan struct{})}
}

func (p *pipeNet) serve(h http.Handler) {
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(p) }()
	p.tb.Cleanup(func() { _ = s.Close() })
}

func (p *pipeNet) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.accept <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipeNet) Accept() (net.Conn, error) {
	select {
	case c := <-p.accept:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipeNet) Close() error {
	select {
	case <-p.closed:
	default:
		close(p.closed)
	}
	return nil
}

func (p *pipeNet) Addr() net.Addr { return &net.TCPAddr{} }

// newHandler is newServer without a listener.
func newHandler() *server {
	return &server{
		settings: func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, settings934) },
		write:    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		upgrade:  http.NotFound,
	}
}
