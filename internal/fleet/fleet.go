// SPDX-License-Identifier: MIT

// Package fleet is what a box tells about itself in QuestDB, for those who watch many:
// a row in questdb_sf_events after each outage, and a row in questdb_sf_status at an
// interval. Both are rows like any other, stored and sent as the metrics are. What can
// be asked of them stands in docs/fleet.md.
package fleet

import (
	"math"
	"os"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// The tables.
const (
	EventsTable = "questdb_sf_events"
	StatusTable = "questdb_sf_status"
)

// Options say what is told.
type Options struct {
	// Events has a row written after each outage.
	Events bool
	// StatusEvery is the time between two rows of status; 0 is none.
	StatusEvery time.Duration
	// Version is that of the program.
	Version string
}

// Source is who tells.
type Source struct {
	Box, SenderID string
	// Nanos gives rows a time in nanoseconds, as the other rows have it.
	Nanos bool
}

// Box returns the name of this machine.
func Box() string {
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "unknown"
	}
	return name
}

// begin begins a row of a table.
func (s Source) begin(b *sfpool.Batch, table string) *sfpool.RowBuilder {
	return b.Table(table).Symbol("box", s.Box).Symbol("sender_id", s.SenderID)
}

func (s Source) end(r *sfpool.RowBuilder, at time.Time) error {
	if s.Nanos {
		return r.AtNano(at)
	}
	return r.At(at)
}

// seconds rounds to whole ones.
func seconds(d time.Duration) int64 { return int64(math.Round(d.Seconds())) }
