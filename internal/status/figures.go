// SPDX-License-Identifier: MIT

package status

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// View is what is shown at one moment of a store and of the blocks that share it.
type View struct {
	store.Stats
	Now                 time.Time
	DiskTotal, DiskFree int64 // bytes of the filesystem; 0 while they are not known
	Block                     // since the blocks were connected
}

// Block are the figures of a block, which those that share a store have each their own.
type Block struct {
	// FullFor is for how long writes found no room; FullNow says that they find none now,
	// and FullWhy names the limit, as sfpool.Stats.DroppedFor.
	FullFor time.Duration
	FullNow bool
	FullWhy string
	// Dropped are the metrics that Telegraf's buffer had to drop, ever.
	Dropped int64
	Changes
}

// Changes are what the mapping did to the metrics that were stored.
type Changes struct{ Altered, LeftOut, Merged, OutOfTime, Retimed int64 }

// Plus returns both together.
func (c Changes) Plus(o Changes) Changes {
	return Changes{
		c.Altered + o.Altered, c.LeftOut + o.LeftOut, c.Merged + o.Merged, c.OutOfTime + o.OutOfTime, c.Retimed + o.Retimed,
	}
}

// Minus returns what has come since o.
func (c Changes) Minus(o Changes) Changes {
	return Changes{
		c.Altered - o.Altered, c.LeftOut - o.LeftOut, c.Merged - o.Merged, c.OutOfTime - o.OutOfTime, c.Retimed - o.Retimed,
	}
}

// plus adds the figures of another block of the same store.
func (b Block) plus(o Block) Block {
	return Block{
		FullFor: max(b.FullFor, o.FullFor), FullNow: b.FullNow || o.FullNow, FullWhy: cmp.Or(b.FullWhy, o.FullWhy), Dropped: b.Dropped + o.Dropped,
		Changes: b.Changes.Plus(o.Changes),
	}
}

// Kind says how a figure behaves. Zero is none.
type Kind uint8

const (
	Counter Kind = iota + 1 // only grows, but for a restart
	Gauge
)

func (k Kind) String() string { return [...]string{"", "counter", "gauge"}[k] }

// Figure is a number with its one name: that of the field in selfstat and of the key
// in JSON. Names that end in _ns are nanoseconds.
type Figure[T any] struct {
	Name  string
	Kind  Kind
	Help  string
	Value func(*T) int64
}

// Metric returns the name in Prometheus, whose units are seconds and bytes.
func (f *Figure[T]) Metric() string {
	name := inSeconds(f.Name)
	if f.Kind == Counter {
		name += "_total"
	}
	return name
}

// inSeconds replaces the unit of a name.
func inSeconds(name string) string {
	if base, isTime := strings.CutSuffix(name, "_ns"); isTime {
		return base + "_seconds"
	}
	return name
}

// total makes a figure that adds up disk and RAM.
func total(name string, kind Kind, help string, f func(*sfpool.Stats) int64) Figure[View] {
	return Figure[View]{name, kind, help, func(v *View) int64 { return f(&v.Stats.Stats) + f(&v.RAMStats) }}
}

// Figures are those of a store. The ledger (rows) counts since the slots were made;
// bytes, connections and times since the store was opened. The last ones are those of
// Block.
var Figures = slices.Concat(ledger, traffic, places, blocks)

var ledger = []Figure[View]{
	total("rows_appended", Counter, "Rows that were accepted, since the slots were made.", func(s *sfpool.Stats) int64 { return s.Accepted }),
	total("rows_acked", Counter, "Rows that the server has taken.", func(s *sfpool.Stats) int64 { return s.Acked }),
	total("rows_pending", Gauge, "Rows that wait to be sent or acked.", func(s *sfpool.Stats) int64 { return s.Pending }),
	total("rows_held", Gauge, "Pending rows whose table has to wait.", func(s *sfpool.Stats) int64 { return s.HeldRows }),
	total("rows_dead_lettered", Counter, "Rows that were set aside because they are at fault themselves.", func(s *sfpool.Stats) int64 { return s.DeadLettered }),
	{"dead_letters_final", Gauge, "Dead letters that can never be stored, in files now.", func(v *View) int64 { return v.Letters.Final.Letters }},
	{"dead_letters_refused", Gauge, "Dead letters that the server may still come to take, in files now.", func(v *View) int64 { return v.Letters.Refused.Letters }},
	{"dead_letter_bytes", Gauge, "Bytes of the files of dead letters.", func(v *View) int64 { return v.Letters.Final.Bytes + v.Letters.Refused.Bytes }},
	{"dead_letters_removed", Counter, "Dead letters that had to go for dead_letter_max_bytes.", func(v *View) int64 { return v.Letters.Final.Removed + v.Letters.Refused.Removed }},
	{"rows_evicted", Counter, "Rows that were dropped for want of room or for their age.", func(v *View) int64 { return v.Evicted }},
	{"rows_quarantined", Counter, "Rows that were set aside with a wound.", func(v *View) int64 { return v.Quarantined }},
	{"rows_unknown", Counter, "Rows that were lost in a wound.", func(v *View) int64 { return v.Unknown }},
	total("ledger_violations", Counter, "Ledgers that did not agree with their segments: a bug.", func(s *sfpool.Stats) int64 { return s.LedgerViolations }),
	{"incidents", Counter, "Wounds that were found.", func(v *View) int64 { return v.Incidents }},
	{"quarantine_removed", Counter, "Quarantined files that had to go for quarantine_max_bytes.", func(v *View) int64 { return v.QuarantineRemoved }},
	{"rows_in_ram", Gauge, "Pending rows that are only in RAM.", func(v *View) int64 { return v.RAMStats.Pending }},
	{"rows_moved_from_ram", Counter, "Rows that went from RAM to disk.", func(v *View) int64 { return v.Moved }},
	{"rows_lost_in_ram", Counter, "Rows that were lost with the RAM.", func(v *View) int64 { return v.RAMStats.Gone }},
	{"orphans_rows_evicted", Counter, "Rows of orphans that were dropped for orphans_max_bytes.", func(v *View) int64 { return v.OrphansEvicted }},
	total("rows_past_ttl", Counter, "Rows that the server took although they are older than the TTL of their table.", func(s *sfpool.Stats) int64 { return s.PastTTL }),
}

var traffic = []Figure[View]{
	total("bytes_appended", Counter, "Bytes of frames that were stored.", func(s *sfpool.Stats) int64 { return s.AppendedBytes }),
	total("bytes_acked", Counter, "Bytes of frames that the server has taken.", func(s *sfpool.Stats) int64 { return s.AckedBytes }),
	total("bytes_pending", Gauge, "Bytes of frames that are pending.", func(s *sfpool.Stats) int64 { return s.PendingBytes }),
	total("wire_bytes_sent", Counter, "Bytes sent to the server, with TLS, HTTP and WebSocket.", func(s *sfpool.Stats) int64 { return s.WireSent }),
	total("wire_bytes_received", Counter, "Bytes received from the server.", func(s *sfpool.Stats) int64 { return s.WireReceived }),
	total("connects", Counter, "Connections that were made.", func(s *sfpool.Stats) int64 { return s.Connects }),
	total("reconnects", Counter, "Connections after the first of each slot.", reconnects),
	total("refusals", Counter, "Answers that were no ack.", func(s *sfpool.Stats) int64 { return s.Refusals }),
	total("types_refused", Gauge, "Types of values that a column refuses.", func(s *sfpool.Stats) int64 { return int64(s.Verdicts) }),
	total("tables_barred", Gauge, "Tables of which the server takes no rows now.", func(s *sfpool.Stats) int64 { return int64(s.TablesBarred) }),
	{"outage_ns", Gauge, "For how long the server has taken nothing of a slot with pending rows; 0 in health.", longestOutage},
	{"oldest_pending_age_ns", Gauge, "Age of the oldest pending row.", oldestAge},
}

var places = []Figure[View]{
	{"store_bytes", Gauge, "Bytes of the segment files; those in RAM while rows go there.", func(v *View) int64 { return v.present().StoreBytes }},
	{"store_max_bytes", Gauge, "Their limit.", func(v *View) int64 { return v.present().MaxBytes }},
	{"retained_bytes", Gauge, "Bytes of acked segments that are kept for rewind.", func(v *View) int64 { return v.RetainedBytes }},
	{"store_lasts_ns", Gauge, "How long an outage the limit, or the disk if it has less room, bridges at the rate of the last ten minutes; 0 while that is not known.", func(v *View) int64 { return int64(v.present().Lasts) }},
	{"time_to_full_ns", Gauge, "How long what is left of the store, or of its disk, lasts at the present rate; 0 while that is not known or not in sight.", func(v *View) int64 { return int64(v.present().TimeToFull) }},
	{"time_to_empty_ns", Gauge, "When the backlog is gone at the rate at which it shrinks; 0 while it does not.", func(v *View) int64 { return int64(timeToEmpty(v)) }},
	{"disk_free_bytes", Gauge, "Free bytes of the filesystem of sf_dir; 0 while that is not known.", func(v *View) int64 { return v.DiskFree }},
	{"durability", Gauge, "What accepted rows survive: 3 a power cut (flush), 2 one but for the last moment (periodic), 1 the end of the process (memory), 0 nothing (RAM).", durability},
	{"device_bytes_written", Counter, "Bytes written to files in sf_dir, without what the filesystem adds.", func(v *View) int64 { return v.Written.Bytes }},
	{"device_bytes_written_day", Gauge, "Of them, those of the last 24 to 25 hours, or since sf_dir was opened last if that is later.", func(v *View) int64 { return v.WrittenDay.Bytes }},
	{"device_syncs", Counter, "Syncs of files and directories.", func(v *View) int64 { return v.Written.Syncs }},
	{"device_syncs_day", Gauge, "Of them, those of the last 24 to 25 hours, or since sf_dir was opened last if that is later.", func(v *View) int64 { return v.WrittenDay.Syncs }},
	{"slots_live", Gauge, "Slots that are open.", func(v *View) int64 { return int64(v.Live) }},
	{"slots_closing", Gauge, "Slots that are being closed.", func(v *View) int64 { return int64(v.Closing) }},
	{"slots_leaked", Gauge, "Slots that are out of use because their lock was not released.", func(v *View) int64 { return int64(v.Leaked) }},
	total("slots_connected", Gauge, "Slots with a connection to the server.", connected),
	{"orphans", Gauge, "Slots of nobody in sf_dir.", func(v *View) int64 { return int64(len(v.Orphans)) }},
	{"orphans_rows_pending", Gauge, "Rows that are known to wait there; those of a slot are, once it was opened to be drained.", (*View).orphanRows},
	{"in_ram", Gauge, "1 while rows go to RAM because the disk fails.", func(v *View) int64 { return oneIf(v.RAM) }},
}

// blocks are the figures of Block.
var blocks = []Figure[View]{
	{"store_full_ns", Counter, "For how long writes found no room.", func(v *View) int64 { return int64(v.FullFor) }},
	{"metrics_dropped_before_store", Counter, "Metrics that Telegraf's own buffer dropped.", func(v *View) int64 { return v.Dropped }},
	{"values_altered", Counter, "Values that QuestDB cannot hold as they were.", func(v *View) int64 { return v.Altered }},
	{"values_left_out", Counter, "Values left out because of max_columns_per_table.", func(v *View) int64 { return v.LeftOut }},
	{"rows_merged", Counter, "Metrics that became part of another row.", func(v *View) int64 { return v.Merged }},
	{"rows_out_of_time", Counter, "Metrics before time_min or beyond time_max_future.", func(v *View) int64 { return v.OutOfTime }},
	{"rows_retimed", Counter, "Of them, those stored with the present time.", func(v *View) int64 { return v.Retimed }},
}

// SlotFigures are those of each slot. In selfstat and in JSON they stand at the slot;
// in Prometheus their names begin with slot_, so that no sum counts a row twice.
var SlotFigures = []Figure[sfpool.SlotStats]{
	{"rows_pending", Gauge, "Pending rows of the slot.", func(s *sfpool.SlotStats) int64 { return s.Pending }},
	{"bytes_pending", Gauge, "Pending bytes of the slot.", func(s *sfpool.SlotStats) int64 { return s.PendingBytes }},
	{"connected", Gauge, "1 while the slot has a connection.", func(s *sfpool.SlotStats) int64 { return oneIf(s.Connected) }},
}

// Histogram is a latency under one name.
type Histogram struct {
	Name, Help string
	Value      func(*sfpool.Stats) *sfpool.Latency
}

// Histograms are the latencies of a store, disk and RAM together.
var Histograms = []Histogram{
	{"append_latency_ns", "Time to write a batch into the files of a slot.", func(s *sfpool.Stats) *sfpool.Latency { return &s.AppendTimes }},
	{"sync_latency_ns", "Time of a sync of a file.", func(s *sfpool.Stats) *sfpool.Latency { return &s.SyncTimes }},
	{"ack_latency_ns", "Time from a request to the ack of the server.", func(s *sfpool.Stats) *sfpool.Latency { return &s.AckTimes }},
}

// Of returns the latency of disk and RAM.
func (h *Histogram) Of(v *View) sfpool.Latency {
	return h.Value(&v.Stats.Stats).Plus(*h.Value(&v.RAMStats))
}

// Summary returns what selfstat, which knows single numbers only, shows of the
// histograms.
func Summary() (list []Figure[View]) {
	for _, h := range Histograms {
		list = append(list,
			Figure[View]{h.Name + "_count", Counter, h.Help, func(v *View) int64 { l := h.Of(v); return l.Count() }},
			Figure[View]{h.Name + "_sum", Counter, h.Help, func(v *View) int64 { return int64(h.Of(v).Sum) }},
			Figure[View]{h.Name + "_p99", Gauge, h.Help, func(v *View) int64 { l := h.Of(v); return int64(l.Quantile(0.99)) }},
		)
	}
	return list
}

func oneIf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
