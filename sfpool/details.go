// SPDX-License-Identifier: MIT

package sfpool

import (
	"slices"

	"github.com/questdb-sf/questdb_sf/internal/latency"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Latency is how long something took, counted in buckets.
type Latency = latency.Snapshot

// Wear is what was written to the device.
type Wear = vfs.Wear

// Details are what a page shows beside the Stats.
type Details struct {
	// Segments are those of each open slot, in the order of Stats.Slots; none for one
	// that is not open.
	Segments [][]Segment
	// Incidents are the last wounds that were found since the pool was opened, the
	// newest last.
	Incidents []Incident
	// Verdicts are the types of values that a column refuses, Barred the tables that
	// take no rows now; the first hundred of each.
	Verdicts []Verdict
	Barred   []BarredTable
}

// Segment is one file of a slot.
type Segment = slot.SegmentStats

// Verdict is what was learned of values that a server refuses.
type Verdict = verdict.Verdict

// BarredTable is a table of which a server takes no rows now.
type BarredTable = verdict.Barred

// Incident is a wound with the slot in which it was found.
type Incident struct {
	Slot string `json:"slot"`
	slot.Incident
}

const (
	maxWounds   = 32
	maxVerdicts = 100
)

// Details returns a snapshot. It does no I/O.
func (p *Pool) Details() Details {
	d := Details{Incidents: p.recentWounds()}
	d.Verdicts, d.Barred = p.verdicts.List(maxVerdicts)
	for _, g := range p.glimpses() {
		d.Segments = append(d.Segments, g.segments())
	}
	return d
}

// segments returns those of an open slot of ours.
func (g *glimpse) segments() (list []Segment) {
	if g.member == nil {
		return nil
	}
	if d, ok := g.member.d.(interface{ segments() []Segment }); ok {
		_ = safely("segments", func() error { list = d.segments(); return nil })
	}
	return list
}

func (p *Pool) noteWound(name string, i slot.Incident) {
	p.mu.Lock()
	defer p.unlock()
	p.wounds = append(p.wounds, Incident{Slot: name, Incident: i})
	p.wounds = p.wounds[max(0, len(p.wounds)-maxWounds):]
}

func (p *Pool) recentWounds() []Incident {
	p.mu.Lock()
	defer p.unlock()
	return slices.Clone(p.wounds)
}

// Space returns the size of the filesystem of Dir and what of it is free, in bytes;
// zeros in RAM. It asks the disk, which may hang.
func (p *Pool) Space() (total, free int64, err error) {
	if p.cfg.inRAM() {
		return 0, 0, nil
	}
	return p.budget.Look()
}
