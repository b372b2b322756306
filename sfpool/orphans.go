// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// orphanage is what a pool knows of slots without an owner. The mu of the pool
// guards it.
type orphanage struct {
	opened   time.Time
	look     bool // imports may be there
	anyway   bool // look for all, whether anything was written or not
	looking  bool // such a look is under way
	looks    int  // those that are through
	written  bool // something was published since the last look
	looked   time.Time
	draining int
	known    map[string]*orphan

	evicted   int64 // rows, for OrphansMaxBytes
	sent      int64 // rows
	refused   int64 // rows
	saidLarge bool  // that they take more than they should
}

// orphan is one slot of nobody.
type orphan struct {
	state   orphanState
	reason  string
	next    time.Time // not tried before
	pause   time.Duration
	pending int64
	conn    sender.State // of its drainer, at the last look
	rows    int64        // the most that was pending
	sent    int64        // of it, since it was opened
	refused int64        // likewise
	locked  bool         // somebody had it at the last try
	bytes   int64        // of its segment files, at the last look
	strange bool         // its rows belong elsewhere, by the last look
	seen    bool         // by the present look at sf_dir
	relook  bool         // a look came while it was draining
	said    string       // what was logged last
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
	// Left are the rows that the server has taken or refused since it was opened last.
	Left int64
	// Locked says that somebody else had it at the last try: a client that is running
	// sends its rows itself.
	Locked bool
}

func (o *orphanage) stats() []OrphanStats {
	var list []OrphanStats
	for _, name := range slices.Sorted(maps.Keys(o.known)) {
		k := o.known[name]
		list = append(list, OrphanStats{Name: name, State: k.state.String(), Reason: k.reason, Pending: k.pending,
			Left: k.sent + k.refused, Locked: k.locked && k.state == waiting})
	}
	return list
}

// rescan is how often a pool that is written to looks for new orphans, in
// HousekeeperIntervals.
const rescan = 12

// orphansDue says whether the housekeeper has to come back for orphans. WARNING:
// the caller must hold mu.
func (p *Pool) orphansDue() bool {
	o := &p.orphans
	if p.cfg.inRAM() {
		return false
	}
	for _, k := range o.known {
		if k.state == waiting {
			return true
		}
	}
	return o.look || o.written || o.anyway
}

// wrote notes that something was published: a pool that is idle does not look
// for orphans, and the first look waits for the first write.
func (p *Pool) wrote() {
	if p.pace.begin() {
		p.sayLasts()
	}
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
		p.takeOver()
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
	due := o.anyway || o.written && now.Sub(o.opened) >= p.cfg.LockTimeout && (o.looked.IsZero() || now.Sub(o.looked) >= rescan*p.cfg.HousekeeperInterval)
	ok = due || o.look
	o.looking = o.anyway
	o.look, o.anyway = false, false
	if due {
		o.written, o.looked = false, now
	}
	return due && p.cfg.DrainOrphans, ok
}

// lookForOrphans notes the slots in sf_dir that might be orphans.
func (p *Pool) lookForOrphans(all bool) {
	entries, err := p.cfg.FS.ReadDir(p.cfg.Dir)
	if err != nil {
		p.cfg.Logger.Warn("cannot look for orphans", "sf_dir", p.cfg.Dir, "error", err)
		return
	}
	p.beginLook()
	for _, e := range entries {
		name := e.Name()
		if !e.IsDir() || strings.HasPrefix(name, ".") || managed(name, p.cfg.SenderID, p.cfg.MaxSenders) ||
			!all && !imported(name, p.cfg.SenderID) {
			continue
		}
		if has, err := holdsSegments(p.cfg.FS, p.path(name)); err != nil || has {
			p.noteOrphan(name, err)
			p.weighOrphan(name)
		}
	}
	p.endLook(all)
	p.sayOrphans()
}

func (p *Pool) beginLook() {
	p.mu.Lock()
	defer p.unlock()
	for _, k := range p.orphans.known {
		k.seen = false
	}
}

// endLook forgets what is no longer there: its owner has drained it, or somebody
// has taken it away.
func (p *Pool) endLook(all bool) {
	p.mu.Lock()
	defer p.unlock()
	if p.orphans.looking {
		p.orphans.looking = false
		p.orphans.looks++
		p.signal()
	}
	maps.DeleteFunc(p.orphans.known, func(name string, k *orphan) bool {
		return !k.seen && k.state != draining && (all || imported(name, p.cfg.SenderID))
	})
}

// noteOrphan notes a slot that was found, or could not be looked into.
func (p *Pool) noteOrphan(name string, err error) {
	var reason string
	var isFailed bool
	if err == nil {
		reason, isFailed, err = slot.Failed(p.cfg.FS, p.path(name))
	}
	p.mu.Lock()
	defer p.unlock()
	k := p.orphans.known[name]
	if k == nil {
		k = &orphan{}
		p.orphans.known[name] = k
	}
	k.seen = true
	switch {
	case k.state == draining:
		k.relook = true // what the drainer finds may be true no longer
	case isFailed:
		k.settle(failed, &failedError{reason: reason})
		p.sayOnce(k, "an orphan was found damaged and is left alone; .failed in it says how", name, &failedError{reason: reason})
	default:
		k.state = waiting // what kept it may have changed
	}
	if err != nil {
		p.sayOnce(k, "cannot look into a slot that may be an orphan", name, err)
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
		if k.state == waiting && !time.Now().Before(k.next) {
			k.state, k.sent, k.refused = draining, 0, 0
			o.draining++
			p.start(func() { p.drainOrphan(name) })
			return true
		}
	}
	return false
}

// sayOnce logs what keeps an orphan, unless it is only held by somebody.
// WARNING: the caller must hold mu.
func (p *Pool) sayOnce(k *orphan, text, name string, err error) {
	if err == nil || k.said == err.Error() || errors.As(err, new(*LockedError)) {
		return
	}
	k.said = err.Error()
	p.say(slog.LevelWarn, text, "slot", name, "error", err)
}

func (k *orphan) settle(s orphanState, err error) { k.state, k.reason, k.pause = s, err.Error(), 0 }

// letWait has an orphan wait, longer each time. WARNING: the caller must hold mu.
func (p *Pool) letWait(k *orphan, err error) {
	k.state, k.reason = waiting, ""
	k.locked = errors.As(err, new(*LockedError))
	if err != nil {
		k.reason = err.Error()
	}
	k.pause = p.longer(k.pause)
	k.next = time.Now().Add(k.pause)
}
