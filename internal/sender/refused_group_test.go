// SPDX-License-Identifier: MIT

package sender_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// badRow refuses what contains a row, and does not say which.
func badRow(id int64) qwpserver.Fault {
	return qwpserver.Reject(qwp.StatusSchemaMismatch, "no").Always().When(qwpserver.HasRow(func(r *qwpserver.Row) bool {
		return r.Values["id"] == id
	}))
}

// A group of another client's slot has a bad row in its first, a middle or its last frame:
// that row is a letter, all others of the group and behind it arrive once.
func TestABadRowInADeferredGroupCostsNoOther(t *testing.T) {
	for _, bad := range []int64{1, 33, 57, 64} {
		for _, transport := range []link.Transport{link.QWP} {
			c := &author{TB: t}
			c.frame(false, "before")
			for frame := range 8 {
				c.frame(frame < 7, slices.Repeat([]string{"s"}, 8)...)
			}
			c.frame(false, "behind")
			c.group(3, turns)
			srv, letters := qwpServer(t, badRow(bad)), &letterBox{}
			s := c.open()
			loop := forwardWith(t, sender.Config{Slot: s, Letters: letters}, srv.URL(), transport)
			drain(t, loop)
			seen := map[string]int{}
			for _, r := range srv.Rows("t") {
				seen[fmt.Sprint(r.Values["id"])]++
			}
			twice := 0
			for _, n := range seen {
				if n > 1 {
					twice++
				}
			}
			letters.has(t, bad)
			st := s.Stats()
			t.Logf("row %d of a group of 64: %d stored, %d twice; %d refusals", bad, len(seen), twice, loop.State().Refusals)
			if len(seen) != int(c.next)-1 || twice > 0 || st.DeadLettered != 1 || st.Pending != 0 || loop.State().Refusals > 64 {
				t.Errorf("%+v", st)
			}
		}
	}
}

// A table of a group is refused as a whole: its rows wait, the others of the group and
// what is behind it do not.
func TestARefusedTableInADeferredGroupHoldsUpNoOther(t *testing.T) {
	c := &author{TB: t}
	for frame := range 100 {
		c.frameIn([]string{"t", "closed"}[frame%2], frame < 99, "s")
	}
	c.frame(false, "behind")
	closed := qwpserver.Reject(qwp.StatusWriteError, "creating new tables is disabled").Always().When(qwpserver.Table("closed"))
	srv, letters := qwpServer(t, closed), &letterBox{}
	s := c.open()
	loop := forwardWith(t, sender.Config{Slot: s, Letters: letters}, srv.URL(), link.QWP)
	for deadline := time.Now().Add(20 * time.Second); len(srv.Rows("t")) < 51 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	st := loop.State()
	t.Logf("%d of 51 others stored, %d refusals, %d connections", len(srv.Rows("t")), st.Refusals, st.Connects)
	if len(srv.Rows("t")) != 51 || s.Stats().Pending == 0 || st.Refusals > 64 {
		t.Errorf("%+v, %+v", st, s.Stats())
	}
	letters.has(t)
}
