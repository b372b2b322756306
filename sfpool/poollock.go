// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// locksDir has the locks of pools and of names of slots.
const locksDir = ".slot-locks"

// lockName is the name of the lock that a pool with this sender_id holds as long
// as it is open. No slot can have it: a sender_id has no dot.
func lockName(base string) string { return base + ".pool" }

// countFile says how many slots the pool has that was opened last.
func countFile(dir, base string) string {
	return filepath.Join(dir, locksDir, lockName(base)+".slots")
}

func writeCount(fsys vfs.FS, name string, count int) error {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(strconv.Itoa(count)+"\n"), 0)
	return errors.Join(err, f.Close())
}

// readCount returns what countFile says. One that cannot be read says that every
// index is taken: the owner is alive, and can be asked again later.
func readCount(fsys vfs.FS, name string) int {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return maxSenders
	}
	defer f.Close()
	b := make([]byte, 32)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return maxSenders
	}
	count, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil {
		return maxSenders
	}
	return count
}

// livingPool returns how many slots the pool with a sender_id has if it is open,
// else 0. It changes nothing where there never was such a pool.
func livingPool(fsys vfs.FS, dir, base string) (slots int, _ error) {
	_, err := fsys.Stat(filepath.Join(dir, locksDir, lockName(base)+".lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for the pool of sender_id %s: %w", base, err)
	}
	unlock, err := slot.LockName(fsys, dir, lockName(base))
	if errors.As(err, new(*LockedError)) {
		return readCount(fsys, countFile(dir, base)), nil
	}
	if err != nil {
		return 0, err
	}
	return 0, unlock()
}
