// SPDX-License-Identifier: MIT

package sfpool

import (
	"fmt"
	"slices"
	"time"
)

// state is where an index of the pool stands. Each index is in exactly one
// state, so that free + building + live + closing + leaked is always the number
// of indices, whatever fails or panics.
type state uint8

const (
	free     state = iota + 1
	building       // being opened; recovering counts as building
	live           // its sender is idle or borrowed
	closing        // its sender stops; the lock is still held
	leaked         // closed, but the lock was not released: out of use until it is
)

var stateNames = [...]string{free: "free", building: "building", live: "live", closing: "closing", leaked: "leaked"}

func (s state) String() string {
	if int(s) < len(stateNames) && s >= free {
		return stateNames[s]
	}
	return fmt.Sprintf("state %d", uint8(s))
}

// moves are the legal ones. An index gets free in three ways: nothing was
// opened, or the lock is known to be released, at once or later.
var moves = map[state][]state{
	free:     {building},
	building: {free, live, closing},
	live:     {closing},
	closing:  {free, leaked},
	leaked:   {free},
}

// place is one index of the pool.
type place struct {
	state  state
	member *member // while live, closing or leaked
	ailing error   // why the last build failed, if that lies in the slot itself
	said   bool    // ailing was logged
	last   slotView
	past   counts // of senders before the one that last speaks of
	moved  int64  // rows that MoveTo took out
	// violation is by how much ledger and segments differed at the last audit.
	violation int64
}

// succeed makes room in the counts for the next sender, which counts from 0.
func (pl *place) succeed() {
	pl.past = pl.past.plus(pl.last)
	pl.last.AppendedBytes, pl.last.AckedBytes, pl.last.MovedIn = 0, 0, 0
	pl.last.sent, pl.last.refused = 0, 0
	pl.last.conn.Connects, pl.last.conn.Refusals, pl.last.conn.PastTTL = 0, 0, 0
}

// pending returns the rows that the slot holds, or held when it was closed.
func (pl *place) pending() int64 {
	if pl.member != nil {
		if v, err := pl.member.look(); err == nil {
			return v.Pending
		}
	}
	return pl.last.Pending
}

// move is the only way to change a state. WARNING: the caller must hold mu.
func (p *Pool) move(index int, to state) {
	pl := &p.places[index]
	if !slices.Contains(moves[pl.state], to) {
		panic(fmt.Sprintf("bug: slot %s cannot go from %s to %s", p.slotName(index), pl.state, to))
	}
	pl.state = to
	if to == free {
		pl.member = nil
	}
	p.signal()
}

// signal tells those who wait in until. WARNING: the caller must hold mu.
func (p *Pool) signal() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// count returns how many indices are in a state. WARNING: the caller must hold mu.
func (p *Pool) count(s state) int {
	n := 0
	for i := range p.places {
		if p.places[i].state == s {
			n++
		}
	}
	return n
}

// pick returns the lowest free index whose slot is not known to ail; -1 when
// there is none. WARNING: the caller must hold mu.
func (p *Pool) pick() int {
	return slices.IndexFunc(p.places, func(pl place) bool { return pl.state == free && pl.ailing == nil })
}

// forgive lets slots that ailed be tried again. WARNING: the caller must hold mu.
func (p *Pool) forgive() {
	for i := range p.places {
		p.places[i].ailing = nil
	}
}

// member is an open sender of the pool, lent to one borrower at a time.
type member struct {
	index int // of its place
	name  string
	d     delegate

	// The mu of the pool guards what follows.
	lent      *Sender // the handle of the borrower; nil while idle
	broken    bool    // never to be lent again
	idleSince time.Time
	// connects and connectedAt tell since when a connection is in use.
	connects    int64
	connectedAt time.Time
}

// look returns what can be seen of the sender, without I/O.
func (m *member) look() (v slotView, _ error) {
	err := safely("look at slot "+m.name, func() error { v = m.d.view(); return nil })
	return v, err
}

// pendingBytes is how much the slot has to send; it is quick, and called under mu.
func (m *member) pendingBytes() int64 {
	v, _ := m.look()
	return v.PendingBytes
}
