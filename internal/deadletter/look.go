// SPDX-License-Identifier: MIT

package deadletter

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Shelf is one file of dead letters in a directory, for those who only read: it may
// be in use.
type Shelf struct {
	Path, SenderID string
	Class          Class
	number         int
}

// Shelves returns the files of dead letters in a directory, of all senders, the oldest
// of each first. It changes nothing.
func Shelves(fsys vfs.FS, dir string) (list []Shelf, _ error) {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if id, class, number, ok := splitName(e.Name()); ok && e.Type().IsRegular() {
			list = append(list, Shelf{Path: filepath.Join(dir, e.Name()), SenderID: id, Class: class, number: number})
		}
	}
	slices.SortStableFunc(list, func(a, b Shelf) int {
		if c := strings.Compare(a.SenderID, b.SenderID); c != 0 {
			return c
		}
		return older(newBook(a.Class, a.number, 0), newBook(b.Class, b.number, 0))
	})
	return list, nil
}

// Read calls visit with the letters of the file until it returns false. A letter whose
// row cannot be read is passed over; damaged is how many there were, size that of the
// file. It changes nothing; one that is gone meanwhile is empty.
func (s *Shelf) Read(fsys vfs.FS, visit func(*Found) bool) (size int64, damaged int, err error) {
	f, err := fsys.OpenFile(s.Path, os.O_RDONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read dead letters: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if size, err = f.Size(); err != nil {
		return 0, 0, err
	}
	r := &reading{file: f, size: size}
	_, err = r.visitAll(visit)
	return size, r.damaged, err
}

// AppendReadable appends a letter for people, and for what reads line protocol: a
// comment that says why it is one, and the row.
func AppendReadable(dst []byte, l *Letter) []byte {
	human, rest, _ := bytes.Cut(Append(nil, l.Time, l), []byte("\n"))
	_, body, _ := bytes.Cut(rest, []byte("\n"))
	return append(append(append(dst, human...), '\n'), body...)
}

// Line returns the row as line protocol; "" where that cannot say all of it.
func (l *Letter) Line() string {
	body, _ := l.body()
	if bytes.HasPrefix(body, []byte("#")) {
		return ""
	}
	return string(bytes.TrimSuffix(body, []byte("\n")))
}
