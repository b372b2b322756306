// SPDX-License-Identifier: MIT

package status

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/status/api"
	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

const (
	// sampleEvery and maxSamples are the hour that a page shows.
	sampleEvery = 30 * time.Second
	maxSamples  = 120
)

// Source is a block that shows what its store holds.
type Source struct {
	// Store is shared by blocks: those with equal Look.Dir and SenderID are one.
	Store interface {
		Stats() store.Stats
		Look() store.Look
		Space() (total, free int64)
	}
	// Block returns what the block counts itself. It may be called at any time.
	Block func() Block
	// Version is that of the program; "" where it is not known.
	Version string
}

// watch sees how one store gets on. Its methods are safe for concurrent use.
type watch struct {
	sources []*Source // the owner's mu guards them
	disk    disk

	mu      sync.Mutex // guards what follows
	moves   moves
	history []api.Sample // the oldest first
	before  [2]totals    // of the last two samples, the last one first
}

type totals struct {
	appended, acked int64
	at              time.Time
}

// report is a store at one moment.
type report struct {
	view    View
	look    store.Look
	why     []string // it is not well; none in health
	full    bool     // rows find no room, or others go for them, or would at once
	moved   time.Time
	history []api.Sample // with the present moment as its last point
	files   files        // nothing until they are asked for
	program string       // its version
}

func newWatch() *watch { return &watch{disk: disk{fs: vfs.ReadOnly(vfs.OS)}} }

// lookAtAll is look, with what the files tell.
func (w *watch) lookAtAll(sources []*Source) report {
	r := w.look(sources)
	if !r.view.RAM { // who knows what is mounted there now
		var orphans []string
		for _, o := range r.view.Orphans {
			orphans = append(orphans, o.Name)
		}
		r.files = w.disk.look(r.look.Dir, r.look.SenderID, orphans)
	}
	return r
}

// look takes a report of a store over its blocks, of which there is one at least.
func (w *watch) look(sources []*Source) report {
	st := sources[0].Store
	r := report{look: st.Look()}
	r.view.Stats = st.Stats()
	r.view.DiskTotal, r.view.DiskFree = st.Space()
	r.view.Now = time.Now()
	for _, s := range sources {
		r.view.Block = r.view.Block.plus(s.Block())
		r.program = cmp.Or(r.program, s.Version)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moves.note(&r.view)
	r.moved = w.moves.last
	r.history = append(slices.Clone(w.history), w.point(&r.view))
	r.history = r.history[max(0, len(r.history)-maxSamples):]
	r.why = r.judge(&w.moves)
	return r
}

// sample adds a point to the history.
func (w *watch) sample(sources []*Source) {
	r := w.look(sources)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, w.point(&r.view))
	w.history = w.history[max(0, len(w.history)-maxSamples):]
	w.before = [2]totals{totalsOf(&r.view), w.before[0]}
}

// point is what is true now, with the rates since the last sample, or since the one before
// if that was just now: a moment has no rate. The caller holds mu.
func (w *watch) point(v *View) api.Sample {
	now := totalsOf(v)
	s := api.Sample{At: v.Now, PendingRows: v.pending(), PendingBytes: v.PendingBytes + v.RAMStats.PendingBytes}
	before := w.before[0]
	if now.at.Sub(before.at) < sampleEvery/2 && !w.before[1].at.IsZero() {
		before = w.before[1]
	}
	if span := now.at.Sub(before.at).Seconds(); !before.at.IsZero() && span > 0 {
		s.Stored = int64(float64(max(0, now.appended-before.appended)) / span)
		s.Sent = int64(float64(max(0, now.acked-before.acked)) / span)
	}
	return s
}

func totalsOf(v *View) totals {
	return totals{v.AppendedBytes + v.RAMStats.AppendedBytes, v.AckedBytes + v.RAMStats.AckedBytes, v.Now}
}
