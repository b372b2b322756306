// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"slices"
	"sync"
	"time"

	"github.com/influxdata/telegraf/selfstat"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/internal/status"
)

func changesOf(c mapping.Counts) status.Changes {
	return status.Changes{
		Altered: c.Clamped + c.Shifted + c.Replaced, LeftOut: c.Excess, Merged: c.Merged,
		OutOfTime: c.Early + c.Late, Retimed: c.Retimed,
	}
}

// figures are those of the measurement internal_questdb_sf without the tag slot.
var figures = slices.Concat(status.Figures, status.Summary())

// statsEvery is how often the numbers are renewed while rows are pending, or go to
// RAM. Else they change only with a write.
const statsEvery = 10 * time.Second

// statistics shows the store through Telegraf's inputs.internal. Without a
// collector, as under execd, it does nothing.
type statistics struct {
	collector *selfstat.Collector
	look      func() status.View
	mapped    mapped

	mu    sync.Mutex                 // guards what stands below it and the collector
	stats map[string][]selfstat.Stat // by slot, "" is the store; nil while closed
	timer *time.Timer                // only while it is to fire
}

// mapped is what the mapping did to the metrics that were stored.
type mapped struct {
	mu  sync.Mutex // guards sum
	sum status.Changes
}

// stored adds the changes to a batch, given those of all batches before and after
// it: a batch that is tried again counts once.
func (m *mapped) stored(before, after status.Changes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum = m.sum.Plus(after.Minus(before))
}

func (m *mapped) total() status.Changes {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sum
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
	show(s, "", figures, &v)
	for i := range v.Slots {
		show(s, v.Slots[i].Name, status.SlotFigures, &v.Slots[i])
	}
	s.wind(v.RAM || v.Pending+v.RAMStats.Pending > 0)
}

// show sets the figures of a slot, or of the store, whose name is empty. It needs mu.
func show[T any](s *statistics, slot string, figures []status.Figure[T], v *T) {
	stats := s.stats[slot]
	if stats == nil {
		for _, f := range figures {
			stats = append(stats, s.register(slot, f.Name))
		}
		s.stats[slot] = stats
	}
	for i, f := range figures {
		stats[i].Set(f.Value(v))
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
