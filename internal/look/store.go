// SPDX-License-Identifier: MIT

// Package look tells what is in a store, whether it is whole, and what its rows are,
// beside an agent that may be using it: it takes no lock and changes no byte. What
// files come, grow and go meanwhile, it looks at again.
package look

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/connstr"
	"github.com/questdb-sf/questdb_sf/internal/holder"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Store says which store is looked at, and what is known of the agent whose it is.
type Store struct {
	FS  vfs.FS // default vfs.OS
	Dir string
	// SenderID and Senders are those of the agent. Without them every slot counts as one
	// that its own agent sees to.
	SenderID string
	Senders  int
	// Target is where the agent sends, Takes says whether rows for a target may go there:
	// ours are those of its own slots. Nil where that is not known.
	Target string
	Takes  func(target string, ours bool) bool
	// DrainOrphans is whether the agent sees to slots of nobody.
	DrainOrphans bool
	// Now is the wall clock, for ages. Default time.Now.
	Now func() time.Time
}

// withDefaults also makes sure that nothing is changed.
func (s Store) withDefaults() Store {
	if s.FS == nil {
		s.FS = vfs.OS
	}
	s.FS = vfs.ReadOnly(s.FS)
	if s.Now == nil {
		s.Now = time.Now
	}
	return s
}

func (s *Store) path(name string) string { return filepath.Join(s.Dir, name) }

// slots are the names of the slots that are there.
func (s *Store) slots() (names []string, _ error) {
	entries, err := s.FS.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no directory %s: nothing was stored there yet, or the store is elsewhere", s.Dir)
	}
	if err != nil {
		return nil, fmt.Errorf("look at sf_dir %s: %w", s.Dir, err)
	}
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		files, err := s.FS.ReadDir(s.path(e.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) || slices.ContainsFunc(files, ofSlot) {
			names = append(names, e.Name()) // what cannot be read is told where it is looked at
		}
	}
	return names, nil
}

// ofSlot says whether a file is one that slots have.
func ofSlot(e fs.DirEntry) bool {
	name := e.Name()
	sides := []string{".lock", ".qsf-state", ".ack-watermark", ".failed", ".symbol-dict", "sf-manifest.bin"}
	return slices.Contains(sides, name) || strings.HasPrefix(name, "sf-") && strings.Contains(name, ".sfa")
}

// named returns the slots of the given names; all of them without any.
func (s *Store) named(wanted []string) ([]string, error) {
	all, err := s.slots()
	if err != nil || len(wanted) == 0 {
		return all, err
	}
	for _, name := range wanted {
		if slices.Contains(all, name) {
			continue
		}
		hint := "; questdb_sf slots lists those that are there"
		if near := connstr.Nearest(name, all); near != "" {
			hint = fmt.Sprintf(": did you mean %s?", near)
		}
		return nil, fmt.Errorf("there is no slot %s in %s%s", name, s.Dir, hint)
	}
	return wanted, nil
}

// examine looks at a slot, and says who has it.
func (s *Store) examine(name string, deep bool, h *holder.Locks) (*slot.Examination, holder.Holder, error) {
	lock := filepath.Join(s.path(name), ".lock")
	owner := h.Of(lock)
	o := slot.ExamineOptions{FS: s.FS, Dir: s.path(name), Target: s.Target, Deep: deep, Alone: owner.Sure && !owner.Held}
	e, err := slot.Examine(o)
	if !o.Alone || err == nil && len(e.Findings) == 0 {
		return e, owner, err
	}
	if owner = holder.Read().Of(lock); owner.Held { // somebody has begun to work in it
		o.Alone = false
		e, err = slot.Examine(o)
	}
	return e, owner, err
}

// kindOf says what a slot is by its name: own, imported or rewind of the agent that is
// looked for, or a slot of another sender_id. owner is the sender_id that sees to it.
func (s *Store) kindOf(name string) (kind, owner string) {
	base, index, ok := slot.SplitName(name)
	if !ok {
		return KindOther, ""
	}
	kind = KindOwn
	if of, is := strings.CutSuffix(base, "-imported"); is {
		kind, base = KindImported, of
	} else if of, is := strings.CutSuffix(base, "-rewind"); is {
		kind, base = KindRewind, of
	}
	if s.SenderID != "" && (base != s.SenderID || kind == KindOwn && index >= s.Senders) {
		kind = KindOther
	}
	return kind, base
}

// Kinds of slots.
const (
	KindOwn      = "own"
	KindImported = "imported"
	KindRewind   = "rewind"
	KindOther    = "other"
)
