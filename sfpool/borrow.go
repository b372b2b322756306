// SPDX-License-Identifier: MIT

package sfpool

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// waiter is a Borrow that found no idle sender.
type waiter struct {
	grant chan grant // has room for the one grant it gets
	brief bool       // waits only for a slot to open, not for other borrowers
}

// grant is what a waiter waits for.
type grant struct {
	sender *Sender
	err    error
}

// Borrow returns an idle sender, the one with the least pending; else it opens
// the lowest free slot, or waits for one of the others, until ctx or
// AcquireTimeout ends. An idle sender is taken even when ctx has ended. The
// errors are ErrClosed, *AcquireError, and what opening a slot may return, a
// *LockedError among them.
func (p *Pool) Borrow(ctx context.Context) (*Sender, error) {
	s, w, err := p.request()
	if w == nil {
		return s, err
	}
	p.reprobe() // a starved borrow does not wait for the housekeeper
	return p.await(ctx, w)
}

// await waits for the grant.
func (p *Pool) await(ctx context.Context, w *waiter) (*Sender, error) {
	began := time.Now()
	var err error
	timeout := time.NewTimer(p.cfg.AcquireTimeout)
	defer timeout.Stop()
	select {
	case g := <-w.grant:
		return g.sender, g.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timeout.C:
		err = context.DeadlineExceeded
	}
	return p.giveUp(w, time.Since(began), err)
}

// request takes an idle sender, or queues.
func (p *Pool) request() (*Sender, *waiter, error) {
	p.mu.Lock()
	defer p.unlock()
	if p.closed {
		return nil, nil, ErrClosed
	}
	if m := p.takeIdle(); m != nil {
		return p.lend(m), nil, nil
	}
	w := &waiter{grant: make(chan grant, 1)}
	p.waiters = append(p.waiters, w)
	p.hire()
	return nil, w, nil
}

// giveUp ends a wait. A sender that was granted meanwhile is taken: nothing may
// get lost on the way.
func (p *Pool) giveUp(w *waiter, waited time.Duration, cause error) (*Sender, error) {
	p.mu.Lock()
	defer p.unlock()
	at := slices.Index(p.waiters, w)
	if at < 0 {
		g := <-w.grant
		return g.sender, g.err
	}
	p.waiters = slices.Delete(p.waiters, at, at+1)
	e := &AcquireError{
		Waited: waited, Max: len(p.places), Cause: cause,
		Live: p.count(live), Building: p.count(building), Closing: p.count(closing), Leaked: p.count(leaked),
	}
	for i := range p.places {
		if err := p.places[i].ailing; err != nil {
			e.Ailing++
			e.Ails = cmp.Or(e.Ails, err)
		}
	}
	return nil, e
}

// takeIdle removes the idle sender with the least pending, of equals the lowest.
// WARNING: the caller must hold mu.
func (p *Pool) takeIdle() *member {
	at := p.leastIdle()
	if at < 0 {
		return nil
	}
	m := p.idle[at]
	p.idle = slices.Delete(p.idle, at, at+1)
	return m
}

// leastIdle returns where it stands in idle; -1 when there is none. WARNING: the
// caller must hold mu.
func (p *Pool) leastIdle() int {
	best := -1
	for i, m := range p.idle {
		if best < 0 || cmp.Or(cmp.Compare(m.pendingBytes(), p.idle[best].pendingBytes()), cmp.Compare(m.index, p.idle[best].index)) < 0 {
			best = i
		}
	}
	return best
}

// lend makes the handle of a borrower. WARNING: the caller must hold mu.
func (p *Pool) lend(m *member) *Sender {
	m.lent = &Sender{pool: p, member: m}
	return m.lent
}

// give hands a sender to whoever waits longest, or lays it by. WARNING: the
// caller must hold mu.
func (p *Pool) give(m *member) {
	m.lent = nil
	if len(p.waiters) == 0 {
		m.idleSince = time.Now()
		p.idle = append(p.idle, m)
		p.signal()
		p.nudge()
		return
	}
	p.popWaiter().grant <- grant{sender: p.lend(m)}
}

func (p *Pool) popWaiter() *waiter {
	w := p.waiters[0]
	p.waiters = slices.Delete(p.waiters, 0, 1)
	return w
}

// hire starts a build for each waiter that none is under way for, and asks for
// help where no index is free. WARNING: the caller must hold mu.
func (p *Pool) hire() {
	for p.hired < len(p.waiters) && !p.closed {
		index := p.pick()
		if index < 0 && p.count(free) == len(p.places) {
			p.forgive() // nothing else will come: tell how they fail now
			index = p.pick()
		}
		if index < 0 {
			p.dismiss()
			if p.hired < len(p.waiters) {
				p.wanted()
			}
			return
		}
		p.move(index, building)
		p.hired++
		p.start(func() { p.build(index) })
	}
}

// build opens a slot for the waiters. It runs beside them, so that a Borrow that
// gives up returns at once and the sender is not lost.
func (p *Pool) build(index int) {
	m, err := p.openMember(index)
	p.mu.Lock()
	defer p.unlock()
	p.hired--
	if err == nil {
		p.enlist(m)
		return
	}
	p.move(index, free)
	if p.ails(index, err) {
		if p.pick() >= 0 || p.count(live)+p.count(building)+p.count(closing) > 0 {
			p.hire() // the trouble is that slot's alone: another one will do
			return
		}
	}
	p.forgive()
	if len(p.waiters) > 0 {
		p.popWaiter().grant <- grant{err: err}
	}
	p.hire()
}

// ails notes an error that lies in one slot. WARNING: the caller must hold mu.
func (p *Pool) ails(index int, err error) bool {
	if !p.isOneSlots(index, err) {
		return false
	}
	pl := &p.places[index]
	pl.ailing = err
	p.backlog = p.backlog || !isLasting(err)
	p.nudge()
	if !pl.said {
		pl.said = true
		p.sayOpened(slog.LevelWarn, "a slot cannot be used now; the pool goes on with the others", "slot", p.slotName(index), "error", err)
	}
	return true
}

// isOneSlots says whether an error lies in one slot: it is held by somebody else,
// damaged, has rows for another destination, or its files belong to somebody else.
func (p *Pool) isOneSlots(index int, err error) bool {
	var path *fs.PathError
	var untrusted *vfs.UntrustedError
	inside := p.path(p.slotName(index)) + string(filepath.Separator)
	return isLasting(err) || errors.As(err, new(*LockedError)) || errors.Is(err, syscall.ENOTDIR) ||
		errors.As(err, &untrusted) && strings.HasPrefix(untrusted.Path+string(filepath.Separator), inside) ||
		errors.Is(err, fs.ErrPermission) && errors.As(err, &path) && strings.HasPrefix(path.Path, inside)
}

// isLasting says whether what ails a slot does not change by itself.
func isLasting(err error) bool {
	return errors.As(err, new(*DamageError)) || errors.As(err, new(*TargetError))
}

// enlist makes a built sender live. WARNING: the caller must hold mu.
func (p *Pool) enlist(m *member) {
	p.move(m.index, live)
	pl := &p.places[m.index]
	pl.succeed()
	pl.member, pl.ailing, pl.said = m, nil, false
	p.nudge() // it may have rows that get old
	if p.closed {
		p.retire(m)
		return
	}
	p.give(m)
}

// retire closes a live sender, which nobody else can reach any more. WARNING:
// the caller must hold mu.
func (p *Pool) retire(m *member) {
	p.move(m.index, closing)
	p.start(func() { p.closeMember(m) })
}

// ending is what came of closing a sender.
type ending struct {
	err      error
	released bool // its lock, for certain
	last     slotView
	lookErr  error // why last says nothing
}

// end closes the sender. It takes as long as the delegate takes.
func (m *member) end() (e ending) {
	e.err = safely("close of slot "+m.name, m.d.close)
	e.released = isReleased(m.name, m.d)
	e.last, e.lookErr = m.look()
	return e
}

// closeMember closes a sender whose index is closing, and frees the index if the lock
// is proven released.
func (p *Pool) closeMember(m *member) {
	e := m.end()
	p.auditSlot(m)
	p.mu.Lock()
	defer p.unlock()
	p.noteEnding(m, e)
	m.lent = nil
	if e.lookErr != nil || e.last.PendingFrames > 0 {
		p.backlog = true // somebody has to see to it
	}
	if e.err != nil {
		p.noteCloseError(m, e.err)
	}
	p.nudge() // MinSenders may want another, or the lock another look
	if e.released {
		p.move(m.index, free)
		p.hire()
		return
	}
	p.move(m.index, leaked)
	p.say(slog.LevelWarn, "a slot is retired: its sender is closed and its lock still held; it is tried again and again",
		"slot", m.name, "slot_index", m.index, "usable_slots", len(p.places)-p.count(leaked), "error", e.err)
}

// noteEnding keeps what was seen last of a sender that is closed. WARNING: the caller
// must hold mu.
func (p *Pool) noteEnding(m *member, e ending) {
	m.broken = true
	if e.lookErr == nil {
		p.places[m.index].last = e.last
	}
}

// noteCloseError keeps an error for the one who closes the pool, or logs it.
// WARNING: the caller must hold mu.
func (p *Pool) noteCloseError(m *member, err error) {
	if p.closed {
		p.closeErrs = append(p.closeErrs, err)
		return
	}
	p.say(slog.LevelWarn, "a sender was not closed in order; its rows stay in the store", "slot", m.name, "error", err)
}

// reprobe looks whether locks that were not released have dropped since.
func (p *Pool) reprobe() {
	for _, m := range p.membersIn(leaked) {
		if isReleased(m.name, m.d) {
			p.unleak(m)
		}
	}
	p.reprobeOrphans()
}

// isReleased says whether the lock of a closed slot is known to be released. One
// that cannot be looked at counts as held.
func isReleased(name string, d delegate) (yes bool) {
	_ = safely("look at the lock of slot "+name, func() error { yes = d.released(); return nil })
	return yes
}

func (p *Pool) unleak(m *member) {
	last, lookErr := m.look()
	p.mu.Lock()
	defer p.unlock()
	pl := &p.places[m.index]
	if pl.state != leaked || pl.member != m {
		return // somebody else saw it first
	}
	if lookErr == nil {
		pl.last = last
	}
	p.move(m.index, free)
	p.backlog = true
	p.say(slog.LevelInfo, "the lock of a retired slot has dropped; it is used again",
		"slot", m.name, "slot_index", m.index, "usable_slots", len(p.places)-p.count(leaked))
	p.hire()
	p.nudge()
}

// membersIn returns the senders whose index is in a state.
func (p *Pool) membersIn(s state) []*member {
	p.mu.Lock()
	defer p.unlock()
	var list []*member
	for i := range p.places {
		if p.places[i].state == s {
			list = append(list, p.places[i].member)
		}
	}
	return list
}
