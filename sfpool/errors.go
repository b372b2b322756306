// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

var (
	// ErrClosed is returned by what is asked of a closed pool.
	ErrClosed = errors.New("the pool is closed")
	// ErrStoreFull says that the slots hold sf_max_total_bytes, or that the disk has
	// no room, and nothing was acked in time. Nothing was stored.
	ErrStoreFull = slot.ErrFull
)

// LockedError says which slot another owner holds, and its process; PID 0 is
// unknown.
type LockedError = slot.LockedError

// DamageError says where the slot of another client is damaged other than by a torn
// last write. Slots of our own heal: see Stats.Incidents.
type DamageError = slot.DamageError

// AcquireError says that Borrow found no sender in time. It is the error of the
// context that ended the wait; of acquire_timeout, context.DeadlineExceeded. It is
// also the error of a slot that cannot be used, if there is one.
type AcquireError struct {
	Waited                          time.Duration
	Live, Building, Closing, Leaked int // indices in these states, when it gave up
	Ailing                          int // free, but their slots cannot be used
	Max                             int
	Cause                           error
	Ails                            error // of the first ailing slot; nil without
}

func (e *AcquireError) Error() string {
	text := fmt.Sprintf("no sender within %s: of %d slots %d are in use, %d opening, %d closing, %d leaked: %v",
		e.Waited.Round(time.Millisecond), e.Max, e.Live, e.Building, e.Closing, e.Leaked, e.Cause)
	if e.Ails != nil {
		text += fmt.Sprintf("; %d cannot be used: %v", e.Ailing, e.Ails)
	}
	return text
}

// Unwrap returns Cause and Ails.
func (e *AcquireError) Unwrap() []error {
	if e.Ails == nil {
		return []error{e.Cause}
	}
	return []error{e.Cause, e.Ails}
}

// LostError says how many rows a pool without sf_dir lost when it was closed.
type LostError struct{ Rows int64 }

func (e *LostError) Error() string {
	return fmt.Sprintf("%d rows were not acked in time and are lost: there is no sf_dir to keep them", e.Rows)
}

// PanicError is a panic that was caught, so that the pool stays in order.
type PanicError struct {
	Doing string // what, and to which slot
	Value any
	Stack []byte
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("bug: panic in %s: %v\n%s", e.Doing, e.Value, e.Stack)
}

// Unwrap returns the value of the panic where it was an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// safely runs f and makes a panic an error: what the pool keeps account of goes
// on whatever its parts do.
func safely(doing string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &PanicError{Doing: doing, Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}
