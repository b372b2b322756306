// SPDX-License-Identifier: MIT

package sfpool

import (
	"cmp"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/link"
)

// LetterStats counts dead letters as they are in their files.
type LetterStats = deadletter.Stats

// ServerStats are by how much this machine's clock is ahead of the server's, and when
// the server's certificate expires, where these are known.
type ServerStats = link.Peer

// Stats is a snapshot of a pool, counted in rows unless it says otherwise.
type Stats struct {
	// Accepted = Acked + Pending + DeadLettered + Gone (see Balanced), over all slots of
	// the pool, each since it was made. One that was not opened yet counts as its files
	// had it when the pool was opened, unless its rows are for another destination; after
	// a crash it may have more. Orphans are not counted here. Gone are rows that left
	// otherwise: evicted, quarantined, or lost in a wound.
	Accepted, Acked, Pending, DeadLettered, Gone int64
	// Rejected of the DeadLettered never were in a slot: see Batch.Reject. Here they
	// count since the pool was opened.
	Rejected int64
	// Letters are the dead letters in files, which need not agree with DeadLettered:
	// they may be those of earlier runs, be removed for DeadLetterMaxBytes, and leave
	// when they are fed back. A row that is fed back is accepted once more. Zero
	// without sf_dir.
	Letters LetterStats
	// Evicted + Quarantined + Unknown = Gone; Unknown are those lost in a wound.
	// Evicted are those dropped for want of room (see Full) or for their age; Moved of
	// them, since the pool was opened, went to another pool by MoveTo: they count here
	// once all of their slot is moved, and there, as MovedIn of the Accepted, each when it
	// is stored.
	Evicted, Quarantined, Unknown, Moved, MovedIn int64
	// Dropped are rows that were dropped since the pool was opened for want of room, for
	// their age, or of orphans for OrphansMaxBytes. In contrast to Evicted they are of
	// this pool only.
	Dropped int64
	// DroppedFor names what the last of them were dropped for: sf_max_total_bytes (in RAM,
	// too), sf_min_free_space, sf_max_age, orphans_max_bytes, or a disk without room; "" before.
	DroppedFor string
	// OrphansEvicted are rows of orphans that were dropped for OrphansMaxBytes, since
	// the pool was opened.
	OrphansEvicted int64
	// LedgerViolations counts ledgers that did not agree with their segments, and
	// QuarantineRemoved quarantined files beyond QuarantineMaxBytes, since then too.
	LedgerViolations, QuarantineRemoved int64
	// Lasts is how long an outage the store bridges at the present rate of bytes, that of
	// the last ten minutes: with MaxBytes, or with less where the filesystem has less to
	// give (see MinFreeSpace) by the last look at it. 0 while the rate is not known, or
	// nothing comes.
	Lasts time.Duration
	// TimeToFull is how long what is left of that lasts: in an outage at the present
	// rate of bytes, else at the rate at which the backlog grows. 0 while it does not, or
	// the rate is not known; a second at least for a store that is full.
	TimeToFull time.Duration
	// TimeToEmpty is how long the backlog takes to go at the rate at which it has shrunk
	// between calls of Stats in the last minute or, if they are rarer, since the one
	// before; 0 while it does not shrink, or nothing is pending.
	TimeToEmpty time.Duration
	// Durability is the one in force.
	Durability Durability
	// AppendTimes are the writes of batches into the files of their slots, SyncTimes
	// the syncs of files, AckTimes the times from each request to its ack. All of them
	// since the pool was opened; in RAM there are no syncs.
	AppendTimes, SyncTimes, AckTimes Latency
	// Written is what went to files in Dir since the pool was opened, WrittenDay what of
	// it did in the last 24 to 25 hours: what wears flash out. What the filesystem writes
	// itself, its journal for example, is not counted.
	Written, WrittenDay Wear
	// PendingBytes are the bytes of frames not acked. StoreBytes are the segment
	// files of open slots, MaxBytes is their cap.
	PendingBytes, StoreBytes, MaxBytes int64
	// RetainedBytes are those of acked segments that are kept for Rewind, in
	// RetainedSegments files.
	RetainedBytes    int64
	RetainedSegments int
	// AppendedBytes and AckedBytes are the bytes of frames that were stored, and that
	// the server took; not those of rows that were dropped, became dead letters or were
	// moved, which are stored where they were first. Connects counts connections made, Refusals answers that were no ack. All of
	// them since the pool was opened, orphans apart.
	AppendedBytes, AckedBytes, Connects, Refusals int64
	// Sent rows were acked since the pool was opened, and Refused ones were not taken and
	// became dead letters, those of orphans included.
	Sent, Refused int64
	// WireSent and WireReceived are the bytes that went to the server and came from it
	// since the pool was opened, orphans, questions about tables and what TLS, HTTP
	// and WebSocket add included. What TCP and IP add is not.
	WireSent, WireReceived int64
	// Server is what the server told of its clock and its certificate.
	Server ServerStats
	// PastTTL are rows that the server took since then although they were older than the
	// TTL of their table, orphans apart: it drops them as soon as the table has younger
	// ones. They are acked like any other.
	PastTTL int64
	// Incidents are wounds that were found since the pool was opened, orphans included:
	// something in a slot could not be read. Each is told in the log and in a file
	// incident-*.json of the slot.
	Incidents int64
	// HeldRows of the pending ones wait for their tables: see TableCreate and
	// ExactlyOnce, and TablesBarred.
	HeldRows int64
	// Verdicts are the types of values that a column refuses, each of which is now
	// dealt with before sending, as TypeConflict says or by waiting. TablesBarred are tables of which the
	// server takes no rows now, because of something that has to be mended there.
	Verdicts, TablesBarred int
	// OldestPending is when the oldest pending row was stored, to a second or a
	// small part of its age. For rows from before the pool was opened it is about that:
	// the earliest time that such a row itself has, or when its segment was made where
	// that is later, by the wall clock. Zero if nothing is pending.
	OldestPending time.Time
	// Full is set while a slot found no room for its last batch.
	Full bool
	// Free + Building + Live + Closing + Leaked is the number of slots.
	Free, Building, Live, Closing, Leaked int
	// Idle of the live ones are not borrowed.
	Idle  int
	Slots []SlotStats
	// reserved of StoreBytes are still empty.
	reserved int64
	// Orphans are the slots of nobody that were seen, sorted by name.
	Orphans []OrphanStats
}

// SlotStats is a snapshot of one slot and its connection. A slot that is not
// open shows what was true when it was closed or, if it was not open yet, the rows that
// its files told of when the pool was opened.
type SlotStats struct {
	Name    string
	State   string // free, building, live, closing, leaked
	Pending int64
	// Accepted = Acked + Pending + DeadLettered + Evicted + Quarantined + Unknown, in
	// rows, since the slot was made: see Balanced.
	Accepted, Acked, DeadLettered, Evicted, Quarantined, Unknown int64
	// PendingBytes, AppendedBytes, AckedBytes, HeldRows, OldestPending and Full are
	// as in Stats, and so are Connects, Refusals and PastTTL.
	PendingBytes, AppendedBytes, AckedBytes int64
	HeldRows                                int64
	OldestPending                           time.Time
	Full                                    bool
	Connects, Refusals, PastTTL             int64
	// Connected and what follows speak of the connection.
	Connected bool
	Transport Transport
	Host      string
	// LastError is why the present outage goes on; nil in health.
	LastError error
	// OutageSince is zero in health, and while the slot is not open.
	OutageSince time.Time
}

// Stats returns a snapshot. It does no I/O.
func (p *Pool) Stats() Stats {
	st := Stats{Rejected: p.deadLettered.Load(), Incidents: p.incidents.Load(), Dropped: p.losses.total.Load(), DroppedFor: p.losses.lastLimit()}
	if p.budget != nil {
		st.StoreBytes, st.MaxBytes = p.budget.Used(), p.budget.Max()
	}
	if p.letters != nil {
		st.Letters = p.letters.Stats()
	}
	st.Verdicts, st.TablesBarred = p.verdicts.Counts()
	if p.network != nil {
		st.WireSent, st.WireReceived = p.network.Wire()
		st.Server = p.network.Peer()
	}
	st.RetainedBytes, st.RetainedSegments = p.retention.Kept()
	p.countStates(&st)
	for _, g := range p.glimpses() {
		st.add(g)
	}
	if p.budget != nil {
		st.forecast(p.budget.Reach(), p.pace.rate(st.AppendedBytes), p.ebb.rate(time.Now(), st.PendingBytes))
	}
	st.Durability, st.AppendTimes, st.AckTimes = p.cfg.Durability, p.appends.Snapshot(), p.acks.Snapshot()
	if p.meter != nil {
		st.Written, st.WrittenDay = p.meter.Wear()
		st.SyncTimes = p.meter.SyncTimes.Snapshot()
	}
	return st
}

// forecast tells where bytes that come at a rate, and a backlog that shrinks at another,
// lead to, in files that can grow to reach.
func (st *Stats) forecast(reach int64, arrival, shrink float64) {
	st.Lasts, st.TimeToEmpty = lasts(reach, arrival), lasts(st.PendingBytes, shrink)
	growth := -shrink
	if slices.ContainsFunc(st.Slots, func(s SlotStats) bool { return s.Pending > 0 && !s.OutageSince.IsZero() }) {
		growth = arrival
	}
	if growth > 0 {
		st.TimeToFull = max(time.Second, lasts(reach-st.StoreBytes+st.reserved, growth))
	}
}

func (p *Pool) countStates(st *Stats) {
	p.mu.Lock()
	defer p.unlock()
	st.Free, st.Building, st.Live = p.count(free), p.count(building), p.count(live)
	st.Closing, st.Leaked, st.Idle = p.count(closing), p.count(leaked), len(p.idle)
	st.Orphans, st.OrphansEvicted = p.orphans.stats(), p.orphans.evicted
	st.Sent, st.Refused = p.orphans.sent, p.orphans.refused
	st.LedgerViolations, st.QuarantineRemoved = p.violations, p.unquarantined
}

// glimpse is a place to be looked at without mu.
type glimpse struct {
	name   string
	state  state
	member *member
	last   slotView
	past   counts
	moved  int64
	ailing error
}

func (p *Pool) glimpses() []glimpse {
	p.mu.Lock()
	defer p.unlock()
	list := make([]glimpse, len(p.places))
	for i := range p.places {
		pl := &p.places[i]
		list[i] = glimpse{p.slotName(i), pl.state, pl.member, pl.last, pl.past, pl.moved, pl.ailing}
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
	one := g.stats(v)
	st.Accepted += v.Accepted
	st.Acked += v.Acked
	st.Pending += v.Pending
	st.DeadLettered += v.DeadLettered
	st.Evicted += v.Evicted
	st.Quarantined += v.Quarantined
	st.Unknown += v.Unknown
	st.Gone += v.Evicted + v.Quarantined + v.Unknown
	st.Moved += g.moved
	st.PendingBytes += one.PendingBytes
	st.AppendedBytes += one.AppendedBytes
	st.AckedBytes += one.AckedBytes
	st.Connects += one.Connects
	st.Refusals += one.Refusals
	st.PastTTL += one.PastTTL
	n := g.past.plus(v)
	st.MovedIn += n.movedIn
	st.Sent += n.sent
	st.Refused += n.refused
	st.HeldRows += one.HeldRows
	st.Full = st.Full || one.Full
	if at := one.OldestPending; !at.IsZero() && (st.OldestPending.IsZero() || at.Before(st.OldestPending)) {
		st.OldestPending = at
	}
	if g.member != nil {
		st.reserved += v.ReservedBytes
	}
	st.Slots = append(st.Slots, one)
}

// stats tells of one slot. What only a sender can do, such as to be connected, is
// told of one that is there.
func (g *glimpse) stats(v slotView) SlotStats {
	n := g.past.plus(v)
	s := SlotStats{
		Name: g.name, State: g.state.String(), Pending: v.Pending,
		Accepted: v.Accepted, Acked: v.Acked, DeadLettered: v.DeadLettered,
		Evicted: v.Evicted, Quarantined: v.Quarantined, Unknown: v.Unknown,
		PendingBytes: v.PendingBytes, AppendedBytes: n.appended, AckedBytes: n.acked,
		Connects: n.connects, Refusals: n.refusals, PastTTL: n.pastTTL, HeldRows: v.conn.Held, Full: v.Full && g.member != nil,
		Connected: v.conn.Connected, Transport: v.conn.Transport, Host: v.conn.Host,
		LastError: v.conn.LastError,
	}
	if g.member != nil {
		s.OutageSince = v.conn.Since
	}
	if v.HasOldest && v.PendingFrames > 0 {
		s.OldestPending = cmp.Or(v.OldestPublished, time.UnixMicro(v.OldestPendingTime))
	}
	return s
}

// counts is what senders of a slot have counted.
type counts struct{ appended, acked, movedIn, connects, refusals, pastTTL, sent, refused int64 }

// plus returns the counts with what a sender counted.
func (t counts) plus(v slotView) counts {
	return counts{
		t.appended + v.AppendedBytes, t.acked + v.AckedBytes, t.movedIn + v.MovedIn,
		t.connects + v.conn.Connects, t.refusals + v.conn.Refusals, t.pastTTL + v.conn.PastTTL,
		t.sent + v.sent, t.refused + v.refused,
	}
}
