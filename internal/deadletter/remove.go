// SPDX-License-Identifier: MIT

package deadletter

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Remove takes letters out, which were fed back. Their files are written anew
// beside the old ones and then renamed: a crash leaves the one or the other. A
// letter that is not there any more is no error, and neither is one whose file was
// written anew since it was read. After an error some may be there still.
func (f *File) Remove(places []Place) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.ready(); err != nil {
		return err
	}
	defer f.publish()
	out := map[uint64][]int64{}
	for _, p := range places {
		if b := f.bookOf(p.book); b != nil && b.gen == p.gen {
			out[p.book] = append(out[p.book], p.at)
		}
	}
	for id, at := range out {
		b := f.bookOf(id)
		slices.Sort(at)
		if err := f.rewrite(b, at); err != nil {
			return fmt.Errorf("take dead letters out of %s: %w", f.path(b), err)
		}
	}
	return f.syncNames()
}

// rewrite writes a file without the letters at some places. One that has nothing
// left is removed.
func (f *File) rewrite(b *book, out []int64) error {
	old, err := f.o.FS.OpenFile(f.path(b), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f.drop(b) // somebody has taken it away, letters and all
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = old.Close() }()
	if size, err := old.Size(); err != nil {
		return err
	} else if size != b.size && !b.dirty {
		return f.read(b) // somebody has changed it
	}
	temp := f.path(b) + tempSuffix
	left, err := f.copyTo(temp, old, b, out)
	if err != nil {
		_ = f.o.FS.Remove(temp) // best effort: Load does it else
		return err
	}
	f.unnamed = true
	if left.size == 0 {
		return f.removeBook(b, temp)
	}
	if err := f.o.FS.Rename(temp, f.path(b)); err != nil {
		return err
	}
	b.size, b.letters, b.keys, b.groups = left.size, left.letters, left.keys, left.groups
	b.gen++
	b.dirty = false // what was behind the end is not in the new file
	return nil
}

// copyTo writes what is left of a file into a new one.
func (f *File) copyTo(name string, old vfs.File, b *book, out []int64) (*book, error) {
	file, err := f.o.FS.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	left := newBook(b.class, b.number, b.id)
	err = left.fill(file, old, b.size, out)
	return left, errors.Join(err, file.Close())
}

func (f *File) removeBook(b *book, temp string) error {
	if err := f.o.FS.Remove(temp); err != nil {
		return err
	}
	if err := f.o.FS.Remove(f.path(b)); err != nil {
		return err
	}
	f.drop(b)
	return nil
}

func (f *File) drop(b *book) {
	f.books = slices.DeleteFunc(f.books, func(other *book) bool { return other == b })
}

// fill copies all but some letters, and syncs. What is no letter is copied too.
func (b *book) fill(to, from vfs.File, size int64, out []int64) error {
	s := newScanner(from, 0, size)
	begin := int64(0) // of what is to be copied
	for {
		one, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if _, leaves := slices.BinarySearch(out, one.at); !leaves {
			b.note(one.reason())
			continue
		}
		if err := b.copy(to, from, begin, one.at); err != nil {
			return err
		}
		begin = one.end
	}
	if err := b.copy(to, from, begin, size); err != nil {
		return err
	}
	return to.Sync()
}

func (b *book) copy(to, from vfs.File, begin, end int64) error {
	if begin == end {
		return nil
	}
	n, err := io.Copy(io.NewOffsetWriter(to, b.size), io.NewSectionReader(from, begin, end-begin))
	b.size += n
	if err == nil && n != end-begin {
		err = io.ErrUnexpectedEOF
	}
	return err
}
