// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
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
	eventually(t, "the import", func() bool { // by the recovery
		target, err := os.ReadFile(y.path("mine-imported-1", ".target"))
		return err == nil && string(target) == mine.URLs[0]+"\n"
	})
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
	if err := os.Remove(y.path("default-0", ".lock.pid")); err != nil { // an open would write it again
		t.Fatal(err)
	}
	before := y.content("default-0")
	y.cfg.Destination = "plant-2"
	p := y.open() // the row goes to default-1
	y.log.await(t, 1, "plant-1", "slot=default-0")
	y.log.await(t, 0, "plant-2")
	if err := p.WaitAcked(t.Context()); err != nil {
		t.Fatal(err)
	}
	arrived(t, y.srv, 1)
	closePool(t, p)
	if !maps.Equal(before, y.content("default-0")) || len(y.segments("default-0")) == 0 {
		t.Error("a byte of the backlog was changed")
	}
}

// A label is found in .target, where URLs stand otherwise, one in each line.
func TestALabelIsOneLineAndNoURL(t *testing.T) {
	cfg := config(t, nowhere)
	for label, fits := range map[string]bool{
		"plant-1": true, "Werk Köln, Halle_2 #3 @a.b": true, strings.Repeat("x", 256): true,
		"http://a:9000": false, "a\nb": false, "a\n": false, strings.Repeat("x", 300): false,
	} {
		cfg.Destination = label
		if err := cfg.Validate(); (err == nil) != fits || err != nil && !strings.Contains(err.Error(), "sf_destination") {
			t.Errorf("%.20q: %v", label, err)
		}
	}
}

func TestOneEndpointInTwoSpellingsIsOneDestination(t *testing.T) {
	for name, spell := range map[string]func(url string) string{
		"slash":      func(url string) string { return url + "/" },
		"upper case": strings.ToUpper,
		"both":       func(url string) string { return strings.ToUpper(url) + "/" },
	} {
		t.Run(name, func(t *testing.T) {
			y := newYard(t)
			plain := y.srv.URL()
			other := []string{spell(plain)}
			y.orphan(3, "other-0", "other-2")
			y.put("other-2", ".target", other[0]+"\n") // as an earlier version may have left it
			y.cfg.URLs = other
			y.orphan(3, "other-1")
			y.cfg.URLs = []string{plain}
			if name == "both" {
				y.cfg.URLs = other
			}
			y.open()
			y.drained("other-0", "other-1", "other-2")
			y.arrived()
			if target, err := os.ReadFile(y.path("default-0", ".target")); err != nil || string(target) != plain+"\n" {
				t.Errorf(".target %q, %v", target, err)
			}
		})
	}
}

func TestAnImportThatIsTakenAwayIsForgottenThoughOrphansAreNotDrained(t *testing.T) {
	y := newYard(t)
	y.cfg.DrainOrphans = false
	y.orphan(3, "default-imported-1")
	y.put("default-imported-1", ".target", "plant-1\n")
	p := y.open()
	y.sees(p, "default-imported-1", "other destination")
	if err := os.RemoveAll(y.path("default-imported-1")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the import is forgotten", func() bool {
		y.write(p)
		return len(p.Stats().Orphans) == 0
	})
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
