// SPDX-License-Identifier: MIT

// Package notice is what an open pool writes down for those who look at its directory:
// why rows wait, since when, and when there will be no room for more. The files of the
// slots tell what is pending, but only the process that sends knows what the server says.
//
// A notice is one JSON object in <sf_dir>/.slot-locks/<sender_id>.pool.notice. It is there
// while rows wait, is written anew when the reason changes and once a minute otherwise, is
// never synced, and says nothing once the lock of its pool is free.
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
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Notice is what a pool says of itself.
type Notice struct {
	At  time.Time `json:"at"` // when it was written
	PID int       `json:"pid"`
	// Full says that a slot found no room for its last batch.
	Full bool `json:"full,omitempty"`
	// ToFull is in how many seconds there will be no room if all goes on like this, and
	// ToEmpty when nothing will be pending; 0 is not in sight, or unknown.
	ToFull  float64 `json:"seconds_to_full,omitempty"`
	ToEmpty float64 `json:"seconds_to_empty,omitempty"`
	// Slots are the ones with pending rows.
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
	return filepath.Join(dir, ".slot-locks", senderID+".pool.notice")
}

// Write puts a notice in the place of the last one, without a sync.
func Write(fsys vfs.FS, path string, n *Notice) (err error) {
	list := n.Slots[:min(len(n.Slots), maxSlots)]
	for i := range list {
		list[i].Error, list[i].HeldFor = clip(list[i].Error), clip(list[i].HeldFor)
	}
	b, err := json.Marshal(Notice{n.At, n.PID, n.Full, n.ToFull, n.ToEmpty, list})
	if err != nil {
		return err
	}
	f, err := fsys.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(append(b, '\n'), 0)
	return errors.Join(err, f.Close())
}

// clip puts an error on one line of bounded length.
func clip(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
	if len(text) <= maxError {
		return text
	}
	end := maxError
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + " …"
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
	return n, nil
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

// Longest returns the slot of which the server has taken nothing for the longest time, or
// that has rows that are held; nil where all is well.
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
