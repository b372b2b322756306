// SPDX-License-Identifier: MIT

package look

import (
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/holder"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// Tables are those that the rows of a store are for.
type Tables struct {
	Names []string // sorted; MaxTables at most
	More  bool     // there are more than those
	// Unread are the slots and files that could not be read.
	Unread []string
}

// MaxTables is how many tables are looked for, and tableBytes how much is read of each
// slot, and of each file of dead letters, to find them.
const (
	MaxTables  = 100
	tableBytes = 4 << 20
)

// Tables finds the tables that rows go to: those of the newest frames of each slot whose
// rows the agent sends, pending or acked, and those of its dead letters. A table that
// was not written to for long is not among them.
func (s Store) Tables() (*Tables, error) {
	s = s.withDefaults()
	names, err := s.slots()
	if err != nil {
		return nil, err
	}
	c := &collector{names: map[string]string{}}
	h := holder.Read()
	for _, name := range names {
		if err := c.slot(&s, name, h); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.Unread = append(c.Unread, name)
		}
	}
	if err := c.letters(&s); err != nil {
		return nil, err
	}
	c.Names = slices.Sorted(maps.Values(c.names))
	return &c.Tables, nil
}

// collector collects names of tables.
type collector struct {
	Tables
	names map[string]string // by the name in small letters: QuestDB folds them
	view  qwp.View
}

func (c *collector) add(name string) {
	folded := strings.ToLower(name)
	if _, known := c.names[folded]; known {
		return
	}
	if len(c.names) == MaxTables {
		c.More = true
		return
	}
	c.names[folded] = name
}

// slot looks at the newest frames of a slot.
func (c *collector) slot(s *Store, name string, h *holder.Locks) error {
	e, _, err := s.examine(name, false, h)
	if err != nil {
		return err
	}
	one := &Slot{Name: name, target: e.Target}
	if one.Kind, _ = s.kindOf(name); s.belongsElsewhere(one) || s.isOrphan(one) && !s.DrainOrphans {
		return nil
	}
	return e.Newest(tableBytes, func(f *slot.Framed) {
		if c.view.Parse(f.Bytes, f.Dict) != nil {
			return // verify tells of it
		}
		for i := range c.view.Tables() {
			c.add(c.view.Tables()[i].Name)
		}
	})
}

// letters looks at the dead letters of the agent.
func (c *collector) letters(s *Store) error {
	shelves, err := deadletter.Shelves(s.FS, s.Dir)
	for i := range shelves {
		if s.SenderID != "" && shelves[i].SenderID != s.SenderID {
			continue
		}
		left := int64(tableBytes)
		_, _, err := shelves[i].Read(s.FS, func(l *deadletter.Found) bool {
			if l.Row != nil {
				c.add(l.Row.Table)
			}
			left -= l.Bytes
			return left > 0
		})
		if err != nil {
			c.Unread = append(c.Unread, shelves[i].Path)
		}
	}
	return err
}
