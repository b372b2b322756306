// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Sender is a borrowed slot with the loop that forwards it. It belongs to its
// borrower until Return or Discard, and must not be used afterwards; the slot
// goes on sending.
type Sender struct {
	pool   *Pool
	member *member
	last   Mark
}

// Name returns the name of the slot, "<sender_id>-<index>".
func (s *Sender) Name() string { return s.member.name }

// Index returns the index of the slot, from 0; -1 without sf_dir.
func (s *Sender) Index() int {
	if s.pool.cfg.inRAM() {
		return -1
	}
	return s.member.index
}

// Flush stores a batch: all of it or, with an error, nothing. After nil the batch
// is to be Reset before it is used again; after an error it may be flushed again. It waits for room
// until ctx or AppendDeadline ends; the error is then ErrStoreFull. The sender
// stays healthy, unless an append could not even be undone.
func (s *Sender) Flush(ctx context.Context, b *Batch) error {
	return s.pool.Flush(ctx, Shard{Sender: s, Batch: b})
}

// FlushSpare is Flush for what is worth less than other rows: it takes only room that
// is there now. It neither waits nor drops anything, whatever Full says; without room
// the error is ErrStoreFull, and the rows stay with the caller.
func (s *Sender) FlushSpare(ctx context.Context, b *Batch) error {
	return s.pool.flush((*Staged).reserveSpare, ctx, []Shard{{Sender: s, Batch: b}})
}

// Mark names the last batch that was stored through this handle, for WaitAcked.
func (s *Sender) Mark() Mark { return s.last }

// PendingBytes returns how many bytes of frames its slot has still to send.
func (s *Sender) PendingBytes() int64 { return s.member.pendingBytes() }

// Return gives the sender back to the pool. One whose slot is in doubt, because
// a Flush panicked or could not be undone, is closed instead of lent again.
func (s *Sender) Return() { s.end(false) }

// Discard closes the sender. What its slot holds stays on disk and is sent by
// the next sender that opens it.
func (s *Sender) Discard() { s.end(true) }

func (s *Sender) end(discard bool) {
	p, m := s.pool, s.member
	p.mu.Lock()
	defer p.unlock()
	if m.lent != s {
		panic("bug: sender " + m.name + " was given back already")
	}
	m.lent = nil
	if discard || m.broken || p.gone {
		p.retire(m)
		return
	}
	p.give(m)
}

// use says whether the handle may still be used.
func (s *Sender) use() error {
	s.pool.mu.Lock()
	defer s.pool.unlock()
	switch {
	case s.pool.closed:
		return ErrClosed
	case s.member.lent != s:
		panic("bug: sender " + s.member.name + " is used after it was given back")
	}
	return nil
}

// breaks notes that the state of the slot is not known any more.
func (s *Sender) breaks() {
	s.pool.mu.Lock()
	defer s.pool.unlock()
	s.member.broken = true
}

// Mark names a place in a slot: everything stored there so far. The zero Mark
// is before everything.
type Mark struct {
	pool  *Pool
	index int
	fsn   slot.FSN
}
