// SPDX-License-Identifier: MIT

package deadletter

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Place is where a letter stands. It holds until the file is written anew.
type Place struct {
	book uint64
	gen  int
	at   int64
}

// Found is a letter that was read, and where it stands.
type Found struct {
	Letter
	Place Place
	Bytes int64 // of the letter in its file
}

// Read calls visit with the letters of a class, the oldest first, until it returns
// false. What is added meanwhile may be among them or not. A letter whose row cannot
// be read is passed over and said; damaged is how many there were. Nobody waits for
// a Read.
func (f *File) Read(class Class, visit func(*Found) bool) (damaged int, err error) {
	return f.readBooks(class, func(*book) bool { return true }, visit)
}

// readBooks reads the books that wanted says, which is asked under mu.
func (f *File) readBooks(class Class, wanted func(*book) bool, visit func(*Found) bool) (damaged int, err error) {
	ids, err := f.shelf(class)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		r, err := f.openBook(id, wanted)
		if err != nil {
			return damaged, err
		}
		if r == nil {
			continue
		}
		more, err := r.visitAll(visit)
		_ = r.file.Close()
		if r.damaged > 0 {
			f.o.Log.Warn("dead letters cannot be read and are passed over", "file", r.file.Name(), "letters", r.damaged, "first_error", r.first)
		}
		damaged += r.damaged
		if err != nil || !more {
			return damaged, err
		}
	}
	return damaged, nil
}

// shelf returns the files of a class, the oldest first.
func (f *File) shelf(class Class) (ids []uint64, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(); err != nil {
		return nil, err
	}
	for _, b := range f.books {
		if b.class == class {
			ids = append(ids, b.id)
		}
	}
	return ids, nil
}

// reading is one file that is being read.
type reading struct {
	file    vfs.File
	size    int64
	place   Place // without an offset
	damaged int
	first   error
}

// openBook opens a file to read what is in it now; nil when it has gone meanwhile or
// is not wanted.
func (f *File) openBook(id uint64, wanted func(*book) bool) (*reading, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	b := f.bookOf(id)
	if b == nil || b.size == 0 || !wanted(b) {
		return nil, nil
	}
	file, err := f.o.FS.OpenFile(f.path(b), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // somebody took it away
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letters: %w", err)
	}
	return &reading{file: file, size: b.size, place: Place{book: b.id, gen: b.gen}}, nil
}

func (f *File) bookOf(id uint64) *book {
	at := slices.IndexFunc(f.books, func(b *book) bool { return b.id == id })
	if at < 0 {
		return nil
	}
	return f.books[at]
}

func (r *reading) visitAll(visit func(*Found) bool) (more bool, _ error) {
	s := newScanner(r.file, 0, r.size)
	for {
		one, err := s.next()
		if errors.Is(err, io.EOF) {
			return true, nil
		}
		if err != nil {
			return false, fmt.Errorf("read dead letters: %w", err)
		}
		l, err := one.decode()
		if err != nil {
			r.damaged++
			if r.first == nil {
				r.first = err
			}
			continue
		}
		found := &Found{Letter: *l, Place: r.place, Bytes: one.end - one.at}
		found.Place.at = one.at
		if !visit(found) {
			return false, nil
		}
	}
}

// Groups returns how many Refused letters there are for each reason.
func (f *File) Groups() (map[Group]int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(); err != nil {
		return nil, err
	}
	sum := map[Group]int64{}
	for _, b := range f.books {
		for g, n := range b.groups {
			sum[g] += n
		}
	}
	return sum, nil
}

// Oldest returns the oldest Refused letters of some reasons, of each up to the
// number that want has for it, and of all together little more than maxBytes. It
// reads only files that have such letters, and no further than it must.
func (f *File) Oldest(want map[Group]int, maxBytes int64) (list []Found, _ error) {
	left := maps.Clone(want)
	maps.DeleteFunc(left, func(_ Group, n int) bool { return n <= 0 })
	has := func(b *book) bool {
		for g := range left {
			if b.groups[g] > 0 {
				return true
			}
		}
		return false
	}
	_, err := f.readBooks(Refused, has, func(l *Found) bool {
		g := l.Group()
		if left[g] == 0 {
			return true
		}
		list = append(list, *l)
		maxBytes -= l.Bytes
		if left[g]--; left[g] == 0 {
			delete(left, g)
		}
		return len(left) > 0 && maxBytes > 0
	})
	return list, err
}
