// SPDX-License-Identifier: MIT

package slot

import (
	"fmt"
	"hash/crc32"
	"math/bits"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// targetCRC is what .qsf-state says of a target; never 0, which is for none.
func targetCRC(target string) uint32 {
	if target == "" {
		return 0
	}
	return max(1, crc32.Checksum([]byte(target), castagnoli))
}

// TargetDamaged says whether .target of a slot was damaged since .qsf-state was
// written last, and whether want is what it said then. A text that somebody may have
// written there on purpose is no damage: rows of one output never go to the server
// of another because of a guess. It reads only, and takes no lock.
func TargetDamaged(fsys vfs.FS, dir, want string) (damaged, wasWant bool, err error) {
	has, err := TargetOf(fsys, dir)
	if err != nil || has == "" {
		return false, false, err
	}
	b, err := readSmall(fsys, filepath.Join(dir, stateName), stateTable)
	if err != nil || len(b) < stateTable {
		return false, false, ignoreMissing(err)
	}
	var st stored
	st.pick(b)
	damaged, wasWant = damagedTarget(has, want, st.state.target)
	return damaged, wasWant, nil
}

// damagedTarget compares what .target says with its checksum of before. What nobody
// writes is damage, and so is a text that lacks one bit, or its end, of what is
// wanted and was there.
func damagedTarget(has, want string, was uint32) (damaged, wasWant bool) {
	if was == 0 || was == targetCRC(has) {
		return false, false
	}
	wasWant = was == targetCRC(want)
	unreadable := strings.ContainsFunc(has, func(c rune) bool {
		return c == utf8.RuneError || c != '\n' && !unicode.IsPrint(c)
	})
	return unreadable || wasWant && (strings.HasPrefix(want, has) || oneBitApart(has, want)), wasWant
}

func oneBitApart(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	n := 0
	for i := range len(a) {
		n += bits.OnesCount8(a[i] ^ b[i])
	}
	return n == 1
}

// openTarget reads .target, writing it first where it says nothing. One that is
// damaged is what the options say: or else a flipped bit would hold back the rows
// for ever.
func (s *Slot) openTarget(r *recovery) error {
	has, err := openTarget(s.o.FS, s.o.Dir, s.o.Target)
	if err != nil {
		return err
	}
	was, want := r.stored.state.target, s.o.Target
	if damaged, _ := damagedTarget(has, want, was); damaged && want != "" && has != want {
		r.losses = append(r.losses, loss{booked: true, Incident: Incident{
			What: fmt.Sprintf("%s was damaged (checksum %08x, was %08x); the rows go to %q", targetName, targetCRC(has), was, want),
			File: targetName, Bytes: int64(len(has)), LastFSN: -1, RowsKnown: true,
			WhatToDo: "If the rows of this slot belong elsewhere, stop the agent and say so in .target. No row is lost.",
		}})
		has, r.newTarget = want, true
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
