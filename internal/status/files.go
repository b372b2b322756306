// SPDX-License-Identifier: MIT

package status

import (
	"fmt"
	"slices"
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
	orphans map[string]slot.Peek
	wounds  []api.Incident
	kept    api.Kept
}

// disk looks at the files of a store while somebody asks for them. It changes nothing and
// takes no lock.
type disk struct {
	fs vfs.FS

	mu      sync.Mutex // guards what follows; no file is touched under it
	at      time.Time
	looking chan struct{} // closed when the look under way has ended; nil without one
	asked   []string      // orphans
	seen    files

	// The look under way has these for itself.
	letters letterFiles
	peekers map[string]*slot.Peeker
	told    map[string]api.Incident // by path
}

// look returns what was seen some seconds ago at most, or, where the disk hangs, before.
// Orphans that are new are looked at now.
func (d *disk) look(dir, senderID string, orphans []string) files {
	d.mu.Lock()
	if d.looking == nil && (d.at.IsZero() || time.Since(d.at) >= filesEvery || !slices.Equal(d.asked, orphans)) {
		d.looking, d.asked = make(chan struct{}), orphans
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
	seen.wounds, seen.kept = d.wounds(dir)
}
