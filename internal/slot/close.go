// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
)

// Close waits for an open Tx to end, makes everything durable that is to be, and
// releases the lock last. A slot with nothing pending leaves no segment behind;
// its frame numbers go on at the next open. Close may be called again: that
// asks once more for a lock that could not be released.
func (s *Slot) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.done)
		err = s.close()
	})
	s.settling.Lock()
	defer s.settling.Unlock()
	if e := s.lock.release(); e != nil {
		err = errors.Join(err, fmt.Errorf("release the lock of slot %s: %w", s.o.Dir, e))
	}
	return err
}

// LockReleased says whether Close has released the lock for certain.
func (s *Slot) LockReleased() bool {
	s.settling.Lock()
	defer s.settling.Unlock()
	return s.lock.released
}

func (s *Slot) close() error {
	s.token <- struct{}{} // for good
	s.syncers.Wait()
	s.settling.Lock()
	defer s.settling.Unlock()
	err := errors.Join(s.syncTail(), s.usable()) // bytes that were rolled back must not come back
	s.retire()
	s.retell(true)
	if err == nil && s.watermark == s.published {
		err = errors.Join(err, s.leaveEmpty())
	} else {
		err = errors.Join(err, s.leaveFrames())
	}
	s.closeFiles()
	s.account.close() // what stays on disk counts again when it is opened
	if err != nil {
		return fmt.Errorf("close slot %s: %w", s.o.Dir, err)
	}
	return nil
}

// retire ends what others still do with the slot.
func (s *Slot) retire() {
	s.mu.Lock()
	s.closed = true
	s.changed.stick()
	cursors := s.cursors
	s.cursors = nil
	s.mu.Unlock()
	for c := range cursors {
		c.shut()
	}
}

// leaveFrames leaves what is pending for the next open.
func (s *Slot) leaveFrames() error {
	err := errors.Join(s.dropSpares(), s.saveClean())
	if err == nil {
		err = s.unlinkDoomed() // only what the state on the device explains
	}
	return err
}

// dropSpares removes the empty segments that were prepared.
func (s *Slot) dropSpares() error {
	for len(s.tail.ready) > 0 {
		if err := s.discard(s.tail.ready[0]); err != nil {
			return err
		}
		s.setReady(s.tail.ready[1:])
	}
	return nil
}

func (s *Slot) saveClean() error {
	if err := s.settler.state.save(s.snapshot(true)); err != nil {
		return err
	}
	return s.settler.state.sync()
}

// putLastAway takes the last file away, which has no more to it than its frames then.
func (s *Slot) putLastAway() error {
	g := s.tail.seg
	if g.frames == 0 {
		return s.remove(g)
	}
	if s.o.Retain.keeps() && s.tail.file.Truncate(g.end) == nil {
		s.endsAt(g)
	}
	return s.putAway(g)
}

// leaveEmpty removes every segment. The last goes only when the others are gone
// for certain: it proves that what they held was settled.
func (s *Slot) leaveEmpty() error {
	if err := s.trim(); err != nil {
		return err
	}
	if err := s.saveClean(); err != nil {
		return err
	}
	if err := s.syncDir(); err != nil {
		return err
	}
	if err := s.putLastAway(); err != nil {
		return err
	}
	names := []string{ackName}
	for _, sp := range s.tail.ready {
		names = append(names, sp.seg.name)
	}
	for _, name := range names {
		if err := removeFile(s.o.FS, s.path(name)); err != nil {
			return err
		}
	}
	return s.syncDir()
}
