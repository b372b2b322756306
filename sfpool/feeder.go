// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// A refused row is tried again after firstFeedPause, then after twice as long each
// time, up to lastFeedPause.
const (
	firstFeedPause = time.Minute
	lastFeedPause  = time.Hour
)

// feeder knows when which dead letters are to be tried again. Letters of one reason
// have one clock: one of them is tried, and the others follow if it is not refused.
type feeder struct {
	bell chan struct{} // rings when there is something to feed; room for one
	turn chan struct{} // whoever has put something in feeds; room for one

	taking  sync.Mutex // held while letters of a drain are taken over; guards untaken
	untaken string     // why they could not be, as it was logged last

	// mu guards what follows. Nothing is done under it but to look and note.
	mu      sync.Mutex
	begun   bool // the server has taken something, and the letters were looked at
	running bool
	// notBefore keeps everything waiting after something went wrong.
	notBefore time.Time
	said      string // the failure that was logged last
	stopped   bool
	clocks    map[deadletter.Group]*feedClock
	timer     *time.Timer
	slot      string             // whose letters are watched
	back      map[int64]struct{} // frames of it that came back as letters

	// stored are letters that are in a slot and could not be removed yet. Whoever
	// has the turn may use it.
	stored []deadletter.Place
}

// feedClock says when letters of one reason are tried.
type feedClock struct {
	pause    time.Duration // after the next refusal
	next     time.Time
	accepted bool // they need no trial
}

func newFeeder() *feeder {
	return &feeder{
		bell: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		clocks: map[deadletter.Group]*feedClock{}, back: map[int64]struct{}{},
	}
}

// take waits for the turn to feed; give ends it.
func (f *feeder) take(ctx context.Context) error {
	select {
	case f.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *feeder) give() {
	f.watch("")
	<-f.turn
}

// isNew says whether the feeder has not looked at the letters yet.
func (f *feeder) isNew() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.begun
}

// begin takes the right to start feeding, if there is anything to do now.
func (f *feeder) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running || f.stopped || time.Now().Before(f.notBefore) || f.begun && !f.due() {
		return false
	}
	f.running = true
	return true
}

// due says whether a clock has come to its time. WARNING: the caller must hold mu.
func (f *feeder) due() bool {
	for _, c := range f.clocks {
		if !time.Now().Before(c.next) {
			return true
		}
	}
	return false
}

// done ends what begin began, and sets the timer. After an error nothing begins for
// a while; isNews says that it is worth a line.
func (f *feeder) done(err error) (isNews bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running = false
	said := ""
	if err != nil {
		f.notBefore = time.Now().Add(firstFeedPause)
		if !errors.Is(err, errBusy) && !errors.Is(err, context.Canceled) {
			said = err.Error()
		}
	}
	isNews = said != "" && said != f.said
	f.said = said
	f.arm()
	return isNews
}

// arm sets the timer to the first clock. WARNING: the caller must hold mu.
func (f *feeder) arm() {
	if f.timer != nil {
		f.timer.Stop()
		f.timer = nil
	}
	first := time.Time{}
	for _, c := range f.clocks {
		if first.IsZero() || c.next.Before(first) {
			first = c.next
		}
	}
	if !first.IsZero() && !f.running && !f.stopped {
		if first.Before(f.notBefore) {
			first = f.notBefore
		}
		f.timer = time.AfterFunc(max(0, time.Until(first)), func() { ring(f.bell) })
	}
}

// stop lets nothing begin any more.
func (f *feeder) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
	f.arm()
}

// noteAdded is told of every new letter. It winds the clock of a new reason, and
// notes what came back.
func (f *feeder) noteAdded(letters []deadletter.Letter) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range letters {
		l := &letters[i]
		if l.Key != nil && l.Key.Slot == f.slot {
			f.back[l.Key.FSN] = struct{}{}
		}
		if l.Class != deadletter.Refused || f.clocks[l.Group()] != nil {
			continue
		}
		f.clocks[l.Group()] = &feedClock{pause: 2 * firstFeedPause, next: time.Now().Add(firstFeedPause)}
		f.arm()
	}
}

// accepted is told that the server takes now what it had refused.
func (f *feeder) accepted(g deadletter.Group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clocks[g] = &feedClock{pause: firstFeedPause, next: time.Now(), accepted: true}
	f.arm()
}

// know brings the clocks in line with the reasons there are. One that was not known
// is tried at once.
func (f *feeder) know(groups map[deadletter.Group]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = true
	for g := range f.clocks {
		if groups[g] == 0 {
			delete(f.clocks, g)
		}
	}
	for g := range groups {
		if f.clocks[g] == nil {
			f.clocks[g] = &feedClock{pause: firstFeedPause, next: time.Now()}
		}
	}
}

// relook has the letters looked at again: there are some that nobody was told of.
func (f *feeder) relook() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.begun = false
}

// ready returns the reasons whose time has come: those to try, of which there are so
// many at the most, and those that are accepted.
func (f *feeder) ready(most int) (try map[deadletter.Group]int, accepted []deadletter.Group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	try = map[deadletter.Group]int{}
	for g, c := range f.clocks {
		switch {
		case time.Now().Before(c.next):
		case c.accepted:
			accepted = append(accepted, g)
		case len(try) < most:
			try[g] = 1
		}
	}
	return try, accepted
}

// putOff tries a reason later, and after each refusal later still.
func (f *feeder) putOff(g deadletter.Group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.clocks[g]
	if c == nil {
		c = &feedClock{pause: firstFeedPause}
		f.clocks[g] = c
	}
	c.accepted = false
	c.next = time.Now().Add(c.pause)
	c.pause = min(2*c.pause, lastFeedPause)
}

// forget drops the clock of a reason of which no letter is left.
func (f *feeder) forget(g deadletter.Group) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.clocks, g)
}

// watch notes from now on which frames of a slot come back.
func (f *feeder) watch(slot string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.slot = slot
	clear(f.back)
}

// cameBack says whether a frame of the slot under watch came back.
func (f *feeder) cameBack(fsn int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, yes := f.back[fsn]
	return yes
}

// Accepted tells the pool that a server takes now what it had refused: rows of a
// table with a value of a type in a column. The letters with that reason are fed
// back at once. It does not block.
func (p *Pool) Accepted(host, table, column string, t qwp.Type) {
	p.feeder.accepted(deadletter.Group{Host: host, Table: table, Column: column, Type: t})
	ring(p.feeder.bell)
}
