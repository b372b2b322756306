// SPDX-License-Identifier: MIT

package netem

import "time"

// Reset resets all connections now and returns how many there were.
func (p *Proxy) Reset() int {
	p.mu.Lock()
	var list []*conn
	for c := range p.conns {
		list = append(list, c)
	}
	p.mu.Unlock()
	for _, c := range list {
		c.cut()
	}
	return len(list)
}

// resetEvery does what Settings.ResetEvery says until the proxy closes.
func (p *Proxy) resetEvery() {
	last := time.Now()
	for {
		p.mu.Lock()
		every, changed := p.set.ResetEvery, p.changed
		p.mu.Unlock()
		var due <-chan time.Time
		if every > 0 {
			due = time.After(time.Until(last.Add(every)))
		} else {
			last = time.Now()
		}
		select {
		case <-due:
			last = time.Now()
			p.Reset()
		case <-changed:
		case <-p.done:
			return
		}
	}
}

// allow returns how many of n bytes a connection may still carry, and whether it
// is to be reset behind them.
func (c *conn) allow(n int, limit int64) (allowed int, last bool) {
	if limit <= 0 {
		return n, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	allowed = int(max(0, min(int64(n), limit-c.carried)))
	c.carried += int64(allowed)
	return allowed, c.carried >= limit
}
