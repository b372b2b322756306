// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Shard is a batch with the borrowed sender that is to store it.
type Shard struct {
	Sender *Sender
	Batch  *Batch
}

// Flush stores the batches of several senders, all of them or, with an error,
// none. A panic below is passed on when everything is undone.
func (p *Pool) Flush(ctx context.Context, shards ...Shard) error {
	return p.flush((*Staged).reserve, ctx, shards)
}

// flush is Flush with a way of its own to make room.
func (p *Pool) flush(reserve reserving, ctx context.Context, shards []Shard) error {
	staged, err := p.stage(reserve, ctx, shards)
	if err != nil {
		return err
	}
	defer staged.Rollback() // whatever happens before Publish, a panic included
	if err := staged.Sync(); err != nil {
		return err
	}
	staged.Publish()
	return nil
}

// reserving is a way to make room for all shards.
type reserving func(s *Staged, ctx context.Context, shards []Shard) error

// Staged is a set of batches that are in their slots but not visible.
type Staged struct {
	pool  *Pool
	parts []stagedPart
	ended bool
}

// stagedPart is one shard of it; no tx for a batch without rows, or one that is
// dropped.
type stagedPart struct {
	Shard
	tx      tx
	dropped slot.Eviction
	kind    lossKind // of dropped
	limit   string   // that left no room for it
}

// Stage makes room for all batches, then appends them, where nobody sees them
// yet. The caller then calls Sync and Publish, or Rollback. With an error
// nothing is staged.
func (p *Pool) Stage(ctx context.Context, shards ...Shard) (*Staged, error) {
	return p.stage((*Staged).reserve, ctx, shards)
}

func (p *Pool) stage(reserve reserving, ctx context.Context, shards []Shard) (*Staged, error) {
	s := &Staged{pool: p}
	done := false
	defer func() {
		if !done {
			s.Rollback()
		}
	}()
	if err := p.checkMount(); err != nil {
		return nil, err
	}
	if err := checkShards(shards); err != nil {
		return nil, err
	}
	if err := reserve(s, ctx, shards); err != nil {
		return nil, err
	}
	err := s.each("append", func(part *stagedPart) error {
		defer p.appends.Since(time.Now())
		return part.tx.Append(part.Batch.group()...)
	})
	done = err == nil
	if err != nil {
		return nil, err
	}
	return s, nil
}

// reserve makes room for all shards. With several it holds nothing while it
// waits: two callers that each hold what the other needs would wait in vain.
func (s *Staged) reserve(ctx context.Context, shards []Shard) error {
	ctx, cancel := context.WithTimeout(ctx, s.pool.cfg.AppendDeadline)
	defer cancel()
	if s.pool.cfg.Full != FullBlock {
		return s.reserveOrDrop(ctx, shards)
	}
	if len(shards) == 1 {
		return s.tryReserve(ctx, true, shards)
	}
	now, stop := context.WithCancel(context.Background())
	stop()
	for {
		err := s.tryReserve(now, true, shards)
		if !isFullNow(err) {
			return err
		}
		s.undo()
		if !s.awaitRoom(ctx) {
			return noRoom(err, ctx.Err())
		}
	}
}

// reserveSpare takes only room that is there now, and drops nothing for it.
func (s *Staged) reserveSpare(ctx context.Context, shards []Shard) error {
	return s.tryReserve(ctx, false, shards)
}

// noRoom is what a wait for room ends with: the context that was waited for is
// the caller's, not the one that keeps a try from waiting.
func noRoom(err, cause error) error {
	var full *slot.FullError
	if !errors.As(err, &full) {
		return fmt.Errorf("%w in several slots at once: %w", ErrStoreFull, cause)
	}
	full.Cause = cause
	return full
}

// checkShards refuses what cannot be staged together.
func checkShards(shards []Shard) error {
	for i, shard := range shards {
		if shard.Sender == nil || shard.Batch == nil {
			return errors.New("a shard without sender or batch")
		}
		if err := shard.Sender.use(); err != nil {
			return err
		}
		if shard.Batch.stored {
			return errors.New("the batch is stored already: Reset it before it is filled and flushed again")
		}
		if shard.Batch.row.open {
			return fmt.Errorf("the last row of the batch, of table %q, was not ended with At or AtNow", shard.Batch.row.row.Table)
		}
		for _, other := range shards[:i] {
			if other.Sender == shard.Sender || other.Batch == shard.Batch {
				panic("bug: two shards with the same sender or batch: " + shard.Sender.Name())
			}
		}
	}
	return nil
}

// tryReserve makes room for all shards. With wait each waits for room until ctx
// ends; without it there is room now, or it fails.
func (s *Staged) tryReserve(ctx context.Context, wait bool, shards []Shard) error {
	for _, shard := range shards {
		shard.Batch.pack()
		part := stagedPart{Shard: shard}
		if len(shard.Batch.frames) > 0 {
			var err error
			if part.tx, err = part.begin(ctx, wait); err != nil {
				return err
			}
		}
		s.parts = append(s.parts, part)
	}
	return nil
}

// isFullNow says whether there was no room without waiting, but may be later.
func isFullNow(err error) bool {
	var full *slot.FullError
	if errors.As(err, &full) {
		return !full.Never
	}
	return errors.Is(err, context.Canceled) // the slot was busy giving up a spare
}

// awaitRoom waits until it may be worth trying again; false when ctx has ended.
func (s *Staged) awaitRoom(ctx context.Context) bool {
	retry := time.NewTimer(roomRetry) // room may have come just before the wait
	defer retry.Stop()
	select {
	case <-s.pool.budget.Room():
	case <-retry.C:
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

const roomRetry = 100 * time.Millisecond

// begin reserves room. A refusal leaves the sender healthy; a panic, or a slot
// that takes no more rows at all, does not.
func (part *stagedPart) begin(ctx context.Context, wait bool) (tx, error) {
	whole := false
	defer func() {
		if !whole {
			part.Sender.breaks()
		}
	}()
	t, err := part.Sender.member.d.reserve(ctx, part.Batch.sizes(), wait)
	whole = err == nil || part.Sender.member.d.unsound() == nil
	return t, err
}

// Sync makes the batches as durable as the pool promises, and their dead letters
// durable in any case.
func (s *Staged) Sync() error {
	s.mustBeOpen("Sync")
	if err := s.each("sync", func(part *stagedPart) error { return part.tx.Sync() }); err != nil {
		return err
	}
	return s.syncLetters()
}

func (s *Staged) mustBeOpen(doing string) {
	if s.ended {
		panic("bug: " + doing + " after the end of the Staged")
	}
}

// syncLetters writes the dead letters of all batches at once. A batch that has
// to be flushed again does not write them twice.
func (s *Staged) syncLetters() error {
	var letters []byte
	n := 0
	for i := range s.parts {
		letters = append(letters, s.parts[i].Batch.letters...)
		n += s.parts[i].Batch.unwritten
	}
	if len(letters) == 0 {
		return nil
	}
	if err := s.pool.keepLetters(letters, n); err != nil {
		return err
	}
	for i := range s.parts {
		b := s.parts[i].Batch
		b.letters, b.unwritten = b.letters[:0], 0
	}
	return nil
}

// keepLetters writes the text of n letters.
func (p *Pool) keepLetters(letters []byte, n int) error {
	if p.letters == nil {
		p.sayDropped.Do(func() {
			p.cfg.Logger.Warn("rows that can never be stored, or that the server refuses, are counted and dropped: there is no sf_dir for dead letters")
		})
		return nil
	}
	return p.letters.AddText(letters, n)
}

// Publish makes the batches visible to the send loops. It cannot fail; if a bug
// makes it panic, every other batch is published all the same.
func (s *Staged) Publish() {
	s.mustBeOpen("Publish")
	s.ended = true
	err := s.each("publish", func(part *stagedPart) error {
		defer func() { _ = part.tx.Rollback() }() // nothing to do, unless it panicked
		_, last := part.tx.Publish()
		part.Sender.last = Mark{pool: s.pool, index: part.Sender.member.index, fsn: last}
		return nil
	})
	for i := range s.parts {
		s.parts[i].Batch.stored = true
		s.parts[i].count(s.pool)
	}
	s.pool.wrote()
	if err != nil {
		panic(err)
	}
}

// Rollback removes the batches from their slots; after Publish it does nothing.
// A slot that cannot even do that takes no more rows: its sender is closed when
// it is given back. What was published in it is still sent.
func (s *Staged) Rollback() {
	if !s.ended {
		s.ended = true
		s.undo()
	}
}

func (s *Staged) undo() {
	for i := range s.parts {
		part := &s.parts[i]
		if part.tx == nil {
			continue
		}
		err := safely("rollback in slot "+part.Sender.Name(), part.tx.Rollback)
		if err == nil {
			continue
		}
		part.Sender.breaks()
		s.pool.cfg.Logger.Error("cannot undo an append; the sender will be closed", "slot", part.Sender.Name(), "error", err)
	}
	s.parts = s.parts[:0]
}

// each runs a step for all shards at once. A panic in one breaks its sender and
// goes on in the caller when all have ended.
func (s *Staged) each(doing string, step func(*stagedPart) error) error {
	errs := make([]error, len(s.parts))
	run := func(i int) {
		part := &s.parts[i]
		if part.tx == nil {
			return
		}
		if errs[i] = safely(doing+" in slot "+part.Sender.Name(), func() error { return step(part) }); isPanic(errs[i]) {
			part.Sender.breaks()
		}
	}
	var others sync.WaitGroup
	for i := 1; i < len(s.parts); i++ {
		others.Go(func() { run(i) })
	}
	if len(s.parts) > 0 {
		run(0)
	}
	others.Wait()
	err := errors.Join(errs...)
	if isPanic(err) {
		panic(err)
	}
	return err
}

func isPanic(err error) bool {
	var p *PanicError
	return errors.As(err, &p)
}
