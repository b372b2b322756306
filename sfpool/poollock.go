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

// lockName is the name of the lock that a pool with this sender_id holds as long
// as it is open. No slot can have it: a sender_id has no dot.
func lockName(base string) string { return base + ".pool" }

// countFile says how many slots the pool has that was opened last.
func countFile(dir, base string) string {
	return filepath.Join(dir, slot.LocksDir, lockName(base)+".slots")
}

// writeCount is a help for neighbours: failure, of a full disk for example, is no
// reason not to run.
func writeCount(fsys vfs.FS, name string, count int) {
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	_, _ = f.WriteAt([]byte(strconv.Itoa(count)+"\n"), 0)
	_ = f.Close()
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
// else 0.
func livingPool(fsys vfs.FS, dir, base string) (slots int, _ error) {
	held, err := isHeld(fsys, filepath.Join(dir, slot.LocksDir, lockName(base)+".lock"))
	if err != nil {
		return 0, fmt.Errorf("look for the pool of sender_id %s: %w", base, err)
	}
	if !held {
		return 0, nil
	}
	return readCount(fsys, countFile(dir, base)), nil
}

// isHeld says whether somebody holds the lock of a file, which it takes for an
// instant to find out. It creates and writes nothing.
func isHeld(fsys vfs.FS, name string) (held bool, err error) {
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	switch err := f.Lock(); {
	case errors.Is(err, vfs.ErrLocked):
		return true, nil
	case err != nil:
		return false, err
	}
	_ = f.Unlock() // Close drops it in any case: nobody works behind it
	return false, nil
}
