// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// MoveTo appends what is pending in p, a pool in RAM, to the slots of dst, frame
// by frame as they are, and settles it here: the rows are Gone from p then, and
// accepted by dst. It returns how many were moved. With an error the rest stays,
// and p goes on to send it. The server may get rows twice whose ack was on its
// way, or which are a part of a frame.
//
// Slots are moved one after the other, each while nobody has its sender. Rows
// that are stored in p meanwhile may stay there: callers turn to dst first.
func (p *Pool) MoveTo(ctx context.Context, dst *Pool) (rows int64, err error) {
	if !p.cfg.inRAM() || p == dst {
		return 0, errors.New("MoveTo moves from a pool in RAM to another pool")
	}
	var errs []error
	for index, g := range p.glimpses() {
		if g.view().PendingFrames == 0 {
			continue
		}
		n, err := p.moveSlot(ctx, index, dst)
		rows += n
		if err != nil {
			errs = append(errs, fmt.Errorf("move rows out of slot %s in RAM: %w", g.name, err))
		}
	}
	return rows, errors.Join(errs...)
}

// moveSlot moves what one slot holds.
func (p *Pool) moveSlot(ctx context.Context, index int, dst *Pool) (rows int64, err error) {
	m, err := p.withdraw(ctx, index)
	if err != nil {
		return 0, err
	}
	if m != nil && p.takesLeave(ctx, m) {
		return 0, nil
	}
	if err := p.stopSending(m); err != nil {
		return 0, err
	}
	var last slotView
	err = safely("move of slot "+p.slotName(index), func() (err error) {
		rows, last, err = p.moveFrames(ctx, index, dst)
		return err
	})
	p.handBack(index, rows, last, err)
	return rows, err
}

// withdraw makes an index ours alone: its sender, or with nil an index that has
// none and is building now. The wait for a sender that is in use is bounded.
func (p *Pool) withdraw(ctx context.Context, index int) (m *member, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.AcquireTimeout)
	defer cancel()
	got := p.until(ctx, func() bool {
		pl := &p.places[index]
		switch {
		case p.closed:
			err = ErrClosed
		case pl.state == free:
			p.move(index, building)
		case pl.state == live && pl.member.lent == nil:
			m = pl.member
			p.unlist(m)
		default:
			return false
		}
		return true
	})
	if !got {
		return nil, fmt.Errorf("its sender is in use: %w", ctx.Err())
	}
	return m, err
}

// takesLeave gives a sender whose server answers a moment to empty its slot: then
// nothing has to be moved, and nothing goes out twice. One that does is idle
// again. Where ctx has a deadline the moment is short: the time is for the move.
func (p *Pool) takesLeave(ctx context.Context, m *member) bool {
	grace := leaveGrace
	if end, ok := ctx.Deadline(); ok {
		grace = min(grace, time.Until(end)/4)
	}
	ctx, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	if v, err := m.look(); err != nil || !v.conn.Connected {
		return false
	}
	if safely("drain of slot "+m.name, func() error { return drained(ctx, m.d) }) != nil {
		return false
	}
	p.mu.Lock()
	defer p.unlock()
	if p.gone {
		p.retire(m)
	} else {
		p.give(m)
	}
	return true
}

// leaveGrace is long for a server that takes rows, and nothing to an outage.
const leaveGrace = 2 * time.Second

// stopSending closes a sender that was withdrawn, and makes its index building.
// Nothing is to be done for nil.
func (p *Pool) stopSending(m *member) error {
	if m == nil {
		return nil
	}
	p.mu.Lock()
	p.move(m.index, closing)
	p.unlock()
	e := m.end()
	p.mu.Lock()
	defer p.unlock()
	p.noteEnding(m, e)
	if !e.released {
		p.move(m.index, leaked)
		p.nudge()
		return errors.Join(errors.New("its sender did not stop"), e.err)
	}
	p.move(m.index, free)
	p.move(m.index, building) // before anybody else can
	return nil
}

// handBack lets an index that was moved be used again: free where nothing is
// left, or else sending.
func (p *Pool) handBack(index int, moved int64, last slotView, failed error) {
	var m *member
	if failed != nil {
		var err error
		if m, err = p.openMember(index); err != nil {
			p.cfg.Logger.Warn("a slot in RAM could not be opened again; it is tried again", "slot", p.slotName(index), "error", err)
		}
	}
	p.mu.Lock()
	defer p.unlock()
	p.places[index].moved += moved
	if m != nil {
		p.enlist(m)
		return
	}
	if failed == nil {
		p.places[index].succeed()
		p.places[index].last = last
	}
	p.backlog = p.backlog || failed != nil
	p.move(index, free)
	p.nudge()
	p.hire()
}

// moveFrames opens a slot without a sender and empties it into dst. It returns
// what is to be seen of the slot then.
func (p *Pool) moveFrames(ctx context.Context, index int, dst *Pool) (rows int64, last slotView, err error) {
	o := p.slotOptions(p.slotName(index))
	o.Budget = p.budget
	s, err := slot.Open(o)
	if err != nil {
		return 0, last, err
	}
	defer func() {
		last.Stats = s.Stats()
		err = errors.Join(err, s.Close())
	}()
	mv := &mover{src: s, cursor: s.NewCursor(), dst: dst, batch: dst.NewBatch(), limit: min(moveBytes, dst.BatchBytes())}
	for {
		n, err := mv.next(ctx)
		rows += n
		if err != nil || n == 0 {
			return rows, last, err
		}
	}
}

// moveBytes is about how much is moved at a time.
const moveBytes = 1 << 20

// mover moves the frames of one slot.
type mover struct {
	src    *slot.Slot
	cursor *slot.Cursor
	dst    *Pool
	view   qwp.View
	batch  *Batch
	done   []slot.Done // the frames of batch
	limit  int         // bytes of a batch that has frames already
}

// next moves the next frames; none are left when there are no rows.
func (mv *mover) next(ctx context.Context) (rows int64, _ error) {
	mv.batch.Reset()
	mv.done = mv.done[:0]
	if err := mv.fill(); err != nil || len(mv.done) == 0 {
		return 0, err
	}
	s, err := mv.dst.Borrow(ctx)
	if err != nil {
		return 0, err
	}
	defer s.Return()
	if err := s.Flush(ctx, mv.batch); err != nil {
		return 0, err
	}
	return int64(mv.batch.Rows()), mv.src.SettleAll(mv.done)
}

// fill puts frames into the batch, one at least.
func (mv *mover) fill() error {
	for mv.batch.Bytes() < mv.limit {
		e, ok, err := mv.cursor.Next()
		if err != nil || !ok {
			return err
		}
		if err := mv.view.Parse(e.Bytes, nil); err != nil {
			return fmt.Errorf("frame %d: %w", e.FSN, err)
		}
		info := mv.view.Info()
		mv.batch.addFrame(e.Bytes, info)
		mv.batch.frames[len(mv.batch.frames)-1].moved = true
		mv.done = append(mv.done, slot.Done{FSN: e.FSN, Shares: []slot.Share{{As: slot.Evicted, Rows: info.Rows}}})
	}
	return nil
}

// addFrame adds a frame that is packed already.
func (b *Batch) addFrame(frame []byte, info qwp.Info) {
	from := len(b.buf)
	b.buf = append(b.buf, frame...)
	b.frames = append(b.frames, packed{from: from, to: len(b.buf), info: info})
	b.rows += info.Rows
}

// unlist takes an idle sender out of reach of borrowers. WARNING: the caller must
// hold mu.
func (p *Pool) unlist(m *member) {
	p.idle = slices.DeleteFunc(p.idle, func(other *member) bool { return other == m })
}
