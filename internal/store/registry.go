// SPDX-License-Identifier: MIT

package store

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/questdb-sf/questdb_sf/internal/mounts"
)

// stores is the one variable of the package. It has to be the process's: blocks
// know nothing of each other, and Telegraf gives them no common owner.
var stores = registry{open: map[key]*shared{}}

// registry holds the stores of the process that have a holder.
type registry struct {
	mu   sync.Mutex // guards open, and the holders of each
	open map[key]*shared
}

// key names the slots that a store owns.
type key struct{ dir, senderID string }

// share returns the store of a key to one more holder. One whose last holder is
// leaving is not in the registry any more: the next waits for its lock.
func (r *registry) share(s Settings) (*shared, error) {
	if s.Pool.Dir == "" {
		return nil, errors.New("sf_dir is missing: name the directory of the store")
	}
	dir, err := filepath.Abs(s.Pool.Dir)
	if err != nil {
		return nil, fmt.Errorf("sf_dir %s: %w", s.Pool.Dir, err)
	}
	dir = mounts.Resolved(dir)
	k := key{dir, s.Pool.SenderID}
	r.mu.Lock()
	defer r.mu.Unlock()
	sh := r.open[k]
	if sh == nil {
		sh = newShared(k, s)
		r.open[k] = sh
	} else if differ := differing(sh.set, s); len(differ) > 0 {
		return nil, &ConflictError{Dir: dir, SenderID: k.senderID, Differ: differ, FreeID: r.freeID(k)}
	}
	sh.holders++
	return sh, nil
}

// leave takes a holder off, and says whether it was the last.
func (r *registry) leave(sh *shared) (last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sh.holders--
	if sh.holders > 0 {
		return false
	}
	delete(r.open, sh.key)
	return true
}

// freeID returns a sender_id like that of k which no block of this process has
// asked for.
func (r *registry) freeID(k key) string {
	for n := 2; ; n++ {
		id := fmt.Sprintf("%s-%d", k.senderID, n)
		if r.open[key{k.dir, id}] == nil {
			return id
		}
	}
}

// differing returns the names of the options in which two settings differ; none
// if they are equal.
func differing(a, b Settings) []string {
	if a.Fingerprint == b.Fingerprint {
		return nil
	}
	x, y := options(a.Fingerprint), options(b.Fingerprint)
	names := map[string]bool{}
	for name := range x {
		names[name] = true
	}
	for name := range y {
		names[name] = true
	}
	maps.DeleteFunc(names, func(name string, _ bool) bool { return x[name] == y[name] })
	if len(names) == 0 { // the same lines in another order, or twice
		return []string{"settings"}
	}
	return slices.Sorted(maps.Keys(names))
}

// options takes a fingerprint apart.
func options(fingerprint string) map[string]string {
	list := map[string]string{}
	for line := range strings.Lines(fingerprint) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			name, value = "settings", line
		}
		list[strings.TrimSpace(name)] += value
	}
	return list
}

// ConflictError says that another block of this process has the slots that a
// block asks for, with other settings.
type ConflictError struct {
	Dir, SenderID string
	Differ        []string // options, or just "settings"
	FreeID        string   // a sender_id that would do
}

// Error prints the line that has to be added.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("another [[outputs.questdb_sf]] block has sf_dir = %q and sender_id = %q with other settings (%s): "+
		"make them equal, or add this line to one of the two: sender_id = %q",
		e.Dir, e.SenderID, strings.Join(e.Differ, ", "), e.FreeID)
}
