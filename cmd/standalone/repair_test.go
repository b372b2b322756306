// SPDX-License-Identifier: MIT

package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/steward"
)

func TestRepairCopiesAWholeSlotAndChangesNothing(t *testing.T) {
	for _, slot := range []string{"default-0", "other-0"} {
		d := newDepot(t)
		d.store(150)
		d.foreign("other-0")
		if err := os.Remove(d.path(slot, ".lock")); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		before := content(t, d.dir)
		to := filepath.Join(t.TempDir(), "new")
		r := tell[steward.Repaired](t, exitOK, "repair", "-sf-dir", d.dir, "-slot", slot, "-to", to)
		if len(r.Lost) > 0 || r.Rows == 0 || slot == "default-0" && r.Rows != 150 || r.Dir != filepath.Join(to, slot) {
			t.Errorf("%+v", r)
		}
		if !maps.Equal(before, content(t, d.dir)) {
			t.Error("the slot has changed")
		}
		d.dir = to
		if out := tell[drained](t, exitOK, "drain", "-config", d.config("")); out.Sent != r.Rows {
			t.Errorf("%+v, want %d", out, r.Rows)
		}
		if slot == "default-0" {
			d.arrived()
		}
		if left, _ := filepath.Glob(filepath.Join(to, ".repair*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestRepairOfAWoundedSlotSaysWhatIsLost(t *testing.T) {
	d := newDepot(t)
	d.store(150)
	d.harm(d.path("default-0", "sf-initial.sfa"))
	before := content(t, d.dir)
	to := filepath.Join(t.TempDir(), "new")
	r := tell[steward.Repaired](t, exitLosses, "repair", "-sf-dir", d.dir, "-slot", "default-0", "-to", to)
	if len(r.Lost) != 1 || r.Lost[0].File != "sf-initial.sfa" || r.Lost[0].Rows+r.Rows != 150 || r.Lost[0].Rows <= 0 {
		t.Errorf("%+v", r)
	}
	if !maps.Equal(before, content(t, d.dir)) {
		t.Error("the slot has changed")
	}
	code, text, stderr := ask("repair", "-sf-dir", d.dir, "-slot", "default-0", "-to", to+"2")
	if code != exitLosses || !strings.Contains(text, "sf-initial.sfa") || !strings.Contains(stderr, "1 places") {
		t.Errorf("exit %d, %q, %q", code, text, stderr)
	}
	d.dir = to
	out := tell[drained](t, exitOK, "drain", "-config", d.config(""))
	if out.Sent != r.Rows || int64(d.srv.Total()) != r.Rows {
		t.Errorf("%+v, %d arrived", out, d.srv.Total())
	}
}

// What a pool has found and told already is lost all the same.
func TestRepairTellsOfAWoundOnceThatIsKnownAlready(t *testing.T) {
	d := newDepot(t)
	for range 4 { // frames of one segment
		d.store(10)
	}
	d.harm(d.path("default-0", "sf-initial.sfa"))
	tell[steward.Exported](t, exitOK, "export", "-config", d.conf, "-slot", "default-0", filepath.Join(t.TempDir(), "x")) // reads all of it
	if list, _ := filepath.Glob(d.path("default-0", "incident-*.json")); len(list) != 1 {
		t.Fatalf("incidents %v", list)
	}
	r := tell[steward.Repaired](t, exitLosses, "repair", "-sf-dir", d.dir, "-slot", "default-0", "-to", filepath.Join(t.TempDir(), "new"))
	if len(r.Lost) != 1 || r.Lost[0].File != "sf-initial.sfa" || r.Rows != 30 {
		t.Errorf("%+v", r)
	}
}

func TestRepairOfADamagedSlotOfAnotherClientCopiesWhatIsWhole(t *testing.T) {
	d := newDepot(t)
	d.foreign("other-0")
	list := d.segments("other-0")
	if err := os.Remove(list[len(list)/2]); err != nil {
		t.Fatal(err)
	}
	before := content(t, d.dir)
	r := tell[steward.Repaired](t, exitLosses, "repair", "-config", d.conf, "-slot", "other-0", "-to", filepath.Join(t.TempDir(), "new"))
	if len(r.Lost) == 0 || r.Rows == 0 || !maps.Equal(before, content(t, d.dir)) {
		t.Errorf("%+v", r)
	}
	code, _, stderr := ask("export", "-config", d.conf, "-slot", "other-0", filepath.Join(t.TempDir(), "x"))
	if code != exitFailed || !strings.Contains(stderr, "questdb_sf repair") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestRepairIsNeverInPlace(t *testing.T) {
	d := newDepot(t)
	d.store(5)
	before := content(t, d.dir)
	for _, to := range []string{d.dir, d.path(".")} {
		if code, _, stderr := ask("repair", "-sf-dir", d.dir, "-slot", "default-0", "-to", to); code != exitFailed || !strings.Contains(stderr, "new directory") {
			t.Errorf("exit %d, %q", code, stderr)
		}
	}
	if !maps.Equal(before, content(t, d.dir)) {
		t.Error("the slot has changed")
	}
}
