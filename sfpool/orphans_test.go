// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestForeignOrphansAreDrained(t *testing.T) {
	y := newYard(t)
	foreign := []string{"other-0", "other-1", "default-007", "default-foo", "default", "default-4"}
	y.orphan(3, foreign...)
	y.open()
	y.drained(foreign...)
	y.arrived()
}

// The siblings have no sender, but rows: were they orphans, they would be drained.
func TestAPoolDoesNotCannibaliseItsSiblings(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "default-0", "default-1", "default-2", "default-3", "other-0")
	answer := make(chan struct{})
	y.srv.Script(qwpserver.HoldAcks(answer).Always())
	y.cfg.MaxBackgroundDrainers = 10
	p := y.open()
	y.sees(p, "other-0", "draining")
	if list := p.Stats().Orphans; len(list) != 1 {
		t.Errorf("orphans %+v", list)
	}
	close(answer)
	y.drained("other-0")
	y.arrived()
	closePool(t, p)
	if y.log.said("an orphan", "slot=default-") > 0 {
		t.Errorf("a sibling counts as an orphan:\n%s", y.log.lines)
	}
}

func TestLiveSiblingsKeepTheirSlotsWhileOrphansAreDrained(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "other-0")
	p := open(t, y.cfg)
	senders := borrowed(t, p, 4)
	for range 5 {
		for _, s := range senders {
			if err := s.Flush(t.Context(), batch(t, p, y.next, 1)); err != nil {
				t.Fatal(err)
			}
			y.next++
		}
	}
	y.drained("other-0")
	y.arrived()
	giveBack(senders)
	if st := p.Stats(); st.Live != 4 || y.log.said("slot=default-") > 0 {
		t.Errorf("stats %+v, said %s", st, y.log.lines)
	}
}

func TestShrinkingAPoolDrainsTheSlotsItNoLongerHas(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "default-0", "default-1", "default-2", "default-3")
	y.cfg.MaxSenders = 2
	p := y.open()
	y.drained("default-2", "default-3")
	y.arrived()
	if err := p.WaitAcked(t.Context()); err != nil {
		t.Error(err)
	}
	closePool(t, p)
	y.isEmpty("default-0")
	y.isEmpty("default-1")
}

func TestASlotThatFailedIsListedWithItsReasonAndLeftAlone(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "other-0", "other-1")
	y.put("other-0", ".failed", "the disk was wet")
	p := y.open()
	y.drained("other-1")
	if o := y.sees(p, "other-0", "failed"); o.Reason != "the disk was wet" || len(y.segments("other-0")) == 0 {
		t.Errorf("%+v, segments %v", o, y.segments("other-0"))
	}
	arrived(t, y.srv, 4)
}

func TestASlotForAnotherDestinationIsListedAndLeftAlone(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "other-0", "other-1")
	y.put("other-0", ".target", "http://elsewhere:9000\n")
	before := y.content("other-0")
	p := y.open()
	y.drained("other-1")
	o := y.sees(p, "other-0", "other destination")
	if !strings.Contains(o.Reason, "http://elsewhere:9000") || !strings.Contains(o.Reason, y.srv.URL()) {
		t.Errorf("reason %q", o.Reason)
	}
	arrived(t, y.srv, 4)
	y.log.await(t, 1, "another destination", "other-0")
	if n := y.log.said("another destination", "other-0"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if after := y.content("other-0"); !maps.Equal(before, after) {
		t.Error("a byte of it was changed")
	}
}

func TestALabelHoldsRowsBackFromAnotherLabelAtTheSameServer(t *testing.T) {
	y := newYard(t)
	y.cfg.Destination = "plant-1"
	y.orphan(3, "other-0")
	y.cfg.Destination = "plant-2"
	p := y.open()
	if o := y.sees(p, "other-0", "other destination"); !strings.Contains(o.Reason, "plant-1") {
		t.Errorf("reason %q", o.Reason)
	}
	arrived(t, y.srv, 1)
}

func TestASlotWithoutTargetIsClaimedBeforeAnythingIsSent(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "other-0")
	if err := os.Remove(y.path("other-0", ".target")); err != nil {
		t.Fatal(err)
	}
	y.srv.Stop()
	p := y.open()
	y.sees(p, "other-0", "draining")
	y.log.await(t, 1, "without .target", "other-0", y.srv.URL())
	eventually(t, ".target", func() bool {
		b, err := os.ReadFile(y.path("other-0", ".target"))
		return err == nil && string(b) == y.srv.URL()+"\n"
	})
	y.restart()
	y.drained("other-0")
	y.arrived()
	if n := y.log.said("without .target"); n != 1 {
		t.Errorf("said %d times", n)
	}
}

func TestTwoPoolsWithTwoServersInOneDirectoryKeepTheirRowsApart(t *testing.T) {
	for _, order := range [][]string{{"a", "b"}, {"b", "a"}} {
		t.Run(strings.Join(order, " before "), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "sf")
			yards := map[string]*yard{"a": newYard(t), "b": newYard(t)}
			for base, y := range yards {
				y.cfg.Dir, y.cfg.SenderID = dir, base
				y.orphan(3, base+"-0", base+"-1", base+"-2")
				y.cfg.MaxSenders = 2 // the third is an orphan, whoever looks first
			}
			first, second := yards[order[0]], yards[order[1]]
			p := first.open()
			for _, name := range []string{"-0", "-1", "-2"} {
				first.sees(p, order[1]+name, "other destination")
			}
			second.open()
			for base, y := range yards {
				y.drained(base + "-2")
				y.arrived()
				y.isOnlyOwn()
			}
		})
	}
}

// isOnlyOwn fails the test if a row came that was not stored here. Both yards
// give the same ids, so a foreign row is one too many.
func (y *yard) isOnlyOwn() {
	y.t.Helper()
	if n := len(y.srv.Rows("t")); n != y.next {
		y.t.Errorf("%d rows, want %d", n, y.next)
	}
}

func TestNoMoreOrphansAreDrainedAtATimeThanAllowed(t *testing.T) {
	y := newYard(t)
	orphans := []string{"o-0", "o-1", "o-2", "o-3", "o-4"}
	y.orphan(3, orphans...)
	answer := make(chan struct{})
	y.srv.Script(qwpserver.HoldAcks(answer).Always())
	var held, most atomic.Int64
	y.cfg.MaxBackgroundDrainers = 2
	y.cfg.FS = vfstest.Wrap(vfs.OS, func(op vfstest.Op) error {
		if ok, _ := filepath.Match(y.path("o-*", ".lock"), op.Path); !ok {
			return nil
		}
		switch op.Kind {
		case vfstest.OpLock: // each succeeds: nobody else wants it
			most.Store(max(most.Load(), held.Add(1)))
		case vfstest.OpUnlock:
			held.Add(-1)
		}
		return nil
	})
	p := y.open()
	eventually(t, "two drainers", func() bool { return inState(p, "draining") == 2 && held.Load() == 2 })
	if n := inState(p, "waiting") + inState(p, "owned by another pool"); n != 3 {
		t.Errorf("%+v", p.Stats().Orphans)
	}
	close(answer)
	y.drained(orphans...)
	y.arrived()
	if most.Load() != 2 || held.Load() != 0 {
		t.Errorf("%d locks were held at a time, %d are at the end", most.Load(), held.Load())
	}
}

func inState(p *sfpool.Pool, state string) (n int) {
	for _, o := range p.Stats().Orphans {
		if o.State == state {
			n++
		}
	}
	return n
}

func TestASlotThatAnotherProcessHoldsIsDrainedWhenThatProcessEnds(t *testing.T) {
	y := newYard(t)
	other := otherPool{URL: y.srv.URL(), Dir: y.cfg.Dir, SenderID: "other", Max: 2, Borrow: 2, Rows: 5}.start(t)
	y.next = 10
	p := y.open()
	y.sees(p, "other-0", "owned by another pool")
	y.sees(p, "other-1", "owned by another pool")
	arrived(t, y.srv, 1)
	if err := other.Kill(); err != nil {
		t.Fatal(err)
	}
	y.write(p) // a pool that is not written to does not look again
	y.drained("other-0", "other-1")
	y.arrived()
}

func TestASlotWhoseLockIsHeldIsDrainedWhenItDrops(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "default-foo")
	owner := hold(t, y.path("default-foo"))
	p := y.open()
	y.isHeldElsewhere(p, "default-foo")
	release(t, owner)
	y.drained("default-foo")
	y.arrived()
}

// isHeldElsewhere waits until the pool was refused the lock of an orphan.
func (y *yard) isHeldElsewhere(p *sfpool.Pool, name string) {
	y.t.Helper()
	eventually(y.t, name+" held", func() bool {
		o := orphanOf(p, name)
		return o.State == "waiting" && strings.Contains(o.Reason, "already in use") && o.Locked
	})
}

// Whoever held it found that it cannot be drained.
func TestASlotThatFailsInOtherHandsIsLeftAlone(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "default-foo")
	owner := hold(t, y.path("default-foo"))
	p := y.open()
	y.isHeldElsewhere(p, "default-foo")
	y.put("default-foo", ".failed", "it is broken")
	release(t, owner)
	if o := y.sees(p, "default-foo", "failed"); o.Reason != "it is broken" {
		t.Errorf("%+v", o)
	}
	arrived(t, y.srv, 1)
}

// An operator has moved it away, or its owner has emptied it.
func TestAnOrphanThatIsNoneAnyMoreIsForgotten(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "default-foo")
	owner := hold(t, y.path("default-foo"))
	p := y.open()
	y.isHeldElsewhere(p, "default-foo")
	if err := os.Rename(y.path("default-foo"), filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	_ = owner.Close() // which misses its directory
	eventually(t, "no orphan", func() bool { return len(p.Stats().Orphans) == 0 })
	if _, err := os.Stat(y.path("default-foo")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made again: %v", err)
	}
	if n := y.log.said("an orphan is drained"); n > 0 {
		t.Error("it is called drained")
	}
}

// hold opens a slot as a program would that knows nothing of pools.
func hold(t testing.TB, dir string) *slot.Slot {
	t.Helper()
	s, err := slot.Open(slot.Options{Dir: dir, Durability: slot.Memory})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func release(t testing.TB, s *slot.Slot) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Nobody has other-1 open, but its pool lives and will see to it.
func TestTheSlotsOfALivingPoolAreLeftAlone(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "other-0", "other-1")
	cfg := offline(y.cfg)
	cfg.SenderID, cfg.DrainOrphans = "other", false
	other := open(t, cfg)
	p := y.open()
	y.sees(p, "other-0", "owned by another pool")
	y.sees(p, "other-1", "owned by another pool")
	closePool(t, other)
	y.write(p)
	y.drained("other-0", "other-1")
	y.arrived()
}

// A living pool that has shrunk will never open what it had before.
func TestWhatALivingPoolNoLongerHasIsDrained(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "other-0", "other-1", "other-foo")
	cfg := offline(y.cfg)
	cfg.SenderID, cfg.MaxSenders, cfg.DrainOrphans = "other", 1, false
	other := open(t, cfg)
	p := y.open()
	y.drained("other-1", "other-foo")
	y.sees(p, "other-0", "owned by another pool")
	closePool(t, other)
	y.write(p)
	y.drained("other-0")
	y.arrived()
}

func TestCloseInTheMiddleOfADrainLosesNothingAndReleasesTheSlot(t *testing.T) {
	y := newYard(t)
	y.orphan(5, "other-0")
	y.srv.Stop()
	p := y.open()
	y.sees(p, "other-0", "draining")
	closePool(t, p)
	s := hold(t, y.path("other-0"))
	if st := s.Stats(); st.Pending != 5 {
		t.Errorf("%d rows are left", st.Pending)
	}
	release(t, s)
	y.restart()
	y.open()
	y.drained("other-0")
	y.arrived()
}
