// SPDX-License-Identifier: MIT

// Package notice is what an open pool writes down for those who look at its directory:
// why rows wait, since when, and when there will be no room for more. The files of the
// slots tell what is pending, but only the process that sends knows what the server says.
//
// A notice is one JSON object in <sf_dir>/.slot-locks/<sender_id>.pool.notice. It is there
// while rows wait. It is written anew when the reason changes, at most each 15 s, and once a
// minute otherwise; it is never synced. A pool that closes takes it away; one that is killed
// leaves it, which is why it has a time and the number of its process in it.
package notice

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Notice is what a pool says of itself.
type Notice struct {
	At  time.Time `json:"at"` // when it was written
	PID int       `json:"pid"`
	// Full says that a slot found no room for its last batch. Dropped rows were dropped for
	// want of room or for their age since the pool was opened, the last of them within a
	// minute before At; 0 where that is longer ago.
	Full    bool  `json:"full,omitempty"`
	Dropped int64 `json:"rows_dropped,omitempty"`
	// ToFull is in how many seconds there will be no room if all goes on like this, and
	// ToEmpty when nothing will be pending; 0 is not in sight, or unknown.
	ToFull  float64 `json:"seconds_to_full,omitempty"`
	ToEmpty float64 `json:"seconds_to_empty,omitempty"`
	// StoreMaxBytes is what the segments of all slots may occupy.
	StoreMaxBytes int64 `json:"store_max_bytes,omitempty"`
	// Slots are the ones with pending rows, those of nobody that the pool drains included.
	Slots []Slot `json:"slots"`
}

// Slot is what a pool says of one of its slots.
type Slot struct {
	Name string `json:"slot"`
	// First is the first frame that was pending, Stored when it was stored; zero where
	// that is not known.
	First  int64     `json:"first_pending_fsn"`
	Stored time.Time `json:"oldest_stored,omitzero"`
	// Since is since when the server takes nothing; zero while it takes rows, or says
	// nothing against it.
	Since time.Time `json:"outage_since,omitzero"`
	// Error is why: what the network or the server says.
	Error string `json:"error,omitempty"`
	// Held rows wait for their tables, one of them for what HeldFor says.
	Held    int64  `json:"held_rows,omitempty"`
	HeldFor string `json:"held_for,omitempty"`
}

const (
	// maxBytes bounds what is read, maxError what is written of an error, maxSlots how
	// many slots are written: the largest pool has room for all.
	maxBytes = 256 << 10
	maxError = 400
	maxSlots = 256

	tries = 3
	pause = 10 * time.Millisecond
)

// Path is where the pool of a sender_id puts its notice.
func Path(dir, senderID string) string {
	return filepath.Join(dir, slot.LocksDir, senderID+".pool.notice")
}

// Write puts a notice in the place of the last one, without a sync. The file is not cut
// before it is written: a full disk leaves the last one, and filesystems that write at once
// what was cut and written anew have no reason to.
func Write(fsys vfs.FS, path string, n *Notice) (err error) {
	short := *n
	short.Slots = n.Slots[:min(len(n.Slots), maxSlots)]
	for i := range short.Slots {
		short.Slots[i].clean()
	}
	b, err := json.Marshal(&short)
	if err != nil {
		return err
	}
	f, err := fsys.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Truncate(int64(len(b)))
	}
	return errors.Join(err, f.Close())
}

// clean has what others said on one line, without what a terminal would obey.
func (s *Slot) clean() {
	s.Error, s.HeldFor = link.OneLine(s.Error, maxError), link.OneLine(s.HeldFor, maxError)
}

// Read returns the notice; nil where there is none that can be read. One that is being
// written is looked at again.
func Read(fsys vfs.FS, path string) *Notice {
	for try := 1; ; try++ {
		n, err := read(fsys, path)
		if err == nil || try == tries || errors.Is(err, os.ErrNotExist) {
			return n
		}
		time.Sleep(pause)
	}
}

func read(fsys vfs.FS, path string) (*Notice, error) {
	info, err := fsys.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxBytes {
		return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist) // no notice of ours
	}
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, maxBytes))
	if err != nil {
		return nil, err
	}
	n := new(Notice)
	if err := json.Unmarshal(b, n); err != nil {
		return nil, err
	}
	for i := range n.Slots { // whoever may write there need not be who looks
		n.Slots[i].clean()
	}
	return n, nil
}

// fresh is how long a notice is the present state, whatever the clock did meanwhile.
const fresh = 3 * time.Minute

// Fresh says whether the notice is of now, and not the last that was heard of its pool. n
// may be nil.
func (n *Notice) Fresh(now time.Time) bool {
	return n != nil && now.Sub(n.At).Abs() <= fresh
}

// Of returns what is said of a slot; nil if nothing is. n may be nil.
func (n *Notice) Of(slot string) *Slot {
	if n == nil {
		return nil
	}
	for i := range n.Slots {
		if n.Slots[i].Name == slot {
			return &n.Slots[i]
		}
	}
	return nil
}

// Longest returns the slot of which the server has taken nothing for the longest time,
// else one that has rows that are held; nil where all is well.
func (n *Notice) Longest() (worst *Slot) {
	if n == nil {
		return nil
	}
	for i := range n.Slots {
		one := &n.Slots[i]
		switch {
		case one.Since.IsZero() && one.Held == 0:
		case worst == nil, worst.Since.IsZero() && !one.Since.IsZero(),
			!one.Since.IsZero() && one.Since.Before(worst.Since):
			worst = one
		}
	}
	return worst
}

// Lost says in words that rows are dropped, or that none find room; "" in health. n may be nil.
func (n *Notice) Lost() string {
	switch {
	case n == nil:
		return ""
	case n.Dropped > 0:
		return fmt.Sprintf("the store is full: rows are dropped for want of room or for their age, %d since the agent started", n.Dropped)
	case n.Full:
		return "the store is full"
	}
	return ""
}

// Why says in words why the rows of the slot wait; "" where nothing is in their way.
func (s *Slot) Why() string {
	if s == nil {
		return ""
	}
	var says []string
	if !s.Since.IsZero() {
		says = append(says, "waiting for the server since "+s.Since.UTC().Format(time.RFC3339)+because(s.Error))
	}
	if s.Held > 0 {
		says = append(says, fmt.Sprintf("%d rows wait for their tables", s.Held)+because(s.HeldFor))
	}
	return strings.Join(says, "; ")
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}
