// SPDX-License-Identifier: MIT

package look

import (
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/holder"
	"github.com/questdb-sf/questdb_sf/internal/notice"
)

// pools returns the sender_ids of pools that are open, with their holders.
func (s *Store) pools(h *holder.Locks) map[string]holder.Holder {
	open := map[string]holder.Holder{}
	entries, _ := s.FS.ReadDir(s.path(".slot-locks")) // none where nobody was yet
	for _, e := range entries {
		if id, is := strings.CutSuffix(e.Name(), ".pool.lock"); is {
			if by := h.Of(holder.PoolLock(s.Dir, id)); by.Held {
				open[id] = by
			}
		}
	}
	return open
}

// notices are what the open pools say of themselves, by sender_id.
type notices map[string]*notice.Notice

func (s *Store) notices(pools map[string]holder.Holder) notices {
	said := notices{}
	for id := range pools {
		if n := notice.Read(s.FS, notice.Path(s.Dir, id)); n != nil {
			said[id] = n
		}
	}
	return said
}

// on returns the notice that speaks of a slot, else that of its owner; nil without one.
func (all notices) on(slot string, owner holder.Holder) (of *notice.Notice) {
	for _, n := range all {
		switch {
		case n.Of(slot) != nil:
			return n
		case owner.Held && n.PID == owner.PID && n.Longest() != nil:
			of = n
		}
	}
	return of
}

// storedAt corrects when the oldest pending frame was stored, which its owner knows better
// than the files: it was this one, or one before.
func (all notices) storedAt(one *Slot, now time.Time) {
	said := all.on(one.Name, one.Owner).Of(one.Name)
	if said == nil || one.Oldest == nil || said.First > one.FirstPending || !said.Stored.After(*one.Oldest) {
		return
	}
	at := said.Stored.UTC()
	one.Oldest, one.Age = &at, now.Sub(at).Seconds()
}

// forecast takes over what pools say of when they are full, the first of them, and when
// they are empty, the last.
func (all notices) forecast(t *Total) {
	for _, n := range all {
		t.Full = t.Full || n.Full
		if n.ToFull > 0 && (t.ToFull == 0 || n.ToFull < t.ToFull) {
			t.ToFull = n.ToFull
		}
		t.ToEmpty = max(t.ToEmpty, n.ToEmpty)
	}
}
