// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
)

const (
	maxFeedRows  = 4096    // that are fed at a time
	maxFeedBytes = 1 << 20 // of letters, about; less in a small store: see feedBytes
	maxTrials    = 64      // reasons that are tried at a time
	feedPace     = time.Second
	// feedWait bounds the wait for an answer: what stands before it in the slot may
	// wait for its table.
	feedWait = 10 * time.Minute
)

// errBusy says that the pool has more important things to do.
var errBusy = errors.New("no sender is idle, the store has a backlog, or the server takes nothing")

// FeedBack stores refused rows again that are kept as dead letters, the oldest
// first and up to most of them, whether the server has come to accept them or not; 0
// is all that are there now. It returns how many there were. Rows that are refused
// again become letters again. Nothing is dropped for them: where the store has no
// room for more the error is ErrStoreFull, and what was not stored is a letter still.
//
// A row is first stored, then its letter is removed. A crash in between sends it
// twice; with ExactlyOnce it is stored once all the same. Such a row counts as
// accepted anew, and stays dead-lettered where it was counted: Stats has it twice.
//
// The pool feeds refused rows back by itself when the server takes one of them, so
// this is for those who do not want to wait for that.
func (p *Pool) FeedBack(ctx context.Context, most int) (rows int, err error) {
	if p.letters == nil {
		return 0, nil
	}
	if err := p.feeder.take(ctx); err != nil {
		return 0, err
	}
	defer p.feeder.give()
	if err := p.letters.Load(); err != nil {
		return 0, err
	}
	p.takeOver()
	left := p.letters.Stats().Refused.Letters
	if most > 0 {
		left = min(left, int64(most))
	}
	for left > 0 && ctx.Err() == nil {
		n, err := p.feedSome(ctx, left)
		rows += n
		left -= int64(n)
		if err != nil || n == 0 {
			return rows, err
		}
	}
	return rows, ctx.Err()
}

// feedSome feeds the oldest letters, whatever their reasons.
func (p *Pool) feedSome(ctx context.Context, most int64) (int, error) {
	if err := p.removeStored(); err != nil {
		return 0, err
	}
	groups, err := p.letters.Groups()
	if err != nil {
		return 0, err
	}
	want := map[deadletter.Group]int{}
	for g := range groups {
		want[g] = maxFeedRows
	}
	list, err := p.letters.Oldest(want, p.feedBytes())
	if err != nil {
		return 0, err
	}
	list = list[:min(most, maxFeedRows, int64(len(list)))]
	s, err := p.Borrow(ctx)
	if err != nil {
		return 0, err
	}
	fed, err := p.feed(ctx, s, list, false)
	return len(fed.rows), err
}

// startFeeding starts a round of trials if any is due. The server must have taken
// something since the start: else it is not there, or takes nothing.
func (p *Pool) startFeeding() {
	if p.letters == nil || p.feeder.isNew() && p.Stats().AckedBytes == 0 || !p.feeder.begin() {
		return
	}
	p.mu.Lock()
	defer p.unlock()
	if p.closed {
		p.feeder.stop()
		return
	}
	p.start(func() {
		err := safely("feeding of dead letters", p.feedRound)
		if p.feeder.done(err) {
			p.cfg.Logger.Warn("refused rows could not be fed back; trying again", "after", firstFeedPause, "error", err)
		}
	})
}

// feedRound tries one letter of each reason that is due, and feeds the others where
// it was taken.
func (p *Pool) feedRound() error {
	ctx, cancel := p.untilClosing()
	defer cancel()
	if err := p.feeder.take(ctx); err != nil {
		return err
	}
	defer p.feeder.give()
	if err := p.removeStored(); err != nil {
		return err
	}
	groups, err := p.letters.Groups()
	if err != nil {
		return err
	}
	p.feeder.know(groups)
	try, accepted := p.feeder.ready(p.trials())
	taken, err := p.tryLetters(ctx, try)
	if err != nil {
		return err
	}
	for _, g := range append(accepted, taken...) {
		if err := p.feedGroup(ctx, g, groups[g]); err != nil {
			return err
		}
	}
	return nil
}

// feedBytes bounds the letters that are fed at a time: a small store is not filled
// with them.
func (p *Pool) feedBytes() int64 { return min(maxFeedBytes, p.budget.Max()/8) }

// trials is how many reasons may be tried at a time. While no connection shows that
// the server is there it is one: what is under way during an outage may grow older
// than MaxAge, or have to give way to new rows.
func (p *Pool) trials() int {
	if st := p.Stats(); st.connected() {
		return maxTrials
	}
	return 1
}

func (st *Stats) connected() bool {
	return slices.ContainsFunc(st.Slots, func(s SlotStats) bool { return s.Connected })
}

// inOutage says whether rows of a slot cannot be sent. An outage in which the rows of
// a slot were dropped goes on there until another row is taken: that counts only if no
// slot has a connection.
func (st *Stats) inOutage() bool {
	connected := st.connected()
	return slices.ContainsFunc(st.Slots, func(s SlotStats) bool {
		return !s.OutageSince.IsZero() && (s.Pending > 0 || !connected)
	})
}

// untilClosing returns a context that ends when Close begins.
func (p *Pool) untilClosing() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-p.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// tryLetters stores one letter of each reason, each in a frame of its own, and
// returns the reasons whose letter was taken.
func (p *Pool) tryLetters(ctx context.Context, try map[deadletter.Group]int) (taken []deadletter.Group, _ error) {
	list, err := p.letters.Oldest(try, p.feedBytes())
	if err != nil || len(try) == 0 {
		return nil, err
	}
	fed, err := p.feedAndWait(ctx, list, true)
	if err != nil {
		return nil, err
	}
	read := int64(0)
	for i := range list {
		g := list[i].Group()
		delete(try, g)
		read += list[i].Bytes
		if !fed.answered || fed.refused(p.feeder, &list[i]) {
			p.feeder.putOff(g)
		} else {
			taken = append(taken, g)
		}
	}
	if read < p.feedBytes() { // else the others have their turn at once
		for g := range try { // whose letters cannot be read
			p.feeder.putOff(g)
		}
	}
	return taken, nil
}

// feedGroup feeds all letters of a reason that is accepted, in batches, until one
// comes back. n is about how many there are.
func (p *Pool) feedGroup(ctx context.Context, g deadletter.Group, n int64) error {
	rows := 0
	for {
		list, err := p.letters.Oldest(map[deadletter.Group]int{g: maxFeedRows}, p.feedBytes())
		if err != nil {
			return err
		}
		if len(list) == 0 {
			p.finishGroup(g)
			break
		}
		fed, err := p.feedAndWait(ctx, list, false)
		rows += len(fed.rows)
		if err != nil {
			return err
		}
		if !fed.answered || fed.anyRefused(p.feeder) || len(fed.rows) == 0 {
			p.feeder.putOff(g)
			break
		}
		if !p.pause(nil, feedPace) {
			return context.Canceled
		}
	}
	if rows > 0 {
		p.cfg.Logger.Info("rows that had been refused were fed back", "table", g.Table, "column", g.Column, "type", g.Type.String(),
			"host", g.Host, "rows", rows, "of", n)
	}
	return nil
}

// finishGroup is told that there are no letters of a reason any more, or none that
// can be read.
func (p *Pool) finishGroup(g deadletter.Group) {
	if groups, err := p.letters.Groups(); err == nil && groups[g] == 0 {
		p.feeder.forget(g)
	} else {
		p.feeder.putOff(g)
	}
}

// fed is what was stored of some letters.
type fed struct {
	mark   Mark
	first  int64                    // frame
	rows   map[deadletter.Place]int // frame of each, counted from the first
	frames int

	answered bool // the server has answered for all of them
}

// refused says whether a letter came back, or could not even be stored.
func (d *fed) refused(f *feeder, l *deadletter.Found) bool {
	at, stored := d.rows[l.Place]
	return !stored || f.cameBack(d.first+int64(at))
}

func (d *fed) anyRefused(f *feeder) bool {
	for i := range d.frames {
		if f.cameBack(d.first + int64(i)) {
			return true
		}
	}
	return false
}

// feedAndWait feeds letters while nobody else wants a sender, and waits up to
// feedWait until the server has answered for all of them.
func (p *Pool) feedAndWait(ctx context.Context, list []deadletter.Found, apart bool) (fed, error) {
	if st := p.Stats(); st.Full || 4*st.PendingBytes > st.MaxBytes || st.inOutage() {
		return fed{}, errBusy
	}
	s, ok := p.TryBorrow(ctx)
	if !ok {
		return fed{}, errBusy
	}
	done, err := p.feed(ctx, s, list, apart)
	if err != nil {
		return done, err
	}
	wait, cancel := context.WithTimeout(ctx, feedWait)
	defer cancel()
	err = p.WaitAcked(wait, done.mark)
	done.answered = err == nil
	if ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return done, nil // something before them waits; they are not lost
	}
	return done, err
}

// feed stores letters through a sender, gives it back, and removes the letters.
// apart gives each row a frame of its own.
func (p *Pool) feed(ctx context.Context, s *Sender, list []deadletter.Found, apart bool) (fed, error) {
	defer s.Return()
	b := p.NewBatch()
	done := fed{rows: map[deadletter.Place]int{}}
	var unfit error
	for i := range list {
		if err := b.addLetter(&list[i].Letter); err != nil {
			unfit = err
			continue
		}
		if apart {
			b.pack()
		}
		done.rows[list[i].Place] = b.lastFrame()
	}
	if unfit != nil {
		p.cfg.Logger.Warn("dead letters cannot be fed back; they stay where they are", "file", p.letters.Path(deadletter.Refused),
			"letters", len(list)-len(done.rows), "last_error", unfit)
	}
	p.feeder.watch(s.Name())
	// Letters are safe where they are: no row is dropped for them, nor they for want of room.
	if err := p.flush((*Staged).reserveSpare, ctx, []Shard{{Sender: s, Batch: b}}); err != nil {
		return fed{}, err
	}
	done.mark, done.frames = s.Mark(), len(b.frames)
	done.first = int64(done.mark.fsn) - int64(done.frames) + 1
	for place := range done.rows {
		p.feeder.stored = append(p.feeder.stored, place)
	}
	return done, p.removeStored()
}

// lastFrame is the index of the frame that the last row is in or will be in.
func (b *Batch) lastFrame() int {
	if b.builder.Rows() > 0 {
		return len(b.frames)
	}
	return len(b.frames) - 1
}

// removeStored removes letters that are stored. Before that no others are looked
// for: these would be among them, and be stored again.
func (p *Pool) removeStored() error {
	if err := p.letters.Remove(p.feeder.stored); err != nil {
		return err
	}
	p.feeder.stored = nil
	return nil
}
