// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// targetCRC is what .qsf-state says of a target; never 0, which is for none.
func targetCRC(target string) uint32 {
	if target == "" {
		return 0
	}
	return max(1, crc32.Checksum([]byte(target), castagnoli))
}

// TargetDamaged says whether .target of a slot is not what it was when .qsf-state
// was written last, and whether want is what it was then. It reads only, and takes
// no lock. Where .qsf-state says nothing of it, it is not damaged.
func TargetDamaged(fsys vfs.FS, dir, want string) (damaged, wasWant bool, err error) {
	has, err := TargetOf(fsys, dir)
	if err != nil {
		return false, false, err
	}
	b, err := readSmall(fsys, filepath.Join(dir, stateName), stateTable)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(b) < stateTable {
		return false, false, nil
	} else if err != nil {
		return false, false, err
	}
	var st stored
	st.pick(b)
	was := st.state.target
	return was != 0 && was != targetCRC(has), was != 0 && was == targetCRC(want), nil
}

// openTarget reads .target, writing it first where it says nothing. One that is
// damaged is what the options say: or else a flipped bit would hold back the rows
// for ever.
func (s *Slot) openTarget(r *recovery) error {
	has, err := openTarget(s.o.FS, s.o.Dir, s.o.Target)
	if err != nil {
		return err
	}
	was := r.stored.state.target
	if want := s.o.Target; want != "" && has != want && was != 0 && was != targetCRC(has) {
		r.losses = append(r.losses, loss{booked: true, Incident: Incident{
			What: fmt.Sprintf("%s was damaged (checksum %08x, was %08x); the rows go to %q", targetName, targetCRC(has), was, want),
			File: targetName, Bytes: int64(len(has)), LastFSN: -1, RowsKnown: true,
			WhatToDo: "If the rows of this slot belong elsewhere, stop the agent and say so in .target. No row is lost.",
		}})
		has = want
		r.newTarget = true
	}
	s.target, s.targetCRC = has, targetCRC(has)
	return nil
}

// SetTarget has .target say where the rows of the slot belong. While it changes,
// .qsf-state says nothing of it, durably: a crash between is no damage.
func (s *Slot) SetTarget(target string) error {
	s.settling.Lock()
	defer s.settling.Unlock()
	s.targetCRC = 0
	if err := s.saveTwice(); err != nil {
		return err
	}
	if err := SetTarget(s.o.FS, s.o.Dir, target); err != nil {
		return err
	}
	s.target, s.targetCRC = target, targetCRC(target)
	return s.settler.state.save(s.snapshot(false))
}

// SetTarget has .target say where the rows of the slot belong.
func (f *Foreign) SetTarget(target string) error { return SetTarget(f.o.FS, f.o.Dir, target) }
