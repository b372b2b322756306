// SPDX-License-Identifier: MIT

package sfpool

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"time"
)

func (p *Pool) startHousekeeper(context.Context) error {
	p.background(p.keepHouse)
	return nil
}

// keepHouse looks after what does not work at once, each HousekeeperInterval,
// and sleeps as long as there is nothing of the kind: an idle pool stays idle.
func (p *Pool) keepHouse() {
	p.tidy()
	var tick <-chan time.Time
	for {
		if tick == nil && p.restless() {
			tick = time.After(p.cfg.HousekeeperInterval)
		}
		select {
		case <-p.closing:
			_ = safely("removal of the notice", func() error { p.retractNotice(); return nil })
			return
		case <-p.wake:
		case <-p.feeder.bell:
			p.startFeeding()
		case <-tick:
			tick = nil
			p.tidy()
		case <-p.retention.First():
		case <-p.retainedDue():
			p.tidy()
		}
	}
}

// tidy does every chore, whatever becomes of the others, until the pool is closed: one
// that hangs may come back when the directory is another pool's.
func (p *Pool) tidy() {
	for _, chore := range []struct {
		doing string
		run   func()
	}{
		{"look at leaked slots", p.reprobe},
		{"reaping", p.reap},
		{"refill", p.refill},
		{"recycling of connections", p.recycle},
		{"start of the recovery", p.startRecovery},
		{"look for orphans", p.tendOrphans},
		{"start of the feeding of dead letters", p.startFeeding},
		{"eviction by age", p.evictAged},
		{"look at acked segments that are kept", p.tendRetained},
		{"audit of the ledgers", p.auditSlots},
		{"look at quarantined files", p.capQuarantine},
		{"account of dropped rows", func() { p.losses.tellDue(false) }},
		{"look at the free space", p.lookAtSpace},
		{"notice for those who look", p.postNotice},
	} {
		if isClosed(p.closing) {
			return
		}
		if err := safely(chore.doing, func() error { chore.run(); return nil }); err != nil {
			p.cfg.Logger.Error("housekeeping failed; it goes on", "error", err)
		}
	}
}

// lookAtSpace asks the disk what is free, for Stats: while rows wait others may fill it.
// What it cannot say is told when there is no room.
func (p *Pool) lookAtSpace() {
	if p.anyLive(func(v slotView) bool { return v.PendingFrames > 0 }) {
		_, _, _ = p.Space()
	}
}

// restless says whether there is anything to look after at the next tick.
func (p *Pool) restless() bool {
	lifetimes := p.cfg.MaxLifetime > 0 || p.cfg.MaxAge > 0 || p.letters != nil && p.feeder.isNew()
	busy := !p.posted.at.IsZero() || p.anyLive(func(v slotView) bool { return v.PendingFrames > 0 || v.conn.Connected && lifetimes })
	p.mu.Lock()
	defer p.unlock()
	held := p.count(live) + p.count(building)
	p.ticking = busy || p.orphans.draining > 0 || p.count(leaked)+len(p.clinging) > 0 || held < p.cfg.MinSenders ||
		p.cfg.IdleTimeout > 0 && len(p.idle) > 0 && p.count(live) > p.cfg.MinSenders ||
		p.backlog && !p.recovery.running || p.orphansDue() || p.setAsideDue || p.losses.untold()
	return p.ticking
}

// anyLive says whether something is so of a slot that is open.
func (p *Pool) anyLive(is func(slotView) bool) bool {
	return slices.ContainsFunc(p.membersIn(live), func(m *member) bool {
		v, err := m.look()
		return err == nil && is(v)
	})
}

// reap closes senders above MinSenders that nobody has used for IdleTimeout, the
// highest index first. One with pending frames goes on sending.
func (p *Pool) reap() {
	if p.cfg.IdleTimeout < 0 {
		return
	}
	for _, m := range p.reapable() {
		since := p.idleSince(m)
		if v, err := m.look(); err != nil || v.PendingFrames > 0 || since.IsZero() || time.Since(since) < p.cfg.IdleTimeout {
			continue
		}
		p.reapOne(m, since)
	}
}

func (p *Pool) reapable() []*member {
	p.mu.Lock()
	defer p.unlock()
	list := slices.Clone(p.idle)
	slices.SortFunc(list, func(a, b *member) int { return cmp.Compare(b.index, a.index) })
	return list
}

// idleSince returns since when a sender is idle; zero when it is not.
func (p *Pool) idleSince(m *member) time.Time {
	p.mu.Lock()
	defer p.unlock()
	if !slices.Contains(p.idle, m) {
		return time.Time{}
	}
	return m.idleSince
}

// reapOne closes a sender that is still idle since then: between the look at it
// and now somebody may have used it.
func (p *Pool) reapOne(m *member, since time.Time) {
	p.mu.Lock()
	defer p.unlock()
	at := slices.Index(p.idle, m)
	if at < 0 || m.idleSince != since || p.count(live) <= p.cfg.MinSenders {
		return
	}
	p.idle = slices.Delete(p.idle, at, at+1)
	p.retire(m)
}

// refill opens senders up to MinSenders.
func (p *Pool) refill() {
	for p.short() {
		err := p.addIdle()
		p.noteRefill(err)
		if err != nil {
			return
		}
	}
}

func (p *Pool) short() bool {
	p.mu.Lock()
	defer p.unlock()
	return !p.closed && p.pick() >= 0 && p.count(live)+p.count(building) < p.cfg.MinSenders
}

// noteRefill logs a failure when it is new.
func (p *Pool) noteRefill(err error) {
	p.mu.Lock()
	defer p.unlock()
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != "" && said != p.refillErr {
		p.say(slog.LevelWarn, "cannot keep sender_pool_min senders open; trying again", "error", err)
	}
	p.refillErr = said
}

// recycle ends connections that have been in use for MaxLifetime. The senders
// and their slots stay.
func (p *Pool) recycle() {
	if p.cfg.MaxLifetime < 0 {
		return
	}
	for _, m := range p.membersIn(live) {
		v, err := m.look()
		if err != nil {
			continue
		}
		if p.outlived(m, v) {
			_ = safely("recycling of slot "+m.name, func() error { m.d.recycle(); return nil })
		}
	}
}

// outlived notes since when a connection is in use.
func (p *Pool) outlived(m *member, v slotView) bool {
	p.mu.Lock()
	defer p.unlock()
	if !v.conn.Connected || m.connects != v.conn.Connects {
		m.connects, m.connectedAt = v.conn.Connects, time.Now()
		return false
	}
	return time.Since(m.connectedAt) >= p.cfg.MaxLifetime
}
