// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// recovery empties slots of ours that an earlier pool left with frames in them
// and that nobody has borrowed since: one at a time, so that a start costs no
// more connections than the work.
type recovery struct {
	running bool
	first   int           // where the next pass begins; the recovery's own
	notYet  time.Time     // no pass before
	pause   time.Duration // after a pass that could not do everything
	said    string        // the failure that was logged last
}

// maxPause bounds the time between two passes or two tries at an orphan, in
// HousekeeperIntervals.
const maxPause = 12

// longer returns the pause after one that brought nothing.
func (p *Pool) longer(pause time.Duration) time.Duration {
	interval := p.cfg.HousekeeperInterval
	return min(max(interval, 2*pause), maxPause*interval)
}

func (p *Pool) startRecovery() {
	p.mu.Lock()
	defer p.unlock()
	if !p.backlog || p.recovery.running || p.closed || time.Now().Before(p.recovery.notYet) {
		return
	}
	p.backlog, p.recovery.running = false, true
	p.start(p.recoverSlots)
}

// endRecovery lets what runs be the last pass, which opens nothing from now on.
func (p *Pool) endRecovery() {
	p.mu.Lock()
	close(p.lastCall)
	p.unlock()
	p.recoverLast()
}

// recoverLast starts a last pass if there is anything left to recover. A pool that
// could not be opened has none: its slots may be another's.
func (p *Pool) recoverLast() {
	p.mu.Lock()
	defer p.unlock()
	if p.announced && p.backlog && !p.recovery.running {
		p.backlog, p.recovery.running = false, true
		p.start(p.recoverSlots)
	}
}

func (p *Pool) recoverSlots() {
	whole := false
	err := safely("recovery of slots", func() error {
		var err error
		whole, err = p.recoverPass()
		return err
	})
	p.mu.Lock()
	defer p.unlock()
	r := &p.recovery
	r.running = false
	if whole && err == nil {
		r.pause, r.said = 0, ""
	} else {
		p.backlog = true
		r.pause = p.longer(r.pause)
		r.notYet = time.Now().Add(r.pause)
	}
	if err != nil && r.said != err.Error() {
		r.said = err.Error()
		p.say(slog.LevelWarn, "a slot with rows of an earlier run cannot be opened; trying again", "error", err)
	}
	p.nudge()
	p.signal()
}

// recoverPass goes over the indices once. whole is false when slots were passed
// over; an error ends the pass, and the next one begins behind that slot, or the
// others would never have their turn.
func (p *Pool) recoverPass() (whole bool, _ error) {
	whole = true
	for n := range p.places {
		index := (p.recovery.first + n) % len(p.places)
		done, err := p.recoverIndex(index)
		if err != nil {
			p.recovery.first = index + 1
			return false, err
		}
		whole = whole && done
	}
	return whole, nil
}

// recoverIndex empties the slot of one index, unless it is in use. An index is
// reserved only when there is something in it: borrowers want the lowest.
func (p *Pool) recoverIndex(index int) (done bool, _ error) {
	has, err := holdsSegments(p.cfg.FS, p.path(p.slotName(index)))
	if errors.Is(err, vfs.ErrUntrusted) {
		has, err = true, nil // opening it tells
	}
	if err != nil {
		return false, err
	}
	if !has {
		p.readLedger(index)
		p.wellAgain(index)
		return true, nil
	}
	if !p.claim(index) {
		return true, nil
	}
	m, err := p.openMember(index)
	if err != nil {
		if p.unclaim(index, err) {
			return isLasting(err), nil
		}
		return false, err
	}
	p.attach(m)
	return p.empty(m), nil
}

// wellAgain lets borrowers try a slot that ailed: whoever held it has drained it.
func (p *Pool) wellAgain(index int) {
	p.mu.Lock()
	defer p.unlock()
	if p.places[index].ailing != nil {
		p.places[index].ailing = nil
		p.hire()
	}
}

// claim reserves an index for the recovery, unless Close has no time left for it.
func (p *Pool) claim(index int) bool {
	p.mu.Lock()
	defer p.unlock()
	if p.places[index].state != free {
		return false
	}
	if isClosed(p.lastCall) {
		if p.places[index].last.Published < 0 {
			p.unopened = append(p.unopened, p.slotName(index))
		}
		return false
	}
	p.move(index, building)
	return true
}

// attach lets others see the sender that empties a slot.
func (p *Pool) attach(m *member) {
	p.mu.Lock()
	defer p.unlock()
	pl := &p.places[m.index]
	pl.member, pl.ailing, pl.said = m, nil, false
	p.signal()
}

// unclaim frees it again. passing says that the trouble is that slot's alone.
func (p *Pool) unclaim(index int, err error) (passing bool) {
	p.mu.Lock()
	defer p.unlock()
	p.move(index, free)
	passing = p.ails(index, err)
	p.hire()
	return passing
}

// holdsSegments says whether a directory has files with frames in them, or might.
func holdsSegments(fsys vfs.FS, dir string) (bool, error) {
	has, err := slot.HoldsSegments(fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return has, err
}

// empty waits until the slot is drained, then closes it. A sender that a
// borrower needs goes to him instead: it drains in his hands. One that cannot
// move on makes room for the next after a while.
func (p *Pool) empty(m *member) (done bool) {
	end := p.watch(m)
	for end == starved {
		if p.promote(m) {
			return true
		}
		end = p.watch(m)
	}
	p.finish(m)
	return end == drainedAll
}

// outcome is how the watch over a slot that is being emptied ended.
type outcome uint8

const (
	drainedAll outcome = iota + 1
	starved            // a borrower needs the index
	stuck              // no progress, and it is not the connection
	ended              // the pool closes, and waits no longer
)

// patience is how long a slot may make no progress before the next one has its
// turn. An absent server stops all of them, so that is no reason to change.
const patience = 5 * time.Second

func (p *Pool) watch(m *member) (end outcome) {
	end = stuck // if it panics
	_ = safely("recovery of slot "+m.name, func() error {
		end = p.watchOver(m.d)
		return nil
	})
	return end
}

func (p *Pool) watchOver(d delegate) outcome {
	for {
		progress := d.progress()
		v := d.view()
		if v.PendingFrames == 0 {
			return drainedAll
		}
		select {
		case <-progress:
		case <-p.starve:
			return starved
		case <-p.lastCall:
			return ended
		case <-time.After(patience):
			if sender.Stuck(d.view().conn.LastError) {
				return stuck
			}
		}
	}
}

// promote gives a sender that is being emptied to a waiter, if there still is one.
func (p *Pool) promote(m *member) bool {
	p.mu.Lock()
	defer p.unlock()
	if len(p.waiters) <= p.hired || p.closed {
		return false
	}
	p.enlist(m)
	return true
}

func (p *Pool) retireBuilt(m *member) {
	p.mu.Lock()
	defer p.unlock()
	p.retire(m)
}

// finish closes a sender that was opened to empty its slot, and waits for it.
func (p *Pool) finish(m *member) {
	p.retireBuilt(m)
	p.until(context.Background(), func() bool {
		pl := &p.places[m.index]
		return pl.state != closing || pl.member != m
	})
}
