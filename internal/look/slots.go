// SPDX-License-Identifier: MIT

package look

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/holder"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
)

// States of a slot.
const (
	InUse      = "in use"     // its lock is held
	Free       = "free"       // its agent is not using it
	Orphan     = "orphan"     // no agent is called so
	Failed     = "failed"     // somebody wrote down why it shall not be drained
	Unreadable = "unreadable" // see Error
)

// Slot is what can be told of a slot.
type Slot struct {
	Name  string `json:"slot"`
	Kind  string `json:"kind"` // own, imported, rewind, other
	State string `json:"state"`
	// Foreign says by what another client's format was known.
	Foreign string        `json:"foreign,omitempty"`
	Owner   holder.Holder `json:"owner"`
	// FirstPending is -1 if nothing is pending, Published -1 before the first frame.
	FirstPending int64 `json:"first_pending_fsn"`
	Watermark    int64 `json:"watermark_fsn"`
	Published    int64 `json:"published_fsn"`
	Frames       int64 `json:"pending_frames"`
	Rows         int64 `json:"pending_rows"`
	Bytes        int64 `json:"pending_bytes"`
	FileBytes    int64 `json:"segment_file_bytes"`
	// Oldest is when the first pending frame was stored: exactly where its owner says so,
	// else about that by its file and its rows.
	Oldest *time.Time `json:"oldest,omitempty"`
	Age    float64    `json:"oldest_age_seconds,omitempty"`
	Ledger api.Ledger `json:"ledger"` // since it was made
	// Wounds are damage that an open would find, Incidents those that were told before,
	// Corrupt the files that are kept because of them.
	Wounds       int   `json:"wounds"`
	Incidents    int   `json:"incidents"`
	Corrupt      int   `json:"corrupt_files"`
	CorruptBytes int64 `json:"corrupt_bytes"`
	Retained     int   `json:"retained_files"`
	RetainBytes  int64 `json:"retained_bytes"`
	// Unfinished rows were never committed by another client, and are not sent.
	Unfinished int64  `json:"unfinished_rows,omitempty"`
	Target     string `json:"target,omitempty"`
	target     string // as it stands in the file
	// Why is why it is not being drained, or who drains it; "" with nothing pending.
	Why string `json:"why,omitempty"`
	// PerSecond and ToEmpty are by two looks: by how many rows the backlog shrinks in a
	// second, below 0 where it grows, and how many seconds it takes at that rate.
	PerSecond float64 `json:"drained_rows_per_second,omitempty"`
	ToEmpty   float64 `json:"seconds_to_empty,omitempty"`
	Error     string  `json:"error,omitempty"`
}

func ledgerOf(st *slot.Stats) api.Ledger {
	return api.Ledger{
		Accepted: st.Accepted, Acked: st.Acked, Pending: st.Pending, DeadLettered: st.DeadLettered,
		Evicted: st.Evicted, Quarantined: st.Quarantined, Unknown: st.Unknown,
	}
}

// Report is what can be told of a store.
type Report struct {
	Dir   string   `json:"sf_dir"`
	Slots []Slot   `json:"slots"`
	Total Total    `json:"total"`
	Pools []string `json:"pools"` // that are open, by sender_id
	// Error is the first thing that could not be read.
	Error string `json:"error,omitempty"`
}

// Total is the sum of all slots, and the dead letters beside them.
type Total struct {
	Rows      int64      `json:"pending_rows"`
	Frames    int64      `json:"pending_frames"`
	Bytes     int64      `json:"pending_bytes"`
	FileBytes int64      `json:"segment_file_bytes"`
	Oldest    *time.Time `json:"oldest,omitempty"`
	Age       float64    `json:"oldest_age_seconds,omitempty"`
	Wounds    int        `json:"wounds"`
	Retained  int64      `json:"retained_bytes"`
	// Final letters stand in files for good, Refused may still be delivered.
	Final       int64 `json:"dead_letters_final"`
	Refused     int64 `json:"dead_letters_refused"`
	LetterBytes int64 `json:"dead_letter_bytes"`
	// ToEmpty and ToFull are by two looks, or what open pools say; 0 is not in sight, or
	// unknown. Lost is what one of them says of rows that are dropped, or find no room.
	ToEmpty float64 `json:"seconds_to_empty,omitempty"`
	ToFull  float64 `json:"seconds_to_full,omitempty"`
	Lost    string  `json:"lost,omitempty"`
}

// Slots looks at every slot. With a pause it does so twice, to tell how fast they are
// drained.
func (s Store) Slots(ctx context.Context, pause time.Duration) (*Report, error) {
	s = s.withDefaults()
	before, err := s.report()
	if err != nil || pause <= 0 {
		return before, err
	}
	begun := time.Now()
	select {
	case <-time.After(pause):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	after, err := s.report()
	if err == nil {
		after.compare(before, time.Since(begun))
	}
	return after, err
}

func (s *Store) report() (*Report, error) {
	names, err := s.slots()
	if err != nil {
		return nil, err
	}
	h := holder.Read()
	pools := s.pools(h)
	r := &Report{Dir: s.Dir, Slots: []Slot{}, Pools: []string{}}
	for _, p := range pools.open() {
		r.Pools = append(r.Pools, p.SenderID)
	}
	for _, name := range names {
		one := s.slot(name, h)
		if one == nil {
			continue // its owner has taken it away
		}
		pools.storedAt(one, s.Now())
		if one.Rows > 0 || one.Frames > 0 {
			one.Why = s.why(one, pools)
		}
		r.add(one)
	}
	pools.forecast(&r.Total, s.Now())
	return r, s.letters(r)
}

// slot looks at one slot; nil if it is gone.
func (s *Store) slot(name string, h *holder.Locks) *Slot {
	one := &Slot{Name: name, FirstPending: -1, Watermark: -1, Published: -1}
	one.Kind, _ = s.kindOf(name)
	e, owner, err := s.examine(name, false, h)
	one.Owner = owner
	switch {
	case err == nil:
		one.take(e, s.Now())
	case errors.Is(err, fs.ErrNotExist):
		if _, err := s.FS.Stat(s.path(name)); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		fallthrough
	default:
		one.Error = err.Error()
	}
	one.State = s.state(one, e)
	return one
}

func (s *Store) state(one *Slot, e *slot.Examination) string {
	switch {
	case one.Owner.Held:
		return InUse
	case e == nil:
		return Unreadable
	case e.Failed:
		one.Why = link.OneLine(e.FailedWhy, maxReason)
		return Failed
	case one.Kind == KindOther, one.Kind == KindImported, one.Kind == KindRewind:
		return Orphan
	}
	return Free
}

func (one *Slot) take(e *slot.Examination, now time.Time) {
	st := &e.Stats
	one.Foreign, one.target, one.Target = e.Foreign, e.Target, oneLine(e.Target)
	one.FirstPending, one.Watermark, one.Published = int64(e.FirstPending), int64(st.Watermark), int64(st.Published)
	one.Frames, one.Rows, one.Bytes, one.FileBytes = st.PendingFrames, st.Pending, st.PendingBytes, e.FileBytes
	one.Ledger = ledgerOf(st)
	one.Incidents, one.Corrupt, one.CorruptBytes = len(e.Receipts), len(e.Corrupt), e.CorruptBytes
	one.Retained, one.RetainBytes = e.Kept, e.KeptBytes
	one.Unfinished = e.Unfinished.Rows
	if st.HasOldest && st.PendingFrames > 0 {
		at := time.UnixMicro(st.OldestPendingTime).UTC()
		one.Oldest, one.Age = &at, now.Sub(at).Seconds()
	}
	for _, f := range e.Findings {
		if f.Grade == slot.Wounded && f.Receipt == "" {
			one.Wounds++
		}
	}
}

// maxReason bounds what is quoted of .failed, in bytes.
const maxReason = 400

// oneLine writes a target for people.
func oneLine(target string) string {
	return link.OneLine(target, len(target))
}

// add takes a slot into the report.
func (r *Report) add(one *Slot) {
	t := &r.Total
	t.Rows, t.Frames, t.Bytes = t.Rows+one.Rows, t.Frames+one.Frames, t.Bytes+one.Bytes
	t.FileBytes, t.Retained, t.Wounds = t.FileBytes+one.FileBytes, t.Retained+one.RetainBytes, t.Wounds+one.Wounds
	if one.Oldest != nil && (t.Oldest == nil || one.Oldest.Before(*t.Oldest)) {
		t.Oldest, t.Age = one.Oldest, one.Age
	}
	if one.Error != "" && r.Error == "" {
		r.Error = "slot " + one.Name + ": " + one.Error
	}
	r.Slots = append(r.Slots, *one)
}

// compare tells how fast slots are drained.
func (r *Report) compare(before *Report, pause time.Duration) {
	sum := 0.0
	for i := range r.Slots {
		one := &r.Slots[i]
		at := slices.IndexFunc(before.Slots, func(b Slot) bool { return b.Name == one.Name })
		if at < 0 {
			continue
		}
		gone := before.Slots[at].Rows - one.Rows
		one.PerSecond = float64(gone) / pause.Seconds()
		if gone > 0 && one.Rows > 0 {
			one.ToEmpty = float64(one.Rows) / one.PerSecond
		}
		sum += one.PerSecond
	}
	if sum > 0 {
		r.Total.ToEmpty = float64(r.Total.Rows) / sum
	}
}

// letters counts the dead letters of all pools.
func (s *Store) letters(r *Report) error {
	files, err := s.letterFiles()
	for _, f := range files {
		v, err := deadletter.Look(s.FS, s.path(f.name), f.sealed)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			if r.Error == "" {
				r.Error = err.Error()
			}
			continue
		}
		r.Total.LetterBytes += v.Bytes
		if f.class == deadletter.Final {
			r.Total.Final += v.Letters
		} else {
			r.Total.Refused += v.Letters
		}
	}
	return err
}

type letterFile struct {
	name   string
	class  deadletter.Class
	sealed bool
}

func (s *Store) letterFiles() (list []letterFile, _ error) {
	entries, err := s.FS.ReadDir(s.Dir)
	for _, e := range entries {
		if _, class, sealed, ok := deadletter.Named(e.Name()); ok && e.Type().IsRegular() {
			list = append(list, letterFile{e.Name(), class, sealed})
		}
	}
	return list, err
}
