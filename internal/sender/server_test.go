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
	rows     []taken
	connects []time.Time
	conns    []*conn
	window   int
	maxRows  int // of a request; more is too large
	frames   int // of a request; default 1
	ilp      bool
	columns  map[string][]string // of each table, as they came last
	rowIDs   []int64             // all that came

	judge func(rows []sentRow) *link.Refusal // of a request; nil takes it
	add   func(conn int, ids []int64) error  // refuses a part
	recv  func(conn int)                     // is told of each Recv
	// windows is told of each look for room.
	windows func()

	// sent is told of a request that was taken, acked of one whose ack reached the
	// sender.
	sent, acked func(c *conn, rows []taken)

	refuseConnect func(n int) error                       // n counts from 1
	answer        func(conn int, seq int64) *link.Outcome // nil: no answer
	sendErr       func(conn int, seq int64) error         // after the rows were taken
}

// taken is a row as the server has it.
type taken struct {
	table string
	id    int64
	rowID bool
}

// sentRow is a row with the types of its columns, as it came.
type sentRow struct {
	taken
	columns map[string]qwp.Type
}

func (s *server) taken() []taken {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows)
}

func (s *server) ids() []int64 {
	var list []int64
	for _, r := range s.taken() {
		list = append(list, r.id)
	}
	return list
}

// columnsOf returns the columns of a table as they came last.
func (s *server) columnsOf(table string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.columns[table])
}

// idsSent returns all row ids that came.
func (s *server) idsSent() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rowIDs)
}

// cut ends the last connection, as a server does that closes what is idle.
func (s *server) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.conns); n > 0 {
		_ = s.conns[n-1].Close()
	}
}

func (s *server) connectTimes() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.connects)
}

func (s *server) Connect(context.Context, link.Wish) (link.Conn, error) {
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
	rows   []taken
	over   bool      // something was refused over QWP
	sent   []sentRow // the same rows, where there is a judge
	unsure [][]taken // requests that were taken, from the first that is not acked
	base   int64     // its number
	added  int
	seq    int64
	out    chan link.Outcome
	once   sync.Once
	closed chan struct{}
}

func (c *conn) Transport() link.Transport {
	if c.srv.ilp {
		return link.ILP
	}
	return link.QWP
}

func (c *conn) Host() string { return "server" }
func (c *conn) Window() int {
	if c.srv.windows != nil {
		c.srv.windows()
	}
	if c.srv.ilp {
		return 1 // as over HTTP
	}
	return max(1, c.srv.window)
}

func (c *conn) Add(v *qwp.View, p qwp.Part) error { return c.AddWith(v, p, nil) }

func (c *conn) AddWith(v *qwp.View, p qwp.Part, more qwp.AddLong) error {
	if c.added >= max(1, c.srv.frames) {
		return link.ErrRequestFull
	}
	if rows := v.PartRows(p); c.srv.maxRows > 0 && rows > c.srv.maxRows {
		return &link.TooLargeError{Host: "server", Size: rows, Limit: c.srv.maxRows}
	}
	var rows []taken
	var sent []sentRow
	for i := range v.Tables() {
		c.srv.note(&v.Tables()[i])
		t, first, last := &v.Tables()[i], p.First, p.Last
		if p == qwp.WholeMessage {
			first, last = 0, t.Rows
		} else if p.Table != i {
			continue
		}
		rows = append(rows, c.srv.read(t, first, last, more)...)
		if c.srv.judge != nil {
			sent = append(sent, columnsOf(t, first, last)...)
		}
	}
	var ids []int64
	for _, r := range rows {
		ids = append(ids, r.id)
	}
	if c.srv.add != nil {
		if err := c.srv.add(c.n, ids); err != nil {
			return err
		}
	}
	c.rows, c.sent, c.added = append(c.rows, rows...), append(c.sent, sent...), c.added+1
	return nil
}

func columnsOf(t *qwp.Table, first, last int) (rows []sentRow) {
	var row qwp.Row
	for r := range t.All(first, last, &row) {
		x := sentRow{taken{t.Name, idOf(r), false}, map[string]qwp.Type{}}
		for _, c := range r.Cells {
			x.columns[c.Name] = c.Type
		}
		rows = append(rows, x)
	}
	return rows
}

func (s *server) note(t *qwp.Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.columns == nil {
		s.columns = map[string][]string{}
	}
	s.columns[t.Name] = nil
	for _, c := range t.Columns {
		s.columns[t.Name] = append(s.columns[t.Name], c.Name)
	}
}

// read reads rows whose last cell is their id.
func (s *server) read(t *qwp.Table, first, last int, more qwp.AddLong) (rows []taken) {
	rowID := false
	if more != nil {
		name, ids := more(t, first, last)
		rowID = name != ""
		s.mu.Lock()
		s.rowIDs = append(s.rowIDs, ids...)
		s.mu.Unlock()
	}
	var row qwp.Row
	for r := range t.All(first, last, &row) {
		rows = append(rows, taken{t.Name, r.Cells[len(r.Cells)-1].Int(), rowID})
	}
	return rows
}

func (c *conn) Send(context.Context) (int64, error) {
	seq := c.seq
	c.seq++
	out := &link.Outcome{Seq: seq}
	if c.srv.answer != nil {
		out = c.srv.answer(c.n, seq)
	}
	if c.srv.judge != nil {
		if c.over { // newer servers ignore what follows a refusal
			c.rows, c.sent, c.added = nil, nil, 0
			return seq, nil
		}
		if r := c.srv.judge(c.sent); r != nil {
			out, c.over = &link.Outcome{Seq: seq, Refusal: r}, !c.srv.ilp
		}
		c.sent = nil
	}
	if out == nil || out.Refusal == nil {
		c.srv.mu.Lock()
		c.srv.rows = append(c.srv.rows, c.rows...)
		c.unsure = append(c.unsure, c.rows)
		c.srv.mu.Unlock()
		if c.srv.sent != nil {
			c.srv.sent(c, c.rows)
		}
	} else {
		c.srv.mu.Lock()
		c.unsure = append(c.unsure, nil) // it has a number, too
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
		return c.received(o), nil
	default:
	}
	select {
	case o := <-c.out:
		return c.received(o), nil
	case <-c.closed:
		return link.Outcome{}, link.ErrClosed
	case <-ctx.Done():
		return link.Outcome{}, ctx.Err()
	}
}

// received tells of the acks in an outcome.
func (c *conn) received(o link.Outcome) link.Outcome {
	if c.srv.acked == nil || o.Refusal != nil {
		return o
	}
	c.srv.mu.Lock()
	n := o.Seq + 1 - c.base
	acked := slices.Concat(c.unsure[:n]...)
	c.unsure, c.base = c.unsure[n:], c.base+n
	c.srv.mu.Unlock()
	c.srv.acked(c, acked)
	return o
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
}
