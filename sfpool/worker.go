// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// delegate is an open slot with the loop that forwards it. Any of its methods
// may fail or panic; the accounting of the pool is exact all the same.
type delegate interface {
	// reserve makes room for frames of these sizes and begins an append. It waits
	// for room until ctx ends; without wait it fails where there is none now.
	reserve(ctx context.Context, sizes []int, wait bool) (tx, error)
	// unsound says why the slot takes no more rows, full or not; nil in health.
	unsound() error
	view() slotView
	// progress is closed when the next frame is settled.
	progress() <-chan struct{}
	// oldest tells of the segment that giveUp should begin with, age for how long all
	// of it is stored; false when there is none.
	oldest() (slot.Candidate, bool)
	age(now time.Time) (age time.Duration, last slot.FSN, ok bool)
	// giveUp evicts whole segments up to a frame, and drops a connection that has
	// any of it on its way before. It waits for that until ctx ends.
	giveUp(ctx context.Context, last slot.FSN) (slot.Eviction, error)
	// book counts rows that never were in a frame.
	book(list ...slot.Share) error
	// audit counts what is pending; false for the slot of another client. It works
	// after close too.
	audit() (slot.Audit, bool)
	// recycle gives the present connection up once its answers are there.
	recycle()
	// close stops the loop, and then releases the slot. It returns after
	// closeTimeout at the latest; what it was doing goes on.
	close() error
	// released says whether the lock of the slot is released for certain. It
	// asks again for one that was not, and does not block.
	released() bool
}

// tx is an append that nobody sees yet: *slot.Tx.
type tx interface {
	Append(frames ...slot.Frame) error
	Sync() error
	Publish() (first, last slot.FSN)
	Rollback() error
}

// slotView is what can be seen of a slot and its connection without I/O.
type slotView struct {
	slot.Stats
	conn sender.State
	// sent and refused rows were acked, and became dead letters, since the slot was
	// opened.
	sent, refused int64
}

// closeTimeout bounds the wait for a sender to stop. One that does not, because
// its disk or its connection hangs, leaks its index until it does.
const closeTimeout = 5 * time.Second

// errStillStopping is what close returns when it gives up waiting.
var errStillStopping = errors.New("it has not stopped yet")

// store is what a worker needs of a slot, ours or foreign.
type store interface {
	sender.Store
	Close() error
	LockReleased() bool
}

// worker is the real delegate.
type worker struct {
	store store
	slot  *slot.Slot // nil for a foreign one, to which nothing is appended
	loop  *sender.Sender
	begun slot.Stats // what was settled before

	once sync.Once
	done chan struct{} // closed when stop is through
	err  error         // of stop
}

func (p *Pool) startWorker(s store) *worker {
	w := &worker{store: s, begun: s.Stats(), done: make(chan struct{})}
	w.slot, _ = s.(*slot.Slot)
	w.loop = sender.Start(sender.Config{
		Slot: s, Link: p.link, Rand: p.cfg.Rand, Log: p.cfg.Logger,
		InitialBackoff: p.cfg.InitialBackoff, MaxBackoff: p.cfg.MaxBackoff,
		Tables: p.tables, Voice: p.voice, Book: p.verdicts, Widener: p.widener,
		Conflict: p.cfg.TypeConflict, MaxRejections: p.cfg.MaxFrameRejections,
		Letters: refusedRows{p}, Lifted: p.lifted, Order: p.cfg.ReplayOrder, Replay: p.replay, Acks: &p.acks,
		OnServer: p.cfg.OnServer,
	})
	return w
}

func (w *worker) reserve(ctx context.Context, sizes []int, wait bool) (tx, error) {
	reserve := w.slot.ReserveNow
	if wait {
		reserve = w.slot.Reserve
	}
	t, err := reserve(ctx, sizes)
	if err != nil {
		return nil, err // not a nil *slot.Tx inside an interface
	}
	return t, nil
}

func (w *worker) unsound() error {
	if w.slot == nil {
		return nil
	}
	return w.slot.Err()
}

func (w *worker) view() slotView {
	v := slotView{Stats: w.store.Stats(), conn: w.loop.State()}
	v.sent, v.refused = v.Acked-w.begun.Acked, v.DeadLettered-w.begun.DeadLettered
	return v
}

func (w *worker) segments() []slot.SegmentStats {
	if w.slot == nil {
		return nil
	}
	return w.slot.Segments()
}

func (w *worker) progress() <-chan struct{} { return w.loop.Progress() }

func (w *worker) recycle() { w.loop.Recycle() }

func (w *worker) close() error {
	w.once.Do(func() {
		go func() {
			defer close(w.done)
			w.err = safely("close of slot "+w.store.Dir(), w.stop)
		}()
	})
	t := time.NewTimer(closeTimeout)
	defer t.Stop()
	select {
	case <-w.done:
		return w.err
	case <-t.C:
		return fmt.Errorf("slot %s: %w after %s", w.store.Dir(), errStillStopping, closeTimeout)
	}
}

// stop releases the slot only when nobody works in it any more: a new owner
// would share its files with a living goroutine.
func (w *worker) stop() error {
	w.loop.Stop()
	return w.store.Close()
}

func (w *worker) released() bool {
	select {
	case <-w.done:
	default:
		return false
	}
	if !w.store.LockReleased() {
		_ = w.store.Close() // asks the kernel once more
	}
	return w.store.LockReleased()
}

func (w *worker) oldest() (slot.Candidate, bool) {
	if w.slot == nil {
		return slot.Candidate{}, false
	}
	return w.slot.Oldest()
}

func (w *worker) age(now time.Time) (age time.Duration, last slot.FSN, ok bool) {
	if w.slot == nil {
		return 0, 0, false
	}
	return w.slot.Age(now)
}

func (w *worker) giveUp(ctx context.Context, last slot.FSN) (e slot.Eviction, _ error) {
	err := w.loop.GiveUp(ctx, last, func() (err error) {
		e, err = w.slot.Evict(last)
		return err
	})
	return e, err
}

func (w *worker) book(list ...slot.Share) error { return w.slot.Book(list...) }

func (w *worker) audit() (slot.Audit, bool) {
	if w.slot == nil {
		return slot.Audit{}, false
	}
	return w.slot.Audit(), true
}
