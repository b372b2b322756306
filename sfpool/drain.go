// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// drainOrphan adopts an orphan and empties it.
func (p *Pool) drainOrphan(name string) {
	var end outcome
	err := safely("drain of orphan "+name, func() error {
		var err error
		end, err = p.adoptAndDrain(name)
		return err
	})
	p.noteDrain(name, end, err)
	for p.startDrainer() { // the next one need not wait for the housekeeper
	}
}

func (p *Pool) noteDrain(name string, end outcome, err error) {
	var target *TargetError
	var broken *failedError
	var owner *ownedError
	p.mu.Lock()
	defer p.unlock()
	p.orphans.draining--
	k := p.orphans.known[name]
	defer func() { k.relook = false }()
	switch {
	case errors.Is(err, errGone):
		delete(p.orphans.known, name)
	case err == nil && end == drainedAll:
		delete(p.orphans.known, name)
		p.say(slog.LevelInfo, "an orphan is drained", "rows", k.rows, "slot", name)
	case k.relook && (errors.As(err, &target) || errors.As(err, &owner)):
		p.letWait(k, err)
	case errors.As(err, &broken):
		k.settle(failed, err)
		p.sayOnce(k, "an orphan is damaged and left alone; .failed in it says how", name, err)
	case errors.As(err, &target):
		k.settle(held, err)
		p.sayOnce(k, "an orphan belongs to another destination and is left alone", name, err)
	case errors.As(err, &owner):
		k.settle(owned, err)
	default:
		p.letWait(k, err)
		p.sayOnce(k, "an orphan could not be drained; trying again", name, err)
	}
	if errors.Is(err, errStillStopping) && p.closed {
		p.closeErrs = append(p.closeErrs, err)
	}
	p.nudge()
	p.signal()
}

// failedError is what .failed in an orphan says.
type failedError struct{ reason string }

func (e *failedError) Error() string { return e.reason }

// adoptAndDrain opens an orphan, unless a living pool will see to it, and empties
// it. Damage in it is written down there.
func (p *Pool) adoptAndDrain(name string) (outcome, error) {
	if err := p.livingOwner(name); err != nil {
		return stuck, err
	}
	if held, err := isHeld(p.cfg.FS, filepath.Join(p.path(name), ".lock")); held {
		return stuck, &LockedError{Dir: p.path(name)} // before anything is written
	} else if err != nil {
		return stuck, err
	}
	d, err := p.adopt(name)
	if err != nil {
		return stuck, err
	}
	return p.drainAdopted(name, d)
}

// fail writes into an orphan why nobody shall try again.
func (p *Pool) fail(name string, why error) error {
	if err := slot.MarkFailed(p.cfg.FS, p.path(name), why.Error()); err != nil {
		return errors.Join(why, err)
	}
	return &failedError{reason: why.Error()}
}

// livingOwner fails with an ownedError if a pool is open whose slot this is.
func (p *Pool) livingOwner(name string) error {
	base, index, ok := slot.SplitName(name)
	if !ok || base == p.cfg.SenderID || imported(name, p.cfg.SenderID) {
		return nil
	}
	if owner, is := offspring(base); is {
		base, index = owner, 0 // its owner drains it
	}
	p.probing.Lock() // two looks would take each other for that pool
	defer p.probing.Unlock()
	for try := 0; ; try++ {
		slots, err := livingPool(p.cfg.FS, p.cfg.Dir, base)
		if err != nil || index >= slots {
			return err
		}
		if try == 1 {
			return &ownedError{base: base}
		}
		time.Sleep(lockPause) // it may have been the look of another pool
	}
}

// ownedError says that a pool that is open sees to a slot.
type ownedError struct{ base string }

func (e *ownedError) Error() string {
	return "the pool of sender_id " + e.base + " is open and sees to it"
}

// adopt opens an orphan under the lock of its name, so that nobody renames it
// meanwhile, or has just found it damaged.
func (p *Pool) adopt(name string) (delegate, error) {
	unlock, err := slot.LockName(p.cfg.FS, p.cfg.Dir, name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = unlock() }()
	if err := p.stillOrphan(name); err != nil {
		return nil, err
	}
	d, err := p.parts.adopt(p, name)
	if errors.As(err, new(*DamageError)) {
		err = p.fail(name, err)
	}
	return d, err
}

// errGone says that there is nothing left to drain.
var errGone = errors.New("the orphan is gone")

func (p *Pool) stillOrphan(name string) error {
	has, err := holdsSegments(p.cfg.FS, p.path(name))
	if err != nil {
		return err
	}
	if !has {
		return errGone
	}
	if err := p.notFailed(name); err != nil {
		return err
	}
	target, err := p.targetOf(name, false)
	if err != nil {
		return err
	}
	return p.mayDrain(name, target) // before a byte of it changes
}

// notFailed returns what .failed says as an error.
func (p *Pool) notFailed(name string) error {
	reason, isFailed, err := slot.Failed(p.cfg.FS, p.path(name))
	if isFailed {
		return &failedError{reason: reason}
	}
	return err
}

// drainAdopted empties an orphan, lets go of it when it makes no progress, and
// closes it.
func (p *Pool) drainAdopted(name string, d delegate) (end outcome, err error) {
	defer func() {
		if closeErr := p.letGo(name, d); closeErr != nil {
			end, err = stuck, errors.Join(err, closeErr)
		}
	}()
	last, since := int64(-1), time.Now()
	for {
		progress := d.progress()
		v := d.view()
		p.noteProgress(name, v)
		p.fitOrphan(name, d)
		if v.PendingFrames != last {
			last, since = v.PendingFrames, time.Now()
		}
		switch {
		case v.PendingFrames == 0:
			return drainedAll, nil
		case sender.Damage(v.conn.LastError):
			return stuck, p.fail(name, v.conn.LastError)
		case !v.conn.Connected && !v.conn.Waiting && time.Since(since) >= orphanPatience:
			return stuck, errors.Join(fmt.Errorf("no progress for %s", orphanPatience), v.conn.LastError)
		}
		if !p.pause(progress, min(p.cfg.HousekeeperInterval, orphanPatience)) {
			return ended, nil
		}
	}
}

// cling is an orphan that was closed and whose lock is still held.
type cling struct {
	name string
	d    delegate
}

// letGo closes an orphan. One whose lock is not released is asked again.
func (p *Pool) letGo(name string, d delegate) error {
	err := safely("close of orphan "+name, d.close)
	if isReleased(name, d) {
		return err
	}
	p.mu.Lock()
	defer p.unlock()
	p.clinging = append(p.clinging, &cling{name: name, d: d})
	p.say(slog.LevelWarn, "an orphan is closed and its lock still held; it is tried again and again", "slot", name, "error", err)
	p.nudge()
	return err
}

// reprobeOrphans looks whether locks of closed orphans have dropped since.
func (p *Pool) reprobeOrphans() {
	p.mu.Lock()
	list := slices.Clone(p.clinging)
	p.unlock()
	for _, c := range list {
		if isReleased(c.name, c.d) {
			p.forget(c)
		}
	}
}

func (p *Pool) forget(c *cling) {
	p.mu.Lock()
	defer p.unlock()
	p.clinging = slices.DeleteFunc(p.clinging, func(o *cling) bool { return o == c })
}

// pause waits for progress, but not long; false when the pool closes.
func (p *Pool) pause(progress <-chan struct{}, long time.Duration) bool {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-progress:
	case <-timer.C:
	case <-p.closing:
		return false
	}
	return true
}

// orphanPatience is how long a drainer keeps an orphan that makes no progress.
// Its owner may want it back.
const orphanPatience = 30 * time.Second

// noteProgress has others see how far an orphan is.
func (p *Pool) noteProgress(name string, v slotView) {
	p.mu.Lock()
	defer p.unlock()
	k := p.orphans.known[name]
	p.orphans.sent += v.sent - k.sent
	p.orphans.refused += v.refused - k.refused
	k.sent, k.refused = v.sent, v.refused
	k.rows = max(k.rows, v.Pending)
	k.pending, k.conn = v.Pending, v.conn
}

// adoptSlot is the real way to open an orphan, of ours or of another client.
func adoptSlot(p *Pool, name string) (delegate, error) {
	o := p.slotOptions(name)
	if damaged, wasWant, err := slot.TargetDamaged(p.cfg.FS, p.path(name), p.target()); err != nil {
		return nil, err
	} else if damaged && wasWant {
		o.Target = p.target()
	}
	s, err := openAny(o)
	if err != nil {
		return nil, err
	}
	return p.takeOn(s, func() error {
		if err := p.notFailed(name); err != nil { // by who had its lock until now
			return err
		}
		p.sayUnfinished(s, name)
		p.heedSetAside(s)
		return p.checkTarget(s, name)
	})
}

func openAny(o slot.Options) (adopted, error) {
	s, err := slot.Open(o)
	var foreign *slot.ForeignError
	if errors.As(err, &foreign) {
		return slot.OpenForeign(o)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// adopted is an orphan, of ours or of another client.
type adopted interface {
	store
	Target() string
	SetTarget(target string) error
}

// mayDrain refuses an orphan whose rows belong elsewhere. One that was ours by
// name, before the pool shrank or it was renamed, follows the URLs as slots of
// ours do.
func (p *Pool) mayDrain(name, target string) error {
	was := imported(name, p.cfg.SenderID) || managed(name, p.cfg.SenderID, math.MaxInt)
	if p.belongs(target, was) {
		return nil
	}
	return &TargetError{Dir: p.path(name), Has: target, Want: p.target()}
}

// checkTarget is mayDrain under the lock of the slot. One of an official client,
// which writes no .target, becomes ours.
func (p *Pool) checkTarget(s adopted, name string) error {
	has, want := s.Target(), p.target()
	if err := p.mayDrain(name, has); err != nil || canonical(has) == want {
		return err
	}
	text := "an orphan without .target is drained to the destination of this pool"
	if has != "" {
		text = "the destination of a slot that was ours has changed; its rows go to the new one"
	}
	p.cfg.Logger.Info(text, "slot", name, "target", inline(has), "destination", inline(want))
	return s.SetTarget(want)
}

// sayUnfinished tells of rows that another client never finished: it would not
// have sent them either.
func (p *Pool) sayUnfinished(s adopted, name string) {
	f, ok := s.(*slot.Foreign)
	if !ok || f.Unfinished().Frames == 0 {
		return
	}
	p.cfg.Logger.Warn("an orphan ends in a transaction that was never committed; its rows are not sent",
		"slot", name, "frames", f.Unfinished().Frames, "rows", f.Unfinished().Rows)
}
