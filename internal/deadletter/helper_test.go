// SPDX-License-Identifier: MIT

package deadletter_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

const dir = "/sf"

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return now }

func newDisk(t rapid.TB) *vfstest.Mem {
	t.Helper()
	m := vfstest.NewMem()
	do(t, m.MkdirAll(dir, 0o750))
	do(t, m.SyncDir("/"))
	return m
}

func open(disk vfs.FS, change ...func(*deadletter.Options)) *deadletter.File {
	o := deadletter.Options{FS: disk, Dir: dir, SenderID: "default", Now: clock}
	for _, f := range change {
		f(&o)
	}
	return deadletter.Open(o)
}

// logTo keeps what is logged.
func logTo(b *bytes.Buffer) func(*deadletter.Options) {
	return func(o *deadletter.Options) { o.Log = slog.New(slog.NewTextHandler(b, nil)) }
}

// capped sets MaxBytes.
func capped(n int64) func(*deadletter.Options) {
	return func(o *deadletter.Options) { o.MaxBytes = n }
}

// sealed seals files of six letters.
func sealed(o *deadletter.Options) { o.SealBytes = 1000 }

// letterOf makes a letter of a stored row that has an id.
func letterOf(class deadletter.Class, id int) deadletter.Letter {
	r := &qwp.Row{}
	r.Reset("t")
	r.Symbol("host", "a")
	r.Long("id", int64(id))
	r.At(now.UnixMicro() + int64(id))
	return deadletter.Letter{
		Key: &deadletter.Key{Slot: "default-0", FSN: int64(id), CRC: 7, Row: 1}, Row: r, Class: class,
		Reason: "cast error", Host: "db:9000", Column: "id", Type: qwp.TypeLong,
	}
}

func lettersOf(class deadletter.Class, from, to int) (list []deadletter.Letter) {
	for id := from; id < to; id++ {
		list = append(list, letterOf(class, id))
	}
	return list
}

// ids returns the ids of the letters that can be read.
func ids(t rapid.TB, f *deadletter.File, class deadletter.Class) (list []int) {
	t.Helper()
	_, err := f.Read(class, func(l *deadletter.Found) bool {
		list = append(list, idOf(t, &l.Letter))
		return true
	})
	do(t, err)
	return list
}

func idOf(t rapid.TB, l *deadletter.Letter) int {
	t.Helper()
	for i := range l.Row.Cells {
		if c := &l.Row.Cells[i]; c.Name == "id" {
			return int(c.Int())
		}
	}
	t.Fatalf("a letter without id: %+v", l)
	return 0
}

// upTo is 0, 1 … n-1 behind an offset.
func upTo(from, n int) (list []int) {
	for i := from; i < n; i++ {
		list = append(list, i)
	}
	return list
}

// files lists the directory.
func files(t rapid.TB, disk vfs.FS) string {
	t.Helper()
	entries, err := disk.ReadDir(dir)
	do(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func content(t rapid.TB, disk vfs.FS, name string) []byte {
	t.Helper()
	f, err := disk.OpenFile(filepath.Join(dir, name), os.O_RDONLY, 0)
	do(t, err)
	defer f.Close()
	size, err := f.Size()
	do(t, err)
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	do(t, err)
	return b
}

// put replaces a file.
func put(t rapid.TB, disk vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := disk.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	do(t, err)
	_, err = f.WriteAt(data, 0)
	do(t, err)
	do(t, f.Sync())
	do(t, f.Close())
	do(t, disk.SyncDir(dir))
}

func do(t rapid.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T any](t rapid.TB, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: %s, want %s", what, g, w)
	}
}
