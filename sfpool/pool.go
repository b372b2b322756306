// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/latency"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Pool is a set of store-and-forward senders in one directory. Its methods are
// safe for concurrent use.
type Pool struct {
	cfg          Config
	parts        parts
	network      *link.Link    // nil before it is probed
	connections  *link.Budget  // of network
	link         sender.Dialer // is connections
	replay       *sender.Replay
	tables       sender.Tables // this and what follows is shared by all senders
	widener      sender.Widener
	verdicts     *verdict.Book
	voice        *sender.Voice
	budget       *slot.Budget
	letters      *deadletter.File // nil in RAM mode
	deadLettered atomic.Int64     // rows that were rejected
	incidents    atomic.Int64
	losses       losses
	pace         pace
	ebb          ebb
	appends      latency.Histogram
	acks         latency.Histogram
	meter        *vfs.Metered    // below guard; nil in RAM mode
	clock        clock           // the housekeeper's own
	posted       posted          // likewise
	retaining    retaining       // likewise
	retention    *slot.Retention // nil in RAM mode
	evicting     chan struct{}   // has room for who drops rows to make room
	sayDropped   sync.Once       // that there is no file for dead letters
	feeder       *feeder
	unlockPool   func() error // nil in RAM mode
	guard        *vfs.Guarded // as cfg.FS; nil in RAM mode
	mountPoint   string

	probing   sync.Mutex    // one look at the lock of another pool at a time
	closing   chan struct{} // closed when Close begins
	lastCall  chan struct{} // closed when Close does not wait for acks any more
	wake      chan struct{} // for the housekeeper; has room for one
	starve    chan struct{} // for the recovery: give your sender up; room for one
	closeOnce sync.Once
	shut      chan struct{} // closed when Close is through
	closeErr  error

	// mu guards every field below it. Nothing that can block runs while it is
	// held; what there is to log goes out after it.
	mu        sync.Mutex
	places    []place
	idle      []*member
	waiters   []*waiter // the longest waiting first
	hired     int       // builds under way for waiters
	tasks     int       // goroutines of the pool
	changed   chan struct{}
	early     []note // to be logged once Open has succeeded
	announced bool   // it has, and said so
	closed    bool   // Close has begun
	gone      bool   // Close has closed what was home; late comers close at once
	closeErrs []error
	unopened  []string // slots that the recovery did not come to before lastCall
	clinging  []*cling // closed orphans whose lock is still held
	notes     []note   // to be logged after mu
	ticking   bool     // the housekeeper has set its clock
	backlog   bool     // slots of ours may hold frames and have no sender
	refillErr string   // that was logged last
	recovery  recovery
	orphans   orphanage

	setAsideDue   bool  // files were quarantined, or may have been by earlier runs
	unquarantined int64 // of these files, those that were removed again
	violations    int64 // of ledgers
	wounds        []Incident
}

// parts are what tests replace: how a slot of ours is opened, and an orphan.
type parts struct {
	open  func(p *Pool, index int) (delegate, error)
	adopt func(p *Pool, name string) (delegate, error)
}

// Open takes the pool's place in sf_dir, opens MinSenders slots, recovers what
// they hold and begins to send it; the other slots are recovered in the
// background. The server need not be there. A pool with the same Dir and
// SenderID, in this process or another, is a *LockedError.
func Open(ctx context.Context, cfg Config) (*Pool, error) {
	return open(ctx, cfg, parts{open: openSlot, adopt: adoptSlot})
}

func open(ctx context.Context, cfg Config, with parts) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("questdb_sf configuration: %w", err)
	}
	cfg = cfg.withDefaults()
	if cfg.Beside {
		cfg.SenderID = beside(cfg.SenderID)
	}
	p := newPool(cfg, with)
	for _, step := range []struct {
		doing string
		run   func(context.Context) error
	}{
		{"probe", p.probe},
		{"prewarm", p.prewarm},
		{"start of the housekeeper", p.startHousekeeper},
		{"announcement", p.announce},
	} {
		if err := safely(step.doing, func() error { return step.run(ctx) }); err != nil {
			gone, cancel := context.WithCancel(context.Background())
			cancel()
			return nil, errors.Join(err, p.Close(gone))
		}
	}
	return p, nil
}

func newPool(cfg Config, with parts) *Pool {
	p := &Pool{
		cfg: cfg, parts: with, voice: sender.NewVoice(cfg.Logger), replay: sender.NewReplay(cfg.ReplayRate),
		closing: make(chan struct{}), lastCall: make(chan struct{}), wake: make(chan struct{}, 1), starve: make(chan struct{}, 1),
		feeder: newFeeder(), shut: make(chan struct{}), changed: make(chan struct{}), places: make([]place, cfg.MaxSenders),
		backlog: !cfg.inRAM(), setAsideDue: !cfg.inRAM(),
		losses: losses{log: cfg.Logger}, posted: posted{old: true}, clock: clock{now: cfg.Now}, retaining: retaining{clock: clock{now: cfg.Now}}, evicting: make(chan struct{}, 1),
		orphans: orphanage{opened: time.Now(), known: map[string]*orphan{}, look: !cfg.inRAM()},
	}
	for i := range p.places {
		p.places[i] = place{state: free, last: slotView{Stats: slot.Stats{Published: -1, Watermark: -1}}}
	}
	return p
}

// prewarm opens the first senders before anybody asks for them, beside the
// caller: a disk that hangs does not keep Open beyond its context.
func (p *Pool) prewarm(ctx context.Context) error {
	done := make(chan error, 1)
	p.background(func() {
		done <- safely("prewarm", func() error {
			p.readLedgers()
			for range p.cfg.MinSenders {
				if err := ctx.Err(); err != nil {
					return err
				}
				if err := p.addIdle(); err != nil {
					return err
				}
			}
			return nil
		})
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// background is start for those who do not hold mu.
func (p *Pool) background(f func()) {
	p.mu.Lock()
	defer p.unlock()
	p.start(f)
}

// addIdle opens the lowest free slot that does not ail.
func (p *Pool) addIdle() error {
	for {
		index := p.reserve()
		if index < 0 {
			return nil
		}
		m, err := p.openMember(index)
		if done, err := p.added(index, m, err); done {
			return err
		}
	}
}

// reserve takes the lowest free index; -1 when there is none.
func (p *Pool) reserve() int {
	p.mu.Lock()
	defer p.unlock()
	index := p.pick()
	if index >= 0 {
		p.move(index, building)
	}
	return index
}

// added puts a sender that was built into the pool, or frees its index; done is
// false when the next slot should be tried.
func (p *Pool) added(index int, m *member, err error) (done bool, _ error) {
	p.mu.Lock()
	defer p.unlock()
	if err == nil {
		p.enlist(m)
		return true, nil
	}
	p.move(index, free)
	if p.ails(index, err) {
		switch {
		case p.pick() >= 0:
			return false, nil
		case p.count(live) > 0:
			return true, nil // fewer than wanted, but some
		}
	}
	p.forgive()
	p.hire()
	return true, err
}

// start runs f as a goroutine that Close waits for. WARNING: the caller must
// hold mu.
func (p *Pool) start(f func()) {
	p.tasks++
	go func() {
		defer p.finished()
		f()
	}()
}

func (p *Pool) finished() {
	p.mu.Lock()
	defer p.unlock()
	p.tasks--
	p.signal()
}

// change returns a channel that is closed when a place changes next.
func (p *Pool) change() <-chan struct{} {
	p.mu.Lock()
	defer p.unlock()
	return p.changed
}

// until waits until what cond asks under mu is true, or ctx ends.
func (p *Pool) until(ctx context.Context, cond func() bool) bool {
	for {
		p.mu.Lock()
		ok, changed := cond(), p.changed
		p.unlock()
		if ok {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// note is something to be logged.
type note struct {
	level slog.Level
	text  string
	args  []any
}

// say logs once mu is released. WARNING: the caller must hold mu.
func (p *Pool) say(level slog.Level, text string, args ...any) {
	p.notes = append(p.notes, note{level, text, args})
}

// sayOpened is say for a pool that has opened: one that cannot be is tried again
// and again, and its error says why. WARNING: the caller must hold mu.
func (p *Pool) sayOpened(level slog.Level, text string, args ...any) {
	if p.announced {
		p.say(level, text, args...)
	} else {
		p.early = append(p.early, note{level, text, args})
	}
}

// unlock releases mu and says what there is to say.
func (p *Pool) unlock() {
	notes := p.notes
	p.notes = nil
	p.mu.Unlock()
	for _, n := range notes {
		p.cfg.Logger.Log(context.Background(), n.level, n.text, n.args...)
	}
}

// nudge makes the housekeeper set its clock. WARNING: the caller must hold mu.
func (p *Pool) nudge() {
	if !p.ticking {
		ring(p.wake)
	}
}

// wanted asks the recovery for its sender: a borrower finds no free index.
func (p *Pool) wanted() { ring(p.starve) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func ring(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

func (p *Pool) slotName(index int) string { return fmt.Sprintf("%s-%d", p.cfg.SenderID, index) }

// BatchBytes is how large a batch may be, by Batch.Bytes, to find room in one
// slot whenever all are drained: each other one may hold on to a segment.
func (p *Pool) BatchBytes() int {
	segment := p.cfg.MaxSegmentBytes
	free := p.budget.Max() - int64(len(p.places))*segment
	return int(min(max(free/4, segment/2), 1<<30))
}

// DeadLetterPath returns the file that keeps rows which can never be stored;
// "" without sf_dir.
func (p *Pool) DeadLetterPath() string {
	if p.letters == nil {
		return ""
	}
	return p.letters.Path(deadletter.Final)
}

// LeakedSlots returns how many slots are out of use because their lock was not
// released.
func (p *Pool) LeakedSlots() int {
	p.mu.Lock()
	defer p.unlock()
	return p.count(leaked)
}

// path returns a path in sf_dir.
func (p *Pool) path(name string) string { return filepath.Join(p.cfg.root(), name) }
