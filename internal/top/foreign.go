// SPDX-License-Identifier: MIT

package top

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// counted is what a slot of another client held when its files had a mark.
type counted struct {
	mark string
	stat slot.Stats
}

// foreign tells what is in a slot of another client that nobody uses. All of it has to be
// read for that, and is not read again before its files change.
func (d *Dir) foreign(name string, s *Slot) {
	path := filepath.Join(d.Path, name)
	mark, err := d.mark(path)
	if err != nil {
		return
	}
	was, known := d.others[name]
	if !known || was.mark != mark {
		e, err := slot.Examine(slot.ExamineOptions{FS: d.FS, Dir: path})
		if err != nil {
			return // as state tells
		}
		was = counted{mark, e.Stats}
		if d.others == nil {
			d.others = map[string]counted{}
		}
		d.others[name] = was
	}
	st := &was.stat
	s.Accepted, s.Pending, s.Acked, s.PendingBytes = st.Accepted, st.Pending, st.Acked, st.PendingBytes
	if st.HasOldest && st.Pending > 0 {
		s.Oldest = time.UnixMicro(st.OldestPendingTime)
	}
}

// mark changes when a file of a directory does.
func (d *Dir) mark(path string) (mark string, _ error) {
	entries, err := d.FS.ReadDir(path)
	for _, e := range entries {
		if info, err := d.FS.Stat(filepath.Join(path, e.Name())); err == nil {
			mark += fmt.Sprintln(e.Name(), info.Size(), info.ModTime().UnixNano())
		}
	}
	return mark, err
}
