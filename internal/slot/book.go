// SPDX-License-Identifier: MIT

package slot

import (
	"fmt"
	"slices"
	"sort"
)

// book tells which frames of a slot are settled, and what became of their rows.
// Slot and Foreign have one; their mu guards it.
type book struct {
	watermark FSN
	crc       uint32 // of the frame at the watermark
	hasCRC    bool
	settled   []interval // above the watermark, ascending, apart
	ledger    ledger
	acked     int64 // bytes of frames, since the slot was opened
	// left, if set, is told of each frame that is booked, with its rows.
	left func(fsn FSN, rows int64)
}

// enter books frames up to end, all or none; those that are settled already stay
// as they are.
func (b *book) enter(list []Done, dir string, end FSN) error {
	for _, d := range list {
		if d.FSN < 0 || d.FSN > end {
			return fmt.Errorf("settle frame %d of slot %s: the last is %d", d.FSN, dir, end)
		}
	}
	for _, d := range list {
		if !b.isSettled(d.FSN) {
			b.enterOne(d)
		}
	}
	return nil
}

func (b *book) enterOne(d Done) {
	b.settled = insert(b.settled, d.FSN)
	if first := b.settled[0]; first.from == b.watermark+1 {
		b.watermark, b.hasCRC = first.to, false
		b.settled = slices.Delete(b.settled, 0, 1)
	}
	b.acked += d.acked()
	rows := int64(0)
	for _, h := range d.Shares {
		b.ledger.settled[h.As] += int64(h.Rows)
		rows += int64(h.Rows)
	}
	if b.left != nil {
		b.left(d.FSN, rows)
	}
	// Rows of a frame that could not be counted when it was found.
	b.ledger.accepted = max(b.ledger.accepted, b.ledger.gone())
}

// pass moves the watermark to a frame, whatever is pending up to it.
func (b *book) pass(last FSN) {
	if last <= b.watermark {
		return
	}
	b.watermark, b.hasCRC = last, false
	n := 0
	for n < len(b.settled) && b.settled[n].from <= last+1 {
		b.watermark = max(b.watermark, b.settled[n].to)
		last = b.watermark
		n++
	}
	b.settled = slices.Delete(b.settled, 0, n)
}

func (b *book) isSettled(fsn FSN) bool { return fsn <= b.watermark || b.behind(fsn) != fsn }

// behind returns the first frame at or behind fsn that is in no interval.
func (b *book) behind(fsn FSN) FSN {
	i := sort.Search(len(b.settled), func(i int) bool { return b.settled[i].to >= fsn })
	if i < len(b.settled) && b.settled[i].from <= fsn {
		return b.settled[i].to + 1
	}
	return fsn
}

// insert adds a frame that is in none of the intervals.
func insert(list []interval, fsn FSN) []interval {
	i := sort.Search(len(list), func(i int) bool { return list[i].from > fsn })
	left := i > 0 && list[i-1].to+1 == fsn
	right := i < len(list) && list[i].from == fsn+1
	switch {
	case left && right:
		list[i-1].to = list[i].to
		return slices.Delete(list, i, i+1)
	case left:
		list[i-1].to = fsn
	case right:
		list[i].from = fsn
	default:
		return slices.Insert(list, i, interval{from: fsn, to: fsn})
	}
	return list
}

// stats is what can be told of frames up to end.
func (b *book) stats(end FSN) Stats {
	frames := max(0, int64(end-b.watermark))
	for _, i := range b.settled {
		frames -= int64(i.to - i.from + 1)
	}
	l := &b.ledger
	return Stats{
		Accepted: l.accepted, Pending: l.pending(), Acked: l.settled[Acked], DeadLettered: l.settled[DeadLettered],
		Evicted: l.settled[Evicted], Quarantined: l.settled[Quarantined], Unknown: l.settled[Unknown],
		AckedBytes: b.acked, PendingFrames: frames, Published: end, Watermark: b.watermark,
	}
}
