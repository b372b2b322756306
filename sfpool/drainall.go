// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Remainder is a slot that still has rows.
type Remainder struct {
	Slot string
	Rows int64 // pending; -1 where nobody has looked into it
	Why  string
	// Owned says that a pool is open which sees to it.
	Owned bool
}

// DrainAll looks for orphans at once, without waiting for a first write, and then
// waits until nothing is left that this pool can send: what its own slots hold, and
// with DrainOrphans what belongs to nobody. Slots that somebody else has open, that
// are damaged or not to be trusted, or whose rows belong elsewhere are passed over; Left
// tells of them. It fails with the error of ctx, or ErrClosed.
func (p *Pool) DrainAll(ctx context.Context) error {
	if p.cfg.inRAM() {
		return p.WaitAcked(ctx)
	}
	looks := p.lookAnyway(-1)
	for {
		changed := p.change()
		if p.lookAnyway(looks) > looks && p.allDrained() {
			return nil
		}
		t := time.NewTimer(p.cfg.HousekeeperInterval) // a slot that gets empty changes no place
		select {
		case <-changed:
		case <-t.C:
		case <-p.closing:
			t.Stop()
			return ErrClosed
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
		t.Stop()
	}
}

// lookAnyway asks for a look for orphans, unless there were more of them than before.
func (p *Pool) lookAnyway(before int) (looks int) {
	p.mu.Lock()
	defer p.unlock()
	if o := &p.orphans; o.looks <= max(0, before) && !o.anyway {
		o.anyway = true
		ring(p.wake)
	}
	return p.orphans.looks
}

// allDrained says whether nothing is left that could be sent.
func (p *Pool) allDrained() bool {
	for _, g := range p.glimpses() {
		if g.member != nil && g.view().PendingFrames > 0 || p.isToBeOpened(&g) {
			return false
		}
	}
	p.mu.Lock()
	defer p.unlock()
	for _, k := range p.orphans.known {
		if k.state == draining || k.state == waiting && !k.locked {
			return false
		}
	}
	return true
}

// isToBeOpened says whether a slot of ours that has no sender holds frames that the
// recovery will come to.
func (p *Pool) isToBeOpened(g *glimpse) bool {
	if g.member != nil || g.ailing != nil && (isLasting(g.ailing) || errors.As(g.ailing, new(*LockedError)) || errors.Is(g.ailing, vfs.ErrUntrusted)) {
		return false
	}
	has, err := holdsSegments(p.cfg.FS, p.path(g.name))
	return has || err != nil
}

// Left tells what is still in the slots of this pool and in the orphans it has seen,
// and why, as far as that is known. It looks at the directory.
func (p *Pool) Left() []Remainder {
	var list []Remainder
	for _, g := range p.glimpses() {
		if r, is := p.leftIn(&g); is {
			list = append(list, r)
		}
	}
	for _, o := range p.Stats().Orphans {
		r := Remainder{Slot: o.Name, Rows: o.Pending, Why: o.Reason, Owned: o.State == owned.String()}
		if o.Pending == 0 {
			r.Rows = -1
		}
		if r.Why == "" {
			r.Why = o.State
		}
		list = append(list, r)
	}
	return list
}

func (p *Pool) leftIn(g *glimpse) (r Remainder, is bool) {
	v := g.view()
	r = Remainder{Slot: g.name, Rows: v.Pending, Why: "not sent yet"}
	switch {
	case g.ailing != nil:
		r.Why = g.ailing.Error()
	case v.conn.LastError != nil:
		r.Why = v.conn.LastError.Error()
	case v.conn.Held > 0:
		r.Why = fmt.Sprintf("%d rows wait for their tables", v.conn.Held)
	}
	if g.member != nil {
		return r, v.PendingFrames > 0
	}
	has, err := holdsSegments(p.cfg.FS, p.path(g.name))
	if v.Published < 0 || v.Pending == 0 {
		r.Rows = -1
	}
	return r, !p.cfg.inRAM() && (has || err != nil)
}
