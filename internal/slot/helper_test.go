// SPDX-License-Identifier: MIT

package slot_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		holdSlot(dir)
		return
	}
	if dir := os.Getenv(writeEnv); dir != "" {
		writeSlot(dir)
	}
	goleak.VerifyTestMain(m)
}

const dir = "/sf/base-0"

// payload is a frame that the tests know again: it has the magic, its number and
// its rows, and filler up to a size.
func payload(id uint64, rows, size int) []byte {
	b := append([]byte("QWP1"), make([]byte, max(size, 24)-4)...)
	binary.LittleEndian.PutUint64(b[4:], id)
	binary.LittleEndian.PutUint32(b[12:], uint32(rows))
	for i := 16; i < len(b); i++ {
		b[i] = byte(id*31+uint64(i)) | 1
	}
	return b
}

func idOf(b []byte) uint64 { return binary.LittleEndian.Uint64(b[4:]) }

func inspect(b []byte) (rows int, low, high int64, ok bool, err error) {
	if len(b) < 16 || string(b[:4]) != "QWP1" {
		return 0, 0, 0, false, errors.New("not a test frame")
	}
	id := int64(idOf(b))
	return int(binary.LittleEndian.Uint32(b[12:])), id, id + 1, true, nil
}

func frame(id uint64, rows, size int) slot.Frame {
	return slot.Frame{Bytes: payload(id, rows, size), Rows: rows, MinTime: int64(id), MaxTime: int64(id) + 1, HasTime: true}
}

func options(fsys vfs.FS) slot.Options {
	return slot.Options{
		FS: fsys, Dir: dir, SegmentBytes: 4096, MaxBytes: 16 * 4096, Durability: slot.Flush,
		Inspect: inspect, Now: func() time.Time { return time.UnixMicro(1795364204056942) },
	}
}

func open(t testing.TB, o slot.Options) *slot.Slot {
	t.Helper()
	s, err := slot.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// store appends, syncs and publishes frames as one Tx.
func store(s *slot.Slot, frames ...slot.Frame) error {
	return storeCtx(context.Background(), s, frames...)
}

func storeCtx(ctx context.Context, s *slot.Slot, frames ...slot.Frame) error {
	tx, err := s.Reserve(ctx, sizes(frames))
	if err != nil {
		return err
	}
	err = tx.Append(frames...)
	if err == nil {
		err = tx.Sync()
	}
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	tx.Publish()
	return nil
}

func sizes(frames []slot.Frame) []int {
	var list []int
	for _, f := range frames {
		list = append(list, len(f.Bytes))
	}
	return list
}

func mustStore(t testing.TB, s *slot.Slot, frames ...slot.Frame) {
	t.Helper()
	do(t, store(s, frames...))
}

// fill stores frames with ids [from, to), one row and one Tx each.
func fill(t testing.TB, s *slot.Slot, from, to uint64, size int) {
	t.Helper()
	for id := from; id < to; id++ {
		mustStore(t, s, frame(id, 1, size))
	}
}

type entry struct {
	fsn slot.FSN
	id  uint64
}

func readAll(c *slot.Cursor) ([]entry, error) {
	var list []entry
	for {
		e, ok, err := c.Next()
		if err != nil || !ok {
			return list, err
		}
		if len(e.Bytes) < 16 || !bytes.Equal(e.Bytes, payload(idOf(e.Bytes), int(binary.LittleEndian.Uint32(e.Bytes[12:])), len(e.Bytes))) {
			return list, fmt.Errorf("frame %d has other bytes than were stored", e.FSN)
		}
		list = append(list, entry{e.FSN, idOf(e.Bytes)})
	}
}

func pending(t testing.TB, s *slot.Slot) []entry {
	t.Helper()
	c := s.NewCursor()
	defer c.Close()
	list, err := readAll(c)
	do(t, err)
	return list
}

// wantIDs checks that the pending frames have these ids and FSNs without a gap.
func wantIDs(t testing.TB, s *slot.Slot, first slot.FSN, ids ...uint64) {
	t.Helper()
	got := pending(t, s)
	var want []entry
	for i, id := range ids {
		want = append(want, entry{first + slot.FSN(i), id})
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("pending %v, want %v", got, want)
	}
}

func ids(from, to uint64) []uint64 {
	var list []uint64
	for ; from < to; from++ {
		list = append(list, from)
	}
	return list
}

func settle(t testing.TB, s *slot.Slot, from, to slot.FSN) {
	t.Helper()
	for ; from <= to; from++ {
		do(t, s.Settle(from, 1, slot.Acked))
	}
}

func segments(t testing.TB, fsys vfs.FS) []string {
	t.Helper()
	var list []string
	for _, name := range names(t, fsys) {
		if strings.HasSuffix(name, ".sfa") {
			list = append(list, name)
		}
	}
	return list
}

func names(t testing.TB, fsys vfs.FS) []string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	do(t, err)
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func read(t testing.TB, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.OpenFile(filepath.Join(dir, name), os.O_RDONLY, 0)
	do(t, err)
	defer f.Close()
	size, err := f.Size()
	do(t, err)
	b := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(b, 0)
		do(t, err)
	}
	return b
}

func write(t testing.TB, fsys vfs.FS, name string, b []byte) {
	t.Helper()
	do(t, fsys.MkdirAll(dir, 0o700))
	f, err := fsys.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	do(t, err)
	defer f.Close()
	do(t, f.Truncate(int64(len(b))))
	_, err = f.WriteAt(b, 0)
	do(t, err)
	do(t, f.Sync())
	do(t, fsys.SyncDir(dir))
}

func remove(t testing.TB, fsys vfs.FS, name string) {
	t.Helper()
	if err := fsys.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	do(t, fsys.SyncDir(dir))
}

// snapshot is every file of the slot, for comparing.
func snapshot(t testing.TB, fsys vfs.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range names(t, fsys) {
		all[name] = string(read(t, fsys, name))
	}
	return all
}

func balanced(t testing.TB, st slot.Stats) {
	t.Helper()
	if st.Accepted != st.Pending+st.Acked+st.DeadLettered+st.Evicted+st.Quarantined+st.Unknown {
		t.Fatalf("ledger does not balance: %+v", st)
	}
}

func newMem() *vfstest.Mem { return vfstest.NewMem() }

// noWait is a context that is done: Reserve takes what is free, and waits for
// nothing.
func noWait() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
