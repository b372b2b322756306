// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// server is a link and the server behind it. Its hooks run before the default,
// which takes everything and acks it at once.
type server struct {
	mu       sync.Mutex
	rows     []int64
	connects []time.Time
	conns    []*conn
	window   int
	maxRows  int // of a request; more is too large
	frames   int // of a request; default 1

	add  func(conn int, ids []int64) error // refuses a part
	recv func(conn int)                    // is told of each Recv

	refuseConnect func(n int) error                       // n counts from 1
	answer        func(conn int, seq int64) *link.Outcome // nil: no answer
	sendErr       func(conn int, seq int64) error         // after the rows were taken
}

func (s *server) ids() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows)
}

func (s *server) connectTimes() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.connects)
}

func (s *server) Connect(context.Context) (link.Conn, error) {
	s.mu.Lock()
	s.connects = append(s.connects, time.Now())
	n := len(s.connects)
	s.mu.Unlock()
	if s.refuseConnect != nil {
		if err := s.refuseConnect(n); err != nil {
			return nil, err
		}
	}
	c := &conn{srv: s, n: n, out: make(chan link.Outcome, 100), closed: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return c, nil
}

type conn struct {
	srv    *server
	n      int
	rows   []int64
	added  int
	seq    int64
	out    chan link.Outcome
	once   sync.Once
	closed chan struct{}
}

func (c *conn) Transport() link.Transport { return link.QWP }
func (c *conn) Host() string              { return "server" }
func (c *conn) Window() int               { return max(1, c.srv.window) }

func (c *conn) Add(v *qwp.View, p qwp.Part) error {
	if c.added >= max(1, c.srv.frames) {
		return link.ErrRequestFull
	}
	first, last := p.First, p.Last
	t := &v.Tables()[max(0, p.Table)]
	if p == qwp.WholeMessage {
		first, last = 0, t.Rows
	}
	if c.srv.maxRows > 0 && last-first > c.srv.maxRows {
		return &link.TooLargeError{Host: "server", Size: last - first, Limit: c.srv.maxRows}
	}
	var row qwp.Row
	var ids []int64
	for r := range t.All(first, last, &row) {
		ids = append(ids, r.Cells[len(r.Cells)-1].Int())
	}
	if c.srv.add != nil {
		if err := c.srv.add(c.n, ids); err != nil {
			return err
		}
	}
	c.rows, c.added = append(c.rows, ids...), c.added+1
	return nil
}

func (c *conn) AddWith(v *qwp.View, p qwp.Part, _ qwp.AddLong) error { return c.Add(v, p) }

func (c *conn) Send(context.Context) (int64, error) {
	seq := c.seq
	c.seq++
	out := &link.Outcome{Seq: seq}
	if c.srv.answer != nil {
		out = c.srv.answer(c.n, seq)
	}
	if out == nil || out.Refusal == nil {
		c.srv.mu.Lock()
		c.srv.rows = append(c.srv.rows, c.rows...)
		c.srv.mu.Unlock()
	}
	c.rows, c.added = nil, 0
	if out != nil {
		c.out <- *out
	}
	if c.srv.sendErr != nil {
		if err := c.srv.sendErr(c.n, seq); err != nil {
			return 0, err
		}
	}
	return seq, nil
}

func (c *conn) Recv(ctx context.Context) (link.Outcome, error) {
	if c.srv.recv != nil {
		c.srv.recv(c.n)
	}
	select {
	case o := <-c.out:
		return o, nil
	default:
	}
	select {
	case o := <-c.out:
		return o, nil
	case <-c.closed:
		return link.Outcome{}, link.ErrClosed
	case <-ctx.Done():
		return link.Outcome{}, ctx.Err()
	}
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}
