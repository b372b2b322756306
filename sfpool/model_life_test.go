// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// keep lets the lock of a slot stay at its next close.
func (m *machine) keep(t *rapid.T) {
	index := m.pickOne(t, func(s *spot) bool { return s.state != leaked })
	m.all[index].keeps = true
	m.g.bed.keeps(index)
}

// unlock lets the lock of a leaked slot drop, which nobody notices at once.
func (m *machine) unlock(t *rapid.T) {
	index := m.pickOne(t, func(s *spot) bool { return isLeaked(s) && !s.dropped })
	m.all[index].keeps, m.all[index].dropped = false, true
	m.g.unlock(index)
}

// ack lets the server take everything that is in a slot.
func (m *machine) ack(t *rapid.T) {
	index := m.pickOne(t, func(s *spot) bool { return s.state == live && s.pending > 0 })
	m.g.ack(index)
	m.all[index].pending = 0
}

// tick lets time pass, so that the housekeeper comes by once or twice.
func (m *machine) tick(t *rapid.T) {
	victim := -1
	if idle := m.idle(); len(idle) > 0 && rapid.Bool().Draw(t, "close panics") {
		victim = idle[len(idle)-1]
		m.g.bed.arm("close", victim, true)
	}
	time.Sleep(90 * time.Minute)
	synctest.Wait()
	m.g.bed.disarm()
	if m.closed {
		return
	}
	m.reprobe()
	m.serve(t, m.g.cfg.MinSenders-m.count(live)-m.count(building))
	idle := m.idle()
	slices.Reverse(idle)
	for _, index := range idle {
		if m.count(live) > m.g.cfg.MinSenders && m.all[index].pending == 0 {
			m.shutOne(index, index == victim)
		}
	}
	m.refill()
	m.recover()
}

// refill says that as many senders are open as there should be, if there can.
func (m *machine) refill() {
	for _, index := range m.where(isFree) {
		if m.count(live)+m.count(building) < m.g.cfg.MinSenders {
			m.all[index].state = live
		}
	}
}

// recover says that the lowest slot with rows and without a sender is being
// emptied, which takes as long as there is no server.
func (m *machine) recover() {
	left := m.where(func(s *spot) bool { return s.state == free && s.pending > 0 })
	if m.g.recovers && m.count(building) == 0 && len(left) > 0 {
		m.all[left[0]].state = building
	}
}

func (m *machine) close(t *rapid.T) {
	if m.closed {
		t.Skip("it is closed")
	}
	m.shut()
}

// shut closes the pool without waiting for borrowers, and says what that means.
func (m *machine) shut() {
	first := !m.closed
	now, cancel := context.WithCancel(context.Background())
	cancel()
	err := m.p.Close(now)
	synctest.Wait()
	if again := m.p.Close(now); fmt.Sprint(again) != fmt.Sprint(err) {
		m.Fatalf("closed twice: %v, then %v", err, again)
	}
	if !first {
		return
	}
	m.closed = true
	for _, b := range m.queue {
		m.ended(m.T, b, ErrClosed)
	}
	m.queue = nil
	for _, index := range append(m.idle(), m.where(isBuilt)...) {
		m.shutOne(index, false)
	}
	for i := range m.all {
		named := err != nil && strings.Contains(err.Error(), m.p.slotName(i)+" stays locked")
		if named != (m.all[i].state != free) {
			m.Fatalf("slot %d is %s, and Close said: %v", i, m.all[i].state, err)
		}
	}
}

// reopen opens the next pool once nobody has anything of the last.
func (m *machine) reopen(t *rapid.T) {
	if !m.closed || len(m.where(isLent)) > 0 {
		t.Skip("the last one is in use")
	}
	for i := range m.all {
		s := &m.all[i]
		m.g.unlock(i)
		s.state, s.keeps, s.dropped = free, false, false
	}
	m.open()
}
