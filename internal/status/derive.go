// SPDX-License-Identifier: MIT

package status

import (
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// oldestAge is 0 if nothing is pending, and for times that are still to come.
func oldestAge(v *View) (age int64) {
	for _, t := range []time.Time{v.OldestPending, v.RAMStats.OldestPending} {
		age = max(age, int64(ageAt(t, v.Now)))
	}
	return age
}

// slots returns those on disk and those in RAM.
func (v *View) slots() [2][]sfpool.SlotStats {
	return [...][]sfpool.SlotStats{v.Slots, v.RAMStats.Slots}
}

// longestOutage is for how long the server has taken nothing of a slot that has rows
// for it; 0 in health.
func longestOutage(v *View) int64 {
	if s := v.outage(); s != nil {
		return max(0, int64(v.Now.Sub(s.OutageSince)))
	}
	return 0
}

// outage returns the slot with pending rows of which the server has taken nothing for
// the longest time; nil in health.
func (v *View) outage() (longest *sfpool.SlotStats) {
	for _, slots := range v.slots() {
		for i := range slots {
			s := &slots[i]
			if !s.OutageSince.IsZero() && s.Pending > 0 && (longest == nil || s.OutageSince.Before(longest.OutageSince)) {
				longest = s
			}
		}
	}
	return longest
}

// reconnects are the connections made after the first of each slot.
func reconnects(s *sfpool.Stats) (n int64) {
	for i := range s.Slots {
		n += max(0, s.Slots[i].Connects-1)
	}
	return n
}

func connected(s *sfpool.Stats) (n int64) {
	for i := range s.Slots {
		n += oneIf(s.Slots[i].Connected)
	}
	return n
}

// timeToEmpty is that of the part that takes longer.
func timeToEmpty(v *View) time.Duration { return max(v.TimeToEmpty, v.RAMStats.TimeToEmpty) }

// durabilities are from the least to the most.
var durabilities = [...]string{"ram", "memory", "periodic", "flush"}

func durability(v *View) int64 {
	switch {
	case v.RAM:
		return 0
	case v.Durability == sfpool.DurabilityFlush:
		return 3
	case v.Durability == sfpool.DurabilityPeriodic:
		return 2
	case v.Durability == sfpool.DurabilityMemory:
		return 1
	}
	return 0 // not open yet: nothing is accepted
}

// pending is what waits on disk and in RAM, in rows.
func (v *View) pending() int64 { return v.Pending + v.RAMStats.Pending }

// orphanRows are those that are known to wait in slots of nobody; of one that was not
// opened yet nobody knows.
func (v *View) orphanRows() (n int64) {
	for i := range v.Orphans {
		n += v.Orphans[i].Pending
	}
	return n
}

// present are the figures of the pool that takes rows now.
func (v *View) present() *sfpool.Stats {
	if v.RAM {
		return &v.RAMStats
	}
	return &v.Stats.Stats
}

// ageAt is 0 for no time, and for one that is still to come.
func ageAt(t, now time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t))
}
