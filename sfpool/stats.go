// SPDX-License-Identifier: MIT

package sfpool

import (
	"time"
)

// Stats is a snapshot of a pool, counted in rows unless it says otherwise.
type Stats struct {
	// Accepted = Acked + Pending + DeadLettered + Gone, over the slots that are or
	// were open in this pool, each since it was made: they jump when a slot of an
	// earlier run is opened. Orphans are not counted here. Gone are rows that left otherwise: evicted,
	// quarantined, or lost in a wound.
	Accepted, Acked, Pending, DeadLettered, Gone int64
	// PendingBytes are the bytes of frames not acked. StoreBytes are the segment
	// files of open slots, MaxBytes is their cap.
	PendingBytes, StoreBytes, MaxBytes int64
	// Free + Building + Live + Closing + Leaked is the number of slots.
	Free, Building, Live, Closing, Leaked int
	// Idle of the live ones are not borrowed.
	Idle  int
	Slots []SlotStats
	// Orphans are the slots of nobody that were seen, sorted by name.
	Orphans []OrphanStats
}

// SlotStats is a snapshot of one slot and its connection. A slot that is not
// open shows what was true when it was closed, or nothing if it was not open yet.
type SlotStats struct {
	Name    string
	State   string // free, building, live, closing, leaked
	Pending int64
	// Connected and what follows speak of the connection.
	Connected          bool
	Transport          Transport
	Host               string
	Connects, Refusals int64
	// LastError is why the present outage goes on; nil in health.
	LastError error
	// OutageSince is zero in health.
	OutageSince time.Time
}

// Stats returns a snapshot. It does no I/O.
func (p *Pool) Stats() Stats {
	dead := p.deadLettered.Load()
	st := Stats{Accepted: dead, DeadLettered: dead}
	if p.budget != nil {
		st.StoreBytes, st.MaxBytes = p.budget.Used(), p.budget.Max()
	}
	p.countStates(&st)
	for _, g := range p.glimpses() {
		st.add(g)
	}
	return st
}

func (p *Pool) countStates(st *Stats) {
	p.mu.Lock()
	defer p.unlock()
	st.Free, st.Building, st.Live = p.count(free), p.count(building), p.count(live)
	st.Closing, st.Leaked, st.Idle = p.count(closing), p.count(leaked), len(p.idle)
	st.Orphans = p.orphans.stats()
}

// glimpse is a place to be looked at without mu.
type glimpse struct {
	name   string
	state  state
	member *member
	last   slotView
}

func (p *Pool) glimpses() []glimpse {
	p.mu.Lock()
	defer p.unlock()
	list := make([]glimpse, len(p.places))
	for i := range p.places {
		pl := &p.places[i]
		list[i] = glimpse{p.slotName(i), pl.state, pl.member, pl.last}
	}
	return list
}

// view returns what is true now, or was when the slot was closed.
func (g *glimpse) view() slotView {
	if g.member == nil {
		return g.last
	}
	if v, err := g.member.look(); err == nil {
		return v
	}
	return g.last
}

// progress is closed when the next frame is settled; nil without a sender.
func (g *glimpse) progress() (ch <-chan struct{}) {
	if g.member != nil {
		_ = safely("progress", func() error { ch = g.member.d.progress(); return nil })
	}
	return ch
}

func (st *Stats) add(g glimpse) {
	v := g.view()
	st.Accepted += v.Accepted
	st.Acked += v.Acked
	st.Pending += v.Pending
	st.DeadLettered += v.DeadLettered
	st.Gone += v.Evicted + v.Quarantined + v.Unknown
	st.PendingBytes += v.PendingBytes
	st.Slots = append(st.Slots, SlotStats{
		Name: g.name, State: g.state.String(), Pending: v.Pending,
		Connected: v.conn.Connected, Transport: v.conn.Transport, Host: v.conn.Host,
		Connects: v.conn.Connects, Refusals: v.conn.Refusals, LastError: v.conn.LastError, OutageSince: v.conn.Since,
	})
}
