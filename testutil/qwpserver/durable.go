// SPDX-License-Identifier: MIT

package qwpserver

import (
	"maps"
	"net/http"
	"slices"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// The headers of durable acks.
const (
	headerWantsDurable = "X-QWP-Request-Durable-Ack"
	headerDurable      = "X-QWP-Durable-Ack"
)

// Durability says whether the server acknowledges durability to clients that ask for
// it, as QuestDB Enterprise does with replication, and when rows become durable.
type Durability uint8

// The durabilities. DURABLE_ACKs go out only while the server handles what arrives.
const (
	NotOffered    Durability = iota // no header, no durable acks
	DurableAtOnce                   // rows are durable as soon as they are committed
	DurableOnCall                   // rows are durable when MakeDurable says so
)

// WithoutDurableAck makes the upgrade succeed as on a server that offers none.
func WithoutDurableAck() Fault {
	return Fault{left: 1, onUpgrade: func(h *handshake) (int, bool) {
		h.header.Del(headerDurable)
		return 0, false
	}}
}

// offerDurable answers a request for durable acks.
func offerDurable(opts *Options, r *http.Request, header http.Header) {
	if opts.Durable != NotOffered && r.Header.Get(headerWantsDurable) == "true" {
		header.Set(headerDurable, "enabled")
	}
}

// MakeDurable makes durable what is committed in these tables; in all, without names.
// The clients hear of it when next they send something.
func (s *Server) MakeDurable(tables ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables.byName {
		if len(tables) == 0 || slices.Contains(tables, t.name) {
			t.durable = t.txn
		}
	}
}

// LoseUndurable forgets the rows that are not durable, as a failover to another
// server does: that one goes on from what was durable. Stop the server before.
func (s *Server) LoseUndurable() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tables.byName {
		rows := t.rows
		t.rows, t.txn = nil, t.durable
		clear(t.byKey)
		for _, r := range rows {
			if r.txn <= t.durable {
				t.insert(r, s.opts.KeepRows, s.opts.DedupKeys)
			}
		}
	}
}

// Drop drops a table. Rows that come later make it anew, and its transactions begin
// again.
func (s *Server) Drop(table string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tables.byName, fold(table))
}

// announce sends a DURABLE_ACK, if anything that the connection has written to has
// become durable since the last.
func (c *conn) announce() error {
	if !c.durable {
		return nil
	}
	r := qwp.Response{Status: qwp.StatusDurableAck}
	c.srv.mu.Lock()
	for _, name := range slices.Sorted(maps.Keys(c.announced)) {
		t := c.srv.tables.byName[fold(name)]
		if t == nil || t.durable == c.announced[name] {
			continue
		}
		c.announced[name] = t.durable
		r.Tables = append(r.Tables, qwp.TableTxn{Name: name, SeqTxn: t.durable})
	}
	if len(r.Tables) > 0 {
		c.srv.state.DurableAcks++
		c.srv.wake()
	}
	c.srv.mu.Unlock()
	if len(r.Tables) == 0 {
		return nil
	}
	return c.write(r.Append(nil))
}

// wrote notes tables of an OK.
func (c *conn) wrote(txns map[string]int64) {
	for name := range txns {
		if _, known := c.announced[name]; c.durable && !known {
			c.announced[name] = 0
		}
	}
}
