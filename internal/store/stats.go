// SPDX-License-Identifier: MIT

package store

import (
	"cmp"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Stats is a snapshot of a store.
type Stats struct {
	// Stats are those of the pool on disk; while it is not open, the last there
	// were, or none. Rows that were moved there from RAM are accepted here.
	sfpool.Stats
	// RAM says that new rows go to RAM now.
	RAM bool
	// RAMStats are those of the pools in RAM since the start, one after the other:
	// counters are sums, the rest is that of the present one. Rows that were moved
	// to disk are not counted here, from the moment they are there; the bytes that
	// they were stored with are counted here only. Rows that were lost are Gone.
	RAMStats sfpool.Stats
	// Moved are the rows that went from RAM to disk, LostRAM those that were lost
	// because they were in RAM when the store was closed.
	Moved, LostRAM int64
}

// counts are what outlives a pool. The mutex of its owner guards it.
type counts struct {
	lost    int64        // in RAM
	disk    sfpool.Stats // of the pools on disk when the last of them was closed
	failing *sfpool.Pool // on disk, being closed: still to be counted
	ram     sfpool.Stats // of pools in RAM that are closed: counters only
	leaving *sfpool.Pool // in RAM, being closed: still to be counted
}

// stats is Store.Stats.
func (s *shared) stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.counts
	st := Stats{Stats: c.disk, RAM: s.disk == nil && s.ram != nil, LostRAM: c.lost}
	past := c.ram
	for _, p := range []*sfpool.Pool{c.leaving, s.ram} {
		if p != nil {
			addLedger(&past, &st.RAMStats) // of both, if there are both
			addTraffic(&past, &st.RAMStats)
			st.RAMStats = p.Stats()
		}
	}
	addLedger(&st.RAMStats, &past)
	addTraffic(&st.RAMStats, &past)
	if p := cmp.Or(s.disk, c.failing); p != nil { // after the RAM: what has left there is here
		st.Stats = p.Stats()
		addTraffic(&st.Stats, &c.disk)
		addCounts(&st.Stats, &c.disk)
	}
	st.countMoved()
	return st
}

// countMoved lets rows that were moved to disk count there only. MoveTo settles them in
// RAM as evicted, later than they are on disk; ones for which a full disk had no room
// were dropped there, and only the RAM knows how many came.
func (st *Stats) countMoved() {
	ram := &st.RAMStats
	settled := ram.Moved
	st.Moved = max(settled, st.MovedIn)
	ram.Accepted -= st.Moved
	ram.Pending -= st.Moved - settled
	ram.Evicted -= settled
	ram.Gone -= settled
	ram.Moved = 0
}

// addLedger adds what became of rows. Slots on disk keep that themselves, those in
// RAM do not.
func addLedger(sum, more *sfpool.Stats) {
	sum.Accepted += more.Accepted
	sum.Acked += more.Acked
	sum.DeadLettered += more.DeadLettered
	sum.Rejected += more.Rejected
	sum.Evicted += more.Evicted
	sum.Moved += more.Moved
	sum.Quarantined += more.Quarantined
	sum.Unknown += more.Unknown
	sum.Gone += more.Gone
	sum.LedgerViolations += more.LedgerViolations
}

// addTraffic adds what each pool counts from its beginning.
func addTraffic(sum, more *sfpool.Stats) {
	sum.AppendedBytes += more.AppendedBytes
	sum.AckedBytes += more.AckedBytes
	sum.Connects += more.Connects
	sum.Refusals += more.Refusals
	sum.WireSent += more.WireSent
	sum.WireReceived += more.WireReceived
	sum.PastTTL += more.PastTTL
	sum.AppendTimes = sum.AppendTimes.Plus(more.AppendTimes)
	sum.SyncTimes = sum.SyncTimes.Plus(more.SyncTimes)
	sum.AckTimes = sum.AckTimes.Plus(more.AckTimes)
	sum.Written.Bytes += more.Written.Bytes
	sum.Written.Syncs += more.Written.Syncs
	sum.Dropped += more.Dropped
}

// addCounts adds what a pool on disk counts from its beginning, besides traffic: the
// ledgers of its slots go on by themselves.
func addCounts(sum, more *sfpool.Stats) {
	sum.Rejected += more.Rejected
	sum.MovedIn += more.MovedIn
	sum.OrphansEvicted += more.OrphansEvicted
	sum.LedgerViolations += more.LedgerViolations
	sum.QuarantineRemoved += more.QuarantineRemoved
	sum.Incidents += more.Incidents
	sum.Letters.Final.Removed += more.Letters.Final.Removed
	sum.Letters.Refused.Removed += more.Letters.Refused.Removed
}

// retireDisk keeps the last figures of a pool on disk that is closed.
func (s *shared) retireDisk(p *sfpool.Pool) {
	last := p.Stats()
	last.StoreBytes = 0 // of open slots
	s.mu.Lock()
	defer s.mu.Unlock()
	addTraffic(&last, &s.counts.disk)
	addCounts(&last, &s.counts.disk)
	s.counts.disk = last
	if s.counts.failing == p {
		s.counts.failing = nil
	}
}

// retireRAM keeps what a pool in RAM that is closed has counted. What it still
// holds is lost.
func (s *shared) retireRAM(p *sfpool.Pool) (lost int64) {
	last := p.Stats()
	lost = last.Pending
	last.Evicted += lost
	last.Gone += lost
	s.mu.Lock()
	defer s.mu.Unlock()
	addLedger(&s.counts.ram, &last)
	addTraffic(&s.counts.ram, &last)
	s.counts.lost += lost
	if s.counts.leaving == p {
		s.counts.leaving = nil
	}
	return lost
}
