// SPDX-License-Identifier: MIT

//go:build linux

package e2e

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// unusable makes an sf_dir that cannot be used, and what makes it usable. The
// tests run as root, whom permissions do not keep out.
type unusable func(t testing.TB) (dir string, mend func())

var unusables = map[string]unusable{
	"below a file": func(t testing.TB) (string, func()) {
		notADir := writeFile(t, "a file")
		return filepath.Join(notADir, "sf"), func() { check(t, os.Remove(notADir)) }
	},
	"read-only": func(t testing.TB) (string, func()) {
		dir := tmpfs(t, "size=64m")
		remount(t, dir, syscall.MS_RDONLY, "size=64m")
		return filepath.Join(dir, "sf"), func() { remount(t, dir, 0, "size=64m") }
	},
	"full": func(t testing.TB) (string, func()) {
		dir := tmpfs(t, "size=64k")
		return filepath.Join(dir, "sf"), func() { remount(t, dir, 0, "size=64m") }
	},
}

// tmpfs mounts a filesystem for the length of the test.
func tmpfs(t testing.TB, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("no right to mount a filesystem: %v", err)
	}
	t.Cleanup(func() { check(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

func remount(t testing.TB, dir string, flags uintptr, options string) {
	t.Helper()
	check(t, syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT|flags, options))
}

func TestTelegrafGoesOnFromRAMWhileItsDirectoryCannotBeUsed(t *testing.T) {
	t.Parallel() // the disk is tried every 30 s
	for name, spoil := range unusables {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := realParts(t)
			dir, mend := spoil(t)
			addr, set := freeAddr(t), gen.Set{Seed: 53}
			f := startFed(ctx, t, config("http://"+addr, dir))
			f.feed(ctx, t, set, 0, 1000)
			check(t, f.WaitLog(ctx, "rows are kept in RAM"))
			mend()
			check(t, f.WaitLog(ctx, "rows go to disk"))
			saidOnce(t, f.Log(), "rows are kept in RAM")
			saidOnce(t, f.Log(), "rows_moved=1000")
			check(t, f.Kill()) // what was moved is safe from that

			srv := startQWP(t, qwpserver.Options{Addr: addr})
			runExecd(ctx, t, config("http://"+addr, dir, stayUntilSent), nil)
			arrived(ctx, t, srv, set, 1000)
		})
	}
}
