// SPDX-License-Identifier: MIT

package status

import (
	"bytes"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a store that is as a test says.
type fake struct {
	mu    sync.Mutex
	stats store.Stats
	state store.Look
}

func newFake(dir string) *fake {
	f := &fake{state: store.Look{Dir: dir, SenderID: "default", Open: true, MaxBackoff: time.Minute}}
	f.stats.Durability, f.stats.MaxBytes = sfpool.DurabilityFlush, 1<<30
	f.stats.Slots = []sfpool.SlotStats{{Name: "default-0", State: "live"}}
	f.state.Details.Segments = [][]sfpool.Segment{{{First: 0, Frames: 4, Settled: 1, Rows: 40, Used: 900, Size: 1000}}}
	return f
}

func (f *fake) is(change func(f *fake)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fake) Stats() store.Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

func (f *fake) Look() store.Look {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

func (f *fake) Space() (total, free int64) { return 100 << 30, 40 << 30 }

// pends makes so many rows pending that the server does not take.
func (f *fake) pends(rows int64) {
	f.stats.Accepted, f.stats.Pending = f.stats.Acked+rows, rows
	s := &f.stats.Slots[0]
	s.Pending, s.OutageSince, s.LastError = rows, time.Now(), errors.New("dial tcp: connection\nrefused")
}

// acks has the server take rows of a slot.
func (f *fake) acks(slot int, rows int64) {
	s := &f.stats.Slots[slot]
	s.Acked, s.Pending = s.Acked+rows, s.Pending-rows
	f.stats.Acked, f.stats.Pending = f.stats.Acked+rows, f.stats.Pending-rows
}

// gets adds rows to a slot.
func (f *fake) gets(slot int, rows int64) {
	f.stats.Slots[slot].Pending, f.stats.Pending = f.stats.Slots[slot].Pending+rows, f.stats.Pending+rows
}

// holds adds rows to a slot that wait for their tables.
func (f *fake) holds(slot int, rows int64) {
	f.gets(slot, rows)
	f.stats.Slots[slot].HeldRows, f.stats.HeldRows = f.stats.Slots[slot].HeldRows+rows, f.stats.HeldRows+rows
}

// bars has the server take no rows of a table.
func (f *fake) bars(table, words string) {
	f.state.Details.Barred = append(f.state.Details.Barred, sfpool.BarredTable{Host: "db:9000", Table: table, Words: words})
}

// source is a block of a store.
func source(f *fake, b Block) *Source { return &Source{Store: f, Block: func() Block { return b }} }

// heard is a log.
type heard struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (h *heard) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.Write(b)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.buf.String()
}

func (h *heard) logger() *slog.Logger { return slog.New(slog.NewTextHandler(h, nil)) }
