// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// smallDisk mounts a filesystem for the length of the test.
func smallDisk(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("none", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("no right to mount a filesystem: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// A real filesystem of 4 MiB, of which others take ever more, and an outage: the
// store gives way, leaves what it has to leave, and never stops.
func TestARealDiskThatOthersFillNeverStopsTheStore(t *testing.T) {
	dir := smallDisk(t, "size=4m")
	b := newBed(t)
	cfg := tight(b, FullDropOldest)
	cfg.Dir, cfg.FS, cfg.MaxTotalBytes = filepath.Join(dir, "sf"), vfs.OS, 64<<20
	cfg.MinFreeSpace = FreeSpace{Percent: 25}
	srv := &server{down: true}
	p := srv.open(t, cfg)
	two := b.take(p, 2)
	next := int64(0)
	flush := func(rows int64) {
		t.Helper()
		flushRows(t, p, next, rows, two...)
		next += rows
	}
	flush(600) // 5 MiB
	_, free, err := vfs.OS.Space(dir)
	if err != nil || free < 1<<20 {
		t.Errorf("%d bytes are left free, want a quarter of 4 MiB: %v", free, err)
	}
	if reach := p.budget.Reach(); reach < 2<<20 || reach > 3<<20 {
		t.Errorf("the files can grow to %d bytes, want three quarters of 4 MiB, less what else there is", reach)
	}
	before := adds(t, p)
	if before.Evicted == 0 || before.StoreBytes < 2<<20 {
		t.Errorf("%+v", before)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, free-1<<16), 0o600); err != nil { // all but 64 KiB
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond) // until the next look
	flush(200)
	if _, free, err = vfs.OS.Space(dir); err != nil || free < 1<<20 {
		t.Errorf("%d bytes are left free of a disk that others need: %v", free, err)
	}
	if after := adds(t, p); after.StoreBytes >= before.StoreBytes {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1100 * time.Millisecond)
	flush(100)
	srv.is(false)
	if err := p.WaitAcked(context.Background()); err != nil {
		t.Fatal(err)
	}
	st, got := adds(t, p), srv.took()
	if st.Accepted != next || st.Acked != int64(len(got)) || st.Acked+st.Evicted != next || got[len(got)-1] != next-1 {
		t.Errorf("%d rows arrived of %d: %+v", len(got), next, st)
	}
	t.Logf("%d rows, %d dropped before others took the disk, %d then, %d arrived", next, before.Evicted, st.Evicted-before.Evicted, len(got))
	giveBack(two...)
}

// A real filesystem of 2 MiB that nothing but its own size bounds: what the disk
// refuses follows sf_full like any other limit.
func TestARealDiskThatIsFullFollowsWhatAFullStoreIsToDo(t *testing.T) {
	for _, full := range []Full{FullDropOldest, FullDropNewest, FullBlock} {
		t.Run(full.String(), func(t *testing.T) {
			b := newBed(t)
			cfg := tight(b, full)
			cfg.Dir, cfg.FS, cfg.MaxTotalBytes = filepath.Join(smallDisk(t, "size=2m"), "sf"), vfs.OS, 64<<20
			srv := &server{down: true}
			p := srv.open(t, cfg)
			one := b.take(p, 1)
			const rows = 600 // some 5 MiB
			refused := int64(0)
			for id := range int64(rows) {
				if err := one[0].Flush(context.Background(), timedRow(t, p, id)); err != nil {
					if !errors.Is(err, ErrStoreFull) {
						t.Fatal(err)
					}
					refused++
				}
			}
			srv.is(false)
			if err := p.WaitAcked(context.Background()); err != nil {
				t.Fatal(err)
			}
			st, got := adds(t, p), srv.took()
			t.Logf("%d rows: %d arrived, %d evicted, %d refused", rows, len(got), st.Evicted, refused)
			if st.Accepted != rows-refused || st.Acked != int64(len(got)) || st.Acked+st.Evicted != st.Accepted {
				t.Errorf("%+v", st)
			}
			if (refused > 0) != (full == FullBlock) || (st.Evicted > 0) != (full != FullBlock) {
				t.Errorf("%d refused, %d evicted", refused, st.Evicted)
			}
			giveBack(one...)
		})
	}
}
