// SPDX-License-Identifier: MIT

package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// rescueTimeout bounds each of two steps: to open a disk that may work again, and
// to move rows there from RAM.
const rescueTimeout = 2 * time.Second

// LostError says how many rows were lost with the RAM.
type LostError struct {
	Dir  string // which could not be used
	Rows int64
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%d rows are lost: they were kept in RAM because sf_dir %s could not be used, "+
		"and were not acked within close_flush_timeout", e.Rows, e.Dir)
}

// close ends everything. What is on disk stays there for the next start.
func (s *shared) close(ctx context.Context) error {
	s.shut()
	err := s.waitTasks()
	if err == nil { // else the disk hangs, and so would these
		s.lastTry()
		s.rescue()
	}
	disk, ram := s.takePools()
	diskErr := make(chan error, 1)
	go func() { diskErr <- s.closeDisk(ctx, disk) }()
	return errors.Join(err, s.closeRAM(ctx, ram), <-diskErr)
}

// shut ends what runs in the background, and keeps more from coming.
func (s *shared) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	close(s.stop)
	if s.returning != nil {
		s.returning()
	}
}

// waitTasks waits for what runs in the background, which a disk that hangs must
// not hold up for ever. Close of a pool that has failed takes some 12 s at worst.
func (s *shared) waitTasks() error {
	done := make(chan struct{})
	go func() { defer close(done); s.tasks.Wait() }()
	t := time.NewTimer(leaveTimeout)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		return fmt.Errorf("sf_dir %s hangs: the pool there may keep its locks until this process ends", s.set.Pool.Dir)
	}
}

// rescue moves what RAM holds to a disk that works again.
func (s *shared) rescue() {
	ctx, cancel := context.WithTimeout(context.Background(), rescueTimeout)
	defer cancel()
	if _, err := s.moveOut(ctx); err != nil && !errors.Is(err, errNoPair) {
		s.set.Log.Warn("not all rows in RAM could be moved to sf_dir", "sf_dir", s.set.Pool.Dir, "error", err)
	}
}

// lastTry opens the disk if rows would be lost with the RAM: it may have come back
// since it was tried. A disk that hangs is left behind.
func (s *shared) lastTry() {
	ctx, cancel := context.WithTimeout(context.Background(), rescueTimeout)
	defer cancel()
	s.mu.Lock()
	needed := s.disk == nil && s.ram != nil && s.ram.Stats().Pending > 0
	s.mu.Unlock()
	if !needed {
		return
	}
	tried := make(chan struct{})
	go func() {
		defer close(tried)
		p, err := sfpool.Open(ctx, s.diskConfig())
		if err == nil && !s.inTime(p) {
			_ = p.Close(ctx)
		}
	}()
	select {
	case <-tried:
	case <-ctx.Done():
	}
}

// inTime puts a pool on disk in its place, unless close has gone on.
func (s *shared) inTime(p *sfpool.Pool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.taken {
		s.disk = p
	}
	return !s.taken
}

// errNoPair says that there are not both pools, one in RAM and one on disk.
var errNoPair = errors.New("there is no pool to move rows to")

// takePools takes the pools out of their places; their figures stay.
func (s *shared) takePools() (disk, ram *sfpool.Pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	disk, ram, s.taken = s.disk, s.ram, true
	s.disk, s.ram = nil, nil
	if disk != nil {
		s.counts.failing = disk
	}
	s.counts.leaving = ram
	return disk, ram
}

func (s *shared) closeDisk(ctx context.Context, p *sfpool.Pool) error {
	if p == nil {
		return nil
	}
	defer s.retireDisk(p)
	return p.Close(ctx)
}

// closeRAM gives what is in RAM its time to be sent. That rows are lost is said
// in the words of the store.
func (s *shared) closeRAM(ctx context.Context, p *sfpool.Pool) error {
	if p == nil {
		return nil
	}
	err := p.Close(ctx)
	if rows := s.retireRAM(p); rows > 0 {
		return &LostError{Dir: s.set.Pool.Dir, Rows: rows}
	}
	return err
}
