// SPDX-License-Identifier: MIT

package vfstest_test

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func newMem(t testing.TB) *vfstest.Mem {
	t.Helper()
	m := vfstest.NewMem()
	if err := m.MkdirAll("/d", 0o700); err != nil {
		t.Fatal(err)
	}
	return m
}

func create(t testing.TB, fsys vfs.FS, name string) vfs.File {
	t.Helper()
	f, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func write(t testing.TB, f vfs.File, b []byte, off int64) {
	t.Helper()
	if _, err := f.WriteAt(b, off); err != nil {
		t.Fatal(err)
	}
}

func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func content(t testing.TB, m *vfstest.Mem, name string) []byte {
	t.Helper()
	f, err := m.OpenFile(name, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	do(t, err)
	size, err := f.Size()
	do(t, err)
	b := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(b, 0)
		do(t, err)
	}
	return b
}

func TestCrashKeepsWhatWasSyncedAndMayLoseTheRest(t *testing.T) {
	m := newMem(t)
	f := create(t, m, "/d/f")
	old := bytes.Repeat([]byte{1}, 1024)
	write(t, f, old, 0)
	do(t, f.Sync())
	do(t, m.SyncDir("/d"))
	write(t, f, bytes.Repeat([]byte{2}, 1024), 0)

	if got := content(t, m.CrashLost(), "/d/f"); !bytes.Equal(got, old) {
		t.Error("CrashLost does not show the synced content")
	}
	if got := content(t, m.CrashKept(), "/d/f"); !bytes.Equal(got, bytes.Repeat([]byte{2}, 1024)) {
		t.Error("CrashKept does not show the written content")
	}
	seen := map[[2]byte]bool{}
	for seed := range uint64(40) {
		b := content(t, m.Crash(rand.New(rand.NewPCG(seed, 0))), "/d/f")
		seen[[2]byte{b[0], b[512]}] = true
	}
	if len(seen) != 4 {
		t.Errorf("40 crashes show %d of the 4 states of two sectors", len(seen))
	}
}

func TestCrashMayLoseNamesThatWereNotSynced(t *testing.T) {
	m := newMem(t)
	f := create(t, m, "/d/f")
	write(t, f, []byte("x"), 0)
	do(t, f.Sync())
	if content(t, m.CrashLost(), "/d/f") != nil {
		t.Error("a name survived without SyncDir")
	}
	do(t, m.SyncDir("/d"))
	if content(t, m.CrashLost(), "/d/f") == nil {
		t.Error("a name was lost in spite of SyncDir")
	}
	do(t, m.Rename("/d/f", "/d/g"))
	lost, kept := m.CrashLost(), m.CrashKept()
	if content(t, lost, "/d/f") == nil || content(t, lost, "/d/g") != nil {
		t.Error("a lost rename is not undone")
	}
	if content(t, kept, "/d/f") != nil || content(t, kept, "/d/g") == nil {
		t.Error("a kept rename is not done")
	}
	do(t, m.SyncDir("/d"))
	do(t, m.Remove("/d/g"))
	if content(t, m.CrashLost(), "/d/g") == nil {
		t.Error("a removal that was not synced is not undone")
	}
}

func TestCrashReleasesLocksAndIsTheSameForTheSameSeed(t *testing.T) {
	m := newMem(t)
	f := create(t, m, "/d/f")
	do(t, m.SyncDir("/d"))
	do(t, f.Lock())
	write(t, f, make([]byte, 64<<10), 0)
	write(t, f, bytes.Repeat([]byte{7}, 64<<10), 0)
	one := m.Crash(rand.New(rand.NewPCG(1, 2)))
	two := m.Crash(rand.New(rand.NewPCG(1, 2)))
	if !bytes.Equal(content(t, one, "/d/f"), content(t, two, "/d/f")) {
		t.Error("a seed does not name a state")
	}
	do(t, create(t, one, "/d/f").Lock())
	if err := create(t, m, "/d/f").Lock(); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("the crash of a copy released the lock of the original: %v", err)
	}
}

func TestCapacityIsENOSPC(t *testing.T) {
	m := newMem(t)
	m.SetCapacity(1000)
	f := create(t, m, "/d/f")
	do(t, f.Allocate(900))
	if err := f.Allocate(1001); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("allocate: %v", err)
	}
	if _, err := f.WriteAt(make([]byte, 200), 900); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write: %v", err)
	}
	write(t, f, make([]byte, 900), 0)
	if total, free, err := m.Space("/d"); total != 1000 || free != 100 || err != nil {
		t.Errorf("space %d of %d, %v", free, total, err)
	}
}

func TestWrapRecordsCountsAndFails(t *testing.T) {
	m := newMem(t)
	var kinds []vfstest.Kind
	failAt := int64(4)
	w := vfstest.Wrap(m, func(op vfstest.Op) error {
		kinds = append(kinds, op.Kind)
		if op.N == failAt {
			return &vfstest.ShortWrite{N: 3, Err: syscall.EIO}
		}
		return nil
	})
	f := create(t, w, "/d/f")
	do(t, f.Allocate(10))
	write(t, f, []byte("12345"), 0)
	n, err := f.WriteAt([]byte("abcde"), 5)
	if n != 3 || !errors.Is(err, syscall.EIO) {
		t.Errorf("short write: %d, %v", n, err)
	}
	if got := content(t, m, "/d/f"); string(got) != "12345abc\x00\x00" {
		t.Errorf("content %q", got)
	}
	want := []vfstest.Kind{vfstest.OpOpen, vfstest.OpAllocate, vfstest.OpWrite, vfstest.OpWrite}
	if len(kinds) != len(want) {
		t.Fatalf("recorded %v", kinds)
	}
	for i := range want {
		if kinds[i] != want[i] {
			t.Errorf("call %d is %v, want %v", i+1, kinds[i], want[i])
		}
	}
}

func TestFailedSyncLosesWhatItShouldHaveWritten(t *testing.T) {
	m := newMem(t)
	fail := false
	w := vfstest.Wrap(m, func(op vfstest.Op) error {
		if fail && op.Kind == vfstest.OpSync {
			return syscall.EIO
		}
		return nil
	})
	f := create(t, w, "/d/f")
	do(t, f.Allocate(1024))
	do(t, f.Sync())
	do(t, w.SyncDir("/d"))
	write(t, f, []byte("lost"), 0)
	fail = true
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("sync: %v", err)
	}
	fail = false
	write(t, f, []byte("kept"), 512)
	do(t, f.Sync())
	b := content(t, m.CrashLost(), "/d/f")
	if b[0] != 0 || string(b[512:516]) != "kept" {
		t.Errorf("after the crash %q and %q", b[:4], b[512:516])
	}
	if b := content(t, m.CrashKept(), "/d/f"); string(b[:4]) != "lost" {
		t.Errorf("after the death of the process %q", b[:4])
	}
}
