// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

func TestDrainAllEmptiesSlotsAndOrphansWithoutAWrite(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "default-0", "default-2", "default-7", "other-0")
	y.put("other-0", ".failed", "the disk was wet")
	y.orphan(2, "elsewhere-0")
	y.put("elsewhere-0", ".target", "http://elsewhere:9000\n")
	before := y.content("elsewhere-0")
	y.cfg.LockTimeout = time.Hour // which a pool that is written to would wait for
	p := open(t, y.cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := p.DrainAll(ctx); err != nil {
		t.Fatal(err, p.Left(), p.Stats())
	}
	st := p.Stats()
	if arrived(t, y.srv, 9); st.Sent != 9 || st.Refused != 0 {
		t.Errorf("sent %d, refused %d", st.Sent, st.Refused)
	}
	left := fmt.Sprint(p.Left())
	if len(p.Left()) != 2 || !strings.Contains(left, "{other-0 -1 the disk was wet false}") || !strings.Contains(left, "http://elsewhere:9000") {
		t.Errorf("left %s", left)
	}
	if !maps.Equal(before, y.content("elsewhere-0")) {
		t.Error("a slot for another destination was changed")
	}
	if err := p.DrainAll(ctx); err != nil {
		t.Errorf("once more: %v", err)
	}
	closePool(t, p)
	for _, name := range []string{"default-0", "default-2", "default-7"} {
		y.isEmpty(name)
	}
}

func TestDrainAllLeavesWhatDrainOrphansDoesNotAllow(t *testing.T) {
	y := newYard(t)
	y.orphan(2, "default-1", "other-0")
	y.cfg.DrainOrphans = false
	p := open(t, y.cfg)
	if err := p.DrainAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	closePool(t, p)
	y.isEmpty("default-1")
	if arrived(t, y.srv, 2); len(y.segments("other-0")) == 0 {
		t.Error("the orphan was drained")
	}
}

func TestDrainAllEndsWithItsContextAndSaysWhatIsLeft(t *testing.T) {
	y := newYard(t)
	y.orphan(3, "default-0", "other-0")
	y.srv.Stop()
	p := open(t, y.cfg)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := p.DrainAll(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	for _, r := range p.Left() {
		if r.Rows != 3 && r.Rows != -1 || r.Why == "" {
			t.Errorf("%+v", r)
		}
	}
	if len(p.Left()) != 2 {
		t.Errorf("%+v", p.Left())
	}
	closePool(t, p)
	if err := p.DrainAll(t.Context()); !errors.Is(err, sfpool.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

func TestASlotIsInUseAsLongAsItsPoolIsOpen(t *testing.T) {
	y := newYard(t)
	y.orphan(1, "default-7", "default-rewind-1", "other-0")
	p := open(t, y.cfg)
	for name, used := range map[string]bool{
		"default-0": true, "default-3": true, "default-rewind-1": true, "default-7": false, "other-0": false, "default": false,
	} {
		err := sfpool.InUse(vfs.OS, y.cfg.Dir, name)
		var inUse *sfpool.InUseError
		if errors.As(err, &inUse) != used || used && (inUse.PID == 0 || inUse.SenderID != "default") {
			t.Errorf("%s: %v", name, err)
		}
	}
	closePool(t, p)
	if err := sfpool.InUse(vfs.OS, y.cfg.Dir, "default-0"); err != nil {
		t.Error(err)
	}
}

func TestAConfigurationSaysWhereItSends(t *testing.T) {
	c := sfpool.Config{URLs: []string{"http://B:9000/", "http://a"}}
	for target, sends := range map[string]bool{
		"": true, c.Target(): true, "http://b:9000\nhttp://a\n": true, "http://a\n": false, "plant-1\n": false,
	} {
		if c.Takes(target, false) != sends {
			t.Errorf("%q: %v, for %q", target, !sends, c.Target())
		}
	}
	if c.Destination = "plant-1"; c.Target() != "plant-1\n" || !c.Takes("plant-1\n", false) {
		t.Errorf("%q", c.Target())
	}
}
