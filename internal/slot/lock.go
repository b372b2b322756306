// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

const (
	lockName  = ".lock"
	pidSuffix = ".pid"
)

// dirLock is the flock of a slot. The file is never removed: a second owner
// would lock another inode.
type dirLock struct {
	f        vfs.File
	released bool
}

func lockDir(fsys vfs.FS, dir string) (*dirLock, error) {
	return lockFile(fsys, filepath.Join(dir, lockName), dir)
}

// lockFile takes the lock of a slot by the file that stands for it.
func lockFile(fsys vfs.FS, name, slot string) (*dirLock, error) {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	held := false
	defer func() {
		if !held {
			_ = f.Close()
		}
	}()
	if err = f.Lock(); err == nil {
		held = true
		return &dirLock{f: f}, nil
	}
	if errors.Is(err, vfs.ErrLocked) {
		return nil, &LockedError{Dir: slot, PID: ReadPID(fsys, name)}
	}
	return nil, err
}

// CheckFree returns a *LockedError if somebody has a slot open. It takes the lock for
// an instant to find out, and creates and writes nothing.
func CheckFree(fsys vfs.FS, dir string) error {
	release, err := LockToRead(fsys, dir)
	if err != nil {
		return err
	}
	return release()
}

// LockToRead holds the lock of a slot for somebody who only reads: it creates and
// writes nothing, so a slot without a lock file, or on a filesystem that takes no
// writes, can be read too. It fails with *LockedError where somebody has it open.
func LockToRead(fsys vfs.FS, dir string) (release func() error, err error) {
	name := filepath.Join(dir, lockName)
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return func() error { return nil }, nil
	}
	if err != nil {
		return nil, err
	}
	if err := f.Lock(); err != nil {
		if errors.Is(err, vfs.ErrLocked) {
			err = &LockedError{Dir: dir, PID: ReadPID(fsys, name)}
		}
		return nil, errors.Join(err, f.Close())
	}
	return (&dirLock{f: f}).abandon, nil
}

// release gives the lock back. Where the unlock is not confirmed the file stays
// open, so that it can be asked again: nobody may believe that the slot is free
// while the kernel still holds it for us.
func (l *dirLock) release() error {
	if l.released {
		return nil
	}
	if err := l.f.Unlock(); err != nil {
		return err
	}
	l.released = true
	return l.f.Close()
}

// abandon gives the lock back where nobody works behind it: then closing the
// file, which drops the lock whatever Unlock says, is release enough.
func (l *dirLock) abandon() (err error) {
	if l.released {
		return nil
	}
	l.released = true
	defer func() { err = errors.Join(err, l.f.Close()) }()
	return l.f.Unlock()
}

// writePID tells others who holds the lock. It is a help for people: failure is
// no reason not to run.
func writePID(fsys vfs.FS, dir string) { writePIDOf(fsys, filepath.Join(dir, lockName)) }

func writePIDOf(fsys vfs.FS, lock string) {
	f, err := fsys.OpenFile(lock+pidSuffix, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	defer func() { _ = f.Close() }()
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
}

// ReadPID returns the process that has written its number beside a lock file; 0 if there
// is none to be read. It may be gone.
func ReadPID(fsys vfs.FS, lock string) int {
	b, err := readSmall(fsys, lock+pidSuffix, 64)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 0 {
		return 0
	}
	return pid
}
