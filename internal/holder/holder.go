// SPDX-License-Identifier: MIT

// Package holder tells who holds the lock of a slot or of a pool, without taking it.
package holder

import (
	"bytes"
	"strconv"
	"strings"

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

// Locks knows who holds which lock, as it was when they were read. Where the system has no
// list of locks, a living process with the number in <lock>.pid is taken for the holder.
type Locks struct {
	locks []flock
	known bool
}

// flock is a line of the list of locks of the system.
type flock struct {
	pid    int
	device string // major:minor
	inode  uint64
}

// Of returns the holder of a lock by its file.
func (h *Locks) Of(lock string) Holder {
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
