// SPDX-License-Identifier: MIT

package look

import (
	"cmp"
	"fmt"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// why says in a sentence why a slot with pending rows is not being drained, or who
// drains it, and what to do.
func (s *Store) why(one *Slot, all pools) string {
	_, owner := s.kindOf(one.Name)
	pool, open := all.of(owner), all.open()
	switch {
	case one.State == Failed:
		return fmt.Sprintf("it is marked as damaged by .failed (%s): nobody tries until that file is removed", one.Why)
	case one.Owner.Held:
		return s.whyOwned(one, all)
	case s.belongsElsewhere(one):
		return fmt.Sprintf("its rows belong to %s, and this agent sends to %s: run an agent with that destination, or adopt the slot",
			one.Target, oneLine(s.Target))
	case pool != nil && s.isOrphan(one) && owner == s.SenderID: // from when it had more slots
		return s.whyOrphan(open)
	case pool != nil && !s.isOrphan(one):
		return fmt.Sprintf("the agent with sender_id %s (%s) runs and takes it up in its turn", owner, pool.Holder)
	case pool != nil:
		return fmt.Sprintf("the agent with sender_id %s (%s) runs and sees to it", owner, pool.Holder)
	case len(open) == 0 && all.unseen(s.Now()) != "":
		return "no agent is seen to run in this directory; " + all.unseen(s.Now())
	case len(open) == 0:
		return "no agent runs in this directory: start it, or send them with questdb_sf drain"
	case s.isOrphan(one):
		return s.whyOrphan(open)
	}
	return fmt.Sprintf("no agent with sender_id %s runs: start it, or send them with questdb_sf drain", owner)
}

// saidLately is how long ago a notice may be without that being said.
const saidLately = 10 * time.Second

// whyOwned is what the owner of a slot says of it in its notice.
func (s *Store) whyOwned(one *Slot, all pools) string {
	about, n := all.said(one.Name)
	if about == nil {
		return fmt.Sprintf("its owner, %s, has it, and tells of nothing in the way: if it does not shrink, look again in a minute, "+
			"or at the log of that process", one.Owner)
	}
	said, old := about.Why(), s.Now().Sub(n.At)
	switch {
	case !n.Fresh(s.Now()):
		return fmt.Sprintf("its owner, %s, last spoke at %s and may hang; then it said: %s", one.Owner, n.At.UTC().Format(time.RFC3339),
			cmp.Or(said, "I am sending it"))
	case said == "":
		return fmt.Sprintf("its owner, %s, is sending it", one.Owner)
	case old > saidLately:
		return fmt.Sprintf("its owner, %s, said %s ago: %s", one.Owner, old.Round(time.Second), said)
	}
	return fmt.Sprintf("its owner, %s, says: %s", one.Owner, said)
}

// isOrphan says whether nobody is called so that the agent would open it as its own.
func (s *Store) isOrphan(one *Slot) bool { return one.Kind == KindOther }

func (s *Store) whyOrphan(open pools) string {
	if s.SenderID != "" && !s.DrainOrphans {
		return "drain_orphans is off in this configuration: nobody sees to slots of others"
	}
	return fmt.Sprintf("it has no owner; an agent with drain_orphans takes it up within a minute or so of its next write, "+
		"as that with sender_id %s (%s) may, if it sends to the same place", open[0].SenderID, open[0].Holder)
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
