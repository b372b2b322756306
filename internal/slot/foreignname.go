// SPDX-License-Identifier: MIT

package slot

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// LocksDir is where in sf_dir the locks of names of slots are, and those of pools.
const LocksDir = ".slot-locks"

const (
	failedName    = ".failed"
	lastErrorName = ".last_error"
	maxReason     = 64 << 10
)

// LockName takes the lock of a slot by its name, in <sf_dir>/.slot-locks, which
// is created if need be. The newest clients take it before they adopt or rename
// a slot, because a rename moves the lock in the directory away. It fails with
// *LockedError where it is held. release drops it even where it returns an error.
func LockName(fsys vfs.FS, sfDir, name string) (release func() error, err error) {
	dir := filepath.Join(sfDir, LocksDir)
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, name+lockName)
	lock, err := lockFile(fsys, file, filepath.Join(sfDir, name))
	if err != nil {
		return nil, err
	}
	whole := false
	defer func() {
		if !whole {
			_ = lock.abandon()
		}
	}()
	writePIDOf(fsys, file)
	whole = true
	return lock.abandon, nil
}

// Import renames the slot of another client that stands under the name of one of
// ours, default-0 for example, to default-imported-1 or the next number that is
// free, durably, and returns the new name. Before that it has .target say where
// the rows belong, unless it says so already; a target "" writes none. A slot that
// is not another client's keeps its name, and stays as it is. It fails with
// *LockedError while somebody holds the slot.
func Import(fsys vfs.FS, sfDir, name, target string) (newName string, err error) {
	release, err := LockName(fsys, sfDir, name)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, release()) }()
	lock, err := lockDir(fsys, filepath.Join(sfDir, name))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, lock.abandon()) }()
	foreign, err := Recognize(fsys, filepath.Join(sfDir, name))
	if err != nil || !foreign {
		return name, err
	}
	// Under the new name any pool may adopt the slot: it has to find whose it is.
	if _, err := openTarget(fsys, filepath.Join(sfDir, name), target); err != nil {
		return name, err
	}
	return moveAside(fsys, sfDir, name)
}

// moveAside renames a slot whose locks are held.
func moveAside(fsys vfs.FS, sfDir, name string) (string, error) {
	base := name
	if i := strings.LastIndexByte(name, '-'); i > 0 {
		if _, err := strconv.ParseUint(name[i+1:], 10, 64); err == nil {
			base = name[:i]
		}
	}
	for n := 1; ; n++ {
		to := fmt.Sprintf("%s-imported-%d", base, n)
		moved, err := moveTo(fsys, sfDir, name, to)
		if moved || err != nil {
			return to, err
		}
	}
}

// moveTo renames a slot unless the new name is taken, or about to be.
func moveTo(fsys vfs.FS, sfDir, name, to string) (moved bool, err error) {
	release, err := LockName(fsys, sfDir, to)
	if errors.Is(err, vfs.ErrLocked) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, release()) }()
	switch _, err := fsys.Stat(filepath.Join(sfDir, to)); {
	case err == nil:
		return false, nil
	case !errors.Is(err, fs.ErrNotExist):
		return false, err
	}
	if err := fsys.Rename(filepath.Join(sfDir, name), filepath.Join(sfDir, to)); err != nil {
		return false, err
	}
	return true, fsys.SyncDir(sfDir)
}

// MarkFailed writes why nobody should try to drain a slot again to .failed, whole
// or not at all. Clients leave such a slot alone until the file is removed.
func MarkFailed(fsys vfs.FS, dir, reason string) error {
	return vfs.WriteWhole(fsys, filepath.Join(dir, failedName), []byte(reason))
}

// Failed returns what .failed says, and whether it is there.
func Failed(fsys vfs.FS, dir string) (reason string, failed bool, err error) {
	b, err := readSmall(fsys, filepath.Join(dir, failedName), maxReason)
	if err != nil {
		return "", false, ignoreMissing(err)
	}
	return string(b), true, nil
}

// SetTarget has .target say where the rows of a slot belong, whole or not at
// all. The caller holds the lock of the slot.
func SetTarget(fsys vfs.FS, dir, target string) error {
	return vfs.WriteWhole(fsys, filepath.Join(dir, targetName), []byte(target))
}
