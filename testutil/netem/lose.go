// SPDX-License-Identifier: MIT

package netem

import (
	"bytes"
	"sync/atomic"
)

// maxHead is how much of a request is kept to tell it by, in bytes.
const maxHead = 512

// asked keeps the first bytes of a request. What the client sends once the server
// has begun to answer is the next one.
func (c *conn) asked(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answering {
		c.head, c.answering = c.head[:0], false
	}
	c.head = append(c.head, b[:min(len(b), maxHead-len(c.head))]...)
}

// loses reports whether what the server has begun to say is an answer that gets
// lost.
func (c *conn) loses(lose func([]byte) bool) bool {
	c.mu.Lock()
	first := !c.answering
	c.answering = true
	head := c.head
	c.mu.Unlock()
	return first && lose != nil && lose(bytes.Clone(head))
}

// Writes loses the answers to the next n writes of line protocol, for
// Settings.Lose.
func Writes(n int64) func(request []byte) bool {
	var left atomic.Int64
	left.Store(n)
	return func(request []byte) bool {
		line, _, _ := bytes.Cut(request, []byte("\r\n"))
		return bytes.HasPrefix(line, []byte("POST ")) && bytes.Contains(line, []byte("/write")) && left.Add(-1) >= 0
	}
}
