// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"sync"
	"time"

	"github.com/influxdata/telegraf/selfstat"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// view is what is shown at one moment.
type view struct {
	store.Stats
	now     time.Time
	full    time.Duration // since the block was connected: see backpressure
	dropped int64         // metrics that Telegraf's buffer had to drop, ever
	changes               // since the block was connected
}

// changes are what the mapping did to the metrics that were stored.
type changes struct{ altered, leftOut, merged, outOfTime, retimed int64 }

func changesOf(c mapping.Counts) changes {
	return changes{
		altered: c.Clamped + c.Shifted + c.Replaced, leftOut: c.Excess, merged: c.Merged,
		outOfTime: c.Early + c.Late, retimed: c.Retimed,
	}
}

// sum adds up disk and RAM.
func (v *view) sum(f func(*sfpool.Stats) int64) int64 { return f(&v.Stats.Stats) + f(&v.RAMStats) }

// field is a number of the measurement.
type field[T any] struct {
	name  string
	value func(*T) int64
}

// total makes a field that counts disk and RAM together.
func total(name string, f func(*sfpool.Stats) int64) field[view] {
	return field[view]{name, func(v *view) int64 { return v.sum(f) }}
}

// fields are those of the measurement internal_questdb_sf. The ledger (rows)
// counts since the slots were made; bytes, connections and times since the store
// was opened. Blocks that share a store show the same values, but for
// store_full_ns and the last six, which are a block's own.
var fields = []field[view]{
	total("rows_appended", func(s *sfpool.Stats) int64 { return s.Accepted }),
	total("rows_acked", func(s *sfpool.Stats) int64 { return s.Acked }),
	total("rows_pending", func(s *sfpool.Stats) int64 { return s.Pending }),
	total("rows_held", func(s *sfpool.Stats) int64 { return s.HeldRows }),
	total("rows_dead_lettered", func(s *sfpool.Stats) int64 { return s.DeadLettered }),
	{"dead_letters_final", func(v *view) int64 { return v.Letters.Final.Letters }},
	{"dead_letters_refused", func(v *view) int64 { return v.Letters.Refused.Letters }},
	{"dead_letter_bytes", func(v *view) int64 { return v.Letters.Final.Bytes + v.Letters.Refused.Bytes }},
	{"dead_letters_removed", func(v *view) int64 { return v.Letters.Final.Removed + v.Letters.Refused.Removed }},
	{"rows_evicted", func(v *view) int64 { return v.Evicted }},
	{"rows_quarantined", func(v *view) int64 { return v.Quarantined }},
	{"rows_unknown", func(v *view) int64 { return v.Unknown }},
	total("ledger_violations", func(s *sfpool.Stats) int64 { return s.LedgerViolations }),
	{"incidents", func(v *view) int64 { return v.Incidents }},
	{"quarantine_removed", func(v *view) int64 { return v.QuarantineRemoved }},
	total("bytes_appended", func(s *sfpool.Stats) int64 { return s.AppendedBytes }),
	total("bytes_acked", func(s *sfpool.Stats) int64 { return s.AckedBytes }),
	total("bytes_pending", func(s *sfpool.Stats) int64 { return s.PendingBytes }),
	total("wire_bytes_sent", func(s *sfpool.Stats) int64 { return s.WireSent }),
	total("wire_bytes_received", func(s *sfpool.Stats) int64 { return s.WireReceived }),
	{"store_bytes", func(v *view) int64 { return v.StoreBytes }},
	{"store_max_bytes", func(v *view) int64 { return v.MaxBytes }},
	{"store_lasts_ns", func(v *view) int64 { return int64(v.Lasts) }},
	{"store_full_ns", func(v *view) int64 { return int64(v.full) }},
	{"oldest_pending_age_ns", oldestAge},
	total("connects", func(s *sfpool.Stats) int64 { return s.Connects }),
	total("reconnects", reconnects),
	total("refusals", func(s *sfpool.Stats) int64 { return s.Refusals }),
	total("rows_past_ttl", func(s *sfpool.Stats) int64 { return s.PastTTL }),
	total("types_refused", func(s *sfpool.Stats) int64 { return int64(s.Verdicts) }),
	total("tables_barred", func(s *sfpool.Stats) int64 { return int64(s.TablesBarred) }),
	{"outage_ns", longestOutage},
	{"slots_live", func(v *view) int64 { return int64(v.Live) }},
	{"slots_leaked", func(v *view) int64 { return int64(v.Leaked) }},
	{"orphans", func(v *view) int64 { return int64(len(v.Orphans)) }},
	{"orphans_rows_evicted", func(v *view) int64 { return v.OrphansEvicted }},
	{"in_ram", func(v *view) int64 { return oneIf(v.RAM) }},
	{"rows_in_ram", func(v *view) int64 { return v.RAMStats.Pending }},
	{"rows_moved_from_ram", func(v *view) int64 { return v.Moved }},
	{"rows_lost_in_ram", func(v *view) int64 { return v.RAMStats.Gone }},
	{"metrics_dropped_before_store", func(v *view) int64 { return v.dropped }},
	{"values_altered", func(v *view) int64 { return v.altered }},
	{"values_left_out", func(v *view) int64 { return v.leftOut }},
	{"rows_merged", func(v *view) int64 { return v.merged }},
	{"rows_out_of_time", func(v *view) int64 { return v.outOfTime }},
	{"rows_retimed", func(v *view) int64 { return v.retimed }},
}

// slotFields are those with the tag slot.
var slotFields = []field[sfpool.SlotStats]{
	{"rows_pending", func(s *sfpool.SlotStats) int64 { return s.Pending }},
	{"bytes_pending", func(s *sfpool.SlotStats) int64 { return s.PendingBytes }},
	{"connected", func(s *sfpool.SlotStats) int64 { return oneIf(s.Connected) }},
}

func oneIf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// oldestAge is 0 if nothing is pending, and for times that are still to come.
func oldestAge(v *view) (age int64) {
	for _, t := range []time.Time{v.OldestPending, v.RAMStats.OldestPending} {
		if !t.IsZero() {
			age = max(age, int64(v.now.Sub(t)))
		}
	}
	return age
}

// longestOutage is for how long the server has taken nothing of a slot that has rows
// for it; 0 in health.
func longestOutage(v *view) (age int64) {
	for _, slots := range [][]sfpool.SlotStats{v.Slots, v.RAMStats.Slots} {
		for i := range slots {
			if since := slots[i].OutageSince; !since.IsZero() && slots[i].Pending > 0 {
				age = max(age, int64(v.now.Sub(since)))
			}
		}
	}
	return age
}

// reconnects are the connections made after the first of each slot.
func reconnects(s *sfpool.Stats) (n int64) {
	for i := range s.Slots {
		n += max(0, s.Slots[i].Connects-1)
	}
	return n
}

// statsEvery is how often the numbers are renewed while rows are pending, or go to
// RAM. Else they change only with a write.
const statsEvery = 10 * time.Second

// statistics shows the store through Telegraf's inputs.internal. Without a
// collector, as under execd, it does nothing.
type statistics struct {
	collector *selfstat.Collector
	look      func() view

	mu    sync.Mutex                 // guards what stands below it and the collector
	stats map[string][]selfstat.Stat // by slot, "" is the store; nil while closed
	timer *time.Timer                // only while it is to fire
	sum   changes
}

// stored adds the changes to a batch, given those of all batches before and after
// it: a batch that is tried again counts once.
func (s *statistics) stored(before, after changes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.altered += after.altered - before.altered
	s.sum.leftOut += after.leftOut - before.leftOut
	s.sum.merged += after.merged - before.merged
	s.sum.outOfTime += after.outOfTime - before.outOfTime
	s.sum.retimed += after.retimed - before.retimed
}

// start shows the first numbers.
func (s *statistics) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.collector != nil {
		s.stats = map[string][]selfstat.Stat{}
	}
	s.update()
}

// renew shows the numbers of now.
func (s *statistics) renew() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.update()
}

// update needs mu.
func (s *statistics) update() {
	if s.stats == nil {
		return
	}
	v := s.look()
	v.changes = s.sum
	show(s, "", fields, &v)
	for i := range v.Slots {
		show(s, v.Slots[i].Name, slotFields, &v.Slots[i])
	}
	s.wind(v.RAM || v.Pending+v.RAMStats.Pending > 0)
}

// show sets the fields of a slot, or of the store, whose name is empty. It needs mu.
func show[T any](s *statistics, slot string, fields []field[T], v *T) {
	stats := s.stats[slot]
	if stats == nil {
		for _, f := range fields {
			stats = append(stats, s.register(slot, f.name))
		}
		s.stats[slot] = stats
	}
	for i, f := range fields {
		stats[i].Set(f.value(v))
	}
}

func (s *statistics) register(slot, name string) selfstat.Stat {
	if slot == "" {
		return s.collector.Register(measurement, name, nil)
	}
	return s.collector.Register(measurement, name, map[string]string{"slot": slot})
}

// measurement gets the prefix internal_ from selfstat.
const measurement = "questdb_sf"

// wind has the next update come by itself if there is more to come.
func (s *statistics) wind(more bool) {
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	if more {
		s.timer = time.AfterFunc(statsEvery, s.renew)
	}
}

// close takes the numbers away, so that a reload shows none of a store that is
// gone. Nothing is looked at afterwards.
func (s *statistics) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stats != nil {
		s.stats = nil
		s.wind(false)
		s.collector.UnregisterAll()
	}
}
