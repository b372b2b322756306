// SPDX-License-Identifier: MIT

package ramfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/ramfs"
)

const readWrite = os.O_RDWR | os.O_CREATE

// disk is a filesystem with a directory of its own, which scripts are run in.
// They return what a caller can see.
type disk struct {
	t   testing.TB
	fs  vfs.FS
	dir string
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

func (d *disk) open(name string, flag int) vfs.File {
	d.t.Helper()
	f, err := d.fs.OpenFile(d.path(name), flag, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = f.Close() })
	return f
}

func (d *disk) put(name, content string) vfs.File {
	d.t.Helper()
	f := d.open(name, readWrite)
	if _, err := f.WriteAt([]byte(content), 0); err != nil {
		d.t.Fatal(err)
	}
	return f
}

func (d *disk) mkdir(name string) string { return told(d.fs.MkdirAll(d.path(name), 0o700)) }

func (d *disk) remove(name string) string { return told(d.fs.Remove(d.path(name))) }

func (d *disk) rename(from, to string) string { return told(d.fs.Rename(d.path(from), d.path(to))) }

func (d *disk) tryOpen(name string, flag int) string {
	f, err := d.fs.OpenFile(d.path(name), flag, 0o600)
	if err == nil {
		_ = f.Close()
	}
	return told(err)
}

// list shows a directory: names, sizes of files, and what is a directory.
func (d *disk) list(name string) string {
	entries, err := d.fs.ReadDir(d.path(name))
	if err != nil {
		return told(err)
	}
	var all []string
	for _, e := range entries {
		i, err := e.Info()
		if err != nil {
			return told(err)
		}
		if e.IsDir() {
			all = append(all, e.Name()+"/")
			continue
		}
		all = append(all, fmt.Sprintf("%s:%d", e.Name(), i.Size()))
	}
	return strings.Join(all, " ")
}

func content(f vfs.File) string {
	b := make([]byte, 64)
	n, err := f.ReadAt(b, 0)
	if !errors.Is(err, io.EOF) {
		return told(err)
	}
	return fmt.Sprintf("%q", b[:n])
}

// told is the kind of an error, in which all systems must agree.
func told(err error) string {
	switch {
	case err == nil:
		return "ok"
	case strings.HasSuffix(err.Error(), "use of closed file"): // of calls on the descriptor, on disk
		return fs.ErrClosed.Error()
	}
	for _, kind := range []error{
		fs.ErrNotExist, syscall.ENOTEMPTY, fs.ErrExist, fs.ErrClosed, vfs.ErrLocked, io.EOF,
		syscall.ENOTDIR, syscall.EISDIR, syscall.EBADF, syscall.EINVAL,
	} {
		if errors.Is(err, kind) {
			return kind.Error()
		}
	}
	return err.Error()
}

func all(steps ...string) string { return strings.Join(steps, "; ") }

var behaviours = []struct {
	name string
	do   func(d *disk) string
	want string
}{
	{"missing file is told", func(d *disk) string {
		_, err := d.fs.Stat(d.path("f"))
		return all(d.tryOpen("f", os.O_RDWR), d.remove("f"), d.rename("f", "g"), told(err), d.tryOpen("no/f", readWrite))
	}, all("file does not exist", "file does not exist", "file does not exist", "file does not exist", "file does not exist")},
	{"exclusive creation happens once", func(d *disk) string {
		return all(d.tryOpen("f", readWrite|os.O_EXCL), d.tryOpen("f", readWrite|os.O_EXCL), d.tryOpen("f", readWrite))
	}, all("ok", "file already exists", "ok")},
	{"creation keeps what is there, truncation does not", func(d *disk) string {
		d.put("f", "kept")
		first := content(d.open("f", readWrite))
		return all(first, content(d.open("f", readWrite|os.O_TRUNC)))
	}, all(`"kept"`, `""`)},
	{"writes behind the end leave zeros", func(d *disk) string {
		f := d.put("f", "ab")
		_, err := f.WriteAt([]byte("z"), 4)
		return all(told(err), content(f), d.list(""))
	}, all("ok", `"ab\x00\x00z"`, "f:5")},
	{"an empty write changes nothing", func(d *disk) string {
		f := d.put("f", "ab")
		n, err := f.WriteAt(nil, 9)
		return all(fmt.Sprint(n), told(err), content(f))
	}, all("0", "ok", `"ab"`)},
	{"reads end at the end", func(d *disk) string {
		f := d.put("f", "abcd")
		b := make([]byte, 3)
		n, err := f.ReadAt(b, 1)
		m, short := f.ReadAt(b, 2)
		k, behind := f.ReadAt(b, 9)
		return all(fmt.Sprint(n, m, k), told(err), told(short), told(behind))
	}, all("3 2 0", "ok", "EOF", "EOF")},
	{"what is cut off does not come back", func(d *disk) string {
		f := d.put("f", "abcdef")
		return all(told(f.Truncate(2)), content(f), told(f.Truncate(4)), content(f), told(f.Allocate(6)), content(f))
	}, all("ok", `"ab"`, "ok", `"ab\x00\x00"`, "ok", `"ab\x00\x00\x00\x00"`)},
	{"allocation sets the size both ways", func(d *disk) string {
		f := d.open("f", readWrite)
		return all(told(f.Allocate(9)), d.list(""), told(f.Allocate(3)), d.list(""), told(f.Sync()))
	}, all("ok", "f:9", "ok", "f:3", "ok")},
	{"reader cannot write and writer cannot read", func(d *disk) string {
		d.put("f", "x")
		r, w := d.open("f", os.O_RDONLY), d.open("f", os.O_WRONLY)
		_, writing := r.WriteAt([]byte("y"), 0)
		_, reading := w.ReadAt(make([]byte, 1), 0)
		return all(told(writing), told(reading))
	}, all("bad file descriptor", "bad file descriptor")},
	{"closed file says so", func(d *disk) string {
		f := d.open("f", readWrite)
		closed := told(f.Close())
		_, writing := f.WriteAt([]byte("x"), 0)
		_, reading := f.ReadAt(make([]byte, 1), 0)
		_, size := f.Size()
		return all(closed, told(f.Close()), told(writing), told(reading), told(size), told(f.Truncate(1)), told(f.Sync()))
	}, all("ok", "file already closed", "file already closed", "file already closed", "file already closed",
		"file already closed", "file already closed")},
	{"rename replaces", func(d *disk) string {
		d.put("a", "new")
		old := d.put("b", "before")
		return all(d.rename("a", "b"), d.list(""), content(d.open("b", os.O_RDONLY)), content(old), d.rename("b", "b"))
	}, all("ok", "b:3", `"new"`, `"before"`, "ok")},
	{"rename moves between directories", func(d *disk) string {
		d.put("a", "x")
		return all(d.mkdir("p/q"), d.rename("a", "p/q/b"), d.list(""), d.list("p/q"), d.rename("p/q/b", "no/b"))
	}, all("ok", "ok", "p/", "b:1", "file does not exist")},
	{"rename takes a directory along", func(d *disk) string {
		made := d.mkdir("p/q")
		f := d.put("p/q/f", "x")
		return all(made, d.rename("p", "r"), d.list(""), d.list("r/q"), content(f), d.rename("r", "r/q/s"))
	}, all("ok", "ok", "r/", "f:1", `"x"`, "invalid argument")},
	{"rename takes no name of a directory", func(d *disk) string {
		d.put("f", "x")
		return all(d.mkdir("p"), d.mkdir("q"), d.rename("f", "p"), d.rename("q", "p"), d.rename("p", "f"), d.list(""))
	}, all("ok", "ok", "file already exists", "file already exists", "not a directory", "f:1 p/ q/")},
	{"directories are made once, with their parents", func(d *disk) string {
		d.put("f", "x")
		return all(d.mkdir("p/q"), d.mkdir("p/q"), d.list("p"), d.mkdir("f"), d.mkdir("f/p"))
	}, all("ok", "ok", "q/", "not a directory", "not a directory")},
	{"only empty directories are removed", func(d *disk) string {
		return all(d.mkdir("p/q"), d.remove("p"), d.remove("p/q"), d.remove("p"), d.list(""))
	}, all("ok", "directory not empty", "ok", "ok", "")},
	{"directory is no file, and file no directory", func(d *disk) string {
		d.put("f", "x")
		return all(d.mkdir("p"), d.tryOpen("p", os.O_RDWR), d.tryOpen("f/g", readWrite), d.list("f"), d.list("no"))
	}, all("ok", "is a directory", "not a directory", "not a directory", "file does not exist")},
	{"listing is sorted", func(d *disk) string {
		for _, name := range []string{"b", ".b", "c", "B", "a"} {
			d.put(name, name)
		}
		return d.list("")
	}, ".b:2 B:1 a:1 b:1 c:1"},
	{"stat tells files from directories", func(d *disk) string {
		d.put("f", "xyz")
		f, err := d.fs.Stat(d.path("f"))
		p, err2 := d.fs.Stat(d.dir)
		if err != nil || err2 != nil {
			return all(told(err), told(err2))
		}
		return all(f.Name()+fmt.Sprint(f.Size(), f.IsDir(), f.Mode().IsRegular()), fmt.Sprint(p.IsDir(), p.Mode().IsDir()))
	}, all("f3 false true", "true true")},
	{"removed file lives while it is open", func(d *disk) string {
		f := d.put("f", "old")
		removed := d.remove("f")
		g := d.put("f", "new")
		_, err := f.WriteAt([]byte("er"), 3)
		return all(removed, told(err), content(f), content(g))
	}, all("ok", "ok", `"older"`, `"new"`)},
	{"lock belongs to an open file", func(d *disk) string {
		a, b := d.open("f", readWrite), d.open("f", readWrite)
		return all(told(a.Lock()), told(a.Lock()), told(b.Lock()), told(b.Unlock()), told(b.Lock()), told(a.Unlock()), told(b.Lock()))
	}, all("ok", "ok", "locked by another owner", "ok", "locked by another owner", "ok", "ok")},
	{"close drops the lock", func(d *disk) string {
		a, b := d.open("f", readWrite), d.open("f", readWrite)
		return all(told(a.Lock()), told(a.Close()), told(b.Lock()), told(a.Lock()), told(a.Unlock()))
	}, all("ok", "ok", "ok", "file already closed", "file already closed")},
	{"lock is of the file, not of its name", func(d *disk) string {
		a := d.open("f", readWrite)
		locked := told(a.Lock())
		gone := d.remove("f")
		b := d.open("f", readWrite)
		return all(locked, gone, told(b.Lock()), d.rename("f", "g"), told(d.open("g", os.O_RDWR).Lock()))
	}, all("ok", "ok", "ok", "ok", "locked by another owner")},
	{"names and space can be asked for", func(d *disk) string {
		f := d.open("f", readWrite)
		total, free, err := d.fs.Space(d.dir)
		_, _, missing := d.fs.Space(d.path("no"))
		return all(fmt.Sprint(f.Name() == d.path("f"), total > 0, free >= 0, free <= total), told(err), told(missing),
			told(d.fs.SyncDir(d.dir)), told(d.fs.SyncDir(d.path("no"))))
	}, all("true true true true", "ok", "file does not exist", "ok", "file does not exist")},
	{"negative sizes are refused", func(d *disk) string {
		return told(d.open("f", readWrite).Truncate(-1))
	}, "invalid argument"},
}

func TestRAMBehavesLikeTheDisk(t *testing.T) {
	for _, b := range behaviours {
		t.Run(b.name, func(t *testing.T) {
			r := ramfs.New(1 << 20)
			if err := r.MkdirAll("/sf", 0o700); err != nil {
				t.Fatal(err)
			}
			for name, d := range map[string]*disk{
				"disk": {t: t, fs: vfs.OS, dir: t.TempDir()}, "RAM": {t: t, fs: r, dir: "/sf"},
			} {
				if got := b.do(d); got != b.want {
					t.Errorf("%s\n got %s\nwant %s", name, got, b.want)
				}
			}
		})
	}
}

func TestErrorsNameThePath(t *testing.T) {
	r := ramfs.New(10)
	_, err := r.OpenFile("/no/f", os.O_RDWR, 0)
	var path *fs.PathError
	if !errors.As(err, &path) || path.Path != "/no/f" || path.Op != "open" {
		t.Errorf("open: %#v", err)
	}
	var link *os.LinkError
	if err := r.Rename("/a", "/b"); !errors.As(err, &link) || link.Old != "/a" || link.New != "/b" {
		t.Errorf("rename: %#v", err)
	}
	for name, err := range map[string]error{
		"open": told2(r.OpenFile("/", os.O_RDWR|os.O_CREATE, 0)), "remove": r.Remove("/"), "rename": r.Rename("/", "/a"),
	} {
		if err == nil {
			t.Errorf("%s of the root is let through", name)
		}
	}
}

func told2(_ vfs.File, err error) error { return err }

func free(t testing.TB, r vfs.FS) int64 {
	t.Helper()
	_, n, err := r.Space("/")
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFullFilesystemRefusesWhatDoesNotFitAndKeepsTheRest(t *testing.T) {
	d := &disk{t: t, fs: ramfs.New(100), dir: "/"}
	f, g := d.put("f", strings.Repeat("f", 60)), d.open("g", readWrite)
	for name, call := range map[string]func() error{
		"allocate": func() error { return g.Allocate(41) },
		"truncate": func() error { return g.Truncate(1 << 62) },
		"write":    func() error { _, err := g.WriteAt(make([]byte, 41), 0); return err },
		"far off":  func() error { _, err := g.WriteAt([]byte("x"), 1<<40); return err },
		"overflow": func() error { _, err := g.WriteAt([]byte("x"), 1<<63-1); return err },
	} {
		err := call()
		var path *fs.PathError
		if !errors.As(err, &path) || path.Path != "/g" || name != "overflow" && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := free(t, d.fs); n != 40 {
		t.Errorf("%d bytes free after refusals, want 40", n)
	}
	if err := g.Allocate(40); err != nil {
		t.Error(err)
	}
	if _, err := f.WriteAt([]byte("new"), 57); err != nil {
		t.Errorf("write inside a file of a full filesystem: %v", err)
	}
}

func TestMemoryComesBackWithTheLastNameAndTheLastHandle(t *testing.T) {
	for name, unlink := range map[string]func(d *disk) string{
		"removed":  func(d *disk) string { return d.remove("f") },
		"replaced": func(d *disk) string { d.open("g", readWrite); return d.rename("g", "f") },
	} {
		d := &disk{t: t, fs: ramfs.New(100), dir: "/"}
		f, again := d.put("f", "1234567890"), d.open("f", os.O_RDONLY)
		if got := unlink(d); got != "ok" {
			t.Fatal(got)
		}
		for i, open := range []vfs.File{f, again} {
			if n := free(t, d.fs); n != 90 {
				t.Errorf("%s, %d handles closed: %d bytes free, want 90", name, i, n)
			}
			_ = open.Close()
		}
		if n := free(t, d.fs); n != 100 {
			t.Errorf("%s and closed: %d bytes free, want 100", name, n)
		}
	}
}

func TestFilesMayBeUsedTogether(t *testing.T) {
	d := &disk{t: t, fs: ramfs.New(1 << 20), dir: "/"}
	var wg sync.WaitGroup
	for n := range byte(4) {
		wg.Go(func() { d.churn(n) })
		wg.Go(func() {
			for range 200 {
				_, _ = d.fs.ReadDir("/")
				_, _ = d.fs.Stat("/shared")
				f, err := d.fs.OpenFile("/shared", readWrite, 0)
				if err != nil {
					t.Error(err)
					return
				}
				if f.Lock() == nil {
					_, _ = f.WriteAt([]byte{n}, int64(n))
				}
				_ = d.fs.Remove("/shared")
				_ = f.Close()
			}
		})
	}
	wg.Wait()
	_ = d.fs.Remove("/shared")
	if n := free(t, d.fs); n != 1<<20 {
		t.Errorf("%d bytes free after all is gone, want %d", n, 1<<20)
	}
}

// churn writes, reads, renames and removes files of its own.
func (d *disk) churn(n byte) {
	name := fmt.Sprintf("/%d", n)
	for range 200 {
		f, err := d.fs.OpenFile(name, readWrite|os.O_EXCL, 0)
		if err != nil {
			d.t.Error(err)
			return
		}
		want, got := bytes.Repeat([]byte{n}, 3000), make([]byte, 3000)
		_, wrote := f.WriteAt(want, 0)
		_, read := f.ReadAt(got, 0)
		moved := d.fs.Rename(name, name+"x")
		if err := errors.Join(wrote, read, moved, d.fs.Remove(name+"x"), f.Close()); err != nil || !bytes.Equal(got, want) {
			d.t.Error(err)
			return
		}
	}
}
