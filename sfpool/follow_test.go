// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Slots that a pool had before it shrank follow its URLs as those it still has.
func TestSlotsOfAShrunkenPoolFollowItsURLs(t *testing.T) {
	y := newYard(t)
	here := y.cfg.URLs
	y.cfg.URLs = []string{nowhere}
	y.orphan(3, "default-0", "default-3")
	y.cfg.URLs, y.cfg.MaxSenders = here, 2
	y.open()
	y.arrived()
}

func TestTheTransportIsNoPartOfTheDestination(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "other-0")
	y.cfg.URLs = []string{strings.Replace(y.cfg.URLs[0], "http://", "WS://", 1) + "/"}
	y.open()
	y.drained("other-0")
	y.arrived()
}

// The client whose slot it is knows nothing of .target: one that stayed would
// bind rows that it writes there later.
func TestADrainedSlotOfAnotherClientKeepsNoTarget(t *testing.T) {
	y := newYard(t)
	if err := os.CopyFS(y.path("pyapp"), os.DirFS(pythonSlot)); err != nil {
		t.Fatal(err)
	}
	y.open()
	y.drained("pyapp")
	if _, err := os.Stat(y.path("pyapp", ".target")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf(".target: %v", err)
	}
}

// Somebody ran it once as root.
func TestASlotWhoseFilesBelongToSomebodyElseDoesNotStopThePool(t *testing.T) {
	y := newYard(t)
	y.cfg.FS = vfstest.Wrap(vfs.OS, func(op vfstest.Op) error {
		if strings.HasPrefix(op.Path, y.path("default-0", "")+"/") {
			return &fs.PathError{Op: "open", Path: op.Path, Err: fs.ErrPermission}
		}
		return nil
	})
	y.cfg.MinSenders = 1
	p := open(t, y.cfg)
	y.write(p)
	y.arrived()
	if n := y.log.said("cannot be used now", "default-0"); n != 1 {
		t.Errorf("said %d times", n)
	}
	if st := p.Stats(); st.Slots[0].State != "free" || st.Slots[1].State != "live" {
		t.Errorf("stats %+v", st)
	}
}

func TestAFlushOfNothingIsAnError(t *testing.T) {
	p := open(t, config(t, nowhere))
	s := borrowed(t, p, 1)[0]
	defer s.Return()
	if err := s.Flush(t.Context(), nil); err == nil {
		t.Error("no error")
	}
	if err := p.Flush(t.Context(), sfpool.Shard{Batch: p.NewBatch()}); err == nil {
		t.Error("no error")
	}
}

func TestWaitAckedOfAClosedPoolSaysSo(t *testing.T) {
	p := open(t, config(t, nowhere))
	closePool(t, p)
	if err := p.WaitAcked(t.Context()); !errors.Is(err, sfpool.ErrClosed) {
		t.Errorf("error %v", err)
	}
}
