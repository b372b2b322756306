// SPDX-License-Identifier: MIT

package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mounts"
	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// mounted is a filesystem of its own that comes and goes at a mount point.
type mounted struct {
	testing.TB
	source, point string
}

func newMount(t testing.TB) *mounted {
	t.Helper()
	m := &mounted{t, t.TempDir(), t.TempDir()}
	if err := syscall.Mount("none", m.source, "tmpfs", 0, "size=64m"); err != nil {
		t.Skipf("no right to mount a filesystem, so a real mount that goes is not tried: %v", err)
	}
	t.Cleanup(func() { do(t, syscall.Unmount(m.source, syscall.MNT_DETACH)) })
	t.Cleanup(func() { _ = syscall.Unmount(m.point, syscall.MNT_DETACH) })
	return m
}

func (m *mounted) comes() {
	m.Helper()
	do(m, syscall.Mount(m.source, m.point, "", syscall.MS_BIND, ""))
}

// goes is umount -l.
func (m *mounted) goes() {
	m.Helper()
	do(m, syscall.Unmount(m.point, syscall.MNT_DETACH))
}

// below lists what is in the directory under the mount point.
func below(t testing.TB, point string) (names []string) {
	t.Helper()
	do(t, filepath.WalkDir(point, func(path string, _ os.DirEntry, err error) error {
		if path != point {
			names = append(names, path)
		}
		return err
	}))
	return names
}

// eventually waits in real time.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("in vain waited for: " + what)
		}
	}
}

func TestARealMountThatGoesLeavesNoByteBelowAndAllRowsArriveWhenItIsBack(t *testing.T) {
	for _, durability := range durabilities {
		for _, listed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/listed=%t", durability, listed), func(t *testing.T) { mountGoes(t, durability, listed) })
		}
	}
}

func mountGoes(t *testing.T, durability sfpool.Durability, listed bool) {
	m := newMount(t)
	srv, err := qwpserver.Start(qwpserver.Options{})
	do(t, err)
	t.Cleanup(srv.Close)
	srv.Stop()
	var log logBuffer
	system := mounts.System()
	if system.Fstab = "/does/not/exist"; listed {
		system.Fstab = filepath.Join(t.TempDir(), "fstab")
		do(t, os.WriteFile(system.Fstab, []byte("none "+m.point+" tmpfs defaults 0 0\n"), 0o600))
	}
	logger := slog.New(slog.NewTextHandler(&log, nil))
	st := share(t, store.Settings{
		Pool: sfpool.Config{
			URLs: []string{srv.URL()}, Dir: filepath.Join(m.point, "sf"), Mounts: &system, Durability: durability,
			InitialBackoff: time.Millisecond, MaxBackoff: 20 * time.Millisecond, CloseFlushTimeout: -1,
			Logger: logger, MaxSegmentBytes: 64 << 10,
		},
		RAM: true, RAMMaxBytes: 4 << 20, Retry: 20 * time.Millisecond, Log: logger,
	})
	total := int64(0)
	fill := func(batches int) {
		t.Helper()
		for range batches {
			do(t, put(t, st, 500)) // some 5 batches fill a segment
			total += 500
		}
	}
	if listed { // not there at the start
		do(t, st.Open(context.Background()))
		fill(3)
		if names := below(t, m.point); !st.Stats().RAM || len(names) > 0 {
			t.Fatalf("RAM %t, below %q", st.Stats().RAM, names)
		}
	}
	m.comes()
	do(t, st.Open(context.Background()))
	eventually(t, "rows on disk", func() bool { s := st.Stats(); return !s.RAM && s.RAMStats.Pending == 0 })
	fill(20)
	for round := range 2 {
		before := st.Stats()
		m.goes()
		fill(20)
		time.Sleep(200 * time.Millisecond) // ten tries at the disk
		after := st.Stats()
		if names := below(t, m.point); !after.RAM || after.RAMStats.Pending != 10_000 || len(names) > 0 {
			t.Fatalf("round %d: RAM %t with %d rows, below %q", round, after.RAM, after.RAMStats.Pending, names)
		}
		t.Logf("round %d: %d rows on disk, then 10000 went to RAM, and nothing to the directory below", round, before.Pending)
		m.comes()
		eventually(t, "the return to disk", func() bool { s := st.Stats(); return !s.RAM && s.RAMStats.Pending == 0 })
	}
	do(t, srv.Restart())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := srv.Wait(ctx, func(s *qwpserver.State) bool { return s.Rows >= total }); err != nil {
		t.Fatalf("%v; %+v\n%s", err, st.Stats(), log.buf.String())
	}
	do(t, st.Release(context.Background()))
	t.Logf("%d of %d rows arrived", srv.State().Rows, total)
	m.goes()
	if names := below(t, m.point); len(names) > 0 {
		t.Errorf("below %q", names)
	}
}
