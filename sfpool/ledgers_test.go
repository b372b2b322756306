// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// rowsOf are the figures of a ledger.
func rowsOf(st *Stats) [4]int64 { return [4]int64{st.Accepted, st.Acked, st.Pending, st.Gone} }

// used leaves four slots with 40 rows that were acked, and then six that are pending in
// the first two. It returns the settings and what was told of them at the end.
func used(t testing.TB, b *bed, srv *server) (cfg Config, last Stats) {
	t.Helper()
	cfg = b.config()
	cfg.AcquireTimeout, cfg.InitialBackoff, cfg.MaxBackoff = time.Minute, time.Hour, time.Hour
	p := srv.open(t, cfg)
	four := b.take(p, 4)
	for id := range int64(40) {
		storeID(t, p, four[id%4], id)
	}
	do(t, p.WaitAcked(context.Background()))
	srv.is(true)
	for id := range int64(6) {
		storeID(t, p, four[id%2], 40+id)
	}
	giveBack(four...)
	do(t, p.Close(context.Background()))
	last = adds(t, p)
	if got := rowsOf(&last); got != [4]int64{46, 40, 6, 0} {
		t.Fatalf("%v", got)
	}
	return cfg, last
}

// Counters that begin lower after each restart, and grow again when slots are opened,
// look like new rows to who adds up how they grow.
func TestStatsHaveAllSlotsOfThePoolFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, srv := newBed(t), new(server)
		cfg, last := used(t, b, srv)
		p := srv.open(t, cfg)
		for _, when := range []string{"at the start", "while slots are recovered"} {
			if st := adds(t, p); rowsOf(&st) != rowsOf(&last) {
				t.Errorf("%s %v, before %v", when, rowsOf(&st), rowsOf(&last))
			}
			synctest.Wait()
		}
		four := b.take(p, 4)
		if st := adds(t, p); rowsOf(&st) != rowsOf(&last) {
			t.Errorf("with all slots open %v, before %v", rowsOf(&st), rowsOf(&last))
		}
		giveBack(four...)
	})
}

// Whoever has a slot of ours open goes on with it, and what he does in it is told once
// it is ours again.
func TestTheLedgerOfASlotThatSomebodyElseHasOpenIsReadBesideHim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, srv := newBed(t), new(server)
		cfg, last := used(t, b, srv)
		other, err := slot.Open(slot.Options{FS: cfg.FS, Dir: "/sf/default-1", Durability: slot.Memory})
		do(t, err)
		p := srv.open(t, cfg)
		if st := adds(t, p); rowsOf(&st) != rowsOf(&last) {
			t.Errorf("%v, before %v", rowsOf(&st), rowsOf(&last))
		}
		for fsn := other.Stats().Watermark + 1; fsn <= other.Stats().Published; fsn++ {
			do(t, other.Settle(fsn, 1, slot.Acked))
		}
		do(t, other.Close())
		srv.is(false)
		time.Sleep(10 * time.Hour) // the slot before it is empty, too
		if st := adds(t, p); rowsOf(&st) != [4]int64{46, 46, 0, 0} {
			t.Errorf("when he has emptied it %v", rowsOf(&st))
		}
	})
}

func TestWhatIsNoLedgerOfOursIsNotCounted(t *testing.T) {
	write := func(fsys vfs.FS, name string, b []byte) {
		f, err := fsys.OpenFile(filepath.Join("/sf/default-0", name), os.O_RDWR|os.O_CREATE, 0o600)
		do(t, err)
		_, err = f.WriteAt(b, 0)
		do(t, err)
		do(t, f.Close())
	}
	for name, c := range map[string]struct {
		spoil func(cfg *Config)
		want  [4]int64
	}{
		"of another client":      {func(cfg *Config) { write(cfg.FS, "sf-manifest.bin", nil) }, [4]int64{33, 30, 3, 0}},
		"damaged":                {func(cfg *Config) { write(cfg.FS, ".qsf-state", make([]byte, 8192)) }, [4]int64{33, 30, 3, 0}},
		"for others":             {func(cfg *Config) { write(cfg.FS, ".target", []byte("plant-2\n")) }, [4]int64{33, 30, 3, 0}},
		"without the files":      {func(cfg *Config) { removeSegments(t, cfg.FS, "/sf/default-0") }, [4]int64{43, 40, 3, 0}},
		"of nobody, without any": {func(cfg *Config) { cfg.SenderID = "new" }, [4]int64{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, srv := newBed(t), new(server)
				cfg, _ := used(t, b, srv)
				c.spoil(&cfg)
				p := srv.open(t, cfg)
				if st := p.Stats(); rowsOf(&st) != c.want || !st.Balanced() {
					t.Errorf("%v, want %v", rowsOf(&st), c.want)
				}
			})
		})
	}
}

func removeSegments(t testing.TB, fsys vfs.FS, dir string) {
	t.Helper()
	list, err := fsys.ReadDir(dir)
	do(t, err)
	for _, e := range list {
		if filepath.Ext(e.Name()) == ".sfa" {
			do(t, fsys.Remove(filepath.Join(dir, e.Name())))
		}
	}
}
