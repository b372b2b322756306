// SPDX-License-Identifier: MIT

package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// ramConfig is the pool that stands in for the one on disk.
func (s *shared) ramConfig() sfpool.Config {
	c := s.set.Pool
	segment := c.MaxSegmentBytes
	if segment == 0 {
		segment = 1 << 20 // the default of sfpool
	}
	c.Dir, c.Durability, c.DrainOrphans = "", 0, false
	c.MaxTotalBytes = max(s.set.RAMMaxBytes, 2*segment)
	return c
}

// toRAM lets rows go to RAM from now on. WARNING: the caller must hold opening.
func (s *shared) toRAM(means string, cause error) error {
	s.mu.Lock()
	ram := s.ram
	s.mu.Unlock()
	if ram == nil {
		p, err := sfpool.Open(context.Background(), s.ramConfig())
		if err != nil {
			return fmt.Errorf("no pool in RAM (%w) in place of that on disk: %w", err, cause)
		}
		if err := s.install(&s.ram, p); err != nil {
			return err
		}
	}
	s.trouble(fleet.Store, means)
	if s.isNews(cause.Error()) {
		s.set.Log.Warn("sf_dir cannot be used: rows are kept in RAM; the end of this process loses those that are not sent by then",
			"sf_dir", s.set.Pool.Dir, "reason", means, "error", cause,
			"ram_max_bytes", s.ramConfig().MaxTotalBytes, "tried_again_every", s.set.Retry.String())
	}
	s.startReturn()
	return nil
}

// startReturn starts the goroutine that tries the disk. It exists only while
// there is a pool in RAM.
func (s *shared) startReturn() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.returning != nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.returning = cancel
	s.tasks.Go(func() {
		defer cancel()
		for pause(ctx, s.nextTry()) && !s.toDisk(ctx) {
		}
	})
}

// nextTry returns how long to wait with the next try at the disk.
func (s *shared) nextTry() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wait
}

// slowDown has a disk that opens and fails soon after tried less and less, down to
// each twentieth time: every try costs work, and lines in the log. One that does
// not even open is tried at every Retry.
func (s *shared) slowDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.back) < 10*s.set.Retry {
		s.wait = min(2*s.wait, 20*s.set.Retry)
	} else {
		s.wait = s.set.Retry
	}
}

// pause waits; false when ctx ends before.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// toDisk tries the disk, lets it take the rows, moves there what RAM holds, and
// gives the RAM up. It says whether all that is done.
func (s *shared) toDisk(ctx context.Context) (done bool) {
	if err := s.reopenDisk(ctx); err != nil {
		if ctx.Err() == nil && s.isNews(err.Error()) {
			s.set.Log.Warn("sf_dir still cannot be used: rows are kept in RAM", "sf_dir", s.set.Pool.Dir, "error", err)
		}
		return false
	}
	rows, err := s.moveOut(ctx)
	if err != nil {
		s.notMoved(ctx, rows, err)
		return false
	}
	return s.leaveRAM(ctx)
}

// notMoved goes back to RAM if the disk has failed again, or tells once, whatever
// the numbers in the error, what else keeps rows there.
func (s *shared) notMoved(ctx context.Context, rows int64, err error) {
	means, disk := diskFault(err), s.now()
	switch {
	case ctx.Err() != nil:
	case means != "":
		s.swap(disk, means, err)
	case s.isNews("not moved"):
		s.set.Log.Warn("rows go to sf_dir again, but not all that RAM holds could be moved there yet",
			"sf_dir", s.set.Pool.Dir, "rows_moved", rows, "error", err)
	}
}

// reopenDisk opens the pool on disk unless it is open.
func (s *shared) reopenDisk(ctx context.Context) error {
	done, err := s.hold(ctx)
	if err != nil {
		return err
	}
	defer done()
	s.mu.Lock()
	open, leaving := s.disk != nil, s.counts.failing != nil
	s.mu.Unlock()
	switch {
	case open:
		return nil
	case leaving:
		return errLeaving
	}
	err = s.tryDisk(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.wait = s.set.Retry
	} else {
		s.back = time.Now()
	}
	return err
}

// errLeaving says that the pool that has failed still has the directory.
var errLeaving = errors.New("the pool that has failed there is still being closed")

// moveOut moves what RAM holds to the disk, once nobody adds to it any more.
func (s *shared) moveOut(ctx context.Context) (rows int64, err error) {
	s.mu.Lock()
	ram, disk := s.ram, s.disk
	s.mu.Unlock()
	if ram == nil || disk == nil {
		return 0, errNoPair
	}
	if !s.idle(ctx, ram) {
		return 0, ctx.Err()
	}
	return ram.MoveTo(ctx, disk)
}

// leaveRAM closes the pool in RAM, unless the disk has failed meanwhile and rows
// went there again.
func (s *shared) leaveRAM(ctx context.Context) (done bool) {
	ram, rows := s.dropRAM(ctx)
	if ram == nil {
		return false
	}
	s.set.Log.Info("sf_dir can be used again: rows go to disk, and what RAM held was moved there or sent",
		"sf_dir", s.set.Pool.Dir, "rows_moved", rows)
	s.over(fleet.Store)
	if err := s.closeRAM(context.Background(), ram); err != nil {
		s.set.Log.Warn("the pool in RAM was not closed in order", "error", err)
	}
	return true
}

// dropRAM takes an empty pool in RAM out of its place. It also returns the rows
// that were moved out of it.
func (s *shared) dropRAM(ctx context.Context) (ram *sfpool.Pool, rows int64) {
	done, err := s.hold(ctx)
	if err != nil {
		return nil, 0
	}
	defer done()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.disk == nil || s.ram == nil || s.users[s.ram] > 0 {
		return nil, 0
	}
	last := s.ram.Stats()
	if last.Pending > 0 {
		return nil, 0
	}
	ram, s.counts.leaving = s.ram, s.ram
	s.ram, s.returning, s.said = nil, nil, nil
	return ram, last.Moved
}

// failed is Store.Failed.
func (s *shared) failed(p *sfpool.Pool, cause error) (again bool) {
	means := diskFault(cause)
	if p != s.now() {
		return means != "" || errors.Is(cause, sfpool.ErrClosed) // another has taken over already
	}
	if means != "" && !s.set.RAM && (errors.Is(cause, vfs.ErrRemounted) || errors.Is(cause, fs.ErrNotExist)) {
		s.reopenLater(p, means, cause)
	}
	return means != "" && s.set.RAM && s.swap(p, means, cause)
}

// reopenLater gives a pool up that can only be opened anew, where there is no RAM
// to go on from: rows stay with the writer until then.
func (s *shared) reopenLater(p *sfpool.Pool, means string, cause error) {
	s.opening <- struct{}{}
	defer func() { <-s.opening }()
	s.trouble(fleet.Store, means)
	if s.isNews(cause.Error()) {
		s.set.Log.Error("sf_dir cannot be used: rows stay with the writer until it is opened again",
			"sf_dir", s.set.Pool.Dir, "reason", means, "error", cause)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disk == p && !s.closed {
		s.leave(p)
	}
}

// leave takes the pool on disk out of its place and closes it in the background.
// WARNING: the caller must hold mu.
func (s *shared) leave(p *sfpool.Pool) {
	s.disk, s.counts.failing = nil, p
	s.tasks.Go(func() { s.closeFailed(p) })
}

// now is current for those who do not hold mu.
func (s *shared) now() *sfpool.Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current()
}

// swap takes the rows from a failed disk to RAM, and closes the pool on disk in
// the background: with a bit of luck its lock is free when the disk is tried
// again. It says whether another pool takes rows than p.
func (s *shared) swap(p *sfpool.Pool, means string, cause error) bool {
	s.opening <- struct{}{}
	defer func() { <-s.opening }()
	s.mu.Lock()
	failed := s.disk == p
	s.mu.Unlock()
	if failed {
		s.slowDown()
		if err := s.toRAM(means, cause); err != nil {
			s.sayFailure(err)
			return false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed && !s.closed {
		s.leave(p)
	}
	now := s.current()
	return now != nil && now != p
}

// closeFailed closes a pool whose disk has failed. What it holds there stays.
func (s *shared) closeFailed(p *sfpool.Pool) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	s.idle(ctx, p)
	err := p.Close(ctx)
	s.retireDisk(p)
	if err != nil {
		s.set.Log.Warn("the pool on the disk that has failed was not closed in order; what the disk holds stays there",
			"sf_dir", s.set.Pool.Dir, "error", err)
	}
}
