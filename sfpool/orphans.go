// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// managed says whether a name is that of a slot of a pool: exactly
// <base>-<index>, the index in [0, count) and written as numbers are.
func managed(name, base string, count int) bool {
	b, index, ok := splitName(name)
	return ok && b == base && index < count
}

// splitName takes <base>-<index> apart; false if the index is not canonical.
func splitName(name string) (base string, index int, ok bool) {
	at := strings.LastIndexByte(name, '-')
	if at < 0 {
		return "", 0, false
	}
	base, digits := name[:at], name[at+1:]
	index, err := strconv.Atoi(digits)
	return base, index, err == nil && index >= 0 && strconv.Itoa(index) == digits && digits != ""
}

// imported says whether a slot was renamed out of the way of ours: it was ours
// by name, so it is drained in any case.
func imported(name, base string) bool {
	b, _, ok := splitName(name)
	return ok && b == base+"-imported"
}

// orphanage is what a pool knows of slots without an owner. The mu of the pool
// guards it.
type orphanage struct {
	opened   time.Time
	look     bool // imports may be there
	written  bool // something was published since the last look
	looked   time.Time
	draining int
	known    map[string]*orphan
}

// orphan is one slot of nobody.
type orphan struct {
	state   orphanState
	reason  string
	next    time.Time // not tried before
	pause   time.Duration
	pending int64
	said    bool
}

type orphanState uint8

const (
	waiting  orphanState = iota + 1 // for its turn, or for another try
	draining                        // a drainer has it
	held                            // its rows belong elsewhere
	owned                           // a living pool sees to it
	failed                          // damaged; .failed says how
)

var orphanStates = [...]string{
	waiting: "waiting", draining: "draining", held: "other destination", owned: "owned by another pool", failed: "failed",
}

func (s orphanState) String() string { return orphanStates[s] }

// OrphanStats tells of one slot without an owner.
type OrphanStats struct {
	Name string
	// State is waiting, draining, other destination, owned by another pool, or
	// failed; Reason says more.
	State, Reason string
	Pending       int64 // rows; 0 before the slot was opened
}

func (o *orphanage) stats() []OrphanStats {
	var list []OrphanStats
	for _, name := range slices.Sorted(maps.Keys(o.known)) {
		k := o.known[name]
		list = append(list, OrphanStats{Name: name, State: k.state.String(), Reason: k.reason, Pending: k.pending})
	}
	return list
}

// rescan is how often a pool that is written to looks for new orphans.
const rescan = time.Minute

// orphansDue says whether the housekeeper has to come back for orphans. WARNING:
// the caller must hold mu.
func (p *Pool) orphansDue() bool {
	o := &p.orphans
	if p.cfg.inRAM() {
		return false
	}
	for _, k := range o.known {
		if k.state == waiting || k.state == owned {
			return true
		}
	}
	return o.look || p.cfg.DrainOrphans && o.written
}

// wrote notes that something was published: a pool that is idle does not look
// for orphans, and the first look waits for the first write.
func (p *Pool) wrote() {
	p.mu.Lock()
	defer p.unlock()
	if !p.orphans.written {
		p.orphans.written = true
		p.nudge()
	}
}

// tendOrphans looks for orphans when it is time to, and starts drainers.
func (p *Pool) tendOrphans() {
	if p.cfg.inRAM() {
		return
	}
	if all, ok := p.mayLook(); ok {
		p.lookForOrphans(all)
	}
	for p.startDrainer() {
	}
}

// mayLook says whether to look for orphans now, and whether for all or only for
// imports.
func (p *Pool) mayLook() (all, ok bool) {
	p.mu.Lock()
	defer p.unlock()
	o := &p.orphans
	now := time.Now()
	all = p.cfg.DrainOrphans && o.written && now.Sub(o.opened) >= p.cfg.LockTimeout &&
		(o.looked.IsZero() || now.Sub(o.looked) >= rescan)
	ok = all || o.look
	o.look = false
	if all {
		o.written, o.looked = false, now
	}
	return all, ok
}

// lookForOrphans notes the slots in sf_dir that might be orphans.
func (p *Pool) lookForOrphans(all bool) {
	entries, err := p.cfg.FS.ReadDir(p.cfg.Dir)
	if err != nil {
		p.cfg.Logger.Warn("cannot look for orphans", "sf_dir", p.cfg.Dir, "error", err)
		return
	}
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || strings.HasPrefix(name, ".") || managed(name, p.cfg.SenderID, p.cfg.MaxSenders) ||
			!all && !imported(name, p.cfg.SenderID) {
			continue
		}
		if has, err := holdsSegments(p.cfg.FS, p.path(name)); err == nil && has {
			p.noteOrphan(name)
		}
	}
}

func (p *Pool) noteOrphan(name string) {
	reason, isFailed, err := slot.Failed(p.cfg.FS, p.path(name))
	p.mu.Lock()
	defer p.unlock()
	k := p.orphans.known[name]
	if k == nil {
		k = &orphan{state: waiting}
		p.orphans.known[name] = k
	}
	switch {
	case k.state == draining:
	case err == nil && isFailed:
		k.state, k.reason = failed, reason
	case k.state != waiting:
		k.state = waiting // what kept it may have changed
	}
}

// startDrainer starts a drainer for the next orphan whose turn it is.
func (p *Pool) startDrainer() bool {
	p.mu.Lock()
	defer p.unlock()
	o := &p.orphans
	if p.closed || o.draining >= p.cfg.MaxBackgroundDrainers {
		return false
	}
	for _, name := range slices.Sorted(maps.Keys(o.known)) {
		k := o.known[name]
		if (k.state == waiting || k.state == owned) && !time.Now().Before(k.next) {
			k.state = draining
			o.draining++
			p.start(func() { p.drainOrphan(name) })
			return true
		}
	}
	return false
}

// drainOrphan adopts an orphan and empties it.
func (p *Pool) drainOrphan(name string) {
	var end outcome
	err := safely("drain of orphan "+name, func() error {
		var err error
		end, err = p.adoptAndDrain(name)
		return err
	})
	var locked *LockedError
	var target *TargetError
	var broken *failedError
	p.mu.Lock()
	defer p.unlock()
	p.orphans.draining--
	k := p.orphans.known[name]
	switch {
	case errors.Is(err, errGone):
		delete(p.orphans.known, name)
	case err == nil && end == drainedAll:
		delete(p.orphans.known, name)
		p.say(slog.LevelInfo, "an orphan is drained", "slot", name)
	case errors.As(err, &broken):
		k.settle(failed, err)
		p.sayOnce(k, "an orphan is damaged and left alone; .failed in it says how", name, err)
	case errors.As(err, &target):
		k.settle(held, err)
		p.sayOnce(k, "an orphan belongs to another destination and is left alone", name, err)
	case errors.As(err, &locked):
		k.again(owned, err, p.cfg.HousekeeperInterval)
	default:
		k.again(waiting, err, p.cfg.HousekeeperInterval)
		p.sayOnce(k, "an orphan could not be drained; trying again", name, err)
	}
	p.nudge()
	p.signal()
}

// failedError is what .failed in an orphan says.
type failedError struct{ reason string }

func (e *failedError) Error() string { return e.reason }

// sayOnce logs what keeps an orphan. WARNING: the caller must hold mu.
func (p *Pool) sayOnce(k *orphan, text, name string, err error) {
	if !k.said && err != nil {
		k.said = true
		p.say(slog.LevelWarn, text, "slot", name, "error", err)
	}
}

func (k *orphan) settle(s orphanState, err error) { k.state, k.reason = s, err.Error() }

// again lets an orphan wait, longer each time.
func (k *orphan) again(s orphanState, err error, interval time.Duration) {
	k.state, k.reason = s, ""
	if err != nil {
		k.reason = err.Error()
	}
	k.pause = min(max(interval, 2*k.pause), maxPause*interval)
	k.next = time.Now().Add(k.pause)
}

// adoptAndDrain opens an orphan, unless a living pool will see to it, and empties
// it. Damage in it is written down there.
func (p *Pool) adoptAndDrain(name string) (outcome, error) {
	if err := p.livingOwner(name); err != nil {
		return stuck, err
	}
	d, err := p.adopt(name)
	if err == nil {
		return p.drainAdopted(name, d)
	}
	var damage *DamageError
	if errors.As(err, &damage) {
		err = p.fail(name, err)
	}
	return stuck, err
}

// fail writes into an orphan why nobody shall try again.
func (p *Pool) fail(name string, why error) error {
	if err := slot.MarkFailed(p.cfg.FS, p.path(name), why.Error()); err != nil {
		return errors.Join(why, err)
	}
	return &failedError{reason: why.Error()}
}

// livingOwner fails with a LockedError if a pool whose slot this could be is
// open. One look at a time: two would take each other for that pool.
func (p *Pool) livingOwner(name string) error {
	base, _, ok := splitName(name)
	if !ok || base == p.cfg.SenderID {
		return nil
	}
	p.probing.Lock()
	defer p.probing.Unlock()
	unlock, err := slot.LockName(p.cfg.FS, p.cfg.Dir, lockName(base))
	if err != nil {
		return err
	}
	return unlock()
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
	return p.parts.adopt(p, name)
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
		if closeErr := safely("close of orphan "+name, d.close); closeErr != nil {
			end, err = stuck, errors.Join(err, closeErr)
		}
	}()
	last, since := int64(-1), time.Now()
	for {
		progress := d.progress()
		v := d.view()
		p.orphanPending(name, v.Pending)
		if v.PendingFrames != last {
			last, since = v.PendingFrames, time.Now()
		}
		switch {
		case v.PendingFrames == 0:
			return drainedAll, nil
		case sender.Damage(v.conn.LastError):
			return stuck, p.fail(name, v.conn.LastError)
		case !v.conn.Connected && time.Since(since) >= orphanPatience:
			return stuck, errors.Join(fmt.Errorf("no progress for %s", orphanPatience), v.conn.LastError)
		}
		if !p.pause(progress, min(p.cfg.HousekeeperInterval, orphanPatience)) {
			return ended, nil
		}
	}
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

func (p *Pool) orphanPending(name string, rows int64) {
	p.mu.Lock()
	defer p.unlock()
	p.orphans.known[name].pending = rows
}

// adoptSlot is the real way to open an orphan, of ours or of another client.
func adoptSlot(p *Pool, name string) (delegate, error) {
	s, err := openAny(p.slotOptions(name))
	if err != nil {
		return nil, err
	}
	return p.takeOn(s, func() error {
		p.sayUnfinished(s, name)
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
}

// checkTarget refuses a slot whose rows belong elsewhere. One of an official
// client, which writes no .target, counts as ours and becomes it.
func (p *Pool) checkTarget(s adopted, name string) error {
	has, want := s.Target(), p.target()
	if has == want {
		return nil
	}
	if has != "" {
		return &TargetError{Dir: s.Dir(), Has: has, Want: want}
	}
	p.cfg.Logger.Info("an orphan without .target is drained to the destination of this pool", "slot", name, "destination", inline(want))
	return slot.SetTarget(p.cfg.FS, s.Dir(), want)
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
