// SPDX-License-Identifier: MIT

package look

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/holder"
	"github.com/questdb-sf/questdb_sf/internal/notice"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// why says in a sentence why a slot with pending rows is not being drained, or who
// drains it, and what to do.
func (s *Store) why(one *Slot, pools map[string]holder.Holder, said notices) string {
	_, owner := s.kindOf(one.Name)
	pool, open := pools[owner]
	switch {
	case one.State == Failed:
		return fmt.Sprintf("it is marked as damaged by .failed (%s): nobody tries until that file is removed", one.Why)
	case one.Owner.Held:
		return s.whyOwned(one, said.on(one.Name, one.Owner))
	case s.belongsElsewhere(one):
		return fmt.Sprintf("its rows belong to %s, and this agent sends to %s: run an agent with that destination, or adopt the slot",
			one.Target, oneLine(s.Target))
	case open && s.isOrphan(one) && owner == s.SenderID: // from when it had more slots
		return s.whyOrphan(pools)
	case open && !s.isOrphan(one):
		return fmt.Sprintf("the agent with sender_id %s (%s) runs and takes it up in its turn", owner, pool)
	case open:
		return fmt.Sprintf("the agent with sender_id %s (%s) runs and sees to it", owner, pool)
	case len(pools) == 0:
		return "no agent runs in this directory: start it, or send them with questdb_sf drain"
	case s.isOrphan(one):
		return s.whyOrphan(pools)
	}
	return fmt.Sprintf("no agent with sender_id %s runs: start it, or send them with questdb_sf drain", owner)
}

// staleNotice is after how long a notice is not the present state any more: its pool writes
// it once a minute.
const staleNotice = 3 * time.Minute

// whyOwned is what the owner of a slot says itself in its notice n; nil without one. Of an
// orphan that it drains it says nothing, but of its server.
func (s *Store) whyOwned(one *Slot, n *notice.Notice) string {
	about := n.Of(one.Name)
	if about == nil {
		about = n.Longest()
	}
	if about == nil {
		return fmt.Sprintf("its owner, %s, has it, and has told of nothing in the way yet: if it does not shrink, look again in a minute", one.Owner)
	}
	said := about.Why()
	if said == "" {
		return fmt.Sprintf("its owner, %s, is sending it", one.Owner)
	}
	if old := s.Now().Sub(n.At); old > staleNotice {
		return fmt.Sprintf("its owner, %s, said %s ago, and nothing since: %s", one.Owner, old.Round(time.Second), said)
	}
	return fmt.Sprintf("its owner, %s, says: %s", one.Owner, said)
}

// isOrphan says whether nobody is called so that the agent would open it as its own.
func (s *Store) isOrphan(one *Slot) bool { return one.Kind == KindOther }

func (s *Store) whyOrphan(pools map[string]holder.Holder) string {
	if s.SenderID != "" && !s.DrainOrphans {
		return "drain_orphans is off in this configuration: nobody sees to slots of others"
	}
	first := slices.Sorted(maps.Keys(pools))[0]
	return fmt.Sprintf("it has no owner; an agent with drain_orphans takes it up within a minute or so of its next write, "+
		"as that with sender_id %s (%s) may, if it sends to the same place", first, pools[first])
}

// isOurs says whether a slot is or was one of the agent's by its name: its rows follow the
// agent to other URLs.
func (s *Store) isOurs(one *Slot) bool {
	base, _, ok := slot.SplitName(one.Name)
	return one.Kind != KindOther || ok && base == s.SenderID
}

func (s *Store) belongsElsewhere(one *Slot) bool {
	return s.Takes != nil && !s.Takes(one.target, s.isOurs(one))
}
