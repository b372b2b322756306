// SPDX-License-Identifier: MIT

package slot

import "time"

// startSyncer starts the goroutine of Periodic if something is unsynced and
// none runs. It lives until that is synced, or Close. The caller holds the token.
func (s *Slot) startSyncer() {
	if len(s.tail.ram) == 0 || s.tail.syncing {
		return
	}
	s.tail.syncing = true
	s.syncers.Go(s.syncLater)
}

func (s *Slot) syncLater() {
	timer := time.NewTimer(s.o.SyncInterval)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-s.done:
		return // Close syncs
	}
	select {
	case s.token <- struct{}{}:
	case <-s.done:
		return
	}
	s.tail.syncing = false
	_ = s.syncTail() // told by Err if it could not be mended
	s.end()
}

// syncTail makes what is published durable. The caller holds the token.
func (s *Slot) syncTail() error {
	if len(s.tail.ram) == 0 {
		return nil
	}
	if s.tail.suspect == nil {
		s.tail.suspect = s.tail.file.Sync()
	}
	if s.tail.suspect != nil {
		return s.heal()
	}
	s.tail.ram, s.tail.synced = s.tail.ram[:0], s.tail.seg.extent
	s.hint()
	return nil
}
