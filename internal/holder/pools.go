// SPDX-License-Identifier: MIT

package holder

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/notice"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Pool is a pool of senders, by what it has left in its directory.
type Pool struct {
	SenderID string
	Holder   Holder // of its lock: it is open while that is held
	// Notice is what it says of itself now; nil where it says nothing, or that is of an
	// earlier run.
	Notice *notice.Notice
}

// Pools are those that are open, and those that wrote a notice lately although their lock
// is free as far as can be seen, sorted by sender_id.
func (h *Locks) Pools(fsys vfs.FS, dir string, now time.Time) (list []Pool) {
	entries, _ := fsys.ReadDir(filepath.Join(dir, slot.LocksDir)) // none where nobody was yet
	for _, e := range entries {
		id, is := strings.CutSuffix(e.Name(), ".pool.lock")
		if !is {
			continue
		}
		lock := PoolLock(dir, id)
		p := Pool{SenderID: id, Holder: h.Of(lock), Notice: notice.Read(fsys, notice.Path(dir, id))}
		// The pool wrote both numbers itself. What the system calls it may be another one,
		// outside of its container.
		if p.Notice != nil && p.Notice.PID != slot.ReadPID(fsys, lock) {
			p.Notice = nil
		}
		if p.Holder.Held || p.Notice.Fresh(now) {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b Pool) int { return cmp.Compare(a.SenderID, b.SenderID) })
	return list
}

// PoolLock is the file that a pool has locked while it is open.
func PoolLock(dir, senderID string) string {
	return filepath.Join(dir, slot.LocksDir, senderID+".pool.lock")
}
