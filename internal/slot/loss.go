// SPDX-License-Identifier: MIT

package slot

import (
	"fmt"
	"slices"
)

// loss is something that recovery found wanting, on its way to an incident.
type loss struct {
	Incident
	span
	// booked is set when its rows are in the ledger, or there were none.
	booked bool
}

const (
	keptText = "Nothing has to be done for the slot: all that can be read is sent. The damaged file is kept, " +
		"under kept_as once the rest of it is sent, for whoever wants to look into it. Check the disk."
	missingText = "Nothing has to be done for the slot: all that is here is sent. If the files were moved or deleted by " +
		"somebody, put them into a directory of their own beside this one and they are sent as an orphan. Check the disk."
)

// weigh finds out which of the holes hold rows that were still to be sent.
func (r *recovery) weigh(p *progress) {
	for _, g := range r.chain {
		r.weighSegment(p, g)
	}
	for _, f := range r.husks {
		r.losses = append(r.losses, loss{Incident: Incident{
			What: "a segment file in which no frame can be read" + because(f.fault), File: f.name, KeptAs: r.keptAs(f.name),
			Bytes: f.size, LastFSN: -1, WhatToDo: keptText,
		}})
	}
	for _, g := range r.headers {
		r.losses = append(r.losses, loss{booked: true, Incident: Incident{
			What: fmt.Sprintf("the header of a segment was damaged (%x) and was written anew; its frames are sent", r.fileOf(g).raw),
			File: g.name, Bytes: headerSize, FirstFSN: g.base, LastFSN: g.base - 1, RowsKnown: true,
			WhatToDo: "Nothing: no row is lost by it. Check the disk.",
		}})
	}
}

func because(fault string) string {
	if fault == "" {
		return ""
	}
	return ": " + fault
}

func (r *recovery) weighSegment(p *progress, g *segment) {
	told := g.wounded || r.isTold(g.name)
	var fresh []hole
	for _, h := range g.holes {
		if !p.holds(h.fsn, h.next()-1) {
			fresh = append(fresh, h)
		}
	}
	switch {
	case len(fresh) > 0:
		r.losses = append(r.losses, loss{Incident: g.incident(fresh, r.keptAs(g.name), g.lost), span: r.spanOf(g)})
	case g.wounded && !r.isTold(g.name) && len(g.holes) > 0: // it could not be written
		r.losses = append(r.losses, loss{booked: true, Incident: g.incident(g.holes, r.keptAs(g.name), g.lost), span: r.spanOf(g)})
	}
	g.wounded = len(g.holes) > 0 && (told || len(fresh) > 0)
}

// incident is the receipt for holes of a segment.
func (g *segment) incident(holes []hole, keptAs string, rows int64) Incident {
	first, last := holes[0], holes[len(holes)-1]
	i := Incident{
		What: "frames that cannot be read, with whole ones around them", File: g.name, KeptAs: keptAs,
		Offset: first.at, FirstFSN: first.fsn, LastFSN: last.next() - 1,
		Rows: rows, RowsKnown: rows > 0, WhatToDo: keptText,
	}
	for _, h := range holes {
		i.Bytes += h.end - h.at
		i.Frames += h.frames
	}
	if i.Bytes == 0 {
		i.What, i.WhatToDo = "frames that are missing behind this file", missingText
	}
	return i
}

// spanOf returns the times of the rows of a segment, as they were before the wound
// where that is known.
func (r *recovery) spanOf(g *segment) span {
	s := g.span
	for _, sum := range r.stored.summaries[g.base] {
		if sum.created == g.created {
			s.add(sum.span)
		}
	}
	return s
}

// holds says whether all of some frames are settled.
func (p *progress) holds(from, to FSN) bool {
	return to <= p.watermark || slices.ContainsFunc(p.settled, func(i interval) bool {
		return i.from <= max(from, p.watermark+1) && to <= i.to
	})
}

// keptAs returns the name under which a file is set aside.
func (r *recovery) keptAs(name string) string {
	return asideName(name, func(to string) bool { return slices.Contains(r.names, to) })
}

// asideName is the first free name for a file that is set aside.
func asideName(name string, taken func(to string) bool) string {
	to := name + corruptSuffix
	for n := 2; taken(to); n++ {
		to = fmt.Sprintf("%s%s.%d", name, corruptSuffix, n)
	}
	return to
}

// oldestMissing notes frames that should stand before the first segment: .qsf-state
// says where the chain begins, and nothing that it knows as settled reaches so far.
func (r *recovery) oldestMissing() error {
	st := &r.stored.state
	if !r.stored.valid || st.durableEnd <= headerSize || len(r.gone) > 0 {
		return nil
	}
	from, to := max(st.watermark+1, st.head.base), st.next-1
	if len(r.chain) > 0 {
		to = r.chain[0].base - 1
	}
	p := progress{watermark: st.watermark, settled: st.settled}
	if to < from || p.holds(from, to) {
		return nil
	}
	b, err := readSmall(r.o.FS, r.path(ackName), ackSize)
	if err := ignoreMissing(err); err != nil {
		return err
	}
	if parseAck(b) >= to { // another client has sent them
		return nil
	}
	rows, span := r.summed(from, to)
	r.losses = append(r.losses, loss{span: span, Incident: Incident{
		What: "segment files are missing", FirstFSN: from, LastFSN: to, Frames: int64(to - from + 1),
		Rows: rows, RowsKnown: rows > 0, WhatToDo: missingText,
	}})
	return nil
}

// summed adds up the summaries of segments that together are just these frames; no
// rows if they are not all there.
func (r *recovery) summed(from, to FSN) (rows int64, s span) {
	for at := from; at <= to; {
		list := r.stored.summaries[at]
		i := slices.IndexFunc(list, func(sum segment) bool { return sum.last() <= to })
		if i < 0 {
			return 0, s
		}
		rows += list[i].rows
		s.add(list[i].span)
		at = list[i].next()
	}
	return rows, s
}

// unpublished returns the rows of frames that turned up behind all that .qsf-state
// knew of. It is asked for only where there are losses to be reckoned.
func (r *recovery) unpublished() (int64, error) {
	rows := int64(0)
	if len(r.losses) == 0 || !r.stored.valid {
		return 0, nil
	}
	for _, g := range slices.Backward(r.chain) {
		if g.next() <= r.stored.state.next {
			break
		}
		list, err := r.frames(g)
		if err != nil {
			return 0, err
		}
		for _, one := range list {
			if one.fsn >= r.stored.state.next {
				rows += one.rows
			}
		}
	}
	return rows, nil
}

// settleLost books the rows of the losses: those that are known, and, where some
// hide how many they were, all that the ledger cannot find any more. pending are
// the rows it knows of that can still be sent.
func (r *recovery) settleLost(l *ledger, pending int64) {
	known, hidden, last := int64(0), 0, -1
	for i := range r.losses {
		switch one := &r.losses[i]; {
		case one.booked:
		case one.RowsKnown:
			known += one.Rows
		default:
			hidden++
			last = i
		}
	}
	if r.stored.valid {
		gap := max(0, l.pending()-pending)
		known = min(known, gap)
		if hidden > 0 {
			l.settled[Unknown] += gap - known
		}
		if hidden == 1 && gap > known {
			r.losses[last].Rows, r.losses[last].RowsKnown = gap-known, true
		}
	}
	l.settled[Quarantined] += known
}
