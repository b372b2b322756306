// SPDX-License-Identifier: MIT

package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

var (
	// ErrRemounted says that a directory is on another filesystem than when it was
	// opened: what is written there now would be lost to the one who looks later, or
	// fill a disk that was never meant for it.
	ErrRemounted = errors.New("another filesystem is mounted there than when it was opened")
	// ErrUntrusted is in every *UntrustedError.
	ErrUntrusted = errors.New("not to be trusted")
)

// UntrustedError says which file or directory is not used because of what it is or
// whose it is, and what to do.
type UntrustedError struct{ Path, Why string }

func (e *UntrustedError) Error() string { return e.Path + " " + e.Why }

// Unwrap returns ErrUntrusted.
func (e *UntrustedError) Unwrap() error { return ErrUntrusted }

// Guarded is a filesystem below one directory, which may itself be reached over
// symbolic links: those inside are not followed, what belongs to somebody else is
// not used, and nothing is done once another filesystem is mounted there.
type Guarded struct {
	FS
	dir    string
	device uint64
	given  func() int // the owner that new files get
}

// Guard remembers the filesystem that dir is on now.
func Guard(inner FS, dir string) (*Guarded, error) {
	device, err := inner.Device(dir)
	if err != nil {
		return nil, err
	}
	g := &Guarded{FS: inner, dir: filepath.Clean(dir), device: device}
	g.given = sync.OnceValue(g.probe)
	return g, nil
}

// Check says whether the directory is still on the filesystem it was on:
// ErrRemounted if not, or why that cannot be seen.
func (g *Guarded) Check() error {
	now, err := g.FS.Device(g.dir)
	if err == nil && now != g.device {
		err = &fs.PathError{Op: "use", Path: g.dir, Err: ErrRemounted}
	}
	return err
}

// OpenFile opens a file that is ours, in directories that are.
func (g *Guarded) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	if err := g.enter(filepath.Dir(name)); err != nil {
		return nil, err
	}
	if flag&os.O_TRUNC != 0 { // afterwards it would be too late
		if uid, err := g.FS.Owner(name); err == nil && !g.trusts(uid) {
			return nil, g.foreign(name, uid)
		}
	}
	f, err := g.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, g.orLink(name, err)
	}
	uid, err := f.Owner()
	if err == nil && !g.trusts(uid) {
		err = g.foreign(name, uid)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// MkdirAll creates a directory that is not there.
func (g *Guarded) MkdirAll(name string, perm fs.FileMode) error {
	if err := g.enter(name); err != nil {
		return err
	}
	return g.FS.MkdirAll(name, perm)
}

// Remove unlinks a file or an empty directory.
func (g *Guarded) Remove(name string) error {
	if err := g.enter(filepath.Dir(name)); err != nil {
		return err
	}
	return g.FS.Remove(name)
}

// Rename replaces newName.
func (g *Guarded) Rename(oldName, newName string) error {
	if err := errors.Join(g.enter(filepath.Dir(oldName)), g.enter(filepath.Dir(newName))); err != nil {
		return err
	}
	return g.FS.Rename(oldName, newName)
}

// ReadDir lists a directory.
func (g *Guarded) ReadDir(name string) ([]fs.DirEntry, error) {
	if err := g.enter(name); err != nil {
		return nil, err
	}
	return g.FS.ReadDir(name)
}

// Stat describes what has a name.
func (g *Guarded) Stat(name string) (fs.FileInfo, error) {
	if err := g.enter(filepath.Dir(name)); err != nil {
		return nil, err
	}
	return g.FS.Stat(name)
}

// SyncDir makes the names in a directory durable.
func (g *Guarded) SyncDir(name string) error {
	if err := g.enter(name); err != nil {
		return err
	}
	return g.FS.SyncDir(name)
}

// enter looks at the directories from the guarded one down to dir. What is missing
// is the operation's to tell.
func (g *Guarded) enter(dir string) error {
	if err := g.Check(); err != nil {
		return err
	}
	rel, err := filepath.Rel(g.dir, dir)
	if err != nil || rel == "." || !filepath.IsLocal(rel) {
		return nil // not inside
	}
	at := g.dir
	for _, base := range strings.Split(rel, string(filepath.Separator)) {
		at = filepath.Join(at, base)
		if err := g.look(at); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
	}
	return nil
}

// look refuses a directory that is a link or somebody else's.
func (g *Guarded) look(dir string) error {
	info, err := g.FS.Stat(dir)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return link(dir)
	}
	uid, err := g.FS.Owner(dir)
	if err == nil && !g.trusts(uid) {
		err = g.foreign(dir, uid)
	}
	return err
}

// orLink tells a link from other reasons why a file cannot be opened.
func (g *Guarded) orLink(name string, err error) error {
	info, statErr := g.FS.Stat(name)
	if statErr == nil && info.Mode()&fs.ModeSymlink != 0 {
		return link(name)
	}
	return err
}

func link(path string) error {
	return &UntrustedError{Path: path, Why: "is a symbolic link, and links inside sf_dir are not followed: move what it leads to here, or remove it"}
}

func (g *Guarded) foreign(path string, uid int) error {
	return &UntrustedError{Path: path, Why: fmt.Sprintf("belongs to the user with uid %d, and this process has uid %d: "+
		"run it as that user, chown the file, or move it away", uid, os.Geteuid())}
}

// trusts says whether what belongs to a user may be used. Some filesystems, such as
// vfat and NFS, give every file to one user: then that is the owner of ours too.
func (g *Guarded) trusts(uid int) bool {
	return uid < 0 || uid == os.Geteuid() || uid == g.given()
}

// probe creates a file to see whose it becomes; -1 if that cannot be seen.
func (g *Guarded) probe() int {
	name := filepath.Join(g.dir, ".owner.tmp")
	_ = g.FS.Remove(name) // of a process that was killed here
	f, err := g.FS.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return -1
	}
	uid, err := f.Owner()
	_ = f.Close()
	_ = g.FS.Remove(name)
	if err != nil {
		return -1
	}
	return uid
}
