// SPDX-License-Identifier: MIT

package netem

import "io"

// flowing waits while the network stalls; false when the connection is over.
func (c *conn) flowing() bool {
	return c.p.waitFor(c.done, func() bool { return !c.p.set.Stall })
}

// swallowed reports whether bytes that have just been read get lost. From the
// first that does, all of the connection do: it must not go on with a gap.
func (c *conn) swallowed(now bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hole = c.hole || now
	return c.hole
}

// swallow is a connection that was a black hole from the beginning.
func (c *conn) swallow() {
	c.swallowed(true)
	_, _ = io.Copy(io.Discard, &counted{c.client, c.p})
}

// counted counts what the client sends.
type counted struct {
	io.Reader
	p *Proxy
}

func (r *counted) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.p.count(int64(n), 0)
	return n, err
}
