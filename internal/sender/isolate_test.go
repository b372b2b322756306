// SPDX-License-Identifier: MIT

package sender_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// letterBox keeps dead letters in memory.
type letterBox struct {
	mu   sync.Mutex
	list []sender.Letter
	err  error // of the next Keep
}

func (b *letterBox) Keep(_ string, letters []sender.Letter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	for _, l := range letters {
		if slices.ContainsFunc(b.list, func(o sender.Letter) bool { return o.FSN == l.FSN && o.Block == l.Block && o.Row == l.Row }) {
			continue
		}
		b.list = append(b.list, l)
	}
	return nil
}

func (b *letterBox) fails(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.err = err
}

// has compares the ids of the letters, whose rows end with them.
func (b *letterBox) has(t testing.TB, want ...int64) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var got []int64
	for _, l := range b.list {
		got = append(got, idOf(l.Data))
		var v qwp.View
		if err := v.Parse(l.Frame, nil); err != nil || v.Info().Rows != 1 {
			t.Errorf("letter %+v: frame %v", l, err)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("dead letters %v, want %v", got, want)
	}
}

func idOf(r *qwp.Row) int64 {
	for i := range r.Cells {
		if r.Cells[i].Name == "id" {
			return r.Cells[i].Int()
		}
	}
	return -1
}

// isolated runs a sender against a db, in a bubble.
func isolated(t *testing.T, d *db, cfg sender.Config, run func(t *testing.T, b *bed, letters *letterBox)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		letters := &letterBox{}
		cfg.Letters = letters
		run(t, startBed(t, vfstest.NewMem(), d.server, cfg), letters)
	})
}

// value is a row with a value of some type.
func value(table string, id int64, v any) qwp.Row {
	var r qwp.Row
	r.Reset(table)
	switch v := v.(type) {
	case int:
		r.Long("v", int64(v))
	case float64:
		r.Double("v", v)
	case string:
		r.Varchar("v", v)
	}
	r.Long("id", id)
	r.At(1700000000000000 + id)
	return r
}

func forBoth(t *testing.T, test func(t *testing.T, d *db)) {
	for name, ilp := range map[string]bool{"ilp": true, "qwp": false} {
		t.Run(name, func(t *testing.T) { test(t, newDB(ilp)) })
	}
}

func TestARefusedRowCostsNoNeighbourAndTwoRequests(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		var up atomic.Bool // once all is stored: then it is known how many requests it takes
		d.refuseConnect = func(int) error {
			if up.Load() {
				return nil
			}
			return errors.New("down")
		}
		isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
			d.poison[17], d.poison[55], d.poison[56] = true, true, true
			for range 10 {
				b.storeIn("a", "b", "a", "c", "b", "a", "a", "b", "c", "a")
			}
			up.Store(true)
			time.Sleep(10 * time.Minute)
			letters.has(t, 17, 55, 56)
			if st := b.slot.Stats(); st.Acked != 97 || st.DeadLettered != 3 || st.Pending != 0 || len(d.taken()) != 97 {
				t.Errorf("%+v, %d rows", st, len(d.taken()))
			}
			requests, refused := d.counts()
			t.Logf("%d requests, %d refused", requests, refused)
			if d.ilp && (refused > 3+1 || requests > 2*3+3) {
				t.Errorf("%d requests, %d refused for 3 bad rows", requests, refused)
			}
		})
	})
}

// Many bad rows in one request cost two requests each.
func TestHundredsOfBadRowsAreLinear(t *testing.T) {
	d := newDB(true)
	isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
		var want []int64
		for id := int64(3); id < 2000; id += 10 {
			d.poison[id] = true
			want = append(want, id)
		}
		for range 20 {
			b.store(100)
		}
		time.Sleep(3 * time.Hour)
		letters.has(t, want...)
		requests, refused := d.counts()
		t.Logf("%d bad rows: %d requests, %d refused", len(want), requests, refused)
		if st := b.slot.Stats(); st.Acked != 1800 || st.Pending != 0 || requests > 2*len(want)+30 {
			t.Errorf("%+v, %d requests", st, requests)
		}
	})
}

func TestATypeThatAColumnRefusesGoesBesideItAndIsRefusedOnce(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
			id := int64(0)
			for range 500 {
				var rows []qwp.Row
				for range 10 {
					if id%2 == 0 {
						rows = append(rows, value("t", id, int(id)))
					} else {
						rows = append(rows, value("t", id, 0.5))
					}
					id++
				}
				b.storeRows(rows...)
				time.Sleep(10 * time.Second)
			}
			time.Sleep(time.Minute)
			letters.has(t)
			_, refused := d.counts()
			t.Logf("5000 rows in 83 minutes: %d refused requests", refused)
			if st := b.slot.Stats(); st.Acked != 5000 || st.Pending != 0 || refused > 9 || d.types["t.v__double"] != qwp.TypeDouble {
				t.Errorf("%+v, %d refused, %v", st, refused, d.types)
			}
		})
	})
}

func TestAColumnThatWasAlteredGetsItsValuesAgain(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		var lifted []verdict.Key
		isolated(t, d, sender.Config{Conflict: verdict.DeadLetter, Lifted: func(k verdict.Key) { lifted = append(lifted, k) }}, func(t *testing.T, b *bed, letters *letterBox) {
			b.storeRows(value("t", 0, 7), value("t", 1, 0.5), value("u", 2, 1), value("t", 3, 0.5), value("t", 4, 8))
			time.Sleep(5 * time.Second)
			letters.has(t, 1, 3)
			d.mu.Lock()
			d.types["t.v"] = qwp.TypeDouble
			d.mu.Unlock()
			time.Sleep(5 * time.Minute)
			b.storeRows(value("t", 5, 0.5), value("t", 6, 0.5))
			time.Sleep(2 * time.Minute)
			letters.has(t, 1, 3)
			if st := b.slot.Stats(); st.Acked != 5 || st.Pending != 0 || len(lifted) != 1 || lifted[0].Column != "v" {
				t.Errorf("%+v, lifted %v", st, lifted)
			}
		})
	})
}

func TestATableThatIsRefusedHoldsUpNoOtherAndGoesOnByItself(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
			d.closed["b"] = "creating new tables is disabled"
			for range 20 {
				b.storeIn("a", "b", "c")
			}
			time.Sleep(time.Minute)
			if st := b.slot.Stats(); len(d.taken()) != 40 || b.loop.State().Held != 20 {
				t.Errorf("%d rows taken, %+v, %+v", len(d.taken()), st, b.loop.State())
			}
			_, before := d.counts()
			time.Sleep(30 * time.Minute)
			if _, refused := d.counts(); refused-before > 35 {
				t.Errorf("%d refused requests in half an hour", refused-before)
			}
			d.mu.Lock()
			delete(d.closed, "b")
			d.mu.Unlock()
			time.Sleep(2 * time.Minute)
			letters.has(t)
			if st := b.slot.Stats(); st.Acked != 60 || st.Pending != 0 {
				t.Errorf("%+v, %+v", st, b.loop.State())
			}
		})
	})
}

// An hour in which nothing is accepted blames no row, whatever the server says.
func TestAServerThatRefusesEverythingForAnHourCostsNothing(t *testing.T) {
	for name, r := range map[string]link.Refusal{
		"a row":          {HTTPStatus: 400, Status: qwp.StatusSchemaMismatch, Class: link.RowFault, Line: 1, Message: "invalid table name"},
		"a column":       {HTTPStatus: 400, Status: qwp.StatusSchemaMismatch, Class: link.RowFault, Line: 1, Column: "id", Message: "column: id; cast error from protocol type: LONG"},
		"without a line": {HTTPStatus: 400, Status: qwp.StatusSchemaMismatch, Class: link.RowFault, Message: "no"},
		"unclear":        {HTTPStatus: 400, Status: qwp.StatusParseError, Class: link.Unclear, Message: "what?"},
		"its state":      {HTTPStatus: 500, Status: qwp.StatusInternalError, Class: link.ServerState, Message: "disk full"},
		"a table":        {HTTPStatus: 400, Status: qwp.StatusWriteError, Class: link.ServerState, Line: 2, Message: "creating new tables is disabled"},
		"credentials":    {HTTPStatus: 401, Status: qwp.StatusSecurityError, Class: link.ServerState, Message: "Unauthorized"},
		"too large":      {HTTPStatus: 413, Status: qwp.StatusParseError, Class: link.Unclear, Message: "too large"},
	} {
		for _, mode := range []verdict.Conflict{verdict.Suffix, verdict.DeadLetter} {
			t.Run(name+" "+mode.String(), func(t *testing.T) {
				forBoth(t, func(t *testing.T, d *db) {
					isolated(t, d, sender.Config{Conflict: mode}, func(t *testing.T, b *bed, letters *letterBox) {
						end := time.Now().Add(time.Hour)
						d.refuses = func() *link.Refusal {
							if time.Now().After(end) {
								return nil
							}
							x := r
							x.Host = "server"
							return &x
						}
						for range 60 {
							b.storeIn("a", "b", "a", "c", "a")
							time.Sleep(time.Minute)
						}
						requests, _ := d.counts()
						time.Sleep(30 * time.Minute)
						letters.has(t)
						t.Logf("%d requests in the hour", requests)
						if st := b.slot.Stats(); st.Acked != 300 || st.Pending != 0 || len(d.taken()) != 300 {
							t.Errorf("%d requests; %+v, %d rows; %+v", requests, st, len(d.taken()), b.loop.State())
						}
						if requests > 3600/2+100 {
							t.Errorf("%d requests in an hour", requests)
						}
					})
				})
			})
		}
	}
}

// Without a word on which row it is, a frame is halved.
func TestARowThatTheServerDoesNotNameIsFoundByHalving(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		d.mute = true
		isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
			d.poison[700] = true
			b.store(1000)
			b.storeIn("a", "b")
			time.Sleep(time.Hour)
			letters.has(t, 700)
			requests, refused := d.counts()
			t.Logf("1 of 1000 rows: %d requests, %d refused", requests, refused)
			if st := b.slot.Stats(); st.Acked != 1001 || st.Pending != 0 || refused > 64 {
				t.Errorf("%+v, %d refused", st, refused)
			}
		})
	})
}

func TestWithoutRoomForLettersTheirFrameWaitsAndOthersGoOn(t *testing.T) {
	forBoth(t, func(t *testing.T, d *db) {
		isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
			letters.fails(errors.New("no space left on device"))
			d.poison[2] = true
			b.store(5)
			time.Sleep(time.Minute)
			for range 5 {
				b.store(5)
			}
			time.Sleep(time.Minute)
			letters.has(t)
			if st := b.slot.Stats(); len(d.taken()) != 29 || st.PendingFrames != 1 {
				t.Errorf("%d rows taken, %+v", len(d.taken()), st)
			}
			letters.fails(nil)
			time.Sleep(2 * time.Minute)
			letters.has(t, 2)
			if st := b.slot.Stats(); st.Acked != 29 || st.DeadLettered != 1 || st.Pending != 0 {
				t.Errorf("%+v", st)
			}
		})
	})
}

// A frame without rows, which is all that is left of a frame that was settled before,
// is settled without the server: that proves nothing about it.
func TestFramesWithoutRowsAreNoProofThatTheServerTakesRows(t *testing.T) {
	d := newDB(true)
	isolated(t, d, sender.Config{}, func(t *testing.T, b *bed, letters *letterBox) {
		var taking atomic.Bool
		d.refuses = func() *link.Refusal {
			if taking.Load() {
				return nil
			}
			return &link.Refusal{Host: "server", HTTPStatus: 400, Class: link.RowFault, Line: 1, Message: "invalid table name"}
		}
		for range 10 {
			b.storeIn("a", "b")
			b.storeFrame([]byte("QWP1\x01\x08\x00\x00\x02\x00\x00\x00\x00\x00"), 0)
			time.Sleep(time.Minute)
		}
		letters.has(t)
		taking.Store(true)
		time.Sleep(time.Hour)
		letters.has(t)
		if st := b.slot.Stats(); st.Acked != 20 || st.PendingFrames != 0 {
			t.Errorf("%+v", st)
		}
	})
}
