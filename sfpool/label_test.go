// SPDX-License-Identifier: MIT

package sfpool

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// A slot of ours with rows for another label stays as it is until somebody changes
// the label back: there is nothing to look at meanwhile.
func TestAPoolBesideABacklogWithAnotherLabelDoesNoIO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, srv := newBed(t), &server{}
		cfg := b.config()
		cfg.Destination = "plant-1"
		leaveFour(t, b, srv, cfg)
		srv.is(false)
		var calls, changed atomic.Int64
		cfg.Destination, cfg.MaxSenders, cfg.MinSenders = "plant-2", 5, 1
		cfg.FS = vfstest.Wrap(cfg.FS, func(op vfstest.Op) error {
			calls.Add(1)
			if ours, err := filepath.Match("/sf/default-[0-3]/*", op.Path); err == nil && ours && changes(op) {
				changed.Add(1)
			}
			return nil
		})
		p := srv.open(t, cfg)
		lent := b.take(p, 1)[0]
		put(t, p, lent)
		if lent.Index() != 4 {
			t.Errorf("slot %d", lent.Index())
		}
		lent.Return()
		time.Sleep(time.Hour)
		before := calls.Load()
		time.Sleep(24 * time.Hour)
		if n := calls.Load() - before; n != 0 {
			t.Errorf("%d calls to the disk in a day", n)
		}
		if n := changed.Load(); n != 0 {
			t.Errorf("the backlog was changed %d times", n)
		}
		if got := len(srv.took()); got != 1 {
			t.Errorf("the server has %d rows", got)
		}
	})
}
