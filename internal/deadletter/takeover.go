// SPDX-License-Identifier: MIT

package deadletter

import (
	"fmt"
	"slices"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Has says whether there are files of letters of a sender_id in a directory. It changes
// nothing.
func Has(fsys vfs.FS, dir, senderID string) (bool, error) {
	shelves, err := Shelves(fsys, dir)
	return slices.ContainsFunc(shelves, func(s Shelf) bool { return s.SenderID == senderID }), err
}

// TakeOver makes the letters of another sender_id its own, and returns how many those
// are. Nobody may be writing them. Files get names of this File, and nothing is copied:
// a crash leaves each with the one or the other. After an error the rest are where they
// were, and it may be called again.
func (f *File) TakeOver(senderID string) (letters int64, err error) {
	o := f.o
	o.SenderID, o.Added = senderID, nil
	other := Open(o)
	if err := other.Load(); err != nil { // which cuts what was not written to its end
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(); err != nil {
		return 0, err
	}
	defer f.publish()
	for _, b := range other.books {
		if err := f.takeBook(other.path(b), b); err != nil {
			return letters, fmt.Errorf("take over %s: %w", other.path(b), err)
		}
		letters += b.letters
	}
	return letters, f.syncNames()
}

// takeBook makes a file of another a sealed one of this. It leaves b as it is, which is
// of another File.
func (f *File) takeBook(from string, b *book) error {
	f.unnamed = true
	if b.size == 0 {
		return f.o.FS.Remove(from)
	}
	f.lastID++
	mine := newBook(b.class, f.lastSealed(b.class)+1, f.lastID)
	if err := f.o.FS.Rename(from, f.path(mine)); err != nil {
		return err
	}
	mine.size, mine.letters, mine.keys, mine.groups, mine.named = b.size, b.letters, b.keys, b.groups, true
	f.books = append(f.books, mine)
	slices.SortStableFunc(f.books, older)
	return nil
}
