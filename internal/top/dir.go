// SPDX-License-Identifier: MIT

package top

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/holder"
	"github.com/questdb-sf/questdb_sf/internal/notice"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Dir reads the files of a store, and remembers what it has read.
type Dir struct {
	FS   vfs.FS
	Path string
	// SenderID is the base of the slots that share the cap.
	SenderID string
	// Cap is what their segments may have, in bytes, and Keep what is to be left free of a
	// filesystem of so many; nil where that is not known.
	Cap  func() (int64, error)
	Keep func(total int64) int64
	// Now is the clock.
	Now     func() time.Time
	peekers map[string]*slot.Peeker
	others  map[string]counted // slots of other clients
	locks   *holder.Locks      // of this look
}

// Read looks at all slots. A slot that cannot be read is told as trouble.
func (d *Dir) Read(ctx context.Context) (Reading, error) {
	entries, err := d.FS.ReadDir(d.Path)
	if err != nil {
		return Reading{}, fmt.Errorf("read the store: %w; see sf_dir", err)
	}
	r := Reading{Name: d.Path, Slots: []Slot{}, Agents: []int{}}
	d.locks = holder.Read()
	before := d.peekers
	d.peekers = map[string]*slot.Peeker{}
	for _, e := range entries {
		switch name := e.Name(); {
		case ctx.Err() != nil:
			return r, ctx.Err()
		case strings.HasSuffix(name, ".lp"):
			if info, err := d.FS.Stat(filepath.Join(d.Path, name)); err == nil {
				r.LetterBytes += info.Size()
			}
		case e.IsDir() && !strings.HasPrefix(name, "."):
			p := before[name]
			if p == nil {
				p = &slot.Peeker{FS: d.FS, Dir: filepath.Join(d.Path, name)}
			}
			d.peekers[name] = p
			d.slot(&r, name, p)
		}
	}
	d.space(&r)
	r.At = d.Now()
	for _, p := range d.locks.Pools(d.FS, d.Path, r.At) {
		r.take(&p)
	}
	return r, nil
}

// take adds what an agent says of its pool.
func (r *Reading) take(p *holder.Pool) {
	n := p.Notice
	switch {
	case !p.Holder.Held:
		r.Unseen = true // it wrote lately
		return
	case n == nil:
		return
	case !n.Fresh(r.At):
		r.Trouble = append(r.Trouble, fmt.Sprintf("the agent with sender_id %s last spoke at %s, and may hang", p.SenderID, n.At.UTC().Format(time.RFC3339)))
		return
	}
	for _, says := range []string{n.Longest().Why(), n.Lost()} {
		if says != "" {
			r.Trouble = append(r.Trouble, says)
		}
	}
	r.expects(n)
	for i := range r.Slots {
		s := &r.Slots[i]
		if one := n.Of(s.Name); one != nil && one.Stored.After(s.Oldest) && s.Pending > 0 {
			s.Oldest = one.Stored
		}
	}
}

// expects takes over what an agent expects: of several the first that is full, and the last
// that is empty.
func (r *Reading) expects(n *notice.Notice) {
	if full := seconds(n.ToFull); full > 0 && (r.ToFull == 0 || full < r.ToFull) {
		r.ToFull = full
	}
	r.ToEmpty = max(r.ToEmpty, seconds(n.ToEmpty))
	if r.MaxBytes == 0 {
		r.MaxBytes = n.StoreMaxBytes
	}
}

func seconds(n float64) time.Duration { return lasts(max(n, 0), 1) }

func (d *Dir) slot(r *Reading, name string, p *slot.Peeker) {
	one, err := p.Peek()
	if errors.Is(err, fs.ErrNotExist) {
		return // it went
	}
	if err != nil {
		r.Trouble = append(r.Trouble, fmt.Sprintf("slot %s cannot be read: %v", name, err))
		return
	}
	owner := d.locks.Of(filepath.Join(d.Path, name, ".lock"))
	if !one.Known && one.Segments == 0 && !owner.Held {
		return // no slot
	}
	s := Slot{
		Name: name, Accepted: one.Accepted, Pending: one.Pending, Acked: one.Acked, Dead: one.DeadLettered,
		Lost: one.Evicted + one.Quarantined + one.Unknown, PendingBytes: one.PendingBytes,
	}
	if one.HasOldest {
		s.Oldest = time.UnixMicro(one.OldestPendingTime)
	}
	if owner.Held && !slices.Contains(r.Agents, owner.PID) {
		r.Agents = append(r.Agents, owner.PID)
	}
	if one.Foreign && !owner.Held {
		d.foreign(name, &s)
	}
	s.State = d.state(name, owner.Held, &one)
	if d.shares(name) {
		r.StoreBytes += one.SegmentBytes
	}
	r.Partial = r.Partial || one.Partial
	r.Slots = append(r.Slots, s)
}

// state tells whose the slot is.
func (d *Dir) state(name string, held bool, one *slot.Peek) string {
	_, failed, _ := slot.Failed(d.FS, filepath.Join(d.Path, name))
	switch {
	case held:
		return "in use"
	case failed:
		return "failed"
	case one.Foreign:
		return "foreign"
	case one.Pending > 0:
		return "waiting"
	}
	return "free"
}

// shares says whether a slot is one of those that the cap is for.
func (d *Dir) shares(name string) bool {
	base, _, ok := slot.SplitName(name)
	return ok && base == d.SenderID
}

func (d *Dir) space(r *Reading) {
	if d.Cap != nil {
		if n, err := d.Cap(); err == nil {
			r.MaxBytes = n
		}
	}
	if d.Keep == nil {
		return
	}
	if total, free, err := d.FS.Space(d.Path); err == nil {
		free -= d.Keep(total)
		r.FreeBytes = &free
	}
}
