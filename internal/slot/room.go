// SPDX-License-Identifier: MIT

package slot

import (
	"context"
	"errors"
	"syscall"
	"time"
)

// segmentsFor returns how many new segments the frames need: they are filled in
// order, a frame never lies across two.
func (s *Slot) segmentsFor(frames []int) int {
	n, free := 0, int64(0)
	if !s.tail.sealed {
		free = s.tail.seg.size - s.tail.seg.end
	}
	for _, size := range frames {
		record := int64(recordHead + size)
		if record > free {
			n, free = n+1, s.o.SegmentBytes-headerSize
		}
		free -= record
	}
	return n
}

// takeRoom takes what n new segments need of the budget, besides those that are
// ready. Without an error it is the caller's to prepare them; or else the channel
// is closed when it is worth asking again.
func (s *Slot) takeRoom(n int) (*FullError, <-chan struct{}) {
	full, room := s.account.take(max(0, n-len(s.tail.ready)), n, s.o.SegmentBytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full = full != nil; s.full {
		full.Dir, full.PendingBytes = s.o.Dir, s.pendingBytes
	}
	return full, room
}

func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// orFull makes a full store of a disk on which n segments found no room, whatever
// was to be kept free: others were faster, or nothing is kept.
func (s *Slot) orFull(err error, n int) error {
	if !isNoSpace(err) {
		return err
	}
	full := &FullError{
		Dir: s.o.Dir, Need: int64(n) * s.o.SegmentBytes, Used: s.account.b.Used(), Cap: s.account.b.Max(), LowSpace: true, Disk: err,
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full, full.PendingBytes = true, s.pendingBytes
	return full
}

func (s *Slot) awaitRoom(ctx context.Context, full *FullError, room <-chan struct{}) error {
	var look <-chan time.Time
	if full.LowSpace { // others may free it, without a word
		timer := time.NewTimer(spaceAge)
		defer timer.Stop()
		look = timer.C
	}
	select {
	case <-room:
		return nil
	case <-look:
		return nil
	case <-s.done:
		return ErrClosed
	case <-ctx.Done():
		full.Cause = ctx.Err()
		return full
	}
}
