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
	turn  int64     // the look that read it; 0 before
	size  int64     // at that time
	at    time.Time // when it had last been written
	far   int64     // how much of it was read, letters or not
	now   int64     // its size at the last look
	rows  int64
	kinds map[kind]*api.Reason
	over  bool // there are more kinds
	err   error
}

// unread is how many bytes nobody has looked at.
func (f *letterFile) unread() int64 { return max(0, f.now-f.far) }

// letterFiles are those of one sender_id.
type letterFiles struct {
	looks int64
	files map[string]*letterFile // by path
}

// look reads what has changed since the last look. Who waited longest is first: one large
// file that grows does not keep it from the others.
func (l *letterFiles) look(fsys vfs.FS, dir, senderID string) (sum api.Letters) {
	shelves, err := deadletter.Shelves(fsys, dir)
	if err != nil {
		return api.Letters{Error: problem(err)}
	}
	before, budget := l.files, int64(letterBytes)
	l.looks++
	l.files = map[string]*letterFile{}
	slices.Reverse(shelves) // those that still grow, first
	slices.SortStableFunc(shelves, func(a, b deadletter.Shelf) int {
		return cmp.Compare(before[a.Path].lastTurn(), before[b.Path].lastTurn())
	})
	for i := range shelves {
		s := &shelves[i]
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
		case f.is(info):
		case budget > 0:
			f = readLetters(fsys, s)
			f.turn, f.size, f.at = l.looks, info.Size(), info.ModTime()
			budget -= f.far
		case f == nil:
			f = &letterFile{} // no time: a later look reads it
		}
		if err == nil {
			f.now = info.Size()
		}
		l.files[s.Path] = f
	}
	return l.sum()
}

// lastTurn is 0 for a file that was never read.
func (f *letterFile) lastTurn() int64 {
	if f == nil {
		return 0
	}
	return f.turn
}

// is says whether a file is as it was read.
func (f *letterFile) is(info fs.FileInfo) bool {
	return f != nil && f.turn > 0 && f.err == nil && f.size == info.Size() && f.at.Equal(info.ModTime())
}

// readLetters reads a file, or the beginning of a large one.
func readLetters(fsys vfs.FS, s *deadletter.Shelf) *letterFile {
	f, read := &letterFile{kinds: map[kind]*api.Reason{}}, int64(0)
	from := &beginning{FS: fsys}
	_, _, f.err = s.Read(from, func(found *deadletter.Found) bool {
		f.add(s.Class, found)
		read += found.Bytes
		return read < letterBytes
	})
	f.far = from.far
	return f
}

// beginning is a filesystem with the beginnings of files. It notes how far one is read.
type beginning struct {
	vfs.FS
	far int64
}

type beginningFile struct {
	vfs.File
	of *beginning
}

func (b *beginning) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := b.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return beginningFile{f, b}, nil
}

// Size has room behind letterBytes for the letter that goes over it.
func (f beginningFile) Size() (int64, error) {
	n, err := f.File.Size()
	return min(n, letterBytes+letterBytes/8), err
}

func (f beginningFile) ReadAt(b []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(b, off)
	f.of.far = max(f.of.far, off+int64(n))
	return n, err
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
	for _, path := range slices.Sorted(maps.Keys(l.files)) {
		f := l.files[path]
		sum.Rows, sum.Bytes, sum.Unread = sum.Rows+f.rows, sum.Bytes+f.now, sum.Unread+f.unread()
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
