// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// orphanBed is a bed with a fake orphan beside the slots of the pool, in
// synctest's time.
type orphanBed struct {
	*bed
	pool    *Pool
	began   time.Time
	trouble func(call string) error // what the orphan does; nil in health; under mu
	hang    chan struct{}           // its close waits for it, if there is one; under mu
	adopted []time.Duration         // after the beginning
	let     []time.Duration         // go again
}

// theOrphan is the index of the fake that is the orphan other-0.
const theOrphan = 100

// newOrphanBed opens a pool in whose sf_dir an orphan has rows. The pool has an
// idle sender to reap some day, so that its housekeeper goes its rounds.
func newOrphanBed(t *testing.T, rows int64, trouble func(call string) error, change ...func(*Config)) *orphanBed {
	t.Helper()
	b := &orphanBed{bed: newBed(t), began: time.Now(), trouble: trouble}
	b.pending[theOrphan] = rows
	b.hook = b.ask
	cfg := b.config()
	cfg.DrainOrphans, cfg.IdleTimeout = true, 24*time.Hour
	for _, f := range change {
		f(&cfg)
	}
	leaveSegment(t, cfg.FS, "/sf/other-0")
	var err error
	b.pool, err = open(t.Context(), cfg, parts{
		open:  func(_ *Pool, index int) (delegate, error) { return b.openFake(index) },
		adopt: func(*Pool, string) (delegate, error) { return b.adopt() },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.take(b.pool, 1)[0].Return()
	return b
}

// ask is the hook of the bed.
func (b *orphanBed) ask(call string, index int) error {
	if index != theOrphan {
		return nil
	}
	b.mu.Lock()
	hang := b.hang
	b.mu.Unlock()
	if call == "close" && hang != nil {
		<-hang
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if call == "close" {
		b.let = append(b.let, time.Since(b.began))
	}
	if b.trouble == nil {
		return nil
	}
	return b.trouble(call)
}

func (b *orphanBed) adopt() (delegate, error) {
	if err := b.ask("adopt", theOrphan); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.adopted = append(b.adopted, time.Since(b.began))
	if b.locked[theOrphan] != nil {
		return nil, &LockedError{Dir: "other-0"}
	}
	f := &fake{bed: b.bed, index: theOrphan}
	b.locked[theOrphan] = f
	return f, nil
}

// times returns when the orphan was adopted, and when it was let go again.
func (b *orphanBed) times() (adopted, let []time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.adopted), slices.Clone(b.let)
}

// heal ends all trouble.
func (b *orphanBed) heal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.trouble, b.pending[theOrphan] = nil, 0
	delete(b.locked, theOrphan)
}

func leaveSegment(t *testing.T, fsys vfs.FS, dir string) {
	t.Helper()
	if err := fsys.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := fsys.OpenFile(dir+"/sf-initial.sfa", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// write stores a row, and takes it as sent.
func (b *orphanBed) write() {
	b.t.Helper()
	s := b.take(b.pool, 1)[0]
	if err := s.Flush(context.Background(), oneRow(b.t, b.pool)); err != nil {
		b.t.Fatal(err)
	}
	b.sent(s.Index())
	s.Return()
}

// sent empties a slot. The fakes tell nobody of progress.
func (b *orphanBed) sent(index int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending[index] = 0
}

func (b *orphanBed) close() {
	b.t.Helper()
	if err := b.pool.Close(context.Background()); err != nil {
		b.t.Error(err)
	}
}

// at waits until so long after the beginning.
func (b *orphanBed) at(d time.Duration) {
	time.Sleep(d - time.Since(b.began))
	synctest.Wait()
}

func TestOrphansAreLookedForAfterTheFirstWriteAndLockTimeout(t *testing.T) {
	for name, c := range map[string]struct{ write, first time.Duration }{
		"written early": {time.Second, 10 * time.Second},
		"written late":  {time.Minute, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newOrphanBed(t, 5, nil)
				defer b.close()
				b.at(c.write)
				b.write()
				b.at(c.first - time.Nanosecond)
				b.sawNothing()
				b.at(c.first + b.pool.cfg.HousekeeperInterval)
				if adopted, _ := b.times(); len(adopted) != 1 {
					t.Errorf("adopted at %v", adopted)
				}
			})
		})
	}
}

func (b *orphanBed) sawNothing() {
	b.t.Helper()
	adopted, _ := b.times()
	if list := b.pool.Stats().Orphans; len(list) > 0 || len(adopted) > 0 {
		b.t.Errorf("orphans %+v, adopted at %v", list, adopted)
	}
}

func TestAPoolThatIsNotWrittenToNeverLooksForOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOrphanBed(t, 5, nil)
		defer b.close()
		b.at(time.Hour)
		b.sawNothing()
	})
}

func TestOrphansAreLeftAloneUnlessAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOrphanBed(t, 5, nil, func(c *Config) { c.DrainOrphans = false })
		defer b.close()
		b.write()
		b.at(time.Hour)
		b.sawNothing()
	})
}

func TestADrainerLetsGoOfAnOrphanAfter30SecondsWithoutServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOrphanBed(t, 5, nil)
		defer b.close()
		b.write()
		b.at(25 * time.Second)
		if adopted, _ := b.times(); len(adopted) != 1 || !slices.Contains(b.holds(), theOrphan) {
			t.Fatalf("adopted at %v, locks %v", adopted, b.holds())
		}
		b.at(3 * time.Minute)
		adopted, let := b.times()
		interval := b.pool.cfg.HousekeeperInterval
		for i, until := range let {
			if kept := until - adopted[i]; kept < orphanPatience || kept > orphanPatience+interval {
				t.Errorf("kept for %s", kept)
			}
			if i+1 < len(adopted) && adopted[i+1]-until < interval {
				t.Errorf("let go at %s, adopted again at %s", until, adopted[i+1])
			}
		}
		if len(adopted) < 3 {
			t.Errorf("adopted at %v only", adopted)
		}
		if b.failed() {
			t.Error("the absent server failed the slot")
		}
	})
}

func TestAnOrphanIsDrainedWhenTheServerIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOrphanBed(t, 5, nil)
		defer b.close()
		b.write()
		b.at(time.Hour)
		b.sent(theOrphan)
		b.at(time.Hour + 2*time.Minute)
		if st := b.pool.Stats(); len(st.Orphans) > 0 || slices.Contains(b.holds(), theOrphan) {
			t.Errorf("orphans %+v, locks %v", st.Orphans, b.holds())
		}
	})
}

// Progress of any kind is a reason to keep it.
func TestADrainerKeepsAnOrphanThatMovesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOrphanBed(t, 1000, nil)
		defer b.close()
		b.write()
		for s := range 300 {
			b.at(time.Duration(20+s) * time.Second)
			b.mu.Lock()
			b.pending[theOrphan]--
			b.mu.Unlock()
		}
		if adopted, let := b.times(); len(adopted) != 1 || len(let) != 0 {
			t.Errorf("adopted at %v, let go at %v", adopted, let)
		}
	})
}

func TestCloseEndsADrainAndItsLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newOrphanBed(t, 5, nil)
		b.write()
		b.at(20 * time.Second)
		before := time.Now()
		b.close()
		if waited := time.Since(before); waited > 0 || slices.Contains(b.holds(), theOrphan) {
			t.Errorf("closed after %s, locks %v", waited, b.holds())
		}
	})
}

// Whatever goes wrong with an orphan, its drainer is free for the next one, and
// it is tried again.
func TestAFailingOrDyingDrainerIsReplaced(t *testing.T) {
	for name, c := range map[string]struct {
		rows    int64
		trouble func(call string) error
	}{
		"adoption fails":  {5, failIn("adopt", errTest)},
		"adoption panics": {5, panicIn("adopt")},
		"held":            {5, failIn("adopt", &LockedError{Dir: "other-0"})},
		"view panics":     {5, panicIn("view")},
		"close panics":    {0, panicIn("close")},
		"close fails":     {0, failIn("close", errTest)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newOrphanBed(t, c.rows, c.trouble)
				defer b.close()
				b.write()
				b.at(5 * time.Minute)
				b.census(b.pool)
				b.heal()
				b.at(10 * time.Minute)
				if list := b.pool.Stats().Orphans; len(list) > 0 {
					t.Errorf("orphans %+v", list)
				}
				if adopted, _ := b.times(); len(adopted) == 0 {
					t.Error("never adopted")
				}
				if b.failed() {
					t.Error("there is .failed")
				}
			})
		})
	}
}

func failIn(at string, err error) func(string) error {
	return func(call string) error {
		if call == at {
			return err
		}
		return nil
	}
}

func panicIn(at string) func(string) error {
	return func(call string) error {
		if call == at {
			panic("a bug below")
		}
		return nil
	}
}

// failed says whether .failed is in the orphan.
func (b *orphanBed) failed() bool {
	_, err := b.pool.cfg.FS.Stat(b.pool.path("other-0/.failed"))
	return err == nil
}
