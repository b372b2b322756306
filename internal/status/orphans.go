// SPDX-License-Identifier: MIT

package status

import (
	"path/filepath"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
)

const (
	// maxPeeked bounds the orphans that one look looks into, peekBytes what it reads of
	// the frames of all of them.
	maxPeeked = 64
	peekBytes = 64 << 20
)

// peeked is what the files of an orphan told when its turn came last.
type peeked struct {
	slot.Peek
	err error
}

// peek looks into the slots of nobody: a pool knows what is in one only once it drains it.
// Where there are many they take turns.
func (d *disk) peek(dir string, names []string) map[string]peeked {
	names = slices.Sorted(slices.Values(names))
	peekers, seen := map[string]*slot.Peeker{}, map[string]peeked{}
	for _, name := range names {
		if p := d.peekers[name]; p != nil {
			peekers[name], seen[name] = p, d.peeked[name]
		}
	}
	d.peekers, d.peeked = peekers, seen
	budget := int64(peekBytes)
	turn, again := slices.BinarySearch(names, d.turn)
	if again {
		turn++
	}
	for i := 0; i < min(len(names), maxPeeked) && budget > 0; i++ {
		name := names[(turn+i)%len(names)]
		p := peekers[name]
		if p == nil {
			p = &slot.Peeker{FS: d.fs, Dir: filepath.Join(dir, name)}
			peekers[name] = p
		}
		p.Budget = &budget
		one, err := p.Peek()
		seen[name], d.turn = peeked{one, err}, name
	}
	return seen
}

// orphans returns those that the pool knows, with what their files tell.
func (r *report) orphans() []api.Orphan {
	all := []api.Orphan{}
	for _, o := range r.view.Orphans {
		one := api.Orphan{Name: o.Name, State: o.State, Reason: o.Reason, Pending: o.Pending}
		one.Counted = o.Pending > 0 || o.State == "draining"
		if p, ok := r.files.orphans[o.Name]; ok {
			addPeek(&one, &p)
		}
		all = append(all, one)
	}
	return all
}

// addPeek adds what the files tell. What the pool has counted is newer.
func addPeek(one *api.Orphan, p *peeked) {
	if p.err != nil {
		one.Error = line(p.err)
		return
	}
	one.Looked, one.FileBytes, one.Bytes, one.Foreign = true, p.SegmentBytes, p.PendingBytes, p.Foreign
	if !one.Counted && !p.Foreign {
		one.Counted, one.Partial, one.Pending = true, p.Partial, p.Pending
	}
	if p.HasOldest {
		one.Oldest = timeOrNone(time.UnixMicro(p.OldestPendingTime).UTC())
	}
}
