// SPDX-License-Identifier: MIT

//go:build linux || darwin || freebsd

package vfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

const stranger = 4242

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// guarded is a filesystem with the directory slot, guarded.
func guarded(t testing.TB, fsys vfs.FS, dir string) *vfs.Guarded {
	t.Helper()
	check(t, fsys.MkdirAll(filepath.Join(dir, "slot"), 0o700))
	g, err := vfs.Guard(fsys, dir)
	check(t, err)
	return g
}

// everything is one call of each kind on what is in slot.
func everything(fsys vfs.FS, dir string) map[string]error {
	in := func(name string) string { return filepath.Join(dir, "slot", name) }
	_, open := fsys.OpenFile(in("f"), os.O_RDWR, 0)
	_, create := fsys.OpenFile(in("g"), os.O_RDWR|os.O_CREATE, 0o600)
	_, list := fsys.ReadDir(filepath.Join(dir, "slot"))
	_, stat := fsys.Stat(in("f"))
	return map[string]error{
		"open": open, "create": create, "list": list, "stat": stat, "mkdir": fsys.MkdirAll(filepath.Join(dir, "slot"), 0o700),
		"rename": fsys.Rename(in("f"), in("h")), "remove": fsys.Remove(in("f")), "sync": fsys.SyncDir(filepath.Join(dir, "slot")),
	}
}

func TestNothingIsDoneOnAnotherFilesystemThanTheOneThatWasOpened(t *testing.T) {
	m := vfstest.NewMem()
	g := guarded(t, m, "/sf")
	f, err := g.OpenFile("/sf/slot/f", os.O_RDWR|os.O_CREATE, 0o600)
	check(t, err)
	check(t, g.Check())
	m.SetDevice(2)
	for call, err := range everything(g, "/sf") {
		if !errors.Is(err, vfs.ErrRemounted) || !strings.Contains(err.Error(), "/sf") {
			t.Errorf("%s: %v", call, err)
		}
	}
	if err := g.Check(); !errors.Is(err, vfs.ErrRemounted) {
		t.Errorf("check: %v", err)
	}
	if _, err := f.WriteAt([]byte("x"), 0); err != nil {
		t.Errorf("what is open stays: %v", err)
	}
	m.SetDevice(1)
	for call, err := range everything(g, "/sf") {
		if err != nil && call != "remove" { // it was renamed
			t.Errorf("%s after the mount is back: %v", call, err)
		}
	}
}

func TestLinksInsideAreNotFollowedAndTheDirectoryItselfMayBeOne(t *testing.T) {
	base := t.TempDir()
	outside, real, dir := filepath.Join(base, "outside"), filepath.Join(base, "real"), filepath.Join(base, "sf")
	check(t, errors.Join(os.MkdirAll(real, 0o700), os.MkdirAll(outside, 0o700), os.Symlink(real, dir),
		os.WriteFile(filepath.Join(outside, "f"), []byte("keep"), 0o600)))
	g := guarded(t, vfs.OS, dir)
	for call, err := range everything(g, dir) {
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Errorf("below a directory that is a link, %s: %v", call, err)
		}
	}
	check(t, errors.Join(os.RemoveAll(filepath.Join(real, "slot")), os.Symlink(outside, filepath.Join(real, "slot"))))
	for call, err := range everything(g, dir) {
		var untrusted *vfs.UntrustedError
		if !errors.As(err, &untrusted) || untrusted.Path != filepath.Join(dir, "slot") || !strings.Contains(err.Error(), "symbolic link") {
			t.Errorf("%s in a directory that is a link: %v", call, err)
		}
	}
	list, err := os.ReadDir(outside)
	if err != nil || len(list) != 1 || list[0].Name() != "f" {
		t.Errorf("behind the link: %v, %v", list, err)
	}
	planted := filepath.Join(dir, "letters")
	check(t, os.Symlink(filepath.Join(outside, "f"), planted))
	if _, err := g.OpenFile(planted, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); !errors.Is(err, vfs.ErrUntrusted) {
		t.Errorf("a file that is a link: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(outside, "f")); err != nil || string(text) != "keep" {
		t.Errorf("behind the link: %q, %v", text, err)
	}
}

func TestWhatBelongsToAStrangerIsNotUsed(t *testing.T) {
	m := vfstest.NewMem()
	g := guarded(t, m, "/sf")
	f, err := g.OpenFile("/sf/slot/f", os.O_RDWR|os.O_CREATE, 0o600)
	check(t, err)
	_, err = f.WriteAt([]byte("keep"), 0)
	check(t, err)
	m.SetOwner("/sf/slot/f", stranger)
	for _, flag := range []int{os.O_RDONLY, os.O_RDWR | os.O_CREATE, os.O_RDWR | os.O_CREATE | os.O_TRUNC} {
		_, err := g.OpenFile("/sf/slot/f", flag, 0o600)
		var untrusted *vfs.UntrustedError
		if !errors.As(err, &untrusted) || untrusted.Path != "/sf/slot/f" || !strings.Contains(err.Error(), "uid 4242") || !strings.Contains(err.Error(), "chown") {
			t.Errorf("flags %x: %v", flag, err)
		}
	}
	if n, err := f.Size(); n != 4 || err != nil {
		t.Errorf("the stranger's file has %d bytes, %v", n, err)
	}
	m.SetOwner("/sf/slot", stranger)
	for call, err := range everything(g, "/sf") {
		if !errors.Is(err, vfs.ErrUntrusted) {
			t.Errorf("%s in a stranger's directory: %v", call, err)
		}
	}
	if list, err := m.ReadDir("/sf"); err != nil || len(list) != 1 {
		t.Errorf("left in the directory: %v, %v", list, err)
	}
}

// vfat and some network filesystems give every file to one user, whoever made it.
func TestAFilesystemOfOneOwnerIsUsed(t *testing.T) {
	m := vfstest.NewMem()
	g := guarded(t, m, "/sf")
	m.SetOwner("/sf/slot", stranger)
	m.SetOwner("/sf/.owner.tmp", stranger)
	m.SetOwner("/sf/slot/f", stranger)
	if _, err := g.OpenFile("/sf/slot/f", os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		t.Error(err)
	}
}

func TestTheRealFilesystemTellsOwnersAndDevices(t *testing.T) {
	dir := t.TempDir()
	f := create(t, vfs.OS, filepath.Join(dir, "f"))
	byName, err := vfs.OS.Owner(filepath.Join(dir, "f"))
	check(t, err)
	byFile, err := f.Owner()
	check(t, err)
	if byName != os.Geteuid() || byFile != os.Geteuid() {
		t.Errorf("owners %d and %d of a file of uid %d", byName, byFile, os.Geteuid())
	}
	link := filepath.Join(dir, "link")
	check(t, os.Symlink("/proc", link))
	here, err := vfs.OS.Device(dir)
	check(t, err)
	if there, err := vfs.OS.Device(link); err == nil && there == here {
		t.Errorf("/proc and %s are both on device %d", dir, here)
	}
}
