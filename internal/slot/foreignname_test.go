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
		got, err := slot.Import(mem, "/sf", c.name, "")
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
	if got, err := slot.Import(mem, "/sf", "base-0", ""); got != "base-0" || err != nil {
		t.Errorf("ours: %q, %v", got, err)
	}
	mem = g3(t).mem(t)
	f := openForeign(t, mem)
	var locked *slot.LockedError
	if _, err := slot.Import(mem, "/sf", "base-0", ""); !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Errorf("held by its directory: %v", err)
	}
	do(t, f.Close())
	release, err := slot.LockName(mem, "/sf", "base-0")
	do(t, err)
	if _, err := slot.Import(mem, "/sf", "base-0", ""); !errors.As(err, &locked) || locked.PID != os.Getpid() || locked.Dir != dir {
		t.Errorf("held by its name: %v", err)
	}
	do(t, release())
	next, err := slot.LockName(mem, "/sf", "base-imported-1")
	do(t, err)
	if got, err := slot.Import(mem, "/sf", "base-0", ""); got != "base-imported-2" || err != nil {
		t.Errorf("the first name is about to be taken: %q, %v", got, err)
	}
	do(t, next())
	if _, err := slot.Import(mem, "/sf", "nowhere-0", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
}

// TestImportWritesTheTargetBeforeItRenames looks at the moment of the rename: a
// pool that finds the new name must find in it where the rows belong.
func TestImportWritesTheTargetBeforeItRenames(t *testing.T) {
	for has, want := range map[string]string{"": "http://here\n", "http://there\n": "http://there\n"} {
		mem := g3(t).mem(t)
		if has != "" {
			do(t, slot.SetTarget(mem, dir, has))
		}
		renamed := false
		_, err := slot.Import(vfstest.Wrap(mem, func(op vfstest.Op) error {
			if op.Kind != vfstest.OpRename || op.Path != dir {
				return nil
			}
			renamed = true
			got, err := slot.TargetOf(mem.CrashLost(), dir)
			if got != want {
				t.Errorf("had %q; durable at the rename: %q, %v", has, got, err)
			}
			return nil
		}), "/sf", "base-0", "http://here\n")
		if got, _ := slot.TargetOf(mem, "/sf/base-imported-1"); got != want || err != nil || !renamed {
			t.Errorf("had %q: %q, %v", has, got, err)
		}
	}
}

func TestImportWithoutATargetWritesNone(t *testing.T) {
	mem := g3(t).mem(t)
	name, err := slot.Import(mem, "/sf", "base-0", "")
	do(t, err)
	if _, err := mem.Stat("/sf/" + name + "/.target"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestTargetOfReadsWithoutALock(t *testing.T) {
	mem := g3(t).mem(t)
	f := openForeign(t, mem)
	for _, where := range []string{dir, "/nowhere"} {
		if got, err := slot.TargetOf(mem, where); got != "" || err != nil {
			t.Errorf("%s: %q, %v", where, got, err)
		}
	}
	do(t, slot.SetTarget(mem, dir, "http://here\n"))
	if got, err := slot.TargetOf(mem, dir); got != "http://here\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	do(t, f.Close())
	_, err := slot.TargetOf(vfstest.Wrap(mem, func(vfstest.Op) error { return syscall.EIO }), dir)
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("unreadable: %v", err)
	}
}

// broken is the disk of g3, of which one call fails or panics.
type broken struct {
	vfs.FS // of *vfstest.Mem
	at     int64
	panics bool
	well   bool // it fails no more
	failed vfstest.Kind
	open   int // files
}

func (b *broken) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := b.FS.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	b.open++
	return &counted{f, b}, nil
}

type counted struct {
	vfs.File
	of *broken
}

func (f *counted) Close() error {
	f.of.open--
	return f.File.Close()
}

func (b *broken) hook(op vfstest.Op) error {
	if op.N != b.at || b.well {
		return nil
	}
	b.failed = op.Kind
	if b.panics {
		panic(syscall.EIO)
	}
	return syscall.EIO
}

// run survives a panic.
func (b *broken) run(call func(b *broken, fsys vfs.FS)) {
	defer func() {
		if v := recover(); v != nil && v != syscall.EIO {
			panic(v)
		}
	}()
	call(b, vfstest.Wrap(b, b.hook))
}

// TestWhatBreaksInsideGivesTheLocksBack has each call of the disk fail, and panic.
func TestWhatBreaksInsideGivesTheLocksBack(t *testing.T) {
	for name, call := range map[string]func(b *broken, fsys vfs.FS){
		"open": func(b *broken, fsys vfs.FS) {
			f, err := slot.OpenForeign(slot.Options{FS: fsys, Dir: dir, Target: "http://here\n"})
			if b.well = true; err == nil {
				do(t, f.Close())
			}
		},
		"import": func(_ *broken, fsys vfs.FS) { _, _ = slot.Import(fsys, "/sf", "base-0", "http://here\n") },
	} {
		for _, panics := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/panics=%t", name, panics), func(t *testing.T) {
				for at := int64(1); ; at++ {
					mem := g3(t).mem(t)
					b := &broken{FS: mem, at: at, panics: panics}
					b.run(call)
					if b.failed == 0 {
						return
					}
					if b.open != 0 && (!panics || b.failed != vfstest.OpClose) { // a panic keeps that one open
						t.Errorf("call %d, %s: %d files are open", at, b.failed, b.open)
					}
					nobodyHolds(t, mem, fmt.Sprintf("call %d, %s", at, b.failed))
				}
			})
		}
	}
}

// nobodyHolds wants the slot of g3 to be free, under whichever name it has now.
func nobodyHolds(t testing.TB, mem *vfstest.Mem, what string) {
	t.Helper()
	release, err := slot.LockName(mem, "/sf", "base-0")
	if err != nil {
		t.Errorf("%s: the name is held: %v", what, err)
		return
	}
	do(t, release())
	at := dir
	if _, err := mem.Stat(dir); err != nil {
		at = "/sf/base-imported-1"
	}
	f, err := slot.OpenForeign(slot.Options{FS: mem, Dir: at})
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	do(t, f.Close())
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
