// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

var (
	// ErrFull means that the cap is reached and trimming did not make room in
	// time, or that the disk has none. The error is a *FullError.
	ErrFull = errors.New("slot is full")
	// ErrFrameTooLarge means that a frame can never fit into a segment.
	ErrFrameTooLarge = errors.New("frame is larger than a segment")
	// ErrClosed is returned by what is asked of a closed slot.
	ErrClosed = errors.New("slot is closed")
)

// LockedError says that another open slot, here or in another process, holds
// the lock of the directory.
type LockedError struct {
	Dir string
	PID int // 0 when the holder left no number
}

// Error uses the words of the official clients, by which drainers know it.
func (e *LockedError) Error() string {
	pid := "unknown"
	if e.PID != 0 {
		pid = strconv.Itoa(e.PID)
	}
	return fmt.Sprintf("slot already in use by another process [slot=%s, holder=pid=%s]", e.Dir, pid)
}

// Unwrap gives vfs.ErrLocked.
func (e *LockedError) Unwrap() error { return vfs.ErrLocked }

// ForeignError says that a later generation of the format owns the directory.
// Nothing in it was changed. From Open it means that OpenForeign can drain it; from
// OpenForeign, that the generation is not known.
type ForeignError struct {
	Dir        string
	File       string // what gave it away
	Generation string
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("slot %s was written by another client (%s, seen in %s) and is left alone: "+
		"drain it with that client, or choose another sender_id", e.Dir, e.Generation, e.File)
}

// DamageError is a wound: damage that is not the torn tail of a crash. The bytes are
// untouched. Slots of our own format heal instead; it is met in those of other
// clients, and where a read shows what a second look does not.
type DamageError struct {
	Path   string
	FSN    FSN   // the first frame concerned; -1 when unknown
	Offset int64 // in the file
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("slot damaged at %s offset %d, frame %d: %s; the file was not changed", e.Path, e.Offset, e.FSN, e.Reason)
}

// FullError says how full the slot is. It is ErrFull, and the error of the
// context that ended the wait.
type FullError struct {
	Dir          string
	Need         int64 // bytes of files that would have to be added
	Used, Cap    int64 // bytes of files that are there and may be there, of all slots of the budget
	PendingBytes int64 // bytes of frames of this slot that wait to be settled
	Never        bool  // no trimming, in any of the slots, could make room for so much at once
	LowSpace     bool  // the filesystem has less than what is to be kept free, or nothing at all
	Free, Keep   int64 // bytes: what it has free, and what is to be kept; zero while that is not asked
	Cause        error // of the context; nil when Never
	Disk         error // of a filesystem or quota without room; nil while it has some
}

func (e *FullError) Error() string {
	what := "waiting for pending frames to be settled"
	switch {
	case e.Never:
		what = "so much at once never fits: write less at a time or raise sf_max_total_bytes"
	case e.Disk != nil:
		what = e.Disk.Error()
	case e.LowSpace:
		what = fmt.Sprintf("the filesystem has %d bytes free and sf_min_free_space keeps %d: waiting for either to change", e.Free, e.Keep)
	}
	return fmt.Sprintf("slot %s is full: %d bytes of segments to add to %d, sf_max_total_bytes %d, %d bytes pending; %s",
		e.Dir, e.Need, e.Used, e.Cap, e.PendingBytes, what)
}

// What leaves no room, by the option where there is one.
const (
	LimitTotal = "sf_max_total_bytes"
	LimitSpace = "sf_min_free_space"
	LimitDisk  = "the size of the filesystem, or a quota"
)

// Limit names what leaves no room.
func (e *FullError) Limit() string {
	switch {
	case e.Disk != nil:
		return LimitDisk
	case e.LowSpace:
		return LimitSpace
	}
	return LimitTotal
}

// Is makes it ErrFull.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// Unwrap gives the errors of the context and of the disk.
func (e *FullError) Unwrap() (list []error) {
	for _, err := range []error{e.Cause, e.Disk} {
		if err != nil {
			list = append(list, err)
		}
	}
	return list
}
