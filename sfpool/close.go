// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
)

// returnTimeout bounds the wait for senders that are still borrowed at Close.
const returnTimeout = 5 * time.Second

// Close waits for borrowed senders until ctx ends, at most 5 s, then up to
// CloseFlushTimeout for acks; it ends the sending and releases the slots, which
// takes 6 s more at the most. What is not acked stays on disk for the next Open.
// The slot of a sender that was not returned stays locked, and sends, until it
// is; that is an error. Close may be called again, and returns what the first call returned.
func (p *Pool) Close(ctx context.Context) error {
	p.closeOnce.Do(func() {
		go func() {
			defer close(p.shut)
			p.closeErr = p.close(ctx)
		}()
	})
	<-p.shut
	return p.closeErr
}

func (p *Pool) close(ctx context.Context) error {
	p.refuse()
	p.feeder.stop()
	p.gather(ctx)
	p.drain(ctx)
	err := p.retireAll()
	p.losses.tellDue(true)
	if p.network != nil {
		p.connections.Close()
		p.network.CloseIdle() // of questions about tables
	}
	if p.letters != nil {
		err = errors.Join(err, safely("close of the dead letters", p.letters.Close))
	}
	if p.unlockPool != nil {
		err = errors.Join(err, safely("release of the lock of the pool", p.unlockPool))
	}
	return err
}

// refuse ends everything that is new, and what only the pool is interested in.
func (p *Pool) refuse() {
	p.mu.Lock()
	defer p.unlock()
	p.closed = true
	close(p.closing)
	for len(p.waiters) > 0 {
		p.popWaiter().grant <- grant{err: ErrClosed}
	}
	p.signal()
}

// gather waits for borrowed senders to come home.
func (p *Pool) gather(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, returnTimeout)
	defer cancel()
	p.until(ctx, func() bool { return len(p.idle) >= p.count(live) })
}

// drain waits until nothing is pending in the senders that are home, and until the
// recovery has emptied the slots that have none. When no time is left it opens no
// slot any more, and only notes which ones it has not come to.
func (p *Pool) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.CloseFlushTimeout)
	defer cancel()
	for _, m := range p.membersIn(live) {
		_ = safely("drain of slot "+m.name, func() error { return drained(ctx, m.d) })
	}
	if ctx.Err() == nil {
		p.recoverLast()
		p.until(ctx, func() bool { return !p.recovery.running })
	}
	p.endRecovery()
}

// drained waits until nothing is pending in a slot. Rows whose tables must wait
// are an error at once: that takes longer than anybody has here.
func drained(ctx context.Context, d delegate) error {
	for {
		progress := d.progress()
		v := d.view()
		if v.PendingFrames == 0 {
			return nil
		}
		if errors.As(v.conn.LastError, new(*sender.HeldError)) {
			return v.conn.LastError
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// retireAll closes what is home, all at once so that one that hangs does not
// hold up the others, and waits for it.
func (p *Pool) retireAll() error {
	p.retireIdle()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout+time.Second)
	defer cancel()
	p.until(ctx, func() bool { return p.tasks == 0 })
	p.reprobeOrphans()
	return p.closeResult()
}

func (p *Pool) retireIdle() {
	p.mu.Lock()
	defer p.unlock()
	p.gone = true
	for _, m := range p.idle {
		p.retire(m)
	}
	p.idle = nil
}

// closeResult says what Close could not do, and what stays on disk.
func (p *Pool) closeResult() error {
	p.mu.Lock()
	defer p.unlock()
	errs := p.closeErrs
	lost := int64(0)
	for i := range p.places {
		switch pl := &p.places[i]; pl.state {
		case live:
			errs = append(errs, fmt.Errorf("slot %s stays locked: its sender was not returned", p.slotName(i)))
		case leaked:
			errs = append(errs, fmt.Errorf("slot %s stays locked: its sender did not stop", p.slotName(i)))
		case building, closing:
			errs = append(errs, fmt.Errorf("slot %s stays locked: it is still %s", p.slotName(i), pl.state))
		case free:
			p.leave(i)
		}
		lost += p.places[i].pending()
	}
	for _, c := range p.clinging {
		errs = append(errs, fmt.Errorf("orphan %s stays locked: its sender did not stop, or its lock was not released", c.name))
	}
	if p.tasks > 0 && len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%d goroutines that drain slots have not ended yet", p.tasks))
	}
	p.leaveUnopened()
	if p.cfg.inRAM() && lost > 0 {
		errs = append(errs, &LostError{Rows: lost})
	}
	return errors.Join(errs...)
}

// leave says which rows the next start will find. WARNING: the caller must hold mu.
func (p *Pool) leave(index int) {
	if p.places[index].last.Published < 0 {
		return // it was not opened: see leaveUnopened
	}
	if pending := p.places[index].last.Pending; pending > 0 && !p.cfg.inRAM() {
		p.sayOpened(slog.LevelInfo, "rows stay on disk until the next start", "slot", p.slotName(index), "pending_rows", pending)
	}
}

// leaveUnopened names the slots that nobody came to. WARNING: the caller must hold
// mu.
func (p *Pool) leaveUnopened() {
	if len(p.unopened) > 0 {
		p.sayOpened(slog.LevelInfo, "slots were not opened in this run; what they hold stays on disk until the next start",
			"slots", strings.Join(p.unopened, " "))
	}
}
