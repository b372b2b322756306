// SPDX-License-Identifier: MIT

//go:build linux || darwin || freebsd

package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// eachFS runs a test on the real filesystem and on its double: what holds for
// one must hold for the other.
func eachFS(t *testing.T, test func(t *testing.T, fsys vfs.FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, vfs.OS, t.TempDir()) })
	t.Run("mem", func(t *testing.T) {
		m := vfstest.NewMem()
		if err := m.MkdirAll("/slots/a", 0o700); err != nil {
			t.Fatal(err)
		}
		test(t, m, "/slots/a")
	})
	t.Run("wrapped", func(t *testing.T) {
		test(t, vfstest.Wrap(vfs.OS, func(vfstest.Op) error { return nil }), t.TempDir())
	})
}

func create(t testing.TB, fsys vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestWritesReadBackAndShortReadsEndInEOF(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		f := create(t, fsys, filepath.Join(dir, "f"))
		if err := f.Allocate(1000); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("hello"), 997); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 10)
		n, err := f.ReadAt(got, 995)
		if n != 7 || err != io.EOF || !bytes.Equal(got[:n], []byte("\x00\x00hello")) {
			t.Fatalf("read %q, %v", got[:n], err)
		}
		if n, err := f.ReadAt(got, 5000); n != 0 || err != io.EOF {
			t.Fatalf("read behind the end: %d, %v", n, err)
		}
		if err := f.Truncate(3); err != nil {
			t.Fatal(err)
		}
		if size, err := f.Size(); err != nil || size != 3 {
			t.Fatalf("size %d, %v", size, err)
		}
	})
}

func TestLockBelongsToOneOpenFile(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, ".lock")
		a := create(t, fsys, name)
		b, err := fsys.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if err := a.Lock(); err != nil {
			t.Fatal(err)
		}
		if err := b.Lock(); !errors.Is(err, vfs.ErrLocked) {
			t.Fatalf("second lock: %v, want ErrLocked", err)
		}
		if err := a.Unlock(); err != nil {
			t.Fatal(err)
		}
		if err := b.Lock(); err != nil {
			t.Fatalf("lock after unlock: %v", err)
		}
	})
}

func TestMissingAndExistingFilesAreTold(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		if _, err := fsys.OpenFile(name, os.O_RDWR, 0); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("open: %v", err)
		}
		if err := fsys.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("remove: %v", err)
		}
		create(t, fsys, name)
		if _, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); !errors.Is(err, fs.ErrExist) {
			t.Fatalf("create: %v", err)
		}
		if err := fsys.Rename(name, name+".corrupt"); err != nil {
			t.Fatal(err)
		}
		list, err := fsys.ReadDir(dir)
		if err != nil || len(list) != 1 || list[0].Name() != "f.corrupt" {
			t.Fatalf("list %v, %v", list, err)
		}
		if err := fsys.SyncDir(dir); err != nil {
			t.Fatal(err)
		}
		if total, free, err := fsys.Space(dir); err != nil || total <= 0 || free < 0 || free > total {
			t.Fatalf("space %d of %d, %v", free, total, err)
		}
	})
}

func TestRemovedFileStaysReadableWhileOpen(t *testing.T) {
	eachFS(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, fsys, name)
		if _, err := f.WriteAt([]byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		if err := fsys.Remove(name); err != nil {
			t.Fatal(err)
		}
		if n, err := f.ReadAt(make([]byte, 1), 0); n != 1 || err != nil {
			t.Fatalf("read %d, %v", n, err)
		}
	})
}

func TestSymbolicLinkIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "victim")
	if err := os.WriteFile(target, []byte("keep"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, ".lock.pid")
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if f, err := vfs.OS.OpenFile(link, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err == nil {
		_ = f.Close()
		t.Fatal("a planted link was followed")
	}
}

// Without somebody at its other end an open of it would never return.
func TestAPipeIsNotWaitedFor(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "sf-0000000000000001.sfa")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, fsys := range []vfs.FS{vfs.OS, vfs.ReadOnly(vfs.OS)} {
		if f, err := fsys.OpenFile(pipe, os.O_RDONLY, 0); !errors.Is(err, vfs.ErrUntrusted) {
			t.Errorf("%v, %v", f, err)
		}
	}
	for _, flag := range []int{os.O_RDWR, os.O_WRONLY} {
		if f, err := vfs.OS.OpenFile(pipe, flag, 0); err == nil {
			t.Errorf("%v is open", f)
		}
	}
}
