// SPDX-License-Identifier: MIT

package status

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

const (
	// letterBytes is about what one look reads of dead letters, and the most that it
	// reads of one file. What is not read at one look is at the next; a file that has not
	// changed since is not read again.
	letterBytes = 8 << 20
	// maxKinds bounds the reasons that are remembered of one file, maxReasons those that
	// are shown.
	maxKinds   = 512
	maxReasons = 8
)

// kind tells reasons apart. Final ones have no column: their words do.
type kind struct {
	class deadletter.Class
	group deadletter.Group
	words string
}

// letterFile is what was read of a file.
type letterFile struct {
	size   int64
	at     time.Time // when it was last written
	rows   int64
	unread int64 // bytes
	kinds  map[kind]*api.Reason
	over   bool // there are more kinds
	err    error
}

// letterFiles are those of one sender_id, by path.
type letterFiles map[string]*letterFile

// look reads what has changed since the last look.
func (l *letterFiles) look(fsys vfs.FS, dir, senderID string) (sum api.Letters) {
	shelves, err := deadletter.Shelves(fsys, dir)
	if err != nil {
		return api.Letters{Error: problem(err)}
	}
	before, budget := *l, int64(letterBytes)
	*l = letterFiles{}
	for _, s := range slices.Backward(shelves) { // those that still grow, first
		if s.SenderID != senderID {
			continue
		}
		info, err := fsys.Stat(s.Path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		f := before[s.Path]
		switch {
		case err != nil:
			f = &letterFile{err: err}
		case f != nil && f.err == nil && f.size == info.Size() && f.at.Equal(info.ModTime()):
		case budget <= 0:
			f = &letterFile{unread: info.Size()} // no time: the next look reads it
		default:
			f = readLetters(fsys, &s)
			f.at = info.ModTime()
			budget -= f.size - f.unread
		}
		(*l)[s.Path] = f
	}
	return l.sum()
}

// readLetters reads a file, or the beginning of a large one.
func readLetters(fsys vfs.FS, s *deadletter.Shelf) *letterFile {
	f, read := &letterFile{kinds: map[kind]*api.Reason{}}, int64(0)
	whole := true
	f.size, _, f.err = s.Read(fsys, func(found *deadletter.Found) bool {
		f.add(s.Class, found)
		read += found.Bytes
		whole = read < letterBytes
		return whole
	})
	if !whole {
		f.unread = max(0, f.size-read)
	}
	return f
}

func (f *letterFile) add(class deadletter.Class, l *deadletter.Found) {
	f.rows++
	k := kind{class: class, group: l.Group()}
	if class == deadletter.Final {
		k.words = l.Reason
	}
	r := f.kinds[k]
	if r == nil {
		if len(f.kinds) >= maxKinds {
			f.over = true
			return
		}
		r = &api.Reason{Class: class.String(), Table: k.group.Table, Column: k.group.Column, Host: k.group.Host}
		if k.group.Type != 0 {
			r.Type = k.group.Type.String()
		}
		f.kinds[k] = r
	}
	r.Rows++
	if !l.Time.Before(r.Newest) {
		r.Newest, r.Words = l.Time, l.Reason
	}
}

// sum puts the files together.
func (l *letterFiles) sum() (sum api.Letters) {
	all := map[kind]*api.Reason{}
	for _, path := range slices.Sorted(maps.Keys(*l)) {
		f := (*l)[path]
		sum.Rows, sum.Bytes, sum.Unread = sum.Rows+f.rows, sum.Bytes+max(f.size, f.unread), sum.Unread+f.unread
		if f.over {
			sum.More++
		}
		if f.err != nil && sum.Error == "" {
			sum.Error = problem(f.err)
		}
		for k, r := range f.kinds {
			if all[k] == nil {
				all[k] = &api.Reason{Class: r.Class, Table: r.Table, Column: r.Column, Type: r.Type, Host: r.Host}
			}
			all[k].Rows += r.Rows
			if !r.Newest.Before(all[k].Newest) {
				all[k].Newest, all[k].Words = r.Newest, r.Words
			}
		}
	}
	for _, r := range all {
		sum.Reasons = append(sum.Reasons, *r)
	}
	slices.SortFunc(sum.Reasons, func(a, b api.Reason) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), strings.Compare(a.Class+a.Table+a.Column+a.Words, b.Class+b.Table+b.Column+b.Words))
	})
	if more := len(sum.Reasons) - maxReasons; more > 0 {
		sum.More += int64(more)
		sum.Reasons = sum.Reasons[:maxReasons]
	}
	return sum
}

// problem puts an error on one line; a directory that is not there is none.
func problem(err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return line(err)
}
