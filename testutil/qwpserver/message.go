// SPDX-License-Identifier: MIT

package qwpserver

import (
	"errors"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Frame is a message as the fault script sees it, decoded but not yet stored.
type Frame struct {
	Conn     int   // ID of the connection
	Seq      int64 // wire sequence on that connection, from 0
	Number   int64 // among all messages processed since Start, from 0
	Size     int   // bytes
	Deferred bool  // DEFER_COMMIT is set
	Rows     []Row // in the types of the wire
}

// message processes one binary message. An error ends the connection.
func (c *conn) message(msg []byte) error {
	if c.dead {
		return nil
	}
	if err := c.announce(); err != nil {
		return err
	}
	seq := c.next
	c.next++
	if err := c.view.Parse(msg, &c.dict); err != nil {
		c.srv.update(func(st *State) { st.Refused++ })
		return c.refuse(seq, &refusal{parseStatus(err), err.Error()})
	}
	frame := c.frame(seq, len(msg))
	faults := c.srv.fire(func(f *Fault) bool { return f.onFrame && f.matches(frame) })
	for _, f := range faults {
		if f.before == nil {
			continue
		}
		if ended, err := f.before(c, frame); ended || err != nil {
			return err
		}
	}
	if refused := c.store(frame); refused != nil {
		return c.refuse(seq, refused)
	}
	for _, f := range faults {
		if f.after == nil {
			continue
		}
		if err := f.after(c, frame); err != nil {
			return err
		}
	}
	return c.acknowledge(frame)
}

// parseStatus tells a gap in the symbol dictionary, which a client mends by
// reconnecting, from bytes that are wrong.
func parseStatus(err error) qwp.Status {
	if errors.Is(err, qwp.ErrDictGap) {
		return qwp.StatusDictionaryGap
	}
	return qwp.StatusParseError
}

// frame gathers the rows of the parsed message.
func (c *conn) frame(seq int64, size int) *Frame {
	f := &Frame{Conn: c.id, Seq: seq, Size: size, Deferred: c.view.DeferCommit()}
	f.Number = c.srv.number()
	if c.srv.options().KeepRows < 0 {
		return f
	}
	now := time.Now().UnixNano()
	tables := c.view.Tables()
	for i := range tables {
		t := &tables[i]
		var row qwp.Row
		for r := range t.All(0, t.Rows, &row) {
			f.Rows = append(f.Rows, decode(r, now))
		}
	}
	return f
}

// number counts processed messages.
func (s *Server) number() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.tables.messages
	s.tables.messages++
	return n
}

// store takes the rows of a message: at once, or into the group that a later
// message commits.
func (c *conn) store(f *Frame) *refusal {
	s, blocks := c.srv, c.view.Tables()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.wake()
	if refused := s.tables.check(blocks, f.Rows); refused != nil {
		s.state.Refused++
		return refused
	}
	s.state.Accepted++
	c.group.add(blocks, f.Rows)
	if !f.Deferred {
		c.ok.add(s.commit(&c.group))
		c.group = group{}
	}
	return nil
}

// group is what one commit makes visible: the rows of a message and of the
// deferred ones before it.
type group struct {
	rows   []Row
	counts map[string]int64 // rows by table
}

func (g *group) add(blocks []qwp.Table, rows []Row) {
	if g.counts == nil {
		g.counts = make(map[string]int64)
	}
	g.rows = append(g.rows, rows...)
	for i := range blocks {
		g.counts[blocks[i].Name] += int64(blocks[i].Rows)
	}
}

// commit makes rows visible and returns the transaction of each table. It needs
// mu.
func (s *Server) commit(g *group) map[string]int64 {
	txns := make(map[string]int64, len(g.counts))
	for name, n := range g.counts {
		t := s.tables.named(name)
		t.txn++
		if s.opts.Durable == DurableAtOnce {
			t.durable = t.txn
		}
		txns[t.name] = t.txn
		s.state.Rows += n
		s.state.Tables[t.name] += n
	}
	for i := range g.rows {
		t := s.tables.named(g.rows[i].Table)
		g.rows[i].txn = t.txn
		t.insert(g.rows[i], s.opts.KeepRows, s.opts.DedupKeys)
	}
	return txns
}
