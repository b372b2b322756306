// SPDX-License-Identifier: MIT

package status

import (
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// moves sees what moves in a store, and what does not, from one look to the next. The
// mu of its watch guards it.
type moves struct {
	last    time.Time // when anything moved last, or nothing was pending
	refused int64     // dead letters that were in the store
	beats   map[place]*beat
	lost    losses
}

// place is a slot on disk, in RAM, or of nobody.
type place struct {
	name          string
	inRAM, orphan bool
}

// beat is how the rows of one slot get on.
type beat struct {
	at      time.Time // when rows moved last, or none were pending
	old     bool      // what was pending at the first look has not moved since
	acked   int64
	letters int64
	state   string
	held    int64     // the fewest rows that have waited for their tables since heldAt
	heldAt  time.Time // zero while none do
}

// losses are rows that were dropped.
type losses struct {
	known      bool
	disk, ram  int64 // since the start, at the last look
	rows       int64 // since from, as long as they go on
	from, last time.Time
	limit      string // what for
	inRAM      bool
}

// note looks at what has changed. What is dropped is no progress: a full store that drops
// rows all the time does not move.
func (m *moves) note(v *View) {
	// Rejected rows are dead letters that never were in the store, of whichever slot.
	letters := v.DeadLettered - v.Rejected + v.RAMStats.DeadLettered - v.RAMStats.Rejected
	refused := letters != m.refused
	m.refused = letters
	before := m.beats
	m.beats = map[place]*beat{}
	moved := v.pending() == 0 || m.last.IsZero()
	for inRAM, slots := range v.slots() {
		for i := range slots {
			b := beatOf(before, place{slots[i].Name, inRAM == 1, false}, v.Now)
			m.beats[place{slots[i].Name, inRAM == 1, false}] = b
			moved = b.slot(&slots[i], refused, v.Now) || moved
		}
	}
	for i := range v.Orphans {
		o := &v.Orphans[i]
		b := beatOf(before, place{o.Name, false, true}, v.Now)
		m.beats[place{o.Name, false, true}] = b
		b.orphan(o, v.Now)
	}
	if moved {
		m.last = v.Now
	}
	m.letWait(v)
	m.lost.note(v)
}

func beatOf(before map[place]*beat, p place, now time.Time) *beat {
	if b := before[p]; b != nil {
		return b
	}
	return &beat{at: now, old: true}
}

// slot notes how a slot is. A ledger that comes into view because the slot was opened is
// no progress.
func (b *beat) slot(s *sfpool.SlotStats, refused bool, now time.Time) (moved bool) {
	moved = s.State == b.state && (s.Acked != b.acked || refused && s.DeadLettered != b.letters)
	b.acked, b.letters, b.state = s.Acked, s.DeadLettered, s.State
	switch {
	case s.Pending == 0:
		b.at, b.old = now, b.old && s.State != "live"
	case moved:
		b.at, b.old = now, false
	}
	switch {
	case s.HeldRows == 0:
		b.held, b.heldAt = 0, time.Time{}
	case b.heldAt.IsZero() || s.HeldRows < b.held: // some of them went
		b.held, b.heldAt = s.HeldRows, now
	}
	return moved
}

// orphan notes how a slot of nobody is. One that was not tried waits for its turn, behind
// others, and one that a running client has is that client's.
func (b *beat) orphan(o *sfpool.OrphanStats, now time.Time) {
	tried := (o.State == "waiting" || o.State == "draining") && o.Reason != "" && !o.Locked
	if !tried || o.Left != b.acked {
		b.at = now
	}
	b.acked = o.Left
}

// letWait counts the time in which a slot waits for a connection that others have as
// theirs: with max_connections they take turns of minutes.
func (m *moves) letWait(v *View) {
	for inRAM, slots := range v.slots() {
		for i := range slots {
			s := &slots[i]
			b := m.beats[place{s.Name, inRAM == 1, false}]
			if !s.Connected && s.OutageSince.IsZero() && s.HeldRows == 0 && m.last.After(b.at) {
				b.at = m.last
			}
		}
	}
}

// note adds what was dropped since the last look.
func (l *losses) note(v *View) {
	onDisk, inRAM := v.Stats.Stats.Dropped, v.RAMStats.Dropped // v.Dropped are Telegraf's
	disk, ram := onDisk-l.disk, inRAM-l.ram
	l.disk, l.ram = onDisk, inRAM
	if !l.known {
		l.known = true
		return
	}
	if disk+ram <= 0 {
		return
	}
	if !l.goOn(v.Now) {
		l.rows, l.from = 0, v.Now
	}
	l.rows, l.last = l.rows+disk+ram, v.Now
	l.inRAM, l.limit = disk <= 0, v.DroppedFor
	if l.inRAM {
		l.limit = v.RAMStats.DroppedFor
	}
}

// goOn says whether rows were dropped just now.
func (l *losses) goOn(now time.Time) bool { return !l.last.IsZero() && now.Sub(l.last) < stillFor }
