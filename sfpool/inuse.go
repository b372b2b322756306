// SPDX-License-Identifier: MIT

package sfpool

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// InUseError says that a pool is open which sees to a slot, whether it has it open
// at the moment or not.
type InUseError struct {
	Slot, SenderID string
	PID            int // of the process; 0 is unknown
}

func (e *InUseError) Error() string {
	who := "a process"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	return fmt.Sprintf("slot %s is in use: %s sends what is in it (sender_id %s); stop that first", e.Slot, who, e.SenderID)
}

// InUse returns an *InUseError if a pool is open that sees to a slot in a directory.
// It changes nothing, and holds the lock of that pool for an instant.
func InUse(fsys vfs.FS, dir, name string) error {
	base, index, ok := slot.SplitName(name)
	if !ok {
		return nil
	}
	if owner, is := offspring(base); is {
		base, index = owner, 0 // its owner drains it
	}
	slots, err := livingPool(fsys, dir, base)
	if err != nil || index >= slots {
		return err
	}
	return &InUseError{Slot: name, SenderID: base, PID: poolPID(fsys, dir, base)}
}

// poolPID returns the process that has a pool open; 0 if it left no number.
func poolPID(fsys vfs.FS, dir, base string) int {
	f, err := fsys.OpenFile(filepath.Join(dir, slot.LocksDir, lockName(base)+".lock.pid"), os.O_RDONLY, 0)
	if err != nil {
		return 0
	}
	defer f.Close()
	b := make([]byte, 32)
	n, err := f.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	return max(0, pid)
}
