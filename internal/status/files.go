// SPDX-License-Identifier: MIT

package status

import (
	"fmt"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

const (
	// filesEvery is how long a look at the files of a store counts: the disk is that of
	// the agent.
	filesEvery = 10 * time.Second
	// filesWait is how long who asks waits for one: a disk may hang.
	filesWait = time.Second
)

// files is what only the files of a store tell.
type files struct {
	letters api.Letters
	orphans map[string]peeked // nobody changes it
	wounds  []api.Incident
	untold  map[string]bool // receipts of others, by slot and name; nobody changes it
	kept    api.Kept
}

// disk looks at the files of a store while somebody asks for them. It changes nothing and
// takes no lock.
type disk struct {
	fs vfs.FS

	mu      sync.Mutex // guards what follows; no file is touched under it
	at      time.Time
	looking chan struct{} // closed when the look under way has ended; nil without one
	seen    files

	// The look under way has these for itself.
	letters letterFiles
	peekers map[string]*slot.Peeker // of orphans, by name
	peeked  map[string]peeked       // what they saw; not changed after the look
	turn    string                  // the orphan that was looked into last
	told    map[string]api.Incident // by slot and name
}

// look returns what was seen some seconds ago at most, or, where the disk hangs, before.
func (d *disk) look(dir, senderID string, orphans []string) files {
	d.mu.Lock()
	if d.looking == nil && (d.at.IsZero() || time.Since(d.at) >= filesEvery) {
		d.looking = make(chan struct{})
		go d.read(dir, senderID, orphans)
	}
	looking := d.looking
	d.mu.Unlock()
	if looking != nil {
		select {
		case <-looking:
		case <-time.After(filesWait):
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}

// read looks, once at a time. Nobody is above it who would catch a panic, and the agent has
// to stay up, whatever stands in a file.
func (d *disk) read(dir, senderID string, orphans []string) {
	var seen files
	defer func() {
		if bug := recover(); bug != nil {
			seen.kept.Error = fmt.Sprintf("bug: %v", bug)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		d.seen, d.at = seen, time.Now()
		close(d.looking)
		d.looking = nil
	}()
	seen.letters = d.letters.look(d.fs, dir, senderID)
	seen.orphans = d.peek(dir, orphans)
	seen.wounds, seen.untold, seen.kept = d.wounds(dir)
}
