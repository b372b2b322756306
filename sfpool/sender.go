// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"sync/atomic"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Sender is a borrowed slot with the loop that forwards it. It goes on sending
// after Return.
type Sender struct {
	pool     *Pool
	name     string
	slot     *slot.Slot
	loop     *sender.Sender
	borrowed atomic.Bool
}

// Name returns the name of the slot, "<sender_id>-<index>".
func (s *Sender) Name() string { return s.name }

// Return gives the sender back to the pool. It must not be used afterwards.
func (s *Sender) Return() {
	if !s.borrowed.CompareAndSwap(true, false) {
		panic("bug: sender " + s.name + " returned twice")
	}
	s.pool.idle <- s
}

// Flush stores a batch: all of it or, with an error, nothing. Waiting for room
// ends with ctx; the error is then ErrStoreFull.
func (s *Sender) Flush(ctx context.Context, b *Batch) error {
	staged, err := s.Stage(ctx, b)
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

// Stage reserves room for a batch and appends it, where nobody sees it yet. The
// caller then syncs and publishes, or rolls back; with several senders it does
// each step for all of them before the next, so that a batch is stored whole or
// not at all.
func (s *Sender) Stage(ctx context.Context, b *Batch) (*Staged, error) {
	if s.pool.closed() {
		return nil, ErrClosed
	}
	b.pack()
	staged := &Staged{sender: s, batch: b}
	if len(b.frames) == 0 {
		return staged, nil
	}
	var err error
	if staged.tx, err = s.slot.Reserve(ctx, b.sizes()); err != nil {
		return nil, err
	}
	if err := staged.append(); err != nil {
		return nil, err
	}
	return staged, nil
}

// Staged is a batch that is in the slot but not visible.
type Staged struct {
	sender *Sender
	batch  *Batch
	tx     *slot.Tx
}

// append writes the frames, or leaves the slot as it was: a panic must not keep
// the turn to append for ever.
func (s *Staged) append() error {
	whole := false
	defer func() {
		if !whole {
			s.Rollback()
		}
	}()
	err := s.tx.Append(s.batch.group()...)
	whole = err == nil
	return err
}

// Sync makes the batch as durable as the pool promises, and its dead letters
// durable in any case.
func (s *Staged) Sync() error {
	if s.tx != nil {
		if err := s.tx.Sync(); err != nil {
			return err
		}
	}
	if len(s.batch.letters) > 0 {
		return s.sender.pool.letters.Append(s.batch.letters)
	}
	return nil
}

// Publish makes the batch visible to the send loop. It cannot fail.
func (s *Staged) Publish() {
	if s.tx != nil {
		s.tx.Publish()
	}
	s.sender.pool.deadLettered.Add(int64(s.batch.rejected))
}

// Rollback removes the batch from the slot; after Publish it does nothing. If
// even that fails the slot takes no more appends, and says so; what was
// published in it is still sent.
func (s *Staged) Rollback() {
	if s.tx == nil {
		return
	}
	if err := s.tx.Rollback(); err != nil {
		s.sender.pool.cfg.Logger.Error("cannot undo an append", "slot", s.sender.name, "error", err)
	}
}
