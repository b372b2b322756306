// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Sender is a borrowed slot with the loop that forwards it. It goes on sending
// after Return.
type Sender struct {
	pool *Pool
	name string
	slot *slot.Slot
	loop *sender.Sender
}

// Name returns the name of the slot, "<sender_id>-<index>".
func (s *Sender) Name() string { return s.name }

// Return gives the sender back to the pool. It must not be used afterwards.
func (s *Sender) Return() { s.pool.idle <- s }

// Flush stores a batch: all of it or, with an error, nothing. Waiting for room
// ends with ctx; the error is then ErrStoreFull.
func (s *Sender) Flush(ctx context.Context, b *Batch) error {
	staged, err := s.Stage(ctx, b)
	if err != nil {
		return err
	}
	if err := staged.Sync(); err != nil {
		staged.Rollback()
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
	b.pack()
	staged := &Staged{sender: s, batch: b}
	if len(b.frames) == 0 {
		return staged, nil
	}
	tx, err := s.slot.Reserve(ctx, b.sizes())
	if err != nil {
		return nil, err
	}
	for i := range b.frames {
		if err := tx.Append(b.frame(i)); err != nil {
			return nil, s.pool.rollback(tx, err)
		}
	}
	staged.tx = tx
	return staged, nil
}

// Staged is a batch that is in the slot but not visible.
type Staged struct {
	sender *Sender
	batch  *Batch
	tx     *slot.Tx
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

// Rollback removes the batch from the slot.
func (s *Staged) Rollback() {
	if s.tx != nil {
		_ = s.sender.pool.rollback(s.tx, nil)
	}
}
