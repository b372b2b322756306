// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestQuarantinedFilesBeyondTheirCapGoTheOldestFirst(t *testing.T) {
	y := newYard(t)
	y.cfg.QuarantineMaxBytes, y.cfg.DrainOrphans = 2500, false
	old := time.Now().Add(-time.Hour)
	for i, file := range []string{
		"default-0/sf-0000000000000001.sfa.corrupt", "default-0/sf-0000000000000002.sfa.corrupt.2",
		"default-1/incident-1.json", "default-7/sf-0000000000000003.sfa.corrupt",
	} {
		slot, name, _ := strings.Cut(file, "/")
		if err := os.MkdirAll(y.path(slot), 0o700); err != nil {
			t.Fatal(err)
		}
		y.put(slot, name, strings.Repeat("x", 1000))
		at := old.Add(time.Duration(i) * time.Minute)
		if err := os.Chtimes(y.path(slot, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	y.put("default-0", "notes.json", strings.Repeat("x", 9000)) // is none
	p := y.open()
	y.log.await(t, 2, "a quarantined file was removed", "quarantine_max_bytes=2500")
	for file, stays := range map[string]bool{
		"default-0/sf-0000000000000001.sfa.corrupt": false, "default-0/sf-0000000000000002.sfa.corrupt.2": false,
		"default-1/incident-1.json": true, "default-7/sf-0000000000000003.sfa.corrupt": true, "default-0/notes.json": true,
	} {
		if _, err := os.Stat(y.path(strings.Split(file, "/")...)); (err == nil) != stays {
			t.Errorf("%s stays: %t, want %t", file, err == nil, stays)
		}
	}
	if st := p.Stats(); st.QuarantineRemoved != 2 {
		t.Errorf("%+v", st)
	}
}

func TestALargeBacklogOfOrphansIsToldOnce(t *testing.T) {
	for _, drain := range []bool{true, false} {
		t.Run(fmt.Sprintf("drained %t", drain), func(t *testing.T) {
			y := newYard(t)
			y.cfg.URLs = []string{nowhere} // they stay
			y.leave("other-0", 40, 1000)
			y.cfg.MaxSegmentBytes, y.cfg.MaxSenders, y.cfg.MaxTotalBytes = 64<<10, 1, 128<<10
			y.cfg.DrainOrphans = drain
			if !drain {
				y.cfg.OrphansMaxBytes = 100 << 10 // without drain it drops nothing
			}
			p := y.open()
			y.write(p)
			y.log.await(t, 1, "slots without an owner take much of the disk")
			y.write(p)
			time.Sleep(100 * time.Millisecond)
			if n := y.log.said("slots without an owner take much of the disk"); n != 1 {
				t.Errorf("said %d times", n)
			}
			if n := len(y.segments("other-0")); n < 3 {
				t.Errorf("%d segments are left", n)
			}
		})
	}
}

func TestOrphansBeyondTheirCapLoseTheirOldestRows(t *testing.T) {
	y := newYard(t)
	y.leave("other-0", 40, 1000)
	y.leave("other-1", 40, 1000)
	var all int64
	for _, name := range []string{"other-0", "other-1"} {
		for _, file := range y.segments(name) {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			all += info.Size()
		}
	}
	y.cfg.OrphansMaxBytes = all / 2
	y.srv.Stop()
	p := y.open()
	y.write(p)
	var st sfpool.Stats
	eventually(t, "orphans fit", func() bool {
		st = p.Stats()
		return st.OrphansEvicted > 0 && int64(len(y.segments("other-0"))+len(y.segments("other-1")))*64<<10 <= all/2+128<<10
	})
	y.log.await(t, 1, "orphans exceed orphans_max_bytes", "rows=")
	if !st.Balanced() || st.DroppedFor != "orphans_max_bytes" {
		t.Errorf("%+v", st)
	}
	fmt.Fprintf(t.Output(), "%d bytes of orphans, %d rows dropped\n", all, st.OrphansEvicted)
}

// What nobody here may drop is no reason to drop anything: it would never fit.
func TestOrphansThatMayNotBeDrainedCostThoseThatMayNoRows(t *testing.T) {
	y := newYard(t)
	y.leave("other-0", 40, 1000)
	y.leave("strange-0", 60, 1000)
	y.put("strange-0", ".target", "http://elsewhere:9000\n")
	y.cfg.OrphansMaxBytes = int64(len(y.segments("other-0"))) * 64 << 10
	y.srv.Stop()
	p := y.open()
	y.write(p)
	y.sees(p, "strange-0", "other destination")
	y.sees(p, "other-0", "draining")
	time.Sleep(300 * time.Millisecond)
	if st := p.Stats(); st.OrphansEvicted != 0 {
		t.Errorf("%d rows were dropped, and the orphans fit no better", st.OrphansEvicted)
	}
}

func TestAnOrphanTellsHowManyRowsHaveLeftIt(t *testing.T) {
	y := newYard(t)
	y.leave("other-0", 10, 3)
	y.srv.Script(qwpserver.Stall().Always().When(qwpserver.HasRow(func(r *qwpserver.Row) bool {
		id, _ := r.Values["id"].(int64)
		return id >= 12 // behind four frames
	})))
	p := y.open()
	y.write(p)
	eventually(t, "some rows are gone", func() bool {
		o := orphanOf(p, "other-0")
		return o.Left == 12 && o.Pending == 18
	})
}
