// SPDX-License-Identifier: MIT

// Package store is the pool behind one or several output blocks: blocks with
// equal settings share it, a lock that somebody else holds is waited for, and
// where sf_dir cannot be used rows go to RAM until it can (DESIGN.md 11 and 15).
//
// It tells the operator itself, once per change, why rows cannot be stored, when
// they go to RAM and when they are on disk again. Callers hand the errors on and
// need not log them.
package store

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Settings say which store a block wants.
type Settings struct {
	// Pool is the pool on disk; Dir is required.
	Pool sfpool.Config
	// RAM lets rows go to RAM while Pool.Dir is missing, read-only or failing:
	// sf_unavailable = "ram". Without it such errors are the caller's.
	RAM bool
	// RAMMaxBytes caps that RAM. Default 32 MiB, at least two segments.
	RAMMaxBytes int64
	// Retry is the time between two tries at the disk meanwhile. Default 30s. For a
	// disk that opens and fails soon after it doubles, up to twenty times.
	Retry time.Duration
	// Fingerprint tells settings apart: blocks that share a store have equal ones.
	// One option a line, "name = value", lets a ConflictError name those that
	// differ. It must not hold secrets in the clear.
	Fingerprint string
	// Fleet says what is written about the store itself; that of the first holder counts.
	Fleet fleet.Options
	// Log is told of changes of state; that of the first holder counts. Default:
	// nothing is logged.
	Log *slog.Logger
}

const (
	defaultRAM   = 32 << 20
	defaultRetry = 30 * time.Second
)

func (s Settings) withDefaults() Settings {
	if s.RAMMaxBytes == 0 {
		s.RAMMaxBytes = defaultRAM
	}
	if s.Retry == 0 {
		s.Retry = defaultRetry
	}
	if s.Pool.SenderID == "" {
		s.Pool.SenderID = "default"
	}
	if s.Pool.LockTimeout == 0 {
		s.Pool.LockTimeout = 10 * time.Second
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Store is one holder's part in a store. Its methods are safe for concurrent use.
type Store struct {
	shared   *shared
	released atomic.Bool
	once     sync.Once
	err      error // of Release
}

// Share returns the store of these settings, that of another holder where there
// is one. It follows the symbolic links in Dir, and does no other I/O. The error
// is a *ConflictError for a block with the same Dir and SenderID and other
// settings, or says that Dir is missing.
func Share(s Settings) (*Store, error) {
	sh, err := stores.share(s.withDefaults())
	if err != nil {
		return nil, err
	}
	return &Store{shared: sh}, nil
}

// Open sees to it that some pool takes rows. It waits up to Pool.LockTimeout, or
// until ctx ends, for a lock that somebody else holds. The error is a
// *sfpool.LockedError then, or what sfpool.Open returns. It may be called again.
func (s *Store) Open(ctx context.Context) error {
	if s.released.Load() {
		return sfpool.ErrClosed
	}
	return s.shared.openWithin(ctx)
}

// Pool returns the pool that takes rows now. It is opened if need be, which is
// tried once a second at most; calls in between return the last error. release
// must be called when the caller is through with the pool, and lets it be closed
// once another has taken its place.
func (s *Store) Pool() (p *sfpool.Pool, release func(), err error) {
	if s.released.Load() {
		return nil, nil, sfpool.ErrClosed
	}
	return s.shared.pool()
}

// Failed is told that p could not store a batch. It returns true when another
// pool has taken over, RAM where the disk has failed, and the batch should be
// tried again with what Pool returns then.
func (s *Store) Failed(p *sfpool.Pool, err error) (again bool) {
	return err != nil && !s.released.Load() && s.shared.failed(p, err)
}

// LostBefore names what counts the metrics of this holder that were lost before they came
// to the store, from 0 on. It is asked until Release, and must be quick.
func (s *Store) LostBefore(lost func() int64) {
	s.shared.mu.Lock()
	defer s.shared.mu.Unlock()
	s.shared.before[s] = lost
}

// Full is told that a holder has no room for new rows, and why; with an empty reason,
// that it has some again. That is part of what is told of outages.
func (s *Store) Full(reason string) {
	if s.released.Load() {
		return
	}
	if reason == "" {
		s.shared.over(fleet.Full)
		return
	}
	s.shared.trouble(fleet.Full, reason)
}

// Stats returns a snapshot. It does no I/O, and goes on to work after Release.
func (s *Store) Stats() Stats { return s.shared.stats() }

// Release ends this holder's part. The last one closes the store, which takes
// what sfpool.Pool.Close takes and a few seconds more at the most; a *LostError
// says which rows in RAM are lost. Another call returns what the first returned.
func (s *Store) Release(ctx context.Context) error {
	s.once.Do(func() {
		s.released.Store(true)
		s.shared.forget(s)
		if stores.leave(s.shared) {
			s.err = s.shared.close(ctx)
		} else {
			s.shared.over(fleet.Full) // it may have been this holder's
		}
	})
	return s.err
}
