// SPDX-License-Identifier: MIT

package sfpool

import (
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Balanced says whether the ledger of the pool adds up.
func (st *Stats) Balanced() bool {
	return st.Accepted == st.Acked+st.Pending+st.DeadLettered+st.Gone && st.Gone == st.Evicted+st.Quarantined+st.Unknown
}

// Balanced says whether the ledger of the slot adds up.
func (s *SlotStats) Balanced() bool {
	return s.Accepted == s.Acked+s.Pending+s.DeadLettered+s.Evicted+s.Quarantined+s.Unknown
}

// readLedgers lets Stats have all slots of the pool before they are opened: counters that
// begin lower after each restart, and grow when a slot is opened, look like new rows to
// who adds up how they grow.
func (p *Pool) readLedgers() {
	if p.cfg.inRAM() {
		return
	}
	for index := range p.places {
		p.readLedger(index)
	}
}

// readLedger learns what became of the rows of a slot that was not opened yet, if it is
// ours: whoever has it open may go on. What cannot be read is told when it is opened.
func (p *Pool) readLedger(index int) {
	name := p.slotName(index)
	if !p.isUnopened(index) || p.holdsOthersRows(name) != nil {
		return
	}
	st, err := slot.LedgerOf(p.cfg.FS, p.path(name))
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.unlock()
	if p.places[index].last.Published < 0 {
		p.places[index].last.Stats = st
	}
}

// isUnopened says whether nobody has opened the slot of an index yet.
func (p *Pool) isUnopened(index int) bool {
	p.mu.Lock()
	defer p.unlock()
	return p.places[index].state == free && p.places[index].last.Published < 0
}

// auditSlots compares the ledger of each open slot with what its segments hold.
func (p *Pool) auditSlots() {
	for _, m := range p.openMembers() {
		p.auditSlot(m)
	}
}

// auditSlot is told once of each difference.
func (p *Pool) auditSlot(m *member) {
	var a slot.Audit
	ours := false
	_ = safely("audit of slot "+m.name, func() error { a, ours = m.d.audit(); return nil })
	v, err := m.look()
	if !ours || err != nil || !p.violates(m, a.Ledger-a.Counted) {
		return
	}
	p.cfg.Logger.Error("the ledger of a slot does not agree with its segments: a bug, please report it; the slot goes on",
		"slot", m.name, "pending_by_ledger", a.Ledger, "pending_by_segments", a.Counted,
		"accepted", v.Accepted, "acked", v.Acked, "dead_lettered", v.DeadLettered,
		"evicted", v.Evicted, "quarantined", v.Quarantined, "unknown", v.Unknown)
}

// violates counts a difference that is another than the last one of the slot.
func (p *Pool) violates(m *member, difference int64) bool {
	p.mu.Lock()
	defer p.unlock()
	pl := &p.places[m.index]
	isNew := difference != pl.violation
	pl.violation = difference
	if difference == 0 || !isNew {
		return false
	}
	p.violations++
	return true
}
