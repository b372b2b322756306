// SPDX-License-Identifier: MIT

package steward

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Drop is what would be given up, in slots that are held until Close.
type Drop struct {
	Slots []DropSlot `json:"slots"`
	Count            // of all slots; Frames and Bytes are those of whole segments
}

// DropSlot is what would be given up in one slot.
type DropSlot struct {
	Slot  string `json:"slot"`
	Count        // Rows are pending; the rest is that of whole segments
	// Left are the pending rows that stay: some in their segment were stored later.
	Left int64 `json:"left"`

	t      *taken
	sealed slot.FSN // the last frame of sealed segments that go; -1 for none
	end    bool     // the last segment goes too
}

// PlanDrop takes slots, all that hold anything if none is named, and finds out what in
// them was stored before a moment: whole segments, by the time they were written last,
// up to the first that is younger. One of another client goes as a whole or not at all.
func (s *Store) PlanDrop(names []string, before time.Time) (d *Drop, err error) {
	if len(names) == 0 {
		if names, err = s.Slots(); err != nil {
			return nil, err
		}
	}
	for _, name := range names { // all of them, before a byte of any changes
		if err := s.check(name); err != nil {
			return nil, err
		}
	}
	d = &Drop{}
	for _, name := range names {
		one, err := s.planSlot(name, before)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("slot %s: %w", name, err), d.Close())
		}
		d.Slots = append(d.Slots, *one)
		d.sum(one.Count)
	}
	return d, nil
}

func (s *Store) planSlot(name string, before time.Time) (*DropSlot, error) {
	written, err := s.written(name)
	if err != nil {
		return nil, err
	}
	t, err := s.take(name, nil)
	if err != nil {
		return nil, err
	}
	d := &DropSlot{Slot: name, t: t, sealed: -1}
	if own, ok := t.source.(*slot.Slot); ok {
		d.planOwn(own, written, before)
	} else {
		d.planForeign(written, before)
	}
	d.Left = max(0, t.Stats().Pending-d.Rows)
	return d, nil
}

// written returns when each segment file was written last, which opening the slot
// might change.
func (s *Store) written(name string) (map[string]time.Time, error) {
	entries, err := s.FS.ReadDir(s.path(name))
	if err != nil {
		return nil, err
	}
	times := map[string]time.Time{}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".sfa") {
			continue
		}
		info, err := s.FS.Stat(s.path(name, e.Name()))
		if err != nil {
			return nil, err
		}
		times[e.Name()] = info.ModTime()
	}
	return times, nil
}

func (d *DropSlot) planOwn(own *slot.Slot, written map[string]time.Time, before time.Time) {
	list := own.Segments()
	for i, g := range list {
		last := written[g.Name]
		if i+1 < len(list) && list[i+1].Created.After(last) {
			last = list[i+1].Created // the next one was made when it was full
		}
		if g.Pending > 0 && !last.Before(before) {
			return
		}
		if d.end = i == len(list)-1; !d.end {
			d.sealed = g.Last()
		}
		if g.Pending == 0 {
			continue
		}
		d.Rows += g.Pending
		d.Bytes += g.Size
		d.Frames += int64(g.Last() - g.First + 1)
		if g.HasTime {
			d.span(g.MinTime, g.MaxTime)
		}
	}
}

func (d *DropSlot) planForeign(written map[string]time.Time, before time.Time) {
	for _, at := range written {
		if !at.Before(before) {
			return
		}
	}
	st := d.t.Stats()
	d.end, d.Rows, d.Frames, d.Bytes = true, st.Pending, st.PendingFrames, st.SegmentBytes
}

// Run gives up what was planned, and counts it as evicted.
func (d *Drop) Run(ctx context.Context) error {
	for i := range d.Slots {
		if err := d.Slots[i].run(ctx); err != nil {
			return fmt.Errorf("slot %s: %w", d.Slots[i].Slot, err)
		}
	}
	return nil
}

func (d *DropSlot) run(ctx context.Context) error {
	if own, ok := d.t.source.(*slot.Slot); ok && d.sealed >= 0 {
		if _, err := own.Evict(d.sealed); err != nil {
			return err
		}
	}
	if !d.end {
		return nil
	}
	var done []slot.Done
	err := each(ctx, d.t, d.t.foreign, func(fsn slot.FSN, f slot.Frame) error {
		done = append(done, slot.Done{FSN: fsn, Shares: []slot.Share{{As: slot.Evicted, Rows: f.Rows}}})
		return nil
	}, func(slot.FSN, error) {})
	if err != nil {
		return err
	}
	return d.t.SettleAll(done)
}

// Close lets go of the slots.
func (d *Drop) Close() (err error) {
	for i := range d.Slots {
		err = errors.Join(err, d.Slots[i].t.close())
	}
	d.Slots = nil
	return err
}
