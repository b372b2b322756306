// SPDX-License-Identifier: MIT

package netem

import "net"

// Refuse stops listening: new connections are refused, open ones stay.
func (p *Proxy) Refuse() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener == nil {
		return nil
	}
	err := p.listener.Close()
	p.listener = nil
	return err
}

// Listen takes new connections again, at the same address.
func (p *Proxy) Listen() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil || p.closed {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return err
	}
	p.listener, p.addr = l.(*net.TCPListener), l.Addr().String()
	listener := p.listener
	p.running.Go(func() { p.accept(listener) })
	return nil
}
