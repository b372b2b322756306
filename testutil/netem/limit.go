// SPDX-License-Identifier: MIT

package netem

// admit waits until there is room for one more connection, and returns false
// when the proxy closes. Meanwhile nothing is accepted: clients are connected to
// the kernel's backlog, as with a server that has reached its limit.
func (p *Proxy) admit(c *conn) bool {
	return p.waitFor(p.done, func() bool {
		if p.closed || p.set.MaxConns > 0 && len(p.conns) >= p.set.MaxConns {
			return false
		}
		p.conns[c] = struct{}{}
		p.stats.Peak = max(p.stats.Peak, len(p.conns))
		return true
	})
}

// leave makes room for another connection.
func (p *Proxy) leave(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	p.tell()
}
