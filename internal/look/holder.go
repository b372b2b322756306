// SPDX-License-Identifier: MIT

package look

import (
	"bytes"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/notice"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Holder says who holds a lock, as far as that can be seen without taking it.
type Holder struct {
	Held bool `json:"held"`
	PID  int  `json:"pid,omitempty"` // 0 where that is not known
	// Sure is false where only the number that the last holder has left says so.
	Sure bool `json:"sure"`
}

// String says who it is.
func (h Holder) String() string {
	text := "another process"
	if h.PID != 0 {
		text = "pid " + strconv.Itoa(h.PID)
	}
	if !h.Sure {
		text = "probably " + text
	}
	return text
}

// holders knows who holds which lock. Where the system has no list of locks, a living
// process with the number in <lock>.pid is taken for the holder.
type holders struct {
	locks []flock
	known bool
}

// flock is a line of the list of locks of the system.
type flock struct {
	pid    int
	device string // major:minor
	inode  uint64
}

// of returns the holder of a lock by its file.
func (h *holders) of(lock string) Holder {
	left := slot.ReadPID(vfs.ReadOnly(vfs.OS), lock)
	if !h.known {
		return Holder{Held: left != 0 && isAlive(left), PID: left}
	}
	device, inode, ok := identity(lock)
	for _, l := range h.locks {
		// Some filesystems have another number in the list than in stat.
		if ok && l.inode == inode && (l.device == device || l.pid == left) {
			return Holder{Held: true, PID: max(l.pid, 0), Sure: true}
		}
	}
	return Holder{Sure: true}
}

// parseLocks reads the form of /proc/locks:
//
//	1: FLOCK  ADVISORY  WRITE 4711 08:01:131090 0 EOF
func parseLocks(b []byte) (list []flock) {
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) < 6 || f[1] != "FLOCK" {
			continue // a lock that is waited for has an arrow in the second place
		}
		pid, err := strconv.Atoi(f[4])
		at := strings.LastIndexByte(f[5], ':')
		if err != nil || at < 0 {
			continue
		}
		inode, err := strconv.ParseUint(f[5][at+1:], 10, 64)
		if err == nil {
			list = append(list, flock{pid: pid, device: f[5][:at], inode: inode})
		}
	}
	return list
}

// poolLock is the file that a pool with a sender_id has locked while it is open.
func (s *Store) poolLock(senderID string) string {
	return filepath.Join(s.Dir, ".slot-locks", senderID+".pool.lock")
}

// pools returns the sender_ids of pools that are open, with their holders.
func (s *Store) pools(h *holders) map[string]Holder {
	open := map[string]Holder{}
	entries, _ := s.FS.ReadDir(s.path(".slot-locks")) // none where nobody was yet
	for _, e := range entries {
		if id, is := strings.CutSuffix(e.Name(), ".pool.lock"); is {
			if holder := h.of(s.poolLock(id)); holder.Held {
				open[id] = holder
			}
		}
	}
	return open
}

// notices are what the open pools say of themselves, by sender_id.
type notices map[string]*notice.Notice

func (s *Store) notices(pools map[string]Holder) notices {
	said := notices{}
	for id := range pools {
		if n := notice.Read(s.FS, notice.Path(s.Dir, id)); n != nil {
			said[id] = n
		}
	}
	return said
}

// on returns the notice that speaks of a slot, else that of its owner; nil without one.
func (all notices) on(slot string, owner Holder) (of *notice.Notice) {
	for _, n := range all {
		switch {
		case n.Of(slot) != nil:
			return n
		case owner.Held && n.PID == owner.PID && n.Longest() != nil:
			of = n
		}
	}
	return of
}

// storedAt corrects when the oldest pending frame was stored, which its owner knows better
// than the files: it was this one, or one before.
func (all notices) storedAt(one *Slot, now time.Time) {
	said := all.on(one.Name, one.Owner).Of(one.Name)
	if said == nil || one.Oldest == nil || said.First > one.FirstPending || !said.Stored.After(*one.Oldest) {
		return
	}
	at := said.Stored.UTC()
	one.Oldest, one.Age = &at, now.Sub(at).Seconds()
}

// forecast takes over what pools say of when they are full, the first of them, and when
// they are empty, the last.
func (all notices) forecast(t *Total) {
	for _, n := range all {
		t.Full = t.Full || n.Full
		if n.ToFull > 0 && (t.ToFull == 0 || n.ToFull < t.ToFull) {
			t.ToFull = n.ToFull
		}
		t.ToEmpty = max(t.ToEmpty, n.ToEmpty)
	}
}
