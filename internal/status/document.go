// SPDX-License-Identifier: MIT

package status

import (
	"cmp"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/latency"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

func documentOf(reports []report) *api.Document {
	d := &api.Document{Version: api.Version, Now: time.Now(), Stores: []api.Store{}}
	for i := range reports {
		d.Program = cmp.Or(d.Program, reports[i].program)
		d.Stores = append(d.Stores, reports[i].document())
	}
	return d
}

// document never has a null for a list, so that who reads it needs no case for it.
func (r *report) document() api.Store {
	v := &r.view
	d := api.Store{
		Dir: r.look.Dir, SenderID: r.look.SenderID, Says: r.says(), Healthy: len(r.why) == 0, Why: list(r.why), Full: r.full,
		Durability: durabilities[durability(v)], Moved: r.moved,
		Figures: map[string]int64{}, Latencies: map[string]api.Latency{},
		Slots:   append(slotsOf(v.Slots, r.look.Details.Segments, false), slotsOf(v.RAMStats.Slots, r.look.RAMDetails.Segments, true)...),
		Orphans: r.orphans(), Letters: r.files.letters, Verdicts: []api.Verdict{}, Barred: []api.Barred{},
		Kept: r.files.kept, History: list(r.history),
	}
	d.Incidents, d.MoreIncidents = r.incidents()
	d.Letters.Reasons, d.Letters.Command = list(d.Letters.Reasons), "questdb_sf dead-letter list -sf-dir "+quoted(r.look.Dir)
	for i := range Figures {
		d.Figures[Figures[i].Name] = Figures[i].Value(v)
	}
	for i := range Histograms {
		d.Latencies[Histograms[i].Name] = latencyOf(Histograms[i].Of(v))
	}
	addVerdicts(&d, &r.look.Details)
	addVerdicts(&d, &r.look.RAMDetails)
	return d
}

func list[T any](l []T) []T { return append([]T{}, l...) }

func latencyOf(l sfpool.Latency) api.Latency {
	d := api.Latency{Count: l.Count(), SumNS: int64(l.Sum), P99NS: int64(l.Quantile(0.99)), Buckets: []api.Bucket{}}
	for i, n := range l.Buckets {
		b := api.Bucket{Count: n}
		if i < len(latency.Bounds) {
			b.UpToNS = int64(latency.Bounds[i])
		}
		d.Buckets = append(d.Buckets, b)
	}
	return d
}

func slotsOf(slots []sfpool.SlotStats, segments [][]sfpool.Segment, inRAM bool) []api.Slot {
	all := []api.Slot{}
	for i := range slots {
		s := &slots[i]
		one := api.Slot{
			Name: s.Name, InRAM: inRAM, State: s.State, Figures: map[string]int64{}, Host: s.Host,
			Ledger:   api.Ledger{Accepted: s.Accepted, Acked: s.Acked, Pending: s.Pending, DeadLettered: s.DeadLettered, Evicted: s.Evicted, Quarantined: s.Quarantined, Unknown: s.Unknown},
			Segments: []api.Segment{}, Oldest: timeOrNone(s.OldestPending), Outage: timeOrNone(s.OutageSince),
		}
		if s.Transport != 0 && s.Host != "" {
			one.Transport = s.Transport.String()
		}
		if s.LastError != nil {
			one.LastError = line(s.LastError)
		}
		for f := range SlotFigures {
			one.Figures[SlotFigures[f].Name] = SlotFigures[f].Value(s)
		}
		if i < len(segments) {
			for _, g := range segments[i] {
				one.Segments = append(one.Segments, api.Segment{
					First: int64(g.First), Frames: g.Frames, Settled: g.Settled, Rows: g.Rows, Used: g.Used, Size: g.Size})
			}
		}
		all = append(all, one)
	}
	return all
}

func timeOrNone(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func addVerdicts(d *api.Store, from *sfpool.Details) {
	for _, v := range from.Verdicts {
		d.Verdicts = append(d.Verdicts, api.Verdict{Host: v.Host, Table: v.Table, Column: v.Column, Type: v.Type.String(), To: v.To, Words: v.Words})
	}
	for _, b := range from.Barred {
		d.Barred = append(d.Barred, api.Barred{Host: b.Host, Table: b.Table, Words: b.Words})
	}
}
