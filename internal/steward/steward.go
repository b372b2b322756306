// SPDX-License-Identifier: MIT

// Package steward works on slots that nobody has open, for an operator: it carries
// what is pending to a file and back, gives it up, and copies what is whole out of a
// damaged slot. It sends nothing. Whatever it refuses, it refuses before a byte has
// changed.
package steward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Store is a directory of slots.
type Store struct {
	FS  vfs.FS
	Dir string
	// InUse returns an error for a slot that a pool sees to which is open, whether it has
	// it open at the moment or not.
	InUse func(slot string) error
	Now   func() time.Time
}

// Count is how much of something there is.
type Count struct {
	Frames int64 `json:"frames"`
	Rows   int64 `json:"rows"`
	Bytes  int64 `json:"bytes"` // of frames
	// Earliest and Latest are the span of the times of the rows; zero if they have none.
	Earliest time.Time `json:"earliest,omitzero"`
	Latest   time.Time `json:"latest,omitzero"`
}

func (c *Count) add(f slot.Frame) {
	c.Frames++
	c.Rows += int64(f.Rows)
	c.Bytes += int64(len(f.Bytes))
	if f.HasTime {
		c.span(f.MinTime, f.MaxTime)
	}
}

// span takes times in, in microseconds since 1970.
func (c *Count) span(low, high int64) {
	if at := time.UnixMicro(low).UTC(); c.Earliest.IsZero() || at.Before(c.Earliest) {
		c.Earliest = at
	}
	if at := time.UnixMicro(high).UTC(); c.Latest.IsZero() || at.After(c.Latest) {
		c.Latest = at
	}
}

func (c *Count) sum(o Count) {
	c.Frames, c.Rows, c.Bytes = c.Frames+o.Frames, c.Rows+o.Rows, c.Bytes+o.Bytes
	if !o.Earliest.IsZero() {
		c.span(o.Earliest.UnixMicro(), o.Latest.UnixMicro())
	}
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.Dir}, elem...)...)
}

// Slots returns the names of the slots that hold segments, or might.
func (s *Store) Slots() (names []string, _ error) {
	entries, err := s.FS.ReadDir(s.Dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if has, err := s.holds(e.Name()); err != nil {
			return nil, err
		} else if has {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// holds says whether a slot has segment files.
func (s *Store) holds(name string) (bool, error) {
	return slot.HoldsSegments(s.FS, s.path(name))
}

// check says why a name is not that of a slot that may be worked on. It changes
// nothing.
func (s *Store) check(name string) error {
	if name == "" || name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return fmt.Errorf("%q is no name of a slot: give one of the directories in %s", name, s.Dir)
	}
	if info, err := s.FS.Stat(s.path(name)); errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return s.missing(name)
	} else if err != nil {
		return err
	}
	if s.InUse != nil {
		if err := s.InUse(name); err != nil {
			return err
		}
	}
	return slot.CheckFree(s.FS, s.path(name))
}

func (s *Store) missing(name string) error {
	names, err := s.Slots()
	there := "no slot holds anything there"
	if len(names) > 0 {
		there = "there are " + strings.Join(names, ", ")
	}
	if err != nil {
		there = err.Error()
	}
	return fmt.Errorf("there is no slot %s in %s: %s", name, s.Dir, there)
}

// source is an open slot, ours or another client's.
type source interface {
	NewCursor() *slot.Cursor
	SettleAll(list []slot.Done) error
	Stats() slot.Stats
	Target() string
	Close() error
}

// taken is a slot that is open and held by its name.
type taken struct {
	source
	name    string
	foreign bool
	unlock  func() error
}

// take opens a slot that nobody has.
func (s *Store) take(name string, told func(slot.Incident)) (_ *taken, err error) {
	if err := s.check(name); err != nil {
		return nil, err
	}
	unlock, err := slot.LockName(s.FS, s.Dir, name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, unlock())
		}
	}()
	src, foreign, err := openAny(slot.Options{FS: s.FS, Dir: s.path(name), Durability: slot.Flush, Now: s.Now, OnIncident: told})
	if err != nil {
		if errors.As(err, new(*slot.DamageError)) {
			err = fmt.Errorf("%w; questdb_sf repair copies what is whole", err)
		}
		return nil, err
	}
	return &taken{source: src, name: name, foreign: foreign, unlock: unlock}, nil
}

func openAny(o slot.Options) (src source, foreign bool, _ error) {
	s, err := slot.Open(o)
	if errors.As(err, new(*slot.ForeignError)) {
		f, err := slot.OpenForeign(o)
		if err != nil {
			return nil, true, err
		}
		return f, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	return s, false, nil
}

func (t *taken) close() error { return errors.Join(t.Close(), t.unlock()) }

// each gives out the pending frames as messages that can be read alone; one without
// rows, which commits others, has no bytes. skip is told of what is no message.
func each(ctx context.Context, src source, foreign bool, visit func(slot.FSN, slot.Frame) error, skip func(slot.FSN, error)) error {
	c := src.NewCursor()
	defer c.Close()
	var view qwp.View
	var buf []byte
	for {
		e, ok, err := c.Next()
		if err != nil || !ok {
			return err
		}
		if err := view.Parse(e.Bytes, e.Dict); err != nil {
			skip(e.FSN, err)
			continue
		}
		i := view.Info()
		f := slot.Frame{Bytes: e.Bytes, Rows: i.Rows, MinTime: i.MinTime, MaxTime: i.MaxTime, HasTime: i.HasTime}
		switch {
		case i.Rows == 0:
			f.Bytes = nil
		case foreign:
			buf = view.AppendPart(buf[:0], qwp.WholeMessage)
			buf[flagsAt] &^= qwp.FlagDeferCommit // what it waited for may be elsewhere soon
			f.Bytes = buf
		}
		if err := errors.Join(visit(e.FSN, f), ctx.Err()); err != nil {
			return err
		}
	}
}

// flagsAt is where a QWP message has its flags.
const flagsAt = 5

func (s *Store) now() time.Time {
	if s.Now == nil {
		return time.Now()
	}
	return s.Now()
}

// Bytes returns the sizes of the segment files of slots; what cannot be seen is none.
func (s *Store) Bytes(names []string) (sum int64) {
	for _, name := range names {
		entries, _ := s.FS.ReadDir(s.path(name))
		for _, e := range entries {
			if info, err := s.FS.Stat(s.path(name, e.Name())); err == nil && strings.HasSuffix(e.Name(), ".sfa") {
				sum += info.Size()
			}
		}
	}
	return sum
}
