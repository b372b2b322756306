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
// makes room for a batch now and then, and each time would be said. That is looked at
// after a write and, as there may be none, every roomEvery.
type backpressure struct {
	log    *slog.Logger
	buffer telegrafBuffer
	policy sfpool.Full
	told   func(reason string) // hears of it; with an empty reason, of its end

	acts   sync.Mutex  // one at a time begins and ends it; guards what stands below it
	timer  *time.Timer // while there is no room
	before int64       // dropped by the time it began
	got    bool        // the last write found room
	need   int64       // bytes of files that the last one without room would have added
	never  bool        // it needed more than all of the store

	mu    sync.Mutex // guards what stands below it, against readers; taken inside acts
	since time.Time  // zero while there is room
	limit string     // what left none
	past  time.Duration
}

// roomEvery is how often it is looked whether there is room again.
const roomEvery = 10 * time.Second

// wrote is told how a batch fared.
func (b *backpressure) wrote(err error, stats func() store.Stats) {
	if err == nil && !b.isFull() {
		return // most
	}
	b.acts.Lock()
	defer b.acts.Unlock()
	isFull := errors.Is(err, sfpool.ErrStoreFull)
	b.got = err == nil
	if isFull {
		b.lacks(err)
	}
	switch {
	case isFull && b.timer == nil:
		b.begin(stats())
		b.timer = time.AfterFunc(roomEvery, func() { b.look(stats) })
	case err == nil && b.timer != nil:
		b.endWithRoom(stats())
	}
}

// look ends it if there is room again. Telegraf writes no more once its last batch is in.
func (b *backpressure) look(stats func() store.Stats) {
	b.acts.Lock()
	defer b.acts.Unlock()
	if b.timer == nil {
		return
	}
	b.endWithRoom(stats())
	if b.timer != nil {
		b.timer.Reset(roomEvery)
	}
}

// endWithRoom ends it where there is room again. As long as a batch waits, which none may
// come to ask for until the next flush, files count that are there, whatever is in them;
// and only a write shows whether a disk has room. The caller holds acts.
func (b *backpressure) endWithRoom(stats store.Stats) {
	st, _ := present(stats)
	used := st.PendingBytes
	if !b.got {
		used = st.StoreBytes
	}
	fits := b.got || !b.never && used+b.need <= st.MaxBytes && b.why() == slot.LimitTotal
	if used > st.MaxBytes/4*3 || !fits {
		return
	}
	b.end("the store has room again")
	b.told("")
}

// lacks notes what a batch found no room for, and which limit left none. The caller holds
// acts.
func (b *backpressure) lacks(err error) {
	limit := slot.LimitTotal
	b.need, b.never = 0, false
	if full := (*slot.FullError)(nil); errors.As(err, &full) {
		limit, b.need, b.never = full.Limit(), full.Need, full.Never
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.limit = limit
}

// present returns the figures of the pool that takes rows now.
func present(st store.Stats) (pool sfpool.Stats, inRAM bool) {
	if st.RAM {
		return st.RAMStats, true
	}
	return st.Stats, false
}

// begin is for the holder of acts.
func (b *backpressure) begin(stats store.Stats) {
	limit := b.why()
	b.turn(time.Now(), limit)
	b.before = b.buffer.dropped()
	st, inRAM := present(stats)
	remedy := "raise sf_max_total_bytes"
	switch {
	case inRAM:
		remedy = "raise ram_max_bytes"
	case limit != slot.LimitTotal:
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

// end is a warning if metrics are lost. It is for the holder of acts.
func (b *backpressure) end(what string, more ...any) {
	b.timer.Stop()
	b.timer = nil
	full, dropped := b.turn(time.Time{}, ""), b.buffer.dropped()-b.before
	level := slog.LevelInfo
	if dropped > 0 {
		level = slog.LevelWarn
	}
	b.log.Log(context.Background(), level, what, append(more, "full_for", full.Round(time.Millisecond), "dropped_by_telegraf", dropped)...)
}

// close ends it without room.
func (b *backpressure) close() {
	b.acts.Lock()
	defer b.acts.Unlock()
	if b.timer != nil {
		b.end("closing while the store is full: what Telegraf has in a memory buffer is lost when it ends or reloads",
			"in_telegraf", b.buffer.size())
	}
}

// turn changes since and limit, and returns how long there was no room.
func (b *backpressure) turn(since time.Time, limit string) (full time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.since.IsZero() {
		full = time.Since(b.since)
	}
	b.past += full
	b.since, b.limit = since, limit
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

// why names the limit that leaves no room; "" while there is some.
func (b *backpressure) why() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.limit
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

// since returns what counts those that are dropped from now on. Telegraf's counter
// outlives a reload, and what was lost before has been told.
func (t telegrafBuffer) since() func() int64 {
	before := t.dropped()
	return func() int64 { return t.dropped() - before }
}

// size counts the metrics in the buffer.
func (t telegrafBuffer) size() int64 { return read(t.length) }

func read(s selfstat.Stat) int64 {
	if s == nil {
		return 0
	}
	return s.Get()
}
