// SPDX-License-Identifier: MIT

// Package top is a live view of a store: it looks at it again and again, reckons rates and
// forecasts from what has changed, and draws that for a terminal or as a line. It takes no
// lock and changes nothing; a running agent does not notice it.
//
// A Source reads: Dir the files, Status the agent's status page. History reckons, Frame and
// Line draw. None of them knows a clock: readings have their time with them.
package top

import (
	"context"
	"time"
)

// Source reads the state of a store.
type Source interface {
	Read(ctx context.Context) (Reading, error)
}

// Reading is a store at one time.
type Reading struct {
	At    time.Time `json:"at"`
	Name  string    `json:"store"` // its directory
	Slots []Slot    `json:"slots"`
	// StoreBytes are the segment files of the slots of the sender_id, MaxBytes what they
	// may have; 0 where that is not known.
	StoreBytes int64 `json:"store_bytes"`
	MaxBytes   int64 `json:"max_bytes"`
	// FreeBytes are free on the disk beyond what is to be left free; negative where too
	// little is, and absent where that is not known.
	FreeBytes *int64 `json:"free_bytes,omitempty"`
	// LetterBytes are the files of dead letters.
	LetterBytes int64 `json:"dead_letter_bytes"`
	// Agents are the processes that have slots open; 0 is one whose number cannot be seen.
	Agents []int `json:"agents"`
	// Remote says that the agent itself was asked.
	Remote bool `json:"remote"`
	// ToFull is in what time the agent expects the store to be full, ToEmpty to be empty; 0
	// is not in sight, or unknown.
	ToFull  time.Duration `json:"agent_to_full_ns,omitempty"`
	ToEmpty time.Duration `json:"agent_to_empty_ns,omitempty"`
	// Unseen says that an agent wrote here lately whose lock is not seen to be held: it was
	// killed, or runs where that cannot be seen, in another container for example.
	Unseen bool `json:"unseen,omitempty"`
	// Trouble is what the agent says of itself, or what could not be read.
	Trouble []string `json:"trouble,omitempty"`
	// Partial says that not all is counted yet.
	Partial bool `json:"partial"`
}

// Slot is a slot in a Reading. All but the bytes are rows.
type Slot struct {
	Name  string `json:"name"`
	State string `json:"state"` // in words; empty where there is nothing to say
	// Accepted = Pending + Acked + Dead + Lost. Lost were dropped, quarantined, or are not
	// known.
	Accepted     int64     `json:"accepted"`
	Pending      int64     `json:"pending"`
	Acked        int64     `json:"acked"`
	Dead         int64     `json:"dead_lettered"`
	Lost         int64     `json:"lost"`
	PendingBytes int64     `json:"pending_bytes"`
	Oldest       time.Time `json:"oldest,omitzero"` // of the pending ones
}

// sums adds up the slots.
func (r *Reading) sums() (s Slot) {
	for i := range r.Slots {
		one := &r.Slots[i]
		s.Accepted += one.Accepted
		s.Pending += one.Pending
		s.Acked += one.Acked
		s.Dead += one.Dead
		s.Lost += one.Lost
		s.PendingBytes += one.PendingBytes
		if !one.Oldest.IsZero() && (s.Oldest.IsZero() || one.Oldest.Before(s.Oldest)) {
			s.Oldest = one.Oldest
		}
	}
	return s
}
