// SPDX-License-Identifier: MIT

package look

import (
	"fmt"
	"maps"
	"slices"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// why says in a sentence why a slot with pending rows is not being drained, or who
// drains it, and what to do.
func (s *Store) why(one *Slot, pools map[string]Holder) string {
	_, owner := s.kindOf(one.Name)
	pool, open := pools[owner]
	switch {
	case one.State == Failed:
		return fmt.Sprintf("it is marked as damaged by .failed (%s): nobody tries until that file is removed", one.Why)
	case one.Owner.Held:
		return fmt.Sprintf("its owner, %s, has it: if it does not shrink, the log of that process says why", one.Owner)
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
		return "no agent runs in this directory: start it"
	case s.isOrphan(one):
		return s.whyOrphan(pools)
	}
	return fmt.Sprintf("no agent with sender_id %s runs: start it", owner)
}

// isOrphan says whether nobody is called so that the agent would open it as its own.
func (s *Store) isOrphan(one *Slot) bool { return one.Kind == KindOther }

func (s *Store) whyOrphan(pools map[string]Holder) string {
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
