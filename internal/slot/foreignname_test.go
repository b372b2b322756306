// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestImportRenamesAForeignSlotToTheLowestFreeName(t *testing.T) {
	for _, c := range []struct {
		name string
		busy []string
		want string
	}{
		{"base-0", nil, "base-imported-1"},
		{"base-0", []string{"base-imported-1", "base-imported-3"}, "base-imported-2"},
		{"base", nil, "base-imported-1"},
		{"my-host-12", nil, "my-host-imported-1"},
		{"my-host", nil, "my-host-imported-1"},
	} {
		mem := g3(t).mem(t)
		if c.name != "base-0" {
			do(t, mem.Rename(dir, "/sf/"+c.name))
		}
		for _, name := range c.busy {
			do(t, mem.MkdirAll("/sf/"+name, 0o700))
		}
		got, err := slot.Import(mem, "/sf", c.name)
		if err != nil || got != c.want {
			t.Errorf("%s: %q, %v", c.name, got, err)
			continue
		}
		f, err := slot.OpenForeign(slot.Options{FS: mem, Dir: "/sf/" + got})
		do(t, err)
		wantRows(t, f, g3Rows...)
		do(t, f.Close())
		if _, err := mem.Stat("/sf/" + c.name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", c.name, err)
		}
		lock := mem.CrashLost()
		if _, err := lock.Stat("/sf/" + got); err != nil {
			t.Errorf("not durable: %v", err)
		}
	}
}

func TestImportLeavesAloneWhatIsOursOrHeld(t *testing.T) {
	mem := closed(t, 1)
	if got, err := slot.Import(mem, "/sf", "base-0"); got != "base-0" || err != nil {
		t.Errorf("ours: %q, %v", got, err)
	}
	mem = g3(t).mem(t)
	f := openForeign(t, mem)
	var locked *slot.LockedError
	if _, err := slot.Import(mem, "/sf", "base-0"); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("held by its directory: %v", err)
	}
	do(t, f.Close())
	release, err := slot.LockName(mem, "/sf", "base-0")
	do(t, err)
	if _, err := slot.Import(mem, "/sf", "base-0"); !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Dir != dir {
		t.Errorf("held by its name: %v", err)
	}
	do(t, release())
	next, err := slot.LockName(mem, "/sf", "base-imported-1")
	do(t, err)
	if got, err := slot.Import(mem, "/sf", "base-0"); got != "base-imported-2" || err != nil {
		t.Errorf("the first name is about to be taken: %q, %v", got, err)
	}
	do(t, next())
	if _, err := slot.Import(mem, "/sf", "nowhere-0"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
}

func TestImportThatFailsReleasesItsLocks(t *testing.T) {
	for at := int64(1); ; at++ {
		mem := g3(t).mem(t)
		failed := vfstest.Kind(0)
		_, err := slot.Import(vfstest.Wrap(mem, func(op vfstest.Op) error {
			if op.N == at {
				failed = op.Kind
				return syscall.EIO
			}
			return nil
		}), "/sf", "base-0")
		if failed == 0 {
			do(t, err)
			return
		}
		if failed == vfstest.OpUnlock { // then it is held, and said
			if !errors.Is(err, syscall.EIO) {
				t.Errorf("call %d, %s: %v", at, failed, err)
			}
			continue
		}
		release, err := slot.LockName(mem, "/sf", "base-0")
		if err != nil {
			t.Errorf("call %d, %s: the name is held: %v", at, failed, err)
			continue
		}
		do(t, release())
		name := "base-0"
		if _, err := mem.Stat(dir); err != nil {
			name = "base-imported-1"
		}
		f, err := slot.OpenForeign(slot.Options{FS: mem, Dir: "/sf/" + name})
		if err != nil {
			t.Errorf("call %d, %s: %v", at, failed, err)
			continue
		}
		do(t, f.Close())
	}
}

func TestLockNameIsTheFlockOfTheNewestClients(t *testing.T) {
	sfDir := t.TempDir()
	release, err := slot.LockName(vfs.OS, sfDir, "base-0")
	if errors.Is(vfs.Supported(), errors.ErrUnsupported) {
		t.Skip("no flock here")
	}
	do(t, err)
	var locked *slot.LockedError
	if _, err := slot.LockName(vfs.OS, sfDir, "base-0"); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("locked twice: %v", err)
	}
	other, err := slot.LockName(vfs.OS, sfDir, "base-1")
	do(t, err)
	do(t, other())
	do(t, release())
	do(t, release())
	release, err = slot.LockName(vfs.OS, sfDir, "base-0")
	do(t, err)
	do(t, release())
	pid, err := os.ReadFile(filepath.Join(sfDir, ".slot-locks", "base-0.lock.pid"))
	if err != nil || string(pid) != fmt.Sprintln(os.Getpid()) {
		t.Errorf("pid %q, %v", pid, err)
	}
}

func TestFailedSlotSaysWhy(t *testing.T) {
	mem := g3(t).mem(t)
	if reason, failed, err := slot.Failed(mem, dir); reason != "" || failed || err != nil {
		t.Errorf("%q %t %v", reason, failed, err)
	}
	do(t, slot.MarkFailed(mem, dir, "frame 3: no message"))
	do(t, slot.MarkFailed(mem, dir, "frame 4: neither"))
	for _, state := range []*vfstest.Mem{mem, mem.CrashLost()} {
		if reason, failed, err := slot.Failed(state, dir); reason != "frame 4: neither" || !failed || err != nil {
			t.Errorf("%q %t %v", reason, failed, err)
		}
	}
	if slices.Contains(names(t, mem), ".failed.tmp") {
		t.Error("half a file was left")
	}
	_, _, err := slot.Failed(vfstest.Wrap(mem, func(vfstest.Op) error { return syscall.EIO }), dir)
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("unreadable: %v", err)
	}
}

func TestSetTargetReplacesTheTargetDurably(t *testing.T) {
	mem := g3(t).with(files{".target": []byte("http://old\n")}).mem(t)
	do(t, slot.SetTarget(mem, dir, "http://new\n"))
	f := openForeign(t, mem.CrashLost())
	if f.Target() != "http://new\n" {
		t.Errorf("target %q", f.Target())
	}
}
