// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// rewindSuffix stands behind the sender_id in the names of slots that Rewind makes.
const rewindSuffix = "-rewind"

// RewindReport tells what Rewind has taken up again.
type RewindReport struct {
	Slots               []string // that were made
	Sources             int      // slots that had something
	Frames, Rows, Bytes int64
	// Earliest and Latest are the span of the times of the rows; zero if they have none.
	Earliest, Latest time.Time
	// Skipped says what could not be read, with the reason.
	Skipped []string
}

// Rewind takes up again what the server has acked since a moment, for a server that
// was set back to an older copy of its data: it needs RetainAcked or RetainAckedBytes
// to have been on. What of it is still on disk is copied into a slot of its own,
// <sender_id>-rewind-<n>, which the pool of that sender_id, or else any that drains
// orphans, then sends like any other; the files it was copied from are removed.
//
// It works beside a pool or an agent that is using Dir, and sends nothing itself. Of a
// segment that was done with since then all is sent again, and so is what is acked in
// segments that are still in use, and rows that were dead-lettered. Only with
// ExactlyOnce no row is stored twice by it. If it is interrupted nothing is lost, and
// a part may be sent twice. Two at once are a *LockedError.
func Rewind(ctx context.Context, cfg Config, since time.Time) (RewindReport, error) {
	if err := cfg.Validate(); err != nil {
		return RewindReport{}, fmt.Errorf("questdb_sf configuration: %w", err)
	}
	cfg = cfg.withDefaults()
	if cfg.inRAM() {
		return RewindReport{}, errNoRewind
	}
	if err := cfg.Mounts.Check(cfg.Dir, cfg.MountPoint); err != nil {
		return RewindReport{}, err
	}
	guard, err := vfs.Guard(cfg.FS, cfg.Dir)
	if err != nil {
		return RewindReport{}, fmt.Errorf("look at sf_dir %s: %w", cfg.Dir, err)
	}
	cfg.FS = guard
	return newRewinder(cfg, since).run(ctx)
}

var errNoRewind = errors.New("rewind needs sf_dir: in RAM nothing is kept that was acked")

// Rewind is the function of that name for the slots of this pool, which begins to send
// them at once.
func (p *Pool) Rewind(ctx context.Context, since time.Time) (RewindReport, error) {
	if p.cfg.inRAM() {
		return RewindReport{}, errNoRewind
	}
	report, err := newRewinder(p.cfg, since).run(ctx)
	p.retention.ForgetGone()
	p.mu.Lock()
	defer p.unlock()
	p.orphans.look = true
	ring(p.wake)
	return report, err
}

// rewound says whether a slot was made by Rewind.
func rewound(name, base string) bool {
	b, _, ok := slot.SplitName(name)
	return ok && b == base+rewindSuffix
}

// rewinder is a Rewind under way.
type rewinder struct {
	cfg    Config
	since  time.Time
	report RewindReport

	target string // of the slot that is read
	into   *slot.Slot
	limit  int // of a frame in into
	size   int64

	frames []slot.Frame // to be stored next
	buf    []byte       // of them
}

// rewindBytes is about how much is stored at a time.
const rewindBytes = 4 << 20

func newRewinder(cfg Config, since time.Time) *rewinder { return &rewinder{cfg: cfg, since: since} }

func (r *rewinder) path(name string) string { return filepath.Join(r.cfg.Dir, name) }

func (r *rewinder) run(ctx context.Context) (_ RewindReport, err error) {
	unlock, err := slot.LockName(r.cfg.FS, r.cfg.Dir, r.cfg.SenderID+".rewind")
	if err != nil {
		return r.report, err
	}
	defer func() { err = errors.Join(err, r.closeSlot(), unlock()) }()
	names, err := r.sources()
	if err != nil {
		return r.report, err
	}
	for _, name := range names {
		if err := r.copySlot(ctx, name); err != nil {
			return r.report, fmt.Errorf("rewind slot %s: %w", name, err)
		}
	}
	return r.report, nil
}

// sources are the slots of the sender_id, those of earlier rewinds included, and notes
// how much is in them.
func (r *rewinder) sources() (names []string, _ error) {
	entries, err := r.cfg.FS.ReadDir(r.cfg.Dir)
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || !managed(name, r.cfg.SenderID, math.MaxInt) && !rewound(name, r.cfg.SenderID) {
			continue
		}
		names = append(names, name)
		files, err := r.cfg.FS.ReadDir(r.path(name))
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			if info, err := r.cfg.FS.Stat(filepath.Join(r.path(name), f.Name())); err == nil && strings.Contains(f.Name(), ".sfa") {
				r.size += info.Size()
			}
		}
	}
	return names, err
}

func (r *rewinder) copySlot(ctx context.Context, name string) (err error) {
	if r.target, err = slot.TargetOf(r.cfg.FS, r.path(name)); err != nil {
		return err
	}
	before := r.report.Frames
	a := slot.AckedReader{
		FS: r.cfg.FS, Dir: r.path(name), Since: r.since,
		Visit: func(f slot.Frame) error { return r.take(ctx, f) },
		Done: func(path string) error {
			if err := r.store(ctx); err != nil {
				return err
			}
			if err := r.cfg.FS.Remove(path); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		},
		Skipped: func(path, why string) { r.report.Skipped = append(r.report.Skipped, path+": "+why) },
	}
	if err := errors.Join(a.Read(), r.store(ctx)); err != nil {
		return err
	}
	if r.report.Frames > before {
		r.report.Sources++
	}
	return nil
}

// take has a frame stored with those before it.
func (r *rewinder) take(ctx context.Context, f slot.Frame) error {
	if len(r.buf)+len(f.Bytes) > rewindBytes {
		if err := r.store(ctx); err != nil {
			return err
		}
	}
	from := len(r.buf)
	r.buf = append(r.buf, f.Bytes...)
	f.Bytes = r.buf[from:] // still there should buf grow: it is not written to again
	r.frames = append(r.frames, f)
	return ctx.Err()
}

// store makes what was taken durable in the slot of its target.
func (r *rewinder) store(ctx context.Context) error {
	if len(r.frames) == 0 {
		return nil
	}
	largest := 0
	for _, f := range r.frames {
		largest = max(largest, len(f.Bytes))
	}
	if err := r.slotFor(largest); err != nil {
		return err
	}
	if err := r.into.Put(ctx, r.frames...); err != nil {
		return err
	}
	for _, f := range r.frames {
		r.report.count(f)
	}
	r.frames, r.buf = r.frames[:0], r.buf[:0]
	return nil
}

func (t *RewindReport) count(f slot.Frame) {
	t.Frames++
	t.Rows += int64(f.Rows)
	t.Bytes += int64(len(f.Bytes))
	if !f.HasTime {
		return
	}
	low, high := time.UnixMicro(f.MinTime).UTC(), time.UnixMicro(f.MaxTime).UTC()
	if t.Earliest.IsZero() || low.Before(t.Earliest) {
		t.Earliest = low
	}
	if t.Latest.IsZero() || high.After(t.Latest) {
		t.Latest = high
	}
}

// slotFor sees to a slot for rows of the target with room for a frame of a size.
func (r *rewinder) slotFor(frame int) error {
	if r.into != nil && r.into.Target() == r.target && frame <= r.limit {
		return nil
	}
	if err := r.closeSlot(); err != nil {
		return err
	}
	segment := max(r.cfg.MaxSegmentBytes, int64(frame+slot.SegmentOverhead))
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s%s-%d", r.cfg.SenderID, rewindSuffix, n)
		if used, err := r.isUsed(name); err != nil {
			return err
		} else if used {
			continue
		}
		s, err := slot.Open(slot.Options{
			FS: r.cfg.FS, Dir: r.path(name), SegmentBytes: segment, MaxBytes: 2*r.size + 8*segment,
			Durability: slot.Flush, Target: r.target, Now: r.cfg.Now,
		})
		if errors.As(err, new(*LockedError)) {
			continue
		}
		if err != nil {
			return err
		}
		r.into, r.limit = s, int(segment-slot.SegmentOverhead)
		r.report.Slots = append(r.report.Slots, name)
		if s.Target() != r.target {
			return s.SetTarget(r.target)
		}
		return nil
	}
}

// isUsed says whether there is more in a slot than what one leaves that was drained.
func (r *rewinder) isUsed(name string) (bool, error) {
	entries, err := r.cfg.FS.ReadDir(r.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	left := []string{".lock", ".lock.pid", ".target", ".qsf-state", ".ack-watermark"}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !slices.Contains(left, e.Name()) }), err
}

// closeSlot lets go of the slot that is written to: from now on it is an orphan.
func (r *rewinder) closeSlot() error {
	s := r.into
	if s == nil {
		return nil
	}
	r.into = nil
	return s.Close()
}
