// SPDX-License-Identifier: MIT

package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

func TestBlocksWithEqualSettingsShareOnePool(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		a, b := opened(t, d.settings()), opened(t, d.settings())
		p, releaseP, err := a.Pool()
		do(t, err)
		q, releaseQ, err := b.Pool()
		do(t, err)
		if p != q {
			t.Error("two pools")
		}
		releaseP()
		releaseQ()
		do(t, errors.Join(put(t, a, 1), put(t, b, 2)))
		wants(t, a, 3, 0, false)
	})
}

func TestABlockThatLeavesDoesNotDisturbTheOther(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		a, b := opened(t, d.settings()), opened(t, d.settings())
		do(t, put(t, b, 1))
		do(t, a.Release(context.Background()))
		do(t, a.Release(context.Background())) // counts once
		do(t, put(t, b, 1))
		if err := put(t, a, 1); !errors.Is(err, sfpool.ErrClosed) {
			t.Errorf("a block that has left stores rows: %v", err)
		}
		if err := a.Open(context.Background()); !errors.Is(err, sfpool.ErrClosed) {
			t.Errorf("a block that has left opens: %v", err)
		}
	})
}

// A reload closes the old blocks before it makes the new ones.
func TestTheSameStoreIsOpenedAgainAfterTheLastBlockHasLeft(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		for n := range int64(3) {
			st := opened(t, d.settings())
			do(t, put(t, st, 1))
			wants(t, st, n+1, 0, false)
			do(t, st.Release(context.Background()))
		}
	})
}

func TestAStoreThatWasNeverOpenedIsReleased(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		st := share(t, d.settings())
		wants(t, st, 0, 0, false)
		do(t, st.Release(context.Background()))
		if _, err := d.Stat("/sf"); err == nil {
			t.Error("sf_dir was made")
		}
	})
}

func TestOtherSettingsForTheSameSlotsAreRefusedWithTheLineToAdd(t *testing.T) {
	d := newDisk()
	first := share(t, d.settings())
	second := d.settings()
	second.Pool.SenderID = "default-2"
	share(t, second)
	third := d.settings()
	third.Pool.Dir = "/sf/../sf/" // the same
	third.Fingerprint = "urls = http://127.0.0.1:1\nsf_durability = memory\nsf_max_age = 1h"
	_, err := store.Share(third)
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) || !slices.Equal(conflict.Differ, []string{"sf_durability", "sf_max_age"}) {
		t.Fatalf("error %v", err)
	}
	for _, text := range []string{`sender_id = "default-3"`, `sf_dir = "` + filepath.FromSlash("/sf") + `"`, "sf_durability"} {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in %q", text, err)
		}
	}
	do(t, first.Release(context.Background()))
	share(t, third) // there is nobody to contradict any more
}

func TestAStoreWithoutSfDirIsRefused(t *testing.T) {
	s := newDisk().settings()
	s.Pool.Dir = ""
	if _, err := store.Share(s); err == nil || !strings.Contains(err.Error(), "sf_dir") {
		t.Errorf("error %v", err)
	}
}

func TestAHeldLockIsWaitedForAndSaidOnce(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		other, err := sfpool.Open(context.Background(), d.settings().Pool)
		do(t, err)
		began := time.Now()
		st := share(t, d.settings())
		var locked *sfpool.LockedError
		if err := st.Open(context.Background()); !errors.As(err, &locked) {
			t.Fatalf("error %v", err)
		}
		if waited := time.Since(began); waited < 8*time.Second || waited > 12*time.Second {
			t.Errorf("waited %s for a lock_timeout of 10 s", waited)
		}
		for range 20 {
			if err := put(t, st, 1); !errors.As(err, &locked) {
				t.Fatalf("error %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		d.log.said(t, "cannot be opened yet", 1)
		d.log.said(t, "holder=pid", 1)
		wants(t, st, 0, 0, false) // a lock is no reason to go to RAM
		do(t, other.Close(context.Background()))
		time.Sleep(time.Second)
		do(t, put(t, st, 1))
		d.log.said(t, "the store is open now", 1)
	})
}

func TestALockThatDropsInTimeIsNotSpokenOf(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		other, err := sfpool.Open(context.Background(), d.settings().Pool)
		do(t, err)
		time.AfterFunc(5*time.Second, func() { _ = other.Close(context.Background()) })
		opened(t, d.settings())
		d.log.said(t, "cannot be opened", 0)
	})
}

func TestTheWaitForALockEndsWithItsContext(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		other, err := sfpool.Open(context.Background(), d.settings().Pool)
		do(t, err)
		defer func() { do(t, other.Close(context.Background())) }()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		began := time.Now()
		if err := share(t, d.settings()).Open(ctx); !errors.Is(err, vfs.ErrLocked) || time.Since(began) > 2*time.Second {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
	})
}

func TestPoolTriesAgainOnceASecondAtMost(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		tries := 0
		d.fails(errDisk, func(op vfstest.Op) bool {
			if op.Kind == vfstest.OpMkdir && op.Path == "/sf" {
				tries++
			}
			return true
		})
		s := d.settings()
		s.RAM = false
		st := share(t, s)
		for range 100 {
			if err := put(t, st, 1); !errors.Is(err, errDisk) {
				t.Fatalf("error %v", err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if tries < 9 || tries > 11 {
			t.Errorf("%d tries in ten seconds", tries)
		}
		d.log.said(t, "cannot be opened yet", 1)
	})
}

// errDisk is no error that a directory or disk is known by.
var errDisk = errors.New("a fault of the test")

func TestManyBlocksMayAskAtOnce(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		var blocks sync.WaitGroup
		last := share(t, d.settings())
		for range 8 {
			st := share(t, d.settings())
			blocks.Go(func() {
				for range 4 {
					if err := put(t, st, 1); err != nil {
						t.Error(err)
					}
				}
				if err := st.Release(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		blocks.Wait()
		wants(t, last, 32, 0, false)
	})
}

func TestABacklogOfAnotherLabelInEverySlotIsSaidOnce(t *testing.T) {
	inTime(t, func(t *testing.T, d *disk) {
		s := d.settings()
		s.Pool.Destination, s.Pool.MaxSenders = "plant-a", 1
		st := opened(t, s)
		do(t, put(t, st, 3))
		do(t, st.Release(context.Background()))
		s.Pool.Destination = "plant-b"
		st = share(t, s)
		_ = st.Open(context.Background())
		for range 100 {
			if err := put(t, st, 1); err == nil {
				t.Fatal("stored among rows for another destination")
			}
			time.Sleep(10 * time.Second)
		}
		d.log.said(t, "for plant-a, not for plant-b", 1)
		d.log.said(t, "another sender_id", 1)
	})
}

func TestADirectoryUnderTwoNamesIsOneStore(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	do(t, errors.Join(os.Mkdir(filepath.Join(dir, "real"), 0o750), os.Symlink("real", link)))
	for _, sub := range []string{"", "made/later"} {
		a, b := newDisk().settings(), newDisk().settings()
		a.Pool.Dir, b.Pool.Dir = filepath.Join(dir, "real", sub), filepath.Join(link, sub)
		share(t, a)
		b.Fingerprint = "others"
		if _, err := store.Share(b); !errors.As(err, new(*store.ConflictError)) {
			t.Errorf("%s: error %v", b.Pool.Dir, err)
		}
	}
}
