// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// besideOrphan opens a pool with real slots that finds the orphan default-foo, on
// a disk in memory that asks hook first, and stores the row that lets it look.
// prepare is called before that, when the orphan is there.
func besideOrphan(t *testing.T, hook func(vfstest.Op) error, prepare func(*bed, Config)) (*bed, *Pool) {
	t.Helper()
	b, srv := newBed(t), &server{down: true}
	cfg := b.config()
	cfg.SenderID = "other"
	p := srv.open(t, cfg)
	s := b.take(p, 1)[0]
	put(t, p, s)
	s.Return()
	closes(t, p, 0)
	do(t, cfg.FS.Rename("/sf/other-0", "/sf/default-foo"))
	prepare(b, cfg)
	srv.is(false)
	cfg.SenderID, cfg.DrainOrphans = "default", true
	cfg.FS = vfstest.Wrap(cfg.FS, hook)
	p = srv.open(t, cfg)
	s = b.take(p, 1)[0]
	put(t, p, s)
	s.Return()
	return b, p
}

const fooLock = "/sf/default-foo/.lock"

// keepsLocked fails each unlock of the orphan while on says so, from its adoption
// on: a look whether somebody holds it unlocks it, too.
func keepsLocked(on *atomic.Bool) func(vfstest.Op) error {
	var adopted atomic.Bool
	return func(op vfstest.Op) error {
		if filepath.Dir(op.Path) == filepath.Dir(fooLock) && changes(op) {
			adopted.Store(true)
		}
		if on.Load() && adopted.Load() && op.Kind == vfstest.OpUnlock && op.Path == fooLock {
			return errTest
		}
		return nil
	}
}

func TestAnOrphanWhoseUnlockFailsIsAskedAgainUntilItIsFree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var on atomic.Bool
		b, p := besideOrphan(t, keepsLocked(&on), func(*bed, Config) { on.Store(true) })
		time.Sleep(time.Minute)
		b.logged(t, "level=WARN", "lock still held", "default-foo")
		if list := p.Stats().Orphans; len(list) != 1 || list[0].State != "waiting" {
			t.Errorf("orphans %+v", list)
		}
		time.Sleep(time.Hour)
		if n := b.log.count("lock still held"); n != 1 {
			t.Errorf("said %d times", n)
		}
		on.Store(false)
		time.Sleep(p.cfg.HousekeeperInterval)
		synctest.Wait()
		relock(t, p.cfg.FS, filepath.Dir(fooLock))
		time.Sleep(2 * maxPause * p.cfg.HousekeeperInterval)
		if list := p.Stats().Orphans; len(list) > 0 {
			t.Errorf("orphans %+v", list)
		}
		closes(t, p, 0)
	})
}

func TestAnOrphanThatStaysLockedIsReportedByClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var on atomic.Bool
		_, p := besideOrphan(t, keepsLocked(&on), func(*bed, Config) { on.Store(true) })
		time.Sleep(time.Minute)
		closes(t, p, 0, "orphan default-foo stays locked")
	})
}

// What was asked last when the pool closes counts.
func TestAnOrphanThatIsFreeAgainInTimeIsNotReportedByClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var on atomic.Bool
		_, p := besideOrphan(t, keepsLocked(&on), func(*bed, Config) { on.Store(true) })
		time.Sleep(time.Minute)
		on.Store(false)
		closes(t, p, 0)
		relock(t, p.cfg.FS, filepath.Dir(fooLock))
	})
}

// It is looked at even where nothing else keeps the housekeeper awake.
func TestADrainerThatDoesNotStopIsReportedAndItsOrphanFreeWhenItDoes(t *testing.T) {
	for _, says := range []error{errStillStopping, nil} {
		synctest.Test(t, func(t *testing.T) {
			b := newOrphanBed(t, 0, failIn("close", says), func(c *Config) { c.IdleTimeout = -1 })
			b.setKeep(theOrphan, true)
			b.write()
			b.at(time.Minute)
			b.logged(t, "level=WARN", "lock still held", "other-0")
			b.mu.Lock()
			b.trouble = nil
			b.mu.Unlock()
			b.unlock(theOrphan)
			b.at(time.Minute + b.pool.cfg.HousekeeperInterval)
			b.pool.mu.Lock()
			n := len(b.pool.clinging)
			b.pool.mu.Unlock()
			if n != 0 {
				t.Errorf("close said %v: %d orphans cling", says, n)
			}
			b.close()
		})
	}
}

func TestADrainerWhoseCloseHangsIsReportedAndHoldsUpNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOrphanBed(t, 5, nil)
		let := make(chan struct{})
		b.mu.Lock()
		b.hang = let
		b.mu.Unlock()
		b.write()
		b.at(20 * time.Second)
		closes(t, b.pool, closeTimeout+time.Second, "goroutines that drain slots have not ended")
		b.holding(theOrphan)
		close(let)
		b.holding()
	})
}

// Whoever takes the lock of the name next must find .failed.
func TestWhatAnAdoptionFoundDamagedIsWrittenDownUnderTheLockOfItsName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under, free atomic.Int64
		b := newOrphanBed(t, 5, failIn("adopt", &DamageError{Path: "sf-initial.sfa"}), func(c *Config) {
			disk := c.FS
			c.FS = vfstest.Wrap(disk, func(op vfstest.Op) error {
				if op.Kind != vfstest.OpWrite || !strings.Contains(op.Path, "/other-0/.failed") {
					return nil
				}
				if held, err := isHeld(disk, "/sf/"+slot.LocksDir+"/other-0.lock"); err == nil && held {
					under.Add(1)
				} else {
					free.Add(1)
				}
				return nil
			})
		})
		b.write()
		b.at(time.Minute)
		if !b.failed() || under.Load() == 0 || free.Load() > 0 {
			t.Errorf(".failed: %t, %d writes under the lock, %d without", b.failed(), under.Load(), free.Load())
		}
		b.close()
	})
}

// changes says whether a call changes the disk.
func changes(op vfstest.Op) bool {
	switch op.Kind {
	case vfstest.OpOpen:
		return op.Flag&(os.O_CREATE|os.O_TRUNC) != 0
	case vfstest.OpMkdir, vfstest.OpRemove, vfstest.OpRename, vfstest.OpSyncDir,
		vfstest.OpWrite, vfstest.OpTruncate, vfstest.OpAllocate, vfstest.OpSync:
		return true
	}
	return false
}

func TestNothingIsWrittenWhileAnOrphanIsHeldBySomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries, changed atomic.Int64
		var let func() error
		_, p := besideOrphan(t, func(op vfstest.Op) error {
			if changes(op) {
				changed.Add(1)
			}
			if op.Kind == vfstest.OpLock && op.Path == fooLock {
				tries.Add(1)
			}
			return nil
		}, func(b *bed, cfg Config) {
			f, err := cfg.FS.OpenFile(fooLock, os.O_RDWR, 0)
			do(t, errors.Join(err, f.Lock()))
			let = f.Close
		})
		time.Sleep(5 * time.Minute) // its own row is sent, its slot closed
		before, tried := changed.Load(), tries.Load()
		time.Sleep(time.Hour)
		if n := changed.Load() - before; n > 0 || tries.Load()-tried < 30 {
			t.Errorf("%d tries changed the disk %d times", tries.Load()-tried, n)
		}
		do(t, let())
		time.Sleep(time.Hour)
		if st := p.Stats(); len(st.Orphans) > 0 || segments(t, p.cfg.FS, "/sf/default-foo") > 0 {
			t.Errorf("orphans %+v", st.Orphans)
		}
	})
}
