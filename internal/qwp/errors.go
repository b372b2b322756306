// SPDX-License-Identifier: MIT

package qwp

import (
	"errors"
	"fmt"
)

var (
	// ErrFrameFull says that a Builder has rows and the next one does not fit:
	// take the frame, Reset, and add the row again.
	ErrFrameFull = errors.New("qwp: frame is full")
	// ErrRowTooLarge says that a row does not fit into a frame of its own.
	ErrRowTooLarge = errors.New("row is larger than a frame may be")
	// ErrDictGap says that a message builds on symbols this side never got.
	ErrDictGap = errors.New("symbol dictionary has a gap")
)

// RowError says why a row can never be stored.
type RowError struct {
	Table  string
	Column string // empty when the row as a whole is at fault
	Err    error
}

func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("row of table %q: %v", e.Table, e.Err)
	}
	return fmt.Sprintf("row of table %q, column %q: %v", e.Table, e.Column, e.Err)
}

// Unwrap gives errors.Is the reason.
func (e *RowError) Unwrap() error { return e.Err }

// FormatError says where bytes stop being a message or a response.
type FormatError struct {
	Offset int // in bytes from the start of the message
	Table  string
	Column string
	Reason string
}

func (e *FormatError) Error() string {
	switch {
	case e.Table == "":
		return fmt.Sprintf("qwp: byte %d: %s", e.Offset, e.Reason)
	case e.Column == "":
		return fmt.Sprintf("qwp: byte %d, table %q: %s", e.Offset, e.Table, e.Reason)
	}
	return fmt.Sprintf("qwp: byte %d, table %q, column %q: %s", e.Offset, e.Table, e.Column, e.Reason)
}

// GapError is ErrDictGap with its figures.
type GapError struct {
	Start int // first id the message defines
	Len   int // ids this side has
}

func (e *GapError) Error() string {
	return fmt.Sprintf("qwp: %v: message goes on at id %d, %d are known", ErrDictGap, e.Start, e.Len)
}

// Unwrap gives errors.Is the sentinel.
func (e *GapError) Unwrap() error { return ErrDictGap }
