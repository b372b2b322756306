// SPDX-License-Identifier: MIT

// Package sender joins a slot to a link: one goroutine reads frames behind the
// watermark, sends them as units, and settles what the server took. Whatever
// goes wrong, it drops the connection, goes back to the watermark and tries
// again for ever; frames leave the slot only by an ack.
//
// The slots of other clients may hold deferred groups: frames that the server
// commits, and acks, with the last of them. They travel on one connection, and
// none is settled before the last one is. Line protocol has no such thing: there
// each request is committed by itself, and settled as it is acked.
//
// Before rows of a table go out on a connection, Tables is asked whether they may
// and whether they need a row id. Rows of a table that must wait are parked: their
// frame stays pending, its other tables and later frames go on. What of a frame is
// acked is remembered, in RAM and from connection to connection, so that it is not
// sent again. A group that holds such rows waits whole, and all behind it. Their
// tables are asked about again after a while and on each new connection, and the slot
// is read again when one of them is ready; until then a sender that has nothing else
// is idle.
package sender

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/latency"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

// Dialer is what a sender needs of a link: *link.Budget. One that has several
// endpoints may have Avoid(host string), too, as *link.Budget does.
type Dialer interface {
	Connect(ctx context.Context, w link.Wish) (link.Conn, error)
}

// Store is a slot as a sender sees it: *slot.Slot or *slot.Foreign.
type Store interface {
	Dir() string
	// Stats counts what is pending; without I/O.
	Stats() slot.Stats
	// Changed returns a channel that closes at the next publish.
	Changed() <-chan struct{}
	// NewCursor returns a cursor before the first frame that is not settled.
	NewCursor() *slot.Cursor
	// SettleAll says that no row of these frames is pending any more. The list is
	// not kept.
	SettleAll(list []slot.Done) error
}

// Config says what to send where. All fields but Tables, Voice and Log are
// required.
type Config struct {
	Slot Store
	Link Dialer
	// Tables is asked before rows go out. Nil: no row gets an id, no table waits.
	Tables Tables
	// Book has what servers refuse, and keeps what is learned of it; the senders of a
	// pool share one. Nil: one of its own, in RAM.
	Book *verdict.Book
	// Conflict says what becomes of values whose type a column refuses.
	Conflict verdict.Conflict
	// Widener alters columns for Conflict = Widen; nil: as Suffix.
	Widener Widener
	// Letters keeps rows that are at fault themselves. Nil: they stay in the slot.
	Letters Letters
	// Lifted is told that a server has come to take what it refused. May be nil.
	Lifted func(verdict.Key)
	// MaxRejections is how often a frame may be refused, and how much in a row without
	// anything taken, before that is looked at in another way. Default 4.
	MaxRejections int
	// Voice tells of outages; the senders of a pool share one, so that an outage
	// is told once. Nil: one that speaks to Log.
	Voice *Voice
	// OnServer hears how the server is: an error with each connection that breaks and
	// each attempt that fails while rows wait, nil when it takes rows, before they are
	// settled, or is there and all that is left waits for its tables. What Stuck says
	// does not lie in the connection is not told. It must be quick, and must not call
	// the Sender. May be nil.
	OnServer func(err error)
	// InitialBackoff and MaxBackoff bound the wait between attempts, which is
	// drawn from the whole range between zero and the doubling bound.
	InitialBackoff, MaxBackoff time.Duration
	// Order says what goes first when there is a backlog. Default LiveFirst.
	Order Order
	// Replay paces the backlogs of the senders that share it. Nil: no pace.
	Replay *Replay
	// Acks takes the time from each request to its ack. May be nil.
	Acks *latency.Histogram
	// Rand draws from [0, 1).
	Rand func() float64
	Log  *slog.Logger
}

// State tells how the sender and its server get on.
type State struct {
	Connected bool
	// Waiting says that it wants a connection and has not come to one, or that its
	// backlog has to wait for Replay.
	Waiting   bool
	Transport link.Transport // in use or last used; zero before the first connection
	Host      string
	// Connects counts connections made, Refusals answers that were no ack.
	Connects, Refusals int64
	// PastTTL counts rows that were acked and were older than the TTL of their table
	// when they went out: they are gone, or will be soon.
	PastTTL int64
	// LastError is why the last connection or attempt ended, or a *HeldError when
	// all that is pending waits for its tables; nil in health. Damage tells whether
	// waiting can help.
	LastError error
	// Since is when the present outage began; zero when there is none.
	Since time.Time
	// Held counts the rows that are parked because their table must wait; they
	// are pending in the slot. HeldFor is what one of these tables waits for.
	Held    int64
	HeldFor string
}

// Sender forwards one slot until it is stopped.
type Sender struct {
	cfg    Config
	cancel context.CancelFunc
	done   chan struct{}

	// Only the loop touches these.
	parking parking
	resting bool            // all that is pending waits for its tables
	wake    <-chan struct{} // closed when something is published then
	walked  bool            // and the cursor has passed it: the next connection goes on there
	since   time.Time       // since then nothing was sent that may have to be sent again
	shown   int64           // rows that State says wait
	proved  bool            // the server took something from this sender
	unnoted bool            // the last progress could not be noted
	ungroup bool            // the next group is too large for any connection
	loose   slot.FSN        // frames below it are committed one by one
	strikes strikes
	streak  int                      // refusals that were looked into, since the server took anything
	began   int64                    // Mark of the Book at the first of them
	doubts  bool                     // it was so many that they say nothing
	over    *link.Refusal            // why others go before a frame of which much was refused
	overs   int                      // frames that others went before, since the server took anything
	epoch   int                      // how often it did, or there were no others
	spells  int                      // how often that began or ended
	passed  map[string]*link.Refusal // tables that others are tried before
	offer   bool                     // a row that was set aside is sent once more
	widened map[verdict.Key]bool
	// suspects are tables of which something was refused that may be their trouble or a
	// row's: whether others of them are taken is to be seen.
	suspects map[string]struct{}
	values   map[verdict.Key]int // rows that were refused for a value
	renew    bool                // the next connection is made to know what has become of tables
	cutOff   bool                // no connection came about the last time
	giveaway

	// mu guards what follows, and hurry. Nothing that can block runs while it is held.
	mu      sync.Mutex
	state   State
	settled chan struct{} // closed and replaced whenever frames are settled
	recycle chan struct{} // closed to have the connection replaced; nil without one
}

// Start begins to forward.
func Start(cfg Config) *Sender {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Sender{cfg: cfg, cancel: cancel, done: make(chan struct{}), settled: make(chan struct{}), epoch: 1, giveaway: newGiveaway()}
	if s.cfg.Log == nil {
		s.cfg.Log = slog.New(slog.DiscardHandler)
	}
	if s.cfg.Voice == nil {
		s.cfg.Voice = NewVoice(s.cfg.Log)
	}
	if s.cfg.Order == 0 {
		s.cfg.Order = LiveFirst
	}
	if s.cfg.Book == nil {
		s.cfg.Book = verdict.New(verdict.Options{Log: s.cfg.Log})
	}
	go s.run(ctx)
	return s
}

// Stop ends the forwarding and returns when the goroutine has ended. What is
// not acked stays in the slot.
func (s *Sender) Stop() {
	s.cancel()
	<-s.done
	s.cfg.Voice.forget(s.name())
}

// Recycle gives up the present connection in an orderly way: what is on its way
// is answered first, and a group is finished. The next one is made when there is
// something to send. It does nothing without a connection, and does not wait.
func (s *Sender) Recycle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.recycle != nil {
		close(s.recycle)
		s.recycle = nil
	}
}

// Drain waits until the slot has nothing pending, or ctx ends. When all that is
// left waits for its tables it returns that *HeldError at once.
func (s *Sender) Drain(ctx context.Context) error {
	for {
		progress := s.Progress()
		st := s.cfg.Slot.Stats()
		if st.PendingFrames == 0 {
			return nil
		}
		var held *HeldError
		if errors.As(s.State().LastError, &held) && held.Pending >= st.Pending {
			return held
		}
		select {
		case <-progress:
		case <-s.done:
			return errors.New("the sender has stopped")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// State returns a snapshot.
func (s *Sender) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Damage says whether an error, such as State.LastError, is damage of the slot
// itself, which no server and no waiting can mend. Trouble with reading the disk
// is none.
func Damage(err error) bool {
	var wound *slot.DamageError
	return errors.As(err, &wound)
}

// Stuck says whether what an error, such as State.LastError, tells of lies in the
// rows, the slot, the disk or a bug, and not in the connection: then the sender
// does not move on although it may reach the server. So it is with rows that wait
// for their tables. Nil is none. A stranger's answer is trouble with the connection:
// the server was not reached.
func Stuck(err error) bool {
	var stranger *link.NotQuestDBError
	var refusal *link.Refusal
	var local *localError
	var bug *PanicError
	var held *HeldError
	if errors.As(err, &stranger) {
		return false
	}
	return Damage(err) || errors.As(err, &held) || errors.As(err, &refusal) || errors.As(err, &local) || errors.As(err, &bug)
}

// Progress returns a channel that closes when the next frames are settled, or when
// all that is left begins to wait for its tables.
func (s *Sender) Progress() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled
}

// madeProgress ends an outage and returns when it began, if there was one.
func (s *Sender) madeProgress() (since time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring()
	since = s.state.Since
	s.state.Since, s.state.LastError = time.Time{}, nil
	return since
}

// ring closes what Progress returned. The caller holds mu.
func (s *Sender) ring() {
	close(s.settled)
	s.settled = make(chan struct{})
}
