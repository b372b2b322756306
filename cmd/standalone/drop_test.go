// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/steward"
)

// written has the segments of a slot be from some time ago, the oldest first.
func (d *depot) written(slot string, ago ...time.Duration) {
	d.t.Helper()
	list := d.segments(slot)
	// The first segment is sf-initial.sfa, which sorts behind the numbers.
	list = append(list[len(list)-1:], list[:len(list)-1]...)
	if len(list) != len(ago) {
		d.t.Fatalf("%d segments: %v", len(list), list)
	}
	for i, file := range list {
		at := time.Now().Add(-ago[i])
		if err := os.Chtimes(file, at, at); err != nil {
			d.t.Fatal(err)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			d.t.Fatal(err)
		}
		if i > 0 { // its header says when it was made: not later than that
			at = time.Now().Add(-ago[i-1])
		}
		for k := range 8 {
			b[16+k] = byte(at.UnixMicro() >> (8 * k))
		}
		if err := os.WriteFile(file, b, 0o600); err != nil {
			d.t.Fatal(err)
		}
		if at := time.Now().Add(-ago[i]); os.Chtimes(file, at, at) != nil {
			d.t.Fatal(file)
		}
	}
}

func TestDropGivesUpWhatWasStoredBefore(t *testing.T) {
	d := newDepot(t)
	d.store(150) // 64 KiB hold some 50 of them
	n := len(d.segments("default-0"))
	ago := []time.Duration{3 * time.Hour, 2 * time.Hour}
	for range n - 2 {
		ago = append(ago, time.Minute)
	}
	d.written("default-0", ago...)
	if code, _, stderr := ask("drop", "-config", d.conf, "-before", "90m"); code != exitUsage || !strings.Contains(stderr, "-yes") {
		t.Errorf("without a yes: exit %d, %q", code, stderr)
	}
	r := tell[steward.Drop](t, exitOK, "drop", "-config", d.conf, "-before", "90m", "-yes")
	if len(r.Slots) != 1 || r.Rows == 0 || r.Rows+r.Slots[0].Left != 150 || r.Slots[0].Left == 0 || r.Earliest.UnixMicro() != 1700000000000000 {
		t.Fatalf("%+v", r)
	}
	if again := tell[steward.Drop](t, exitOK, "drop", "-config", d.conf, "-before", "90m", "-yes"); again.Rows != 0 {
		t.Errorf("once more: %+v", again)
	}
	p := d.open()
	if err := p.WaitAcked(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := p.Stats(); st.Evicted != r.Rows || st.Accepted != 150 || st.Acked != 150-r.Rows {
		t.Errorf("the ledger: %+v", st)
	}
	var gone []int64
	for id := range r.Rows {
		gone = append(gone, id)
	}
	d.arrived(gone...)
}

func TestDropTakesTheSegmentThatWasAppendedToLast(t *testing.T) {
	d := newDepot(t)
	d.store(5)
	before := content(t, d.dir)
	code, text, stderr := ask("drop", "-sf-dir", d.dir, "-before", "1h", "-yes")
	if code != exitOK || !strings.Contains(text, "nothing was dropped") {
		t.Fatalf("exit %d, %q, %q", code, text, stderr)
	}
	if segments := d.segments("default-0"); before[segments[0]] != content(t, d.dir)[segments[0]] {
		t.Error("the segment has changed")
	}
	code, text, stderr = ask("drop", "-sf-dir", d.dir, "-before", "0s", "-yes")
	if code != exitOK || !strings.Contains(text, "5 rows were given up") || !strings.Contains(stderr, "dropped from slot default-0: 5 rows, from 2023-11-14T22:13:20Z") {
		t.Fatalf("exit %d, %q, %q", code, text, stderr)
	}
	if r := tell[drained](t, exitOK, "drain", "-config", d.conf); r.Sent != 0 {
		t.Errorf("%+v", r)
	}
}

func TestDropIsNotDoneWithoutAYes(t *testing.T) {
	d := newDepot(t)
	d.store(5)
	var out, errs strings.Builder
	for _, answer := range []string{"", "y\n", "no\n", "yes please\n"} {
		k := &call{stdin: strings.NewReader(answer), stdout: &out, stderr: &errs}
		if err := k.ask("Really?"); err == nil {
			t.Errorf("%q is taken for a yes", answer)
		}
	}
	k := &call{stdin: strings.NewReader("yes\n"), stdout: &out, stderr: &errs}
	if err := k.ask("Really?"); err != nil {
		t.Error(err)
	}
	if r := tell[drained](t, exitOK, "drain", "-config", d.conf); r.Sent != 5 {
		t.Errorf("%+v", r)
	}
}

func TestDropOfAllSlotsRefusesAllWhereOneIsInUse(t *testing.T) {
	d := newDepot(t)
	d.store(5)
	d.foreign("other-0")
	d.srv.Stop()
	p := d.open()
	defer p.Close(t.Context())
	before := content(t, d.path("other-0"))
	if code, _, stderr := ask("drop", "-config", d.conf, "-before", "0s", "-yes"); code != exitFailed || !strings.Contains(stderr, "default-0 is in use") {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if !maps.Equal(before, content(t, d.path("other-0"))) {
		t.Error("the other slot has changed")
	}
	r := tell[steward.Drop](t, exitOK, "drop", "-config", d.conf, "-slot", "other-0", "-before", "0s", "-yes")
	if r.Rows == 0 || len(d.segments("other-0")) > 0 {
		t.Errorf("%+v", r)
	}
}

func TestDropOfAWoundedSlotGivesUpWhatItCanCount(t *testing.T) {
	d := newDepot(t)
	d.store(150)
	d.harm(d.path("default-0", "sf-initial.sfa"))
	r := tell[steward.Drop](t, exitOK, "drop", "-config", d.conf, "-before", "0s", "-yes")
	if r.Rows < 100 || r.Rows > 150 {
		t.Errorf("%+v", r)
	}
	if out := tell[drained](t, exitOK, "drain", "-config", d.conf); out.Sent != 0 {
		t.Errorf("%+v", out)
	}
	if fmt.Sprint(d.srv.Total()) != "0" {
		t.Errorf("%d rows arrived", d.srv.Total())
	}
}
