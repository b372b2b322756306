// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// reserveOrDrop makes room for all shards by dropping rows: the oldest of the pool,
// or those of the shards. One caller at a time drops; it looks for room again
// before, because another may have made some.
func (s *Staged) reserveOrDrop(ctx context.Context, shards []Shard) error {
	p, mine := s.pool, false
	defer func() {
		if mine {
			<-p.evicting
		}
	}()
	for {
		err := s.tryReserve(ctx, false, shards)
		var full *slot.FullError
		if !errors.As(err, &full) {
			return err
		}
		s.undo()
		if full.Never || p.cfg.Full == FullDropNewest {
			s.drop(shards, full)
			return nil
		}
		if !mine {
			if mine = p.takeTurn(ctx); !mine {
				return noRoom(err, ctx.Err())
			}
			continue
		}
		made, evictErr := p.evictOldest(ctx, full)
		switch {
		case evictErr != nil && ctx.Err() != nil:
			return noRoom(err, ctx.Err())
		case evictErr != nil:
			return evictErr
		case made:
			continue
		}
		<-p.evicting
		if mine = false; !s.awaitRoom(ctx) {
			return noRoom(err, ctx.Err())
		}
	}
}

// takeTurn waits until nobody else drops rows.
func (p *Pool) takeTurn(ctx context.Context) bool {
	select {
	case p.evicting <- struct{}{}:
		return true
	default:
	}
	select {
	case p.evicting <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// drop lets Publish count the batches as dropped instead of storing them. Their
// dead letters are kept.
func (s *Staged) drop(shards []Shard, full *slot.FullError) {
	kind := lostNewest
	if full.Never {
		kind = lostTooLarge
	}
	for _, shard := range shards {
		shard.Batch.pack()
		part := stagedPart{Shard: shard, dropped: shard.Batch.loss(), kind: kind, limit: full.Limit()}
		s.parts = append(s.parts, part)
	}
}

// loss is what is lost with a batch.
func (b *Batch) loss() (e slot.Eviction) {
	for i := range b.frames {
		f := &b.frames[i].info
		e.Rows += int64(f.Rows)
		e.Bytes += int64(b.frames[i].to - b.frames[i].from)
		switch {
		case !f.HasTime:
		case !e.HasTime:
			e.MinTime, e.MaxTime, e.HasTime = f.MinTime, f.MaxTime, true
		default:
			e.MinTime, e.MaxTime = min(e.MinTime, f.MinTime), max(e.MaxTime, f.MaxTime)
		}
	}
	return e
}

// evictOldest gives up the segment of the pool whose oldest row was stored first,
// once no connection carries any of it. made is false when no slot has a sealed
// one.
func (p *Pool) evictOldest(ctx context.Context, full *slot.FullError) (made bool, _ error) {
	m, c := p.oldest()
	if m == nil {
		return false, nil
	}
	e, err := p.evict(ctx, m, c.Last)
	p.losses.note(lostOldest, full.Limit(), e)
	if errors.Is(err, slot.ErrClosed) {
		err = nil // its sender was closed meanwhile: another one has the oldest now
	}
	return true, err
}

// oldest returns the slot with the oldest sealed segment; nil when none has one.
func (p *Pool) oldest() (oldest *member, of slot.Candidate) {
	for _, m := range p.openMembers() {
		c, ok := m.candidate()
		if ok && (oldest == nil || c.Stored.Before(of.Stored)) {
			oldest, of = m, c
		}
	}
	return oldest, of
}

// openMembers returns the senders whose slots are open and counted in the budget,
// those of the recovery included.
func (p *Pool) openMembers() (list []*member) {
	p.mu.Lock()
	defer p.unlock()
	for i := range p.places {
		if pl := &p.places[i]; pl.member != nil && (pl.state == live || pl.state == building) {
			list = append(list, pl.member)
		}
	}
	return list
}

func (m *member) candidate() (c slot.Candidate, ok bool) {
	_ = safely("look at slot "+m.name, func() error { c, ok = m.d.oldest(); return nil })
	return c, ok
}

// evict gives up the segments of a slot up to the frame last.
func (p *Pool) evict(ctx context.Context, m *member, last slot.FSN) (e slot.Eviction, _ error) {
	err := safely("eviction from slot "+m.name, func() (err error) {
		e, err = m.d.giveUp(ctx, last)
		return err
	})
	return e, err
}

// count books what Publish did not store: rows that were dropped, and rows that
// were rejected.
func (part *stagedPart) count(p *Pool) {
	p.losses.note(part.kind, part.limit, part.dropped)
	m, rejected := part.Sender.member, part.Batch.rejected
	p.deadLettered.Add(int64(rejected))
	if part.dropped.Rows == 0 && rejected == 0 {
		return
	}
	err := safely("ledger of slot "+m.name, func() error {
		return m.d.book(slot.Share{As: slot.Evicted, Rows: int(part.dropped.Rows)}, slot.Share{As: slot.DeadLettered, Rows: rejected})
	})
	if err != nil {
		p.cfg.Logger.Warn("the ledger of a slot could not be written; it is written with the next progress",
			"slot", m.name, "dropped_rows", part.dropped.Rows, "rejected_rows", rejected, "error", err)
	}
}
