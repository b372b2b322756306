// SPDX-License-Identifier: MIT

package slot

import (
	"fmt"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Quarantine sets one frame aside that is whole, but not a message: its bytes go to
// <segment>.<fsn>.corrupt, an incident tells of it, and it is settled. why is for
// whoever reads the incident, and says nothing of what is in the rows. Rows that can
// be counted are quarantined; others are unknown, as many as the segment has more
// than can be counted. Where the bytes cannot be kept the frame stays pending, and
// the error says so. A frame that is settled already is left as it is.
func (s *Slot) Quarantine(fsn FSN, why string) error {
	s.settling.Lock()
	defer s.settling.Unlock()
	err := s.quarantine(fsn, why)
	if !isWound(err) {
		return err
	}
	// There is a wound in the same segment that no cursor has come to.
	s.mu.Lock()
	g := s.find(fsn)
	s.mu.Unlock()
	if found, e := s.heed(g); e != nil || !found {
		return err
	}
	return s.quarantine(fsn, why)
}

func (s *Slot) quarantine(fsn FSN, why string) error {
	s.mu.Lock()
	g, settled, closed := s.find(fsn), s.isSettled(fsn), s.closed
	s.mu.Unlock()
	switch {
	case closed:
		return ErrClosed
	case settled:
		return nil
	case g == nil:
		return fmt.Errorf("quarantine frame %d of slot %s: it was never published", fsn, s.o.Dir)
	}
	share, err := s.keepFrame(g, fsn, why)
	if err != nil {
		return fmt.Errorf("quarantine frame %d of slot %s: %w", fsn, s.o.Dir, err)
	}
	if err := s.note([]Done{{FSN: fsn, Shares: []Share{share}}}); err != nil {
		return err
	}
	s.follow()
	return s.trim()
}

// keepFrame writes the bytes of a frame beside its segment, and the incident.
func (s *Slot) keepFrame(g *segment, fsn FSN, why string) (Share, error) {
	s.mu.Lock()
	view := *g
	s.mu.Unlock()
	b, off, err := frameAt(s.o, &view, fsn)
	if err != nil {
		return Share{}, err
	}
	share := Share{As: Quarantined}
	var one extent
	if rows, low, high, ok, err := s.o.Inspect(b); err == nil {
		share.Rows, one.span = rows, span{min: low, max: high, ok: ok}
	} else if share, err = s.uncounted(&view); err != nil {
		return Share{}, err
	}
	name := fmt.Sprintf("%s.%d%s", g.name, fsn, corruptSuffix)
	if err := vfs.WriteWhole(s.o.FS, s.path(name), b); err != nil {
		return Share{}, err
	}
	i := Incident{
		What: "a frame that is whole but not a message: " + why, File: g.name, KeptAs: name,
		Offset: off, Bytes: int64(len(b)), FirstFSN: fsn, LastFSN: fsn, Frames: 1,
		Rows: int64(share.Rows), RowsKnown: share.As == Quarantined, WhatToDo: keptText,
	}
	i.setSpan(one.span)
	s.tell(i)
	return share, nil
}

// uncounted is what the pending rows of a segment are more than those that can be
// counted.
func (s *Slot) uncounted(g *segment) (Share, error) {
	list, err := framesOf(s.o, g)
	if err != nil {
		return Share{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := min(s.hidden(g, list), s.ledger.pending())
	return Share{As: Unknown, Rows: int(max(0, rows))}, nil
}
