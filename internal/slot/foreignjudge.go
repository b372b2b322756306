// SPDX-License-Identifier: MIT

package slot

import "fmt"

// judge proves that no frame is missing between those that were found, as a
// client of the generation that wrote them would (facts/qwp-and-slots.md 5).
func (d *discovery) judge() error {
	if d.layout.manifest.valid() {
		if err := d.trimmed(); err != nil {
			return err
		}
	} else if err := d.flags(); err != nil {
		return err
	}
	if err := d.headless(); err != nil {
		return err
	}
	if err := d.contiguous(); err != nil {
		return err
	}
	if d.layout.manifest.valid() {
		if err := d.anchored(); err != nil {
			return err
		}
	}
	if err := d.tail(); err != nil {
		return err
	}
	d.finish()
	return nil
}

// flags refuses segments that belong to a manifest where there is none.
func (d *discovery) flags() error {
	for _, m := range d.files {
		if m.flagged {
			return d.damage(m, m.base, "it was written with a sf-manifest.bin, which is missing or has no valid record")
		}
	}
	return nil
}

// trimmed takes segments below the head of the manifest out of the chain.
func (d *discovery) trimmed() error {
	head, active := d.layout.manifest.first, d.layout.manifest.second
	var rest []*member
	for _, m := range d.files {
		switch {
		case m.frames == 0, m.base >= head && m.base <= active:
			rest = append(rest, m)
		case m.base > active:
			return d.damage(m, m.base, fmt.Sprintf("it begins behind the active segment of sf-manifest.bin, which begins with frame %d", active))
		case m.next() > head:
			return d.damage(m, head, fmt.Sprintf("it reaches over the head of sf-manifest.bin, frame %d", head))
		default:
			d.layout.stale = append(d.layout.stale, m.name)
		}
	}
	d.files = rest
	return nil
}

// headless refuses a segment whose first frame is damaged and not the last.
func (d *discovery) headless() error {
	for _, m := range d.files {
		if m.frames == 0 && m.follows != 0 && m.base > d.floor.fsn {
			return d.wounded(m)
		}
	}
	return nil
}

// wounded is damage in the middle of a segment.
func (d *discovery) wounded(m *member) error {
	return d.damage(m, m.next(), fmt.Sprintf("%s, and a whole frame follows at %d", m.bad, m.follows))
}

// contiguous builds the chain. Files without a frame are no part of it.
func (d *discovery) contiguous() error {
	var before *member
	for _, m := range d.files {
		if m.frames == 0 {
			continue
		}
		if before != nil && before.next() != m.base {
			return d.gap(before, m.base)
		}
		before = m
		d.layout.chain = append(d.layout.chain, m.segment)
	}
	return nil
}

func (d *discovery) gap(m *member, next FSN) error {
	what := "frame gap"
	if m.next() > next {
		what = "frame overlap"
	}
	reason := fmt.Sprintf("%s: the next segment begins with frame %d", what, next)
	if m.bad != "" && m.torn > 0 {
		reason = m.bad + ", and " + reason
	}
	return d.damage(m, m.next(), reason)
}

// anchored compares the chain with the manifest: it begins at the head, and ends
// with the active segment.
func (d *discovery) anchored() error {
	head, active := d.layout.manifest.first, d.layout.manifest.second
	chain := d.layout.chain
	end := head
	if len(chain) > 0 {
		end = chain[len(chain)-1].next()
	}
	switch {
	case len(chain) > 0 && chain[0].base != head:
		return d.missing(head)
	case len(chain) > 0 && chain[len(chain)-1].base == active:
		return nil
	case len(chain) == 0 && head == active:
		return nil // nothing was written yet, or a drained close was interrupted
	case end == active && d.hasEmpty(active):
		return nil // rotated, and nothing written since
	}
	return d.missing(end)
}

// hasEmpty says whether there is a file without a frame that begins with fsn.
func (d *discovery) hasEmpty(fsn FSN) bool {
	for _, m := range d.files {
		if m.frames == 0 && m.base == fsn {
			return true
		}
	}
	return false
}

func (d *discovery) missing(fsn FSN) error {
	return &DamageError{Path: d.path(manifestName), FSN: fsn, Offset: -1,
		Reason: fmt.Sprintf("a segment is missing: frames %d to %d and the active segment must be there", d.layout.manifest.first, d.layout.manifest.second)}
}

// tail looks at what stands behind the last frames. A crash explains a torn end
// of the last segment, and a torn beginning of the one after it.
func (d *discovery) tail() error {
	for _, m := range d.files {
		switch last := m.frames > 0 && m.next() == d.end(); {
		case m.torn == 0:
		case m.follows != 0 && last:
			return d.wounded(m)
		case m.frames == 0 && len(d.layout.chain) > 0 && m.base > d.end():
			return d.damage(m, d.end(), fmt.Sprintf("frame gap: the segment before it ends with frame %d", d.end()-1))
		case m.frames > 0 && !last && d.layout.manifest.valid():
			return d.damage(m, m.next(), m.bad+", and another segment follows")
		}
		if m.frames == 0 || m.next() == d.end() {
			d.torn += m.torn
		}
	}
	return nil
}

// end is the FSN behind the chain.
func (d *discovery) end() FSN {
	if len(d.layout.chain) == 0 {
		return 0
	}
	return d.layout.chain[len(d.layout.chain)-1].next()
}

func (d *discovery) damage(m *member, fsn FSN, reason string) error {
	return &DamageError{Path: d.path(m.name), FSN: fsn, Offset: m.end, Reason: reason}
}

// finish says what becomes of the files, and where the floor is if nothing that
// was noted is above the beginning of the chain.
func (d *discovery) finish() {
	for _, m := range d.files {
		switch {
		case m.frames > 0:
		case m.torn > 0:
			d.layout.scraps = append(d.layout.scraps, m.name)
		default:
			d.layout.spares = append(d.layout.spares, m.name)
		}
	}
	d.layout.unfinished = d.count.open
	if len(d.layout.chain) == 0 {
		d.count.end = max(d.count.end, d.floor.fsn)
		d.floor.fsn = d.count.end
		return
	}
	first := d.layout.chain[0]
	d.count.end = max(d.count.end, first.base-1)
	d.floor.fsn = max(d.floor.fsn, first.base-1)
	if d.floor.fsn == first.base-1 {
		d.floor.at = startOf(first)
	}
}
