// SPDX-License-Identifier: MIT

package link

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Durable-ack mode (facts/qwp-and-slots.md §8.8): an OK says that a server has rows,
// a DURABLE_ACK that they would outlive it. Only then does Recv say so.

const (
	// durableWindow is how many messages may wait to be durable. They wait in the
	// slot; here each is a few dozen bytes. 64, as without this mode, would be a
	// narrow pipe for small messages: durability takes seconds, an OK milliseconds.
	durableWindow = 1024
	// durableBytes is how many bytes of messages may wait: what is sent twice at the
	// worst when a connection breaks.
	durableBytes = 64 << 20
	// maxNeeds is from how many pairs of table and transaction on OKs are joined.
	maxNeeds = 1 << 16
	// maxDurableTables is when a connection has served its time, and four times as many
	// are no answer to what was sent.
	maxDurableTables = 1 << 16
)

// durability is what the answers of a connection say about what is durable.
type durability struct {
	timer *time.Timer // of keepAlive, while something waits

	// mu guards what follows. Nothing that can block runs while it is held.
	mu       sync.Mutex
	maxNeeds int
	ids      map[string]int32 // tables by name
	tables   []durableTable
	queue    []okayed // what is not durable, in order
	needs    []need   // of these
	base     int64    // number of needs[0]
	met      int64    // needs of the head of the queue below this number are met
	sizes    []int    // bytes of the messages that are not durable, in order
	bytes    int      // of them together
	first    int64    // the first of them

	refusal  *Outcome // handed over when all before it is durable
	refused  time.Time
	over     bool      // it was handed over: nothing is waited for any more
	ticking  bool      // the timer runs
	sent     bool      // something was sent since it last did
	closed   bool      // somebody waits for an OK to make room
	progress time.Time // something became durable, or the wait began
	spoke    time.Time // the last DURABLE_ACK
	told     bool      // that it takes long
}

// durableTable is what is known of a table: -1 for nothing.
type durableTable struct {
	durable int64 // the transaction that was last said to be durable
	listed  int64 // the one on the last OK
	lowered bool  // durable fell since that OK
	last    int64 // number of its last need
}

// okayed is an OK: everything up to seq, which needs below end must be met for.
type okayed struct{ seq, end int64 }

type need struct {
	table int32
	txn   int64
}

func newDurability() *durability {
	return &durability{maxNeeds: maxNeeds, ids: make(map[string]int32)}
}

// window returns how many messages may be unanswered. Room that comes back, comes back
// with an outcome: who waits for one misses none.
func (d *durability) window() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bytes >= durableBytes {
		return 0
	}
	return durableWindow
}

// full says that the connection has met more tables than it is good for.
func (d *durability) full() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.tables) >= maxDurableTables
}

func (d *durability) launched(size int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sizes = append(d.sizes, size)
	d.bytes += size
	d.sent = true
}

// table returns the number of a table.
func (d *durability) table(name string) (id int32, err error) {
	id, known := d.ids[name]
	if known {
		return id, nil
	}
	if len(d.tables) >= 4*maxDurableTables {
		return 0, errors.New("transactions of more tables than rows went to")
	}
	id = int32(len(d.tables))
	d.ids[strings.Clone(name)] = id
	d.tables = append(d.tables, durableTable{durable: -1, listed: -1, last: -1})
	return id, nil
}

// okay queues an OK. Beyond maxNeeds it is joined with the one before, unless that
// is the head, which must not recede. start says that the timer is to be started.
// A *recreatedError tells of a table that was made anew.
func (d *durability) okay(seq int64, list []qwp.TableTxn, now time.Time) (start bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.queue) == 0 {
		d.progress = now
	}
	if len(d.needs) >= d.maxNeeds && len(d.queue) > 1 {
		d.queue = d.queue[:len(d.queue)-1]
	}
	begin := d.base + int64(len(d.needs))
	if len(d.queue) > 0 {
		begin = d.queue[len(d.queue)-1].end
	}
	for _, t := range list {
		if err := d.require(t, begin); err != nil {
			return false, err
		}
	}
	d.queue = append(d.queue, okayed{seq: seq, end: d.base + int64(len(d.needs))})
	if start = !d.ticking; start {
		d.ticking, d.sent = true, false
	}
	return start, nil
}

// require adds to the needs from begin on.
func (d *durability) require(t qwp.TableTxn, begin int64) error {
	id, err := d.table(t.Name)
	if err != nil {
		return err
	}
	table := &d.tables[id]
	if t.SeqTxn < table.listed {
		if table.last >= d.met {
			return &recreatedError{table: t.Name}
		}
		if !table.lowered {
			table.durable = -1 // that was of the table that is gone
		}
	}
	table.listed, table.lowered = t.SeqTxn, false
	if table.last >= begin {
		n := &d.needs[table.last-d.base]
		n.txn = max(n.txn, t.SeqTxn)
		return nil
	}
	table.last = d.base + int64(len(d.needs))
	d.needs = append(d.needs, need{id, t.SeqTxn})
	return nil
}

// recreatedError says that transactions of a table count from the beginning: it was
// dropped and made anew, and what waited to be durable in it never will be.
type recreatedError struct{ table string }

func (e *recreatedError) Error() string {
	return fmt.Sprintf("table %q was made anew before rows sent to it were durable: they are sent again", e.table)
}

// announced notes a DURABLE_ACK.
func (d *durability) announced(list []qwp.TableTxn, now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spoke = now
	for _, t := range list {
		id, err := d.table(t.Name)
		if err != nil {
			return err
		}
		table := &d.tables[id]
		table.lowered = table.lowered || t.SeqTxn < table.durable
		table.durable = t.SeqTxn
	}
	return nil
}

// pop takes what is durable off the queue: everything up to seq, if ok.
func (d *durability) pop(now time.Time) (seq int64, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for n < len(d.queue) && d.isMet(d.queue[n].end) {
		n++
	}
	if n == 0 {
		return 0, false
	}
	seq, d.progress = d.queue[n-1].seq, now
	d.queue = slices.Delete(d.queue, 0, n)
	if gone := int(d.met - d.base); gone > len(d.needs)/2 {
		d.needs = slices.Delete(d.needs, 0, gone)
		d.base = d.met
	}
	messages := int(seq + 1 - d.first)
	for _, size := range d.sizes[:messages] {
		d.bytes -= size
	}
	d.sizes, d.first = slices.Delete(d.sizes, 0, messages), seq+1
	return seq, true
}

// isMet says whether all needs below end are met. Those that are, are not looked at
// again.
func (d *durability) isMet(end int64) bool {
	for ; d.met < end; d.met++ {
		n := d.needs[d.met-d.base]
		if d.tables[n.table].durable < n.txn {
			return false
		}
	}
	return true
}

// checkDurable reads the header of a 101 in durable-ack mode.
func checkDurable(h http.Header) error {
	if strings.EqualFold(h.Get("X-QWP-Durable-Ack"), "enabled") {
		return nil
	}
	return errors.New("request_durable_ack is on, but the server does not offer durable acks (no X-QWP-Durable-Ack: enabled): " +
		"rows are kept; use a server that has them, QuestDB Enterprise with replication, or switch request_durable_ack off")
}

// needsQWP explains why a host without QWP is of no use in durable-ack mode, where
// there is no settling for ILP: its acks promise less.
func needsQWP(err error) error {
	var refused *ConnectError
	if !errors.As(err, &refused) || !refused.answered {
		return err
	}
	return &ConnectError{Host: refused.Host, Err: fmt.Errorf("request_durable_ack is on, which needs QWP: %w; "+
		"rows are kept; use QuestDB Enterprise, or switch request_durable_ack off", refused.Err)}
}
