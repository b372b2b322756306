// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// refuse leaves an orphan with rows that the server refuses as long as it has the table
// as it is.
func (y *yard) refuse(name string, rows int) {
	y.t.Helper()
	one := open(y.t, y.cfg)
	put(y.t, one, 1, 1, func(b *sfpool.Batch, i int) error { return b.Table("p").Int64Column("v", 1).At(at(i)) })
	settled(y.t, one)
	closePool(y.t, one)
	cfg := offline(y.cfg)
	cfg.SenderID, cfg.DrainOrphans = name, false
	p := open(y.t, cfg)
	put(y.t, p, rows, 1, func(b *sfpool.Batch, i int) error { return b.Table("p").StringColumn("v", "no number").At(at(i)) })
	put(y.t, p, 1, 1, func(b *sfpool.Batch, i int) error { return b.Table("later").Int64Column("id", -1).At(at(i)) })
	closePool(y.t, p)
}

func (y *yard) letterFiles(id string) []string {
	y.t.Helper()
	list, err := filepath.Glob(y.path(id + ".refused*.lp"))
	if err != nil {
		y.t.Fatal(err)
	}
	return list
}

func TestWhatIsRefusedOfADrainBesideAPoolIsFedBackByThatPool(t *testing.T) {
	y := newYard(t)
	y.cfg.MaxSenders, y.cfg.TypeConflict = 2, sfpool.ConflictDeadLetter
	y.refuse("other", 5)
	agent := y.cfg
	agent.DrainOrphans = false // so that the drain has something to do
	p := open(t, agent)
	y.cfg.Beside = true
	drain := open(t, y.cfg)
	if _, err := sfpool.Open(t.Context(), y.cfg); !errors.As(err, new(*sfpool.LockedError)) {
		t.Errorf("a second drain: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := drain.DrainAll(ctx); err != nil {
		t.Fatal(err, drain.Left())
	}
	y.write(p) // it looks, and somebody is writing there
	y.srv.Drop("p")
	closePool(t, drain)
	for end := time.Now().Add(time.Minute); y.log.said("refused rows of a drain were taken over", "rows=5") == 0; time.Sleep(20 * time.Millisecond) {
		if y.write(p); time.Now().After(end) {
			t.Fatalf("nobody takes over %v", y.letterFiles("default.drain"))
		}
	}
	for end := time.Now().Add(3 * time.Minute); len(y.srv.Rows("p")) < 5; time.Sleep(20 * time.Millisecond) { // a busy pool tries again in a minute
		if time.Now().After(end) {
			t.Fatalf("%d rows arrived, %v", len(y.srv.Rows("p")), y.letterFiles("default"))
		}
	}
	if list, _ := filepath.Glob(y.path("default.drain*")); len(list) > 0 {
		t.Errorf("left: %v", list)
	}
}

func TestFeedBackTakesOverWhatADrainHasLeft(t *testing.T) {
	y := newYard(t)
	y.cfg.MaxSenders, y.cfg.TypeConflict = 2, sfpool.ConflictDeadLetter
	y.refuse("other", 5)
	beside := y.cfg
	beside.Beside = true
	drain := open(t, beside)
	if err := drain.DrainAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	closePool(t, drain)
	if len(y.letterFiles("default.drain")) != 1 {
		t.Fatal("nothing was refused")
	}
	y.srv.Drop("p")
	y.cfg.DrainOrphans = false
	p := open(t, y.cfg)
	if n, err := p.FeedBack(t.Context(), 0); n != 5 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	if settled(t, p); len(y.srv.Rows("p")) != 5 {
		t.Errorf("%d rows arrived", len(y.srv.Rows("p")))
	}
}
