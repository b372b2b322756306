// SPDX-License-Identifier: MIT

package status

import (
	"time"

	"github.com/questdb-sf/questdb_sf/internal/latency"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// document is /api/status.
type document struct {
	Now    time.Time  `json:"now"`
	Stores []storeDoc `json:"stores"`
}

type storeDoc struct {
	Dir        string   `json:"sf_dir"`
	SenderID   string   `json:"sender_id"`
	Healthy    bool     `json:"healthy"`
	Why        []string `json:"why"` // it is not
	Durability string   `json:"durability"`
	// Moved is when rows were last seen to move, or that none were pending.
	Moved     time.Time             `json:"moved"`
	Figures   map[string]int64      `json:"figures"`
	Latencies map[string]latencyDoc `json:"latencies"`
	Slots     []slotDoc             `json:"slots"`
	Orphans   []orphanDoc           `json:"orphans"`
	Verdicts  []verdictDoc          `json:"verdicts"`
	Barred    []barredDoc           `json:"barred"`
	Incidents []sfpool.Incident     `json:"incidents"`
	History   []sample              `json:"history"`
}

type latencyDoc struct {
	Count   int64       `json:"count"`
	SumNS   int64       `json:"sum_ns"`
	P99NS   int64       `json:"p99_ns"`
	Buckets []bucketDoc `json:"buckets"`
}

// bucketDoc counts what took no longer; le_ns is 0 for the one without a bound.
type bucketDoc struct {
	UpToNS int64 `json:"le_ns"`
	Count  int64 `json:"count"`
}

type slotDoc struct {
	Name      string           `json:"name"`
	InRAM     bool             `json:"in_ram"`
	State     string           `json:"state"`
	Figures   map[string]int64 `json:"figures"`
	Ledger    ledgerDoc        `json:"ledger"`
	Transport string           `json:"transport"` // "" before the first connection
	Host      string           `json:"host"`
	LastError string           `json:"last_error"`
	Oldest    *time.Time       `json:"oldest_pending"`
	Outage    *time.Time       `json:"outage_since"`
	Segments  []segmentDoc     `json:"segments"`
}

type ledgerDoc struct {
	Accepted     int64 `json:"accepted"`
	Acked        int64 `json:"acked"`
	Pending      int64 `json:"pending"`
	DeadLettered int64 `json:"dead_lettered"`
	Evicted      int64 `json:"evicted"`
	Quarantined  int64 `json:"quarantined"`
	Unknown      int64 `json:"unknown"`
}

type segmentDoc struct {
	First   slot.FSN `json:"first_fsn"`
	Frames  int64    `json:"frames"`
	Settled int64    `json:"settled"`
	Rows    int64    `json:"rows"`
	Used    int64    `json:"used_bytes"`
	Size    int64    `json:"size_bytes"`
}

type orphanDoc struct {
	Name    string `json:"name"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
	Pending int64  `json:"rows_pending"`
}

type verdictDoc struct {
	Host   string `json:"host"`
	Table  string `json:"table"`
	Column string `json:"column"`
	Type   string `json:"type"`
	To     string `json:"to"` // the column that takes the values; "" for none
	Words  string `json:"words"`
}

type barredDoc struct {
	Host  string `json:"host"`
	Table string `json:"table"`
	Words string `json:"words"`
}

func documentOf(reports []report) document {
	d := document{Now: time.Now(), Stores: []storeDoc{}}
	for i := range reports {
		d.Stores = append(d.Stores, reports[i].document())
	}
	return d
}

// document never has a null for a list, so that who reads it needs no case for it.
func (r *report) document() storeDoc {
	v := &r.view
	d := storeDoc{
		Dir: r.look.Dir, SenderID: r.look.SenderID, Healthy: len(r.why) == 0, Why: list(r.why),
		Durability: durabilities[durability(v)], Moved: r.moved,
		Figures: map[string]int64{}, Latencies: map[string]latencyDoc{},
		Slots: []slotDoc{}, Orphans: []orphanDoc{}, Verdicts: []verdictDoc{}, Barred: []barredDoc{},
		Incidents: list(append(r.look.Details.Incidents, r.look.RAMDetails.Incidents...)), History: list(r.history),
	}
	for i := range Figures {
		d.Figures[Figures[i].Name] = Figures[i].Value(v)
	}
	for i := range Histograms {
		d.Latencies[Histograms[i].Name] = latencyOf(Histograms[i].Of(v))
	}
	d.addSlots(v.Slots, r.look.Details.Segments, false)
	d.addSlots(v.RAMStats.Slots, r.look.RAMDetails.Segments, true)
	for _, o := range v.Orphans {
		d.Orphans = append(d.Orphans, orphanDoc{o.Name, o.State, o.Reason, o.Pending})
	}
	d.addVerdicts(&r.look.Details)
	d.addVerdicts(&r.look.RAMDetails)
	return d
}

func list[T any](l []T) []T { return append([]T{}, l...) }

func latencyOf(l sfpool.Latency) latencyDoc {
	d := latencyDoc{Count: l.Count(), SumNS: int64(l.Sum), P99NS: int64(l.Quantile(0.99))}
	for i, n := range l.Buckets {
		b := bucketDoc{Count: n}
		if i < len(latency.Bounds) {
			b.UpToNS = int64(latency.Bounds[i])
		}
		d.Buckets = append(d.Buckets, b)
	}
	return d
}

func (d *storeDoc) addSlots(slots []sfpool.SlotStats, segments [][]sfpool.Segment, inRAM bool) {
	for i := range slots {
		s := &slots[i]
		one := slotDoc{
			Name: s.Name, InRAM: inRAM, State: s.State, Figures: map[string]int64{}, Host: s.Host,
			Ledger:   ledgerDoc{s.Accepted, s.Acked, s.Pending, s.DeadLettered, s.Evicted, s.Quarantined, s.Unknown},
			Segments: []segmentDoc{}, Oldest: timeOrNone(s.OldestPending), Outage: timeOrNone(s.OutageSince),
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
				one.Segments = append(one.Segments, segmentDoc{g.First, g.Frames, g.Settled, g.Rows, g.Used, g.Size})
			}
		}
		d.Slots = append(d.Slots, one)
	}
}

func timeOrNone(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (d *storeDoc) addVerdicts(from *sfpool.Details) {
	for _, v := range from.Verdicts {
		d.Verdicts = append(d.Verdicts, verdictDoc{v.Host, v.Table, v.Column, v.Type.String(), v.To, v.Words})
	}
	for _, b := range from.Barred {
		d.Barred = append(d.Barred, barredDoc{b.Host, b.Table, b.Words})
	}
}
