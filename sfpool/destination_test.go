// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// pythonSlot is a slot of generation G3 with 130 rows due; see internal/slot.
const pythonSlot = "../internal/slot/testdata/g3-python-6.0.0"

// A slot of another client that was renamed out of our way is ours to drain. Its
// rows must not reach the server of a pool that looks for orphans meanwhile.
func TestAnImportedSlotIsLeftToThePoolThatRenamedIt(t *testing.T) {
	y := newYard(t)
	mine := y.cfg
	mine.URLs, mine.SenderID = []string{serve(t).URL()}, "mine"
	mine.HousekeeperInterval = time.Hour // has not looked for its import yet
	if err := os.CopyFS(y.path("mine-0"), os.DirFS(pythonSlot)); err != nil {
		t.Fatal(err)
	}
	owner := open(t, offline(mine))
	giveBack(borrowed(t, owner, 1))
	target, err := os.ReadFile(y.path("mine-imported-1", ".target"))
	if err != nil || string(target) != mine.URLs[0]+"\n" {
		t.Errorf(".target %q, %v", target, err)
	}
	p := y.open()
	y.sees(p, "mine-imported-1", "owned by another pool")
	closePool(t, owner)
	y.write(p)
	y.sees(p, "mine-imported-1", "other destination")
	y.arrived()
	for _, table := range y.srv.Tables() {
		if table != "t" {
			t.Errorf("table %s reached the wrong server", table)
		}
	}
}

// With the label given to the URLs that the backlog was stored for, it is no
// other destination.
func TestALabelForTheSameURLsTakesTheBacklogAlong(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "default-0")
	y.cfg.Destination = "plant-1"
	y.open()
	y.arrived()
	if target, err := os.ReadFile(y.path("default-0", ".target")); err != nil || string(target) != "plant-1\n" {
		t.Errorf(".target %q, %v", target, err)
	}
}

func TestABacklogWithALabelIsHeldWhenTheLabelChanges(t *testing.T) {
	y := newYard(t)
	y.cfg.Destination = "plant-1"
	y.orphan(3, "default-0")
	y.cfg.Destination = "plant-2"
	p := y.open() // the row goes to default-1
	y.log.await(t, 1, "plant-1", "slot=default-0")
	y.log.await(t, 0, "plant-2")
	if err := p.WaitAcked(t.Context()); err != nil {
		t.Fatal(err)
	}
	arrived(t, y.srv, 1)
	if len(y.segments("default-0")) == 0 {
		t.Error("the backlog is gone")
	}
}

func TestAnOrphanOfAnotherDestinationThatIsTakenAwayIsForgotten(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "other-0")
	y.put("other-0", ".target", "http://elsewhere:9000\n")
	p := y.open()
	y.sees(p, "other-0", "other destination")
	if err := os.RemoveAll(y.path("other-0")); err != nil {
		t.Fatal(err)
	}
	y.write(p)
	eventually(t, "the orphan is forgotten", func() bool { return len(p.Stats().Orphans) == 0 })
}

// Neighbours in one sf_dir have slots with segments for ever. They must not keep
// each other busy.
func TestIdleNeighboursLeaveTheDiskAlone(t *testing.T) {
	y := newYard(t)
	var calls atomic.Int64
	cfg := y.cfg
	cfg.FS = vfstest.Wrap(vfs.OS, func(vfstest.Op) error { calls.Add(1); return nil })
	cfg.MaxLifetime = -1
	var pools []*sfpool.Pool
	for _, base := range []string{"default", "other"} {
		cfg.SenderID = base
		pools = append(pools, open(t, cfg))
	}
	for i, neighbour := range []string{"other-0", "default-0"} {
		y.write(pools[1-i]) // now it has segments
		eventually(t, neighbour+" is seen", func() bool {
			y.write(pools[i])
			return orphanOf(pools[i], neighbour).State == "owned by another pool"
		})
	}
	y.arrived()
	eventually(t, "the disk falls silent", func() bool {
		before := calls.Load()
		time.Sleep(50 * cfg.HousekeeperInterval)
		return calls.Load() == before
	})
	if left, err := filepath.Glob(y.path("*", "*.sfa")); err != nil || len(left) == 0 {
		t.Errorf("segments %v, %v: the test shows nothing", left, err)
	}
}
