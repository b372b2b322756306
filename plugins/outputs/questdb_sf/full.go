// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/influxdata/telegraf/selfstat"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// backpressure watches for a store without room: with sf_full = "block", or where
// nothing could be dropped in time. It says so once when that
// begins, and once when it ends together with what Telegraf has dropped. It ends
// when a quarter of the store is free: a server that takes less than comes in
// makes room for a batch now and then, and each time would be said.
type backpressure struct {
	log    *slog.Logger
	buffer telegrafBuffer
	policy sfpool.Full
	told   func(reason string) // hears of it; with an empty reason, of its end
	before int64               // dropped by the time it began

	mu    sync.Mutex // guards what stands below it, against readers of total
	since time.Time  // zero while there is room
	past  time.Duration
}

// wrote is told how a batch fared.
func (b *backpressure) wrote(err error, stats func() store.Stats) {
	switch isFull := errors.Is(err, sfpool.ErrStoreFull); {
	case isFull && b.since.IsZero():
		b.begin(stats(), err)
	case err == nil && !b.since.IsZero():
		if st, _ := present(stats()); st.PendingBytes <= st.MaxBytes/4*3 {
			b.end("the store has room again")
			b.told("")
		}
	}
}

// present returns the figures of the pool that takes rows now.
func present(st store.Stats) (pool sfpool.Stats, inRAM bool) {
	if st.RAM {
		return st.RAMStats, true
	}
	return st.Stats, false
}

func (b *backpressure) begin(stats store.Stats, err error) {
	b.turn(time.Now())
	b.before = b.buffer.dropped()
	st, inRAM := present(stats)
	remedy := "raise sf_max_total_bytes"
	var full *slot.FullError
	switch {
	case inRAM:
		remedy = "raise ram_max_bytes"
	case errors.As(err, &full) && full.LowSpace:
		remedy = "free space of the disk, of which sf_min_free_space is kept"
	}
	what := "the store is full"
	if b.policy != sfpool.FullBlock {
		what += ", and nothing in it could be dropped in time"
	}
	b.log.Warn(what+": metrics stay in Telegraf's buffer, which drops the oldest beyond metric_buffer_limit; "+
		"see that QuestDB takes rows, or "+remedy,
		"pending_rows", st.Pending, "pending_bytes", st.PendingBytes, "max_bytes", st.MaxBytes)
	b.told(what)
}

// end is a warning if metrics are lost.
func (b *backpressure) end(what string, more ...any) {
	full, dropped := b.turn(time.Time{}), b.buffer.dropped()-b.before
	level := slog.LevelInfo
	if dropped > 0 {
		level = slog.LevelWarn
	}
	b.log.Log(context.Background(), level, what, append(more, "full_for", full.Round(time.Millisecond), "dropped_by_telegraf", dropped)...)
}

// close ends it without room.
func (b *backpressure) close() {
	if !b.since.IsZero() {
		b.end("closing while the store is full: what Telegraf has in a memory buffer is lost when it ends or reloads",
			"in_telegraf", b.buffer.size())
	}
}

// turn changes since, and returns how long there was no room.
func (b *backpressure) turn(since time.Time) (full time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.since.IsZero() {
		full = time.Since(b.since)
	}
	b.past += full
	b.since = since
	return full
}

// total returns how long there was no room, so far.
func (b *backpressure) total() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since.IsZero() {
		return b.past
	}
	return b.past + time.Since(b.since)
}

// isFull says whether writes find no room now.
func (b *backpressure) isFull() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.since.IsZero()
}

// telegrafBuffer reads Telegraf's own counters of the buffer before this block.
// The zero value, without Telegraf, reads zeros.
type telegrafBuffer struct{ drops, length selfstat.Stat }

// bufferOf returns the counters with the tags of the collector, which only a stat
// of the collector shows. They are registered past it: UnregisterAll must leave
// them to Telegraf.
func bufferOf(c *selfstat.Collector) telegrafBuffer {
	if c == nil {
		return telegrafBuffer{}
	}
	tags := c.Register(measurement, figures[0].Name, nil).Tags()
	return telegrafBuffer{
		drops:  selfstat.Register("write", "metrics_dropped", tags),
		length: selfstat.Register("write", "buffer_size", tags),
	}
}

// dropped counts the metrics that found no room in the buffer.
func (t telegrafBuffer) dropped() int64 { return read(t.drops) }

// size counts the metrics in the buffer.
func (t telegrafBuffer) size() int64 { return read(t.length) }

func read(s selfstat.Stat) int64 {
	if s == nil {
		return 0
	}
	return s.Get()
}
