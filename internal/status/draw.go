// SPDX-License-Identifier: MIT

package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/status/api"
)

// drawing is what the template draws of a document.
type drawing struct {
	Program string
	At      moment
	Stores  []storeDrawing
}

type storeDrawing struct {
	*api.Store
	ID     string
	State  string // unwell, waiting, well
	Pill   string
	Cards  []card
	Charts []chart
	Slots  []slotDrawing
	// Orphans are those of the store, with the age of their rows.
	Orphans    []orphanDrawing
	All, Times []card
}

type slotDrawing struct {
	*api.Slot
	Pending    int64
	Words, Age string
	Picture    *picture
}

type orphanDrawing struct {
	*api.Orphan
	Age string
}

// card is a figure with its name, or words under a label.
type card struct {
	Label, Name, Shown string
	Value              int64
}

// cards are the figures that stand on top, and what they are called there.
var cards = [][2]string{
	{"rows pending", "rows_pending"}, {"bytes pending", "bytes_pending"}, {"oldest pending", "oldest_pending_age_ns"},
	{"outage for", "outage_ns"}, {"time to empty", "time_to_empty_ns"}, {"time to full", "time_to_full_ns"},
	{"rows acked", "rows_acked"}, {"rows accepted", "rows_appended"}, {"dead letters", "rows_dead_lettered"},
	{"rows evicted", "rows_evicted"}, {"incidents since the start", "incidents"}, {"disk free", "disk_free_bytes"},
	{"written to the device, 24 h", "device_bytes_written_day"}, {"syncs, 24 h", "device_syncs_day"},
}

var pills = map[string]string{"unwell": "not well", "waiting": "waiting", "well": "healthy"}

// drawingOf puts the stores in trouble first.
func drawingOf(d *api.Document) *drawing {
	w := &drawing{Program: d.Program, At: momentOf(d.Now)}
	for i := range d.Stores {
		one := drawStore(&d.Stores[i], d.Now)
		one.ID = fmt.Sprintf("figures-%d", i)
		w.Stores = append(w.Stores, one)
	}
	order := []string{"unwell", "waiting", "well"}
	slices.SortStableFunc(w.Stores, func(a, b storeDrawing) int { return slices.Index(order, a.State) - slices.Index(order, b.State) })
	return w
}

func drawStore(s *api.Store, now time.Time) storeDrawing {
	w := storeDrawing{Store: s, State: stateOf(s)}
	w.Pill = pills[w.State]
	for _, c := range cards {
		w.Cards = append(w.Cards, card{Label: c[0], Name: c[1], Value: s.Figures[c[1]], Shown: inUnit(c[1], s.Figures[c[1]])})
		switch last := &w.Cards[len(w.Cards)-1]; {
		case c[1] == "time_to_full_ns" && s.Full:
			last.Shown = "full"
		case strings.HasPrefix(c[1], "time_to_") && last.Value == 0:
			last.Shown = "not in sight"
		}
	}
	w.Cards = append(w.Cards, card{Label: "durability in force", Shown: s.Durability})
	w.Charts = []chart{
		chartOf("Backlog", s.History, trace{class: "area", of: func(p *api.Sample) int64 { return p.PendingRows }, in: func(n int64) string { return whole(n) + " rows" }}),
		chartOf("Throughput", s.History,
			trace{"stored: ", "stored", "pending", func(p *api.Sample) int64 { return p.Stored }, perSecond},
			trace{"sent: ", "sent", "sent", func(p *api.Sample) int64 { return p.Sent }, perSecond}),
	}
	for i := range s.Slots {
		w.Slots = append(w.Slots, drawSlot(&s.Slots[i], now))
	}
	for i := range s.Orphans {
		w.Orphans = append(w.Orphans, orphanDrawing{&s.Orphans[i], ageOf(s.Orphans[i].Oldest, now)})
	}
	for i := range Figures {
		name := Figures[i].Name
		w.All = append(w.All, card{Name: name, Value: s.Figures[name], Shown: inUnit(name, s.Figures[name])})
	}
	for i := range Histograms {
		name := Histograms[i].Name
		l := s.Latencies[name]
		w.Times = append(w.Times, card{Name: name, Value: l.Count, Shown: latencyWords(&l)})
	}
	return w
}

// latencyWords tells a latency that was counted in buckets, of which the last has no bound.
func latencyWords(l *api.Latency) string {
	if l.Count == 0 {
		return span(0)
	}
	words := "mean " + span(time.Duration(l.SumNS/l.Count))
	if n := l.Buckets[len(l.Buckets)-1].Count; n*100 > l.Count {
		return fmt.Sprintf("%s, %d of them over %s", words, n, span(time.Duration(l.P99NS)))
	}
	return words + ", 99 % within " + span(time.Duration(l.P99NS))
}

// Figure returns a figure by its name.
func (w storeDrawing) Figure(name string) int64 { return w.Figures[name] }

func perSecond(n int64) string { return size(n) + "/s" }

// stateOf tells trouble from rows that only wait.
func stateOf(s *api.Store) string {
	waits := s.Figures["outage_ns"] > 0 || s.Figures["rows_held"] > 0
	for i := range s.Slots {
		waits = waits || s.Slots[i].Outage != nil && s.Slots[i].Ledger.Pending > 0
	}
	switch {
	case !s.Healthy:
		return "unwell"
	case waits:
		return "waiting"
	}
	return "well"
}

func drawSlot(s *api.Slot, now time.Time) slotDrawing {
	w := slotDrawing{Slot: s, Pending: s.Figures["rows_pending"], Words: s.State, Age: ageOf(s.Oldest, now), Picture: pictureOf(s.Segments)}
	if s.InRAM {
		w.Words = "in RAM, " + w.Words
	}
	switch {
	case s.Figures["connected"] > 0:
		w.Words += fmt.Sprintf(", connected to %s over %s", s.Host, s.Transport)
	case s.State == "live":
		w.Words += ", not connected"
	}
	return w
}

// ageOf returns "" for no time.
func ageOf(t *time.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	return span(max(0, now.Sub(*t)))
}
