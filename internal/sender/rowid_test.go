// SPDX-License-Identifier: MIT

package sender_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestRowsGetIDsExactlyWhereTheirTableNeedsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{ids: map[string]bool{"a": true}}
		b := startBed(t, vfstest.NewMem(), &server{window: 4, maxRows: 3}, sender.Config{Tables: o})
		b.storeIn("a", "b", "a")
		b.storeIn("b")
		b.storeIn("a", "a", "a", "a", "a", "b")
		b.drained()
		for _, r := range b.srv.taken() {
			if r.rowID != (r.table == "a") {
				t.Errorf("%+v", r)
			}
		}
		if got := b.srv.ids(); len(got) != 10 {
			t.Errorf("the server has %v", got)
		}
	})
}

// TestABlockThatBringsTheColumnKeepsIt stores a row of an official client that has
// a column of this name already.
func TestABlockThatBringsTheColumnKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{ids: map[string]bool{"t": true}}
		b := startBed(t, vfstest.NewMem(), &server{}, sender.Config{Tables: o})
		var r qwp.Row
		r.Reset("t")
		r.Long("SF_Row_ID", 7)
		r.At(1700000000000000)
		b.storeRows(r)
		b.drained()
		if got := b.srv.taken(); !slices.Equal(got, []taken{{table: "t", id: 7}}) {
			t.Errorf("%+v", got)
		}
	})
}

// idSlot holds rows of "t" and "plain" in one slot, by turns and in one frame.
func idSlot(t testing.TB) *slot.Foreign {
	c := &author{TB: t}
	c.frame(false, "a", "b", "c")
	c.frameIn("plain", false, "d")
	c.frame(true, "e")
	c.frameIn("plain", false, "f")
	return c.open()
}

func TestRowIDsGoOutOverQWP(t *testing.T) {
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	o := &oracle{ids: map[string]bool{"t": true}}
	drain(t, forwardWith(t, sender.Config{Slot: idSlot(t), Tables: o}, srv.URL(), link.QWP))
	ids := map[any]bool{}
	for _, r := range srv.Rows("t") {
		if id, ok := r.Values[rowid.Column].(int64); ok {
			ids[id] = true
		}
	}
	if len(ids) != 4 {
		t.Errorf("ids of four rows: %v", ids)
	}
	for _, r := range srv.Rows("plain") {
		if _, has := r.Values[rowid.Column]; has || len(srv.Rows("plain")) != 2 {
			t.Errorf("a table that needs none has %v", r.Values)
		}
	}
}

func TestRowIDsGoOutOverILP(t *testing.T) {
	srv := newILPServer(t)
	o := &oracle{ids: map[string]bool{"t": true}}
	drain(t, forwardWith(t, sender.Config{Slot: idSlot(t), Tables: o}, srv.URL, link.ILP))
	if len(srv.lines) != 6 {
		t.Errorf("the server has %q", srv.lines)
	}
	for _, line := range srv.lines {
		if strings.HasPrefix(line, "t,") != strings.Contains(line, rowid.Column+"=") {
			t.Errorf("line %q", line)
		}
	}
}

// TestTheIDOfARowDoesNotDependOnHowOftenItIsSent cuts the connection: the server
// gets the rows twice, with equal ids.
func TestTheIDOfARowDoesNotDependOnHowOftenItIsSent(t *testing.T) {
	srv := qwpServer(t, qwpserver.Cut().When(qwpserver.Number(0)))
	o := &oracle{ids: map[string]bool{"t": true}}
	drain(t, forwardWith(t, sender.Config{Slot: idSlot(t), Tables: o}, srv.URL(), link.QWP))
	times := map[any]int{}
	for _, r := range srv.Rows("t") {
		times[r.Values[rowid.Column]]++
	}
	if len(srv.Rows("t")) != 7 || len(times) != 4 {
		t.Errorf("%d rows, times by id: %v", len(srv.Rows("t")), times)
	}
}
