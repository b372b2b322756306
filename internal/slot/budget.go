// SPDX-License-Identifier: MIT

package slot

import (
	"slices"
	"sync"
)

// Budget caps the sizes of the segment files of several slots together, spares
// included, and may keep some of the filesystem free. Three things go beyond it, or a slot might stop for ever: each slot
// may always have its last segment and one more; what recovery finds counts, but
// is never refused; and after a failed sync the last segment is written anew
// before the old one is cut. Its methods are safe for concurrent use.
type Budget struct {
	max int64

	// mu guards what follows, the accounts included. It is taken last.
	mu       sync.Mutex
	used     int64
	accounts []*account
	room     bell  // bytes were given back, or a spare could be
	reach    int64 // of used, as far as the filesystem goes
	looked   bool  // reach is known

	space space // of the filesystem; it has a mutex of its own
}

// NewBudget returns a budget of so many bytes, at least two segments.
func NewBudget(max int64) *Budget { return &Budget{max: max} }

// Max returns the cap, in bytes.
func (b *Budget) Max() int64 { return b.max }

// Used returns the sizes of all segment files of the open slots, in bytes. It is
// above Max where it must be; see Budget.
func (b *Budget) Used() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Room returns a channel that is closed when bytes are given back next. Who needs
// room in several slots at once waits here, holding none.
func (b *Budget) Room() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.room.wait()
}

// account is the share of one open slot in a budget.
type account struct {
	b *Budget
	// yield has the slot give up what it does not need, unless it is busy, and says
	// whether bytes came back.
	yield func() bool
	used  int64 // sizes of all its files: chain, spares, and what is to be unlinked
	last  int64 // of these, that of the last segment, which is never trimmed
}

func (b *Budget) open(yield func() bool) *account {
	a := &account{b: b, yield: yield}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.accounts = append(b.accounts, a)
	return a
}

// close gives back all that the slot has.
func (a *account) close() {
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	a.b.accounts = slices.DeleteFunc(a.b.accounts, func(o *account) bool { return o == a })
	a.book(-a.used)
}

// add counts bytes that are there, or are there no longer, whatever the cap says.
func (a *account) add(n int64) {
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	a.book(n)
}

// book changes the account. The caller holds mu.
func (a *account) book(n int64) {
	a.used += n
	a.b.used += n
	a.b.space.taken.Add(max(0, n))
	if n < 0 {
		a.b.space.stale.Store(true)
		a.b.room.ring()
	}
}

// bytes returns what the slot has.
func (a *account) bytes() int64 {
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	return a.used
}

// setLast says how large the last segment is now.
func (a *account) setLast(size int64) {
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	a.last = size
}

// take counts n new segments if there is room for them. Or else it says how full
// the budget is, and returns a channel that is closed when that may have changed;
// all is for how many segments the append asks, those that are ready included.
func (a *account) take(n, all int, segment int64) (*FullError, <-chan struct{}) {
	add := int64(n) * segment
	at := a.b.space.see(add) // may look at the disk: not under mu
	low := a.b.space.low(at, add)
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	a.b.reaches(at)
	floor := a.last + segment
	if add == 0 || !low && a.b.used+add <= a.b.max || a.used+add <= floor {
		a.book(add)
		return nil, nil
	}
	return &FullError{
		Need: add, Used: a.b.used, Cap: a.b.max, LowSpace: low, Free: at.free, Keep: at.keep,
		Never: a.last+int64(all)*segment > max(a.b.max-a.others(), floor),
	}, a.b.room.wait()
}

// others is what no trimming takes from the other slots. The caller holds mu.
func (a *account) others() int64 {
	sum := -a.last
	for _, o := range a.b.accounts {
		sum += o.last
	}
	return sum
}

// takeAhead counts a segment that is not needed yet. It is modest: it stays below
// the cap, and leaves to others what they wait for.
func (a *account) takeAhead(segment int64) bool {
	at := a.b.space.see(segment)
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	a.b.reaches(at)
	if a.b.space.low(at, segment) {
		return false
	}
	if a.b.room.awaited() || a.b.used+segment > a.b.max {
		return false
	}
	a.book(segment)
	return true
}

// nudge has those who wait for room ask again: a spare of this slot can be had.
func (a *account) nudge() {
	a.b.mu.Lock()
	defer a.b.mu.Unlock()
	a.b.room.ring()
}

// reclaim has another slot give up what it does not need, and says whether one did.
func (a *account) reclaim() bool {
	a.b.mu.Lock()
	list := slices.Clone(a.b.accounts)
	a.b.mu.Unlock()
	return slices.ContainsFunc(list, func(o *account) bool { return o != a && o.yield() })
}
