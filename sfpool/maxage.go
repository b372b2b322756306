// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"log/slog"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

const (
	// clockJump is by how much the clock on the wall may go astray from the time
	// that passes.
	clockJump = time.Hour
	// clockProof is how long it must stay where it went before it is believed.
	clockProof = time.Hour
)

// clockUnset is the time before which a clock was plainly never set.
var clockUnset = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// clock watches the clock on the wall. A jump must not make rows old that were
// stored a moment ago. One goroutine uses it.
type clock struct {
	now     func() time.Time
	began   time.Time // of the time that passes
	started bool

	offset time.Duration // of the wall, as it is believed
	// While suspended, moved is the offset that was seen, since a moment of the time
	// that passes.
	suspended bool
	moved     time.Duration
	since     time.Time
}

// look compares the clocks. It tells whether ages by the wall are to be believed,
// and whether that has changed.
func (c *clock) look() (wall time.Time, trusted, changed bool) {
	wall = c.now()
	if !c.started {
		c.started, c.began = true, time.Now()
		c.offset = wall.Sub(clockUnset)
		if wall.Before(clockUnset) {
			c.suspend(c.offset)
			return wall, false, true
		}
		return wall, true, false
	}
	seen := wall.Sub(clockUnset) - time.Since(c.began)
	switch {
	case !c.suspended && near(seen, c.offset):
		c.offset = seen // it is set little by little
		return wall, true, false
	case !c.suspended:
		c.suspend(seen)
		return wall, false, true
	case near(seen, c.offset) && !wall.Before(clockUnset), c.proved(seen, wall):
		c.suspended, c.offset = false, seen
		return wall, true, true
	}
	return wall, false, false
}

func (c *clock) suspend(moved time.Duration) { c.suspended, c.moved, c.since = true, moved, time.Now() }

// proved says whether the clock has stayed where it jumped.
func (c *clock) proved(seen time.Duration, wall time.Time) bool {
	if !near(seen, c.moved) {
		c.suspend(seen)
	}
	return time.Since(c.since) >= clockProof && !wall.Before(clockUnset)
}

func near(a, b time.Duration) bool { return (a - b).Abs() <= clockJump }

// evictAged gives up sealed segments of which every row is stored longer than
// MaxAge, unless the clock has just jumped.
func (p *Pool) evictAged() {
	if p.cfg.MaxAge == 0 {
		return
	}
	wall, trusted, changed := p.clock.look()
	if changed {
		p.sayClock(wall, trusted)
	}
	if !trusted {
		return
	}
	for _, m := range p.openMembers() {
		for p.evictIfAged(m, wall) {
		}
	}
}

func (p *Pool) sayClock(wall time.Time, trusted bool) {
	level, text := slog.LevelInfo, "the clock is believed again: sf_max_age drops rows again"
	if !trusted {
		level, text = slog.LevelWarn, "the clock has jumped, or is not set: sf_max_age drops nothing until it has stayed for an hour"
	}
	p.cfg.Logger.Log(context.Background(), level, text, "clock", wall.UTC().Format(time.RFC3339))
}

// evictIfAged gives up the oldest segment of a slot if it is old enough.
func (p *Pool) evictIfAged(m *member, wall time.Time) (evicted bool) {
	var age time.Duration
	var last slot.FSN
	ok := false
	_ = safely("look at the age of slot "+m.name, func() error { age, last, ok = m.d.age(wall); return nil })
	if !ok || age <= p.cfg.MaxAge {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.HousekeeperInterval)
	defer cancel()
	e, err := p.evict(ctx, m, last)
	p.losses.note(lostAged, "sf_max_age", e)
	if err != nil {
		p.cfg.Logger.Warn("rows older than sf_max_age could not be dropped; tried again", "slot", m.name, "error", err)
	}
	return err == nil && e.Segments > 0
}
