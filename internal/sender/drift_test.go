// SPDX-License-Identifier: MIT

package sender_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// QuestDB goes by what a table was when a connection last wrote to it.
func TestAColumnThatWasAlteredIsTriedOverANewConnection(t *testing.T) {
	for _, mode := range []verdict.Conflict{verdict.Suffix, verdict.DeadLetter} {
		t.Run(mode.String(), func(t *testing.T) {
			d := newDB(true)
			d.stale = true
			isolated(t, d, sender.Config{Conflict: mode}, func(t *testing.T, b *bed, letters *letterBox) {
				b.storeRows(value("t", 0, 7), value("t", 1, 0.5), value("t", 2, 7))
				time.Sleep(5 * time.Second)
				d.alter("t.v", qwp.TypeDouble)
				for id := range int64(60) { // the connection is never idle
					b.storeRows(value("t", 10+id, 0.5), value("u", 100+id, 1))
					time.Sleep(5 * time.Second)
				}
				_, refused := d.counts()
				connects := len(d.connectTimes())
				t.Logf("%d refused, %d connections in 5 minutes", refused, connects)
				if st := b.slot.Stats(); st.Pending != 0 || refused > 3 || connects > 8 {
					t.Errorf("%+v, %d refused, %d connections", st, refused, connects)
				}
				before := len(d.taken())
				b.storeRows(value("t", 500, 0.5))
				time.Sleep(time.Second)
				if b.srv.columnsOf("t")[0] != "v" || len(d.taken()) != before+1 {
					t.Errorf("the value does not go to its column again: %v", b.srv.columnsOf("t"))
				}
			})
		})
	}
}

// A box that finds the column altered by another needs no verdict.
func TestAColumnThatAnotherBoxHasWidenedIsSeenBeforeAnythingIsLearned(t *testing.T) {
	d := newDB(true)
	d.stale = true
	isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
		b.storeRows(value("t", 0, 7))
		time.Sleep(time.Minute)
		d.alter("t.v", qwp.TypeDouble)
		b.storeRows(value("t", 1, 0.5))
		time.Sleep(5 * time.Second)
		_, refused := d.counts()
		if st := b.slot.Stats(); st.Pending != 0 || refused != 1 || d.types["t.v__double"] != 0 {
			t.Errorf("%+v, %d refused, %v", st, refused, d.types)
		}
	})
}

// altering is a Widener of a db.
type altering struct {
	d *db
	n int
}

func (a *altering) widen(table, column string) {
	a.n++
	a.d.alter(table+"."+column, qwp.TypeDouble)
}

func TestAColumnIsWidenedOnceForAllRows(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		d.stale = d.ilp
		a := &altering{d: d}
		isolated(t, d, sender.Config{Conflict: verdict.Widen, Widener: widenFunc(a.widen)}, func(t *testing.T, b *bed, letters *letterBox) {
			for id := range int64(300) {
				b.storeRows(value("t", 2*id, 7), value("t", 2*id+1, 0.5))
			}
			time.Sleep(time.Minute)
			_, refused := d.counts()
			t.Logf("%d refused", refused)
			if st := b.slot.Stats(); st.Acked != 600 || st.Pending != 0 || a.n != 1 || refused > 5 || d.types["t.v__double"] != 0 {
				t.Errorf("%+v, altered %d times, %d refused", st, a.n, refused)
			}
		})
	})
}

// Rows with a column that the server does not create wait, and no others.
func TestRowsWithAColumnThatIsNotCreatedWaitAloneAndGoOnByThemselves(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		d.fixed = map[string]string{"t.extra": "creating new columns is disabled"}
		isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
			for id := range int64(100) {
				r := value("t", 2*id+1, 7)
				r.Long("extra", 1)
				r.Cells[1], r.Cells[2] = r.Cells[2], r.Cells[1] // the id is last
				b.storeRows(value("t", 2*id, 7), r, value("u", 1000+id, 1))
			}
			time.Sleep(10 * time.Minute)
			_, refused := d.counts()
			t.Logf("%d refused in 10 minutes", refused)
			letters.has(t)
			if n := len(d.taken()); n != 200 || b.loop.State().Held != 100 || refused > 25 {
				t.Errorf("%d rows, %+v, %d refused", n, b.loop.State(), refused)
			}
			d.mu.Lock()
			d.fixed = nil
			d.mu.Unlock()
			time.Sleep(3 * time.Minute)
			letters.has(t)
			if st := b.slot.Stats(); st.Acked != 300 || st.Pending != 0 {
				t.Errorf("%+v", st)
			}
		})
	})
}

// A barred table goes on although the first of its rows is one that is refused by
// itself.
func TestARowThatBarsItsTableIsPassedOver(t *testing.T) {
	d := newDB(false)
	isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
		d.broken = map[int64]bool{0: true}
		b.storeRows(value("t", 0, 1), value("t", 1, 1), value("t", 2, 1), value("t", 3, 1))
		for id := int64(10); id < 200; id++ {
			b.storeRows(value("u", id, 1))
			if id%10 == 0 {
				b.storeRows(value("t", 1000+id, 1))
			}
			time.Sleep(10 * time.Second)
		}
		time.Sleep(30 * time.Minute)
		b.storeRows(value("t", 5000, 1))
		time.Sleep(10 * time.Minute)
		letters.has(t, 0)
		if st := b.slot.Stats(); st.Pending != 0 || st.DeadLettered != 1 {
			t.Errorf("%+v, %d rows, %+v", st, len(d.taken()), b.loop.State())
		}
	})
}

// A frame in which every row is bad by its value does not stop the others.
func TestAFrameOfNothingButBadRowsHoldsUpNoOthers(t *testing.T) {
	d := newDB(true)
	isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
		for id := range int64(500) {
			d.poison[id] = true
		}
		b.store(500)
		for range 300 {
			b.storeIn("a", "b")
			time.Sleep(10 * time.Second)
		}
		if n := len(d.taken()); n != 600 {
			t.Errorf("%d of 600 others", n)
		}
		early := b.slot.Stats().DeadLettered
		for range 600 {
			b.storeIn("a")
			time.Sleep(30 * time.Second)
		}
		requests, refused := d.counts()
		st := b.slot.Stats()
		t.Logf("%d letters; %d requests, %d refused", st.DeadLettered, requests, refused)
		if st.DeadLettered != 500 || st.Pending != 0 || refused > 2*500 {
			t.Errorf("%+v, %d refused; after 50 minutes %d", st, refused, early)
		}
	})
}

// Two columns of a row conflict at once, the names differ in case, and one is as long
// as a name may be.
func TestSeveralConflictsOfARowAreSettledTogether(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		long := strings.Repeat("c", 127)
		d.types["t.v"], d.types["t."+long] = qwp.TypeLong, qwp.TypeLong
		isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
			for id := range int64(50) {
				var r qwp.Row
				r.Reset("t")
				r.Double("v", 0.5)
				r.Varchar(long, "x")
				r.Bool("w", true)
				r.Long("id", id)
				r.At(1700000000000000 + id)
				b.storeRows(r)
			}
			time.Sleep(time.Second)
			_, refused := d.counts()
			letters.has(t)
			if st := b.slot.Stats(); st.Acked != 50 || refused > 4 || d.types["t."+long[:118]+"__varchar"] != qwp.TypeVarchar {
				t.Errorf("%+v, %d refused, %v", st, refused, d.types)
			}
		})
	})
}

// What was learned comes from a file, and is of another server, or of a column that the
// rows do not have.
func TestVerdictsOfOtherServersAndColumnsChangeNothing(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		book := verdict.New(verdict.Options{})
		for _, k := range []verdict.Key{
			{Host: "another", Table: "t", Column: "v", Type: qwp.TypeDouble},
			{Host: "server", Table: "t", Column: "gone", Type: qwp.TypeDouble},
			{Host: "server", Table: "t", Column: "v", Type: qwp.TypeVarchar},
		} {
			book.Learn(verdict.Verdict{Key: k})
		}
		isolated(t, d, sender.Config{Book: book}, func(t *testing.T, b *bed, letters *letterBox) {
			b.storeRows(value("t", 0, 0.5), value("T", 1, 1.5))
			time.Sleep(time.Second)
			letters.has(t)
			if requests, refused := d.counts(); len(d.taken()) != 2 || refused != 0 || d.types["t.v"] != qwp.TypeDouble {
				t.Errorf("%d requests, %d refused, %v", requests, refused, d.types)
			}
		})
	})
}

// The process ends while the server refuses everything, and knows from before what a
// column refuses: an hour later nothing is lost, and no row is blamed.
func TestARestartWhileEverythingIsRefusedBlamesNobody(t *testing.T) {
	for name, r := range map[string]link.Refusal{
		"a row":           {HTTPStatus: 400, Status: qwp.StatusSchemaMismatch, Class: link.RowFault, Line: 1, Message: "invalid table name"},
		"a column":        {HTTPStatus: 400, Status: qwp.StatusSchemaMismatch, Class: link.RowFault, Line: 1, Column: "id", Message: "column: id; cast error from protocol type: LONG to column type: DOUBLE"},
		"trouble at line": {HTTPStatus: 500, Status: qwp.StatusInternalError, Class: link.ServerState, Line: 1, Message: "write error: no space left on device"},
	} {
		for _, mode := range []verdict.Conflict{verdict.Suffix, verdict.DeadLetter} {
			t.Run(name+" "+mode.String(), func(t *testing.T) {
				forBoth(t, func(t *testing.T, d *db) { restartsRefused(t, d, r, mode) })
			})
		}
	}
}

// stop ends the sender and releases its slot.
func (b *bed) stop() {
	b.Helper()
	b.loop.Stop()
	if err := b.slot.Close(); err != nil {
		b.Fatal(err)
	}
}

func restartsRefused(t *testing.T, d *db, r link.Refusal, mode verdict.Conflict) {
	synctest.Test(t, func(t *testing.T) {
		mem := vfstest.NewMem()
		if err := mem.MkdirAll("/sf", 0o750); err != nil {
			t.Fatal(err)
		}
		o := verdict.Options{FS: mem, Path: "/sf/verdicts", Conflict: mode}
		before := verdict.New(o)
		before.Learn(verdict.Verdict{Key: verdict.Key{Host: "server", Table: "a", Column: "id", Type: qwp.TypeLong}})
		before.Accepted("server", "b")
		letters := &letterBox{}
		cfg := sender.Config{Conflict: mode, Letters: letters}
		end := time.Now().Add(time.Hour)
		d.refuses = func() *link.Refusal {
			if !time.Now().Before(end) {
				return nil
			}
			x := r
			x.Host = "server"
			return &x
		}
		for run := range 6 {
			cfg.Book = verdict.New(o)
			b := startBed(t, mem, d.server, cfg)
			b.next = int64(100 * run)
			for range 10 {
				b.storeIn("a", "b", "a", "c")
				time.Sleep(time.Minute)
			}
			b.stop()
		}
		cfg.Book = verdict.New(o)
		b := startBed(t, mem, d.server, cfg)
		b.next = 1000
		for range 150 {
			b.storeIn("b")
			time.Sleep(time.Minute)
		}
		st := b.slot.Stats()
		rows := map[int64]bool{}
		for _, id := range d.ids() {
			rows[id] = true
		}
		if mode == verdict.DeadLetter { // the verdict was right or not: its rows are safe
			for _, l := range letters.list {
				if l.Data.Table != "a" {
					t.Errorf("a row of table %q is blamed: %s", l.Data.Table, l.Words)
				}
				rows[idOf(l.Data)] = true
			}
		} else {
			letters.has(t)
		}
		if len(rows) != 6*40+150 || st.Pending != 0 {
			t.Errorf("%d of %d rows, %+v, %+v", len(rows), 6*40+150, st, b.loop.State())
		}
		t.Log(fmt.Sprint(len(letters.list), " letters by what was known before"))
	})
}

// The ids of a row are the same whatever its columns are called when it is sent.
func TestARowHasTheSameIDBesideItsColumn(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		d.types["t.v"] = qwp.TypeLong
		o := &oracle{ids: map[string]bool{"t": true}}
		isolated(t, d, sender.Config{Tables: o}, func(t *testing.T, b *bed, letters *letterBox) {
			b.storeRows(value("t", 0, 0.5))
			time.Sleep(time.Second)
			beside := d.idsSent()
			d.alter("t.v", qwp.TypeDouble)
			time.Sleep(2 * time.Minute)
			b.storeRows(value("t", 0, 0.5)) // the probe
			time.Sleep(time.Second)
			all := d.idsSent()
			if n := len(beside); n < 2 || len(all) != n+1 || beside[n-1] != all[n] || d.types["t.v__double"] == 0 {
				t.Errorf("ids %x beside the column, then %x", beside, all)
			}
		})
	})
}

// A part of a frame is refused while others of it are still to go out, and a row of it
// waits for proof.
func TestAFrameInManyPiecesIsRefusedAgainAndAgain(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
			var want []int64
			var tables []string
			for id := range int64(60) {
				tables = append(tables, fmt.Sprint("t", id))
				if id%7 == 3 {
					d.broken = map[int64]bool{3: true, 24: true, 45: true}
					if !d.broken[id] {
						d.poison[id] = true
					}
					want = append(want, id)
				}
			}
			for range 3 {
				b.storeIn(tables...)
			}
			for range 600 {
				b.storeIn("later", "t3", "t24", "t45")
				time.Sleep(10 * time.Second)
			}
			letters.has(t, want...)
			if st := b.slot.Stats(); st.Pending != 0 {
				t.Errorf("%+v, %+v", st, b.loop.State())
			}
		})
	})
}
