// SPDX-License-Identifier: MIT

package look

import (
	"fmt"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/holder"
	"github.com/questdb-sf/questdb_sf/internal/notice"
)

// pools are those of the directory, by what they have left there.
type pools []holder.Pool

func (s *Store) pools(h *holder.Locks) pools { return h.Pools(s.FS, s.Dir, s.Now()) }

// open returns those whose lock is held.
func (all pools) open() (list pools) {
	for _, p := range all {
		if p.Holder.Held {
			list = append(list, p)
		}
	}
	return list
}

// of returns the open pool of a sender_id; nil if it is not open.
func (all pools) of(senderID string) *holder.Pool {
	for i := range all {
		if all[i].SenderID == senderID && all[i].Holder.Held {
			return &all[i]
		}
	}
	return nil
}

// unseen tells of a pool that wrote lately although its lock is free as far as can be seen;
// "" without one.
func (all pools) unseen(now time.Time) string {
	for _, p := range all {
		if !p.Holder.Held {
			return fmt.Sprintf("one with sender_id %s wrote here %s ago: it was killed, or it runs where this program cannot see its lock, "+
				"in another container for example", p.SenderID, now.Sub(p.Notice.At).Round(time.Second))
		}
	}
	return ""
}

// said returns what an open pool says of a slot, and the notice that it is from; nil where
// none says anything.
func (all pools) said(slot string) (*notice.Slot, *notice.Notice) {
	for _, p := range all {
		if one := p.Notice.Of(slot); one != nil && p.Holder.Held {
			return one, p.Notice
		}
	}
	return nil, nil
}

// storedAt corrects when the oldest pending frame was stored, which its owner knows better
// than the files: it was this one, or one before.
func (all pools) storedAt(one *Slot, now time.Time) {
	said, _ := all.said(one.Name)
	if said == nil || one.Oldest == nil || said.First > one.FirstPending || !said.Stored.After(*one.Oldest) {
		return
	}
	at := said.Stored.UTC()
	one.Oldest, one.Age = &at, now.Sub(at).Seconds()
}

// forecast takes over what pools say now of when they are full, the first of them, of when
// they are empty, the last, and of rows that are dropped.
func (all pools) forecast(t *Total, now time.Time) {
	for _, p := range all {
		n := p.Notice
		if !p.Holder.Held || !n.Fresh(now) {
			continue
		}
		if n.ToFull > 0 && (t.ToFull == 0 || n.ToFull < t.ToFull) {
			t.ToFull = n.ToFull
		}
		if lost := n.Lost(); lost != "" {
			t.Lost = lost
		}
		t.ToEmpty = max(t.ToEmpty, n.ToEmpty)
	}
}
