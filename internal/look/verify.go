// SPDX-License-Identifier: MIT

package look

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/holder"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
)

// Verdict is what Verify finds.
type Verdict struct {
	Dir   string       `json:"sf_dir"`
	Grade slot.Grade   `json:"grade"`
	Slots []SlotHealth `json:"slots"`
	// Letters are the files of dead letters.
	Letters []LetterHealth `json:"dead_letters"`
	// Unread is how many slots and files could not be read.
	Unread int `json:"unread"`
}

// SlotHealth is what Verify finds in a slot.
type SlotHealth struct {
	Name    string        `json:"slot"`
	Grade   slot.Grade    `json:"grade"`
	Foreign string        `json:"foreign,omitempty"`
	Owner   holder.Holder `json:"owner"`
	// Frames and Bytes were checked.
	Frames int64 `json:"frames"`
	Bytes  int64 `json:"bytes"`
	// Ledger is as it would be after an open; LedgerMoved by how many rows accepted would
	// change by that. Only of a slot that was Closed in order it has to be 0.
	Ledger      api.Ledger `json:"ledger"`
	LedgerMoved int64      `json:"ledger_moved"`
	Closed      bool       `json:"closed"`
	// Receipts are the incidents that were told before.
	Receipts []string       `json:"receipts,omitempty"`
	Findings []slot.Finding `json:"findings"`
	Error    string         `json:"error,omitempty"`
}

// LetterHealth is what Verify finds in a file of dead letters.
type LetterHealth struct {
	File     string         `json:"file"`
	Grade    slot.Grade     `json:"grade"`
	Letters  int64          `json:"letters"`
	Bytes    int64          `json:"bytes"`
	Stray    int64          `json:"stray_bytes"` // text that is no letter
	Findings []slot.Finding `json:"findings"`
	Error    string         `json:"error,omitempty"`
}

// Verify reads every frame and every dead letter of a store, or of some slots, and
// checks all that can be checked.
func (s Store) Verify(ctx context.Context, only []string) (*Verdict, error) {
	s = s.withDefaults()
	names, err := s.named(only)
	if err != nil {
		return nil, err
	}
	v := &Verdict{Dir: s.Dir, Grade: slot.Clean, Slots: []SlotHealth{}, Letters: []LetterHealth{}}
	h := holder.Read()
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if one := s.health(name, h); one != nil {
			v.Slots = append(v.Slots, *one)
			v.count(one.Grade, one.Error)
		}
	}
	if len(only) > 0 {
		return v, nil
	}
	files, err := s.letterFiles()
	for _, f := range files {
		if one := s.letterHealth(f, h); one != nil {
			v.Letters = append(v.Letters, *one)
			v.count(one.Grade, one.Error)
		}
	}
	return v, err
}

func (v *Verdict) count(g slot.Grade, failure string) {
	v.Grade = max(v.Grade, g)
	if failure != "" {
		v.Unread++
	}
}

// health looks at a slot twice: at all of its bytes, and at what an open would make of
// it; nil if it is gone.
func (s *Store) health(name string, h *holder.Locks) *SlotHealth {
	one := &SlotHealth{Name: name, Grade: slot.Clean, Findings: []slot.Finding{}}
	e, owner, err := s.examine(name, true, h)
	one.Owner = owner
	if err == nil {
		one.Foreign, one.Frames, one.Bytes = e.Foreign, e.Frames, e.BytesRead
		one.Grade, one.Receipts = e.Grade(), e.Receipts
		one.Findings = append(one.Findings, e.Findings...)
		e, _, err = s.examine(name, false, h)
	}
	if err != nil {
		if _, gone := s.FS.Stat(s.path(name)); errors.Is(gone, fs.ErrNotExist) {
			return nil
		}
		one.Error = err.Error()
		return one
	}
	one.Ledger, one.LedgerMoved, one.Closed = ledgerOf(&e.Stats), e.Stats.Recovered.LedgerMoved, e.Closed
	return one
}

// letterHealth looks at a file of dead letters; nil if it is gone.
func (s *Store) letterHealth(f letterFile, h *holder.Locks) *LetterHealth {
	one := &LetterHealth{File: f.name, Grade: slot.Clean, Findings: []slot.Finding{}}
	v, err := deadletter.Look(s.FS, s.path(f.name), f.sealed)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		one.Error = err.Error()
		return one
	}
	one.Letters, one.Bytes, one.Stray = v.Letters, v.Bytes, v.Stray
	id, _, _, _ := deadletter.Named(f.name)
	if v.Torn > 0 && !h.Of(holder.PoolLock(s.Dir, id)).Held { // else it is being written
		one.add(slot.Torn, v.Bytes-v.Torn, fmt.Sprintf("%d bytes at the end were not written to their end, and are cut", v.Torn))
	}
	if v.Damaged > 0 {
		one.add(slot.Wounded, v.FirstDamaged, fmt.Sprintf("%d letters cannot be read; this is the first of them", v.Damaged))
	}
	return one
}

func (one *LetterHealth) add(g slot.Grade, at int64, what string) {
	one.Grade = max(one.Grade, g)
	one.Findings = append(one.Findings, slot.Finding{
		Grade: g, What: what, File: one.File, Offset: at, LastFSN: -1,
	})
}
