// SPDX-License-Identifier: MIT

package sender_test

import (
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// TestRowsThatMetAnotherCreatorOfTheirTableAreSentAgainWithIDs has somebody create the
// table, with the row id among its keys, between the question and the first rows.
func TestRowsThatMetAnotherCreatorOfTheirTableAreSentAgainWithIDs(t *testing.T) {
	for _, window := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			var log diary
			o := &oracle{missing: map[string]bool{"a": true}}
			srv := &server{window: window}
			srv.sent = func(*conn, []taken) {
				o.mu.Lock()
				defer o.mu.Unlock()
				o.ids, o.missing = map[string]bool{"a": true}, nil
			}
			b := startBed(t, vfstest.NewMem(), srv, sender.Config{Tables: o, Log: slog.New(slog.NewTextHandler(&log, nil))})
			b.storeIn("a", "a")
			b.storeIn("b", "a")
			b.drained()
			withID := map[int64]bool{}
			for _, r := range b.srv.taken() {
				withID[r.id] = withID[r.id] || r.rowID || r.table == "b"
			}
			if len(withID) != 4 || slices.Contains([]bool{withID[0], withID[1], withID[2], withID[3]}, false) {
				t.Errorf("the server has %v", b.srv.taken())
			}
			if st := b.loop.State(); st.Connects != 2 || st.LastError != nil || strings.Count(log.String(), "sent again") != 1 {
				t.Errorf("%+v; %s", st, log.String())
			}
		})
	}
}

func TestATableThatTheServerCreatedIsAskedAboutOnceMore(t *testing.T) {
	for name, fails := range map[string]func(string) error{
		"it is there":            nil,
		"nobody can be asked":    func(string) error { return errors.New("connection refused") },
		"it is missing for good": func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &oracle{missing: map[string]bool{"a": true}}
				srv := &server{window: 4, sent: func(*conn, []taken) {
					o.mu.Lock()
					defer o.mu.Unlock()
					o.fails = fails
					if fails == nil {
						o.missing = nil
					}
				}}
				b := startBed(t, vfstest.NewMem(), srv, sender.Config{Tables: o})
				b.storeIn("a")
				b.drained()
				for range 3 {
					b.storeIn("a")
					b.drained()
				}
				b.has(0, 1, 2, 3)
				if n := len(o.about("a")); b.loop.State().Connects != 1 || n > 5 || fails == nil && n != 2 {
					t.Errorf("%d questions, %+v", n, b.loop.State())
				}
			})
		})
	}
}

// TestAColumnCalledAsTheTimestampIsSentByAnotherName is what QuestDB 9.3.4 would answer
// with 500 for ever, and all behind it would wait.
func TestAColumnCalledAsTheTimestampIsSentByAnotherName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log diary
		o := &oracle{times: map[string]string{"t": "When"}}
		b := startBed(t, vfstest.NewMem(), &server{}, sender.Config{Tables: o, Log: slog.New(slog.NewTextHandler(&log, nil))})
		for id := range int64(2) {
			var r qwp.Row
			r.Reset("t")
			r.Symbol("when_", "x")
			r.Double("when", 7)
			r.Long("id", id)
			r.At(1700000000000000)
			b.storeRows(r)
			b.drained()
			b.loop.Recycle()
			synctest.Wait()
		}
		if got := strings.Join(b.srv.columns["t"], " "); strings.TrimSpace(got) != "when_ when__ id" {
			t.Errorf("sent %s", got)
		}
		if strings.Count(log.String(), "designated timestamp") != 1 {
			t.Errorf("said: %s", log.String())
		}
	})
}

// TestAConnectionThatEndsAtRestIsNoReasonToReadAgainWhatWaits counts what is read of a
// slot in which a table waits, while batches of others come and the server closes what
// is idle.
func TestAConnectionThatEndsAtRestIsNoReasonToReadAgainWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{}
		o.hold("b")
		var read atomic.Int64
		fsys := vfstest.Wrap(vfstest.NewMem(), func(op vfstest.Op) error {
			if op.Kind == vfstest.OpRead {
				read.Add(op.Len)
			}
			return nil
		})
		b := startBed(t, fsys, &server{window: 4}, sender.Config{Tables: o})
		for range 5000 {
			b.storeIn("b", "b", "b", "b")
		}
		synctest.Wait()
		before := read.Load()
		var want []int64
		for i := range 20 {
			b.storeIn("a")
			want = append(want, 20_000+int64(i))
			synctest.Wait()
			b.srv.cut()
			time.Sleep(10 * time.Second)
		}
		b.has(want...)
		if n := read.Load() - before; n > 2<<20 {
			t.Errorf("%d bytes read for 20 rows", n)
		}
		o.hold()
		time.Sleep(2 * time.Minute)
		b.drained()
		if n := len(b.srv.ids()); n != 20_020 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestTablesThatWereCreatedAreAskedAboutOnOneFooting is what keeps a server that does
// not answer SQL from holding up the sender for each of them: Tables asks it once.
func TestTablesThatWereCreatedAreAskedAboutOnOneFooting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{missing: map[string]bool{"a": true, "b": true, "c": true}, fails: func(string) error {
			time.Sleep(time.Second)
			return nil
		}}
		b := startBed(t, vfstest.NewMem(), &server{}, sender.Config{Tables: o})
		b.storeIn("a", "b", "c")
		b.drained()
		since := map[time.Time]bool{}
		for _, table := range []string{"a", "b", "c"} {
			since[o.about(table)[1].since] = true
		}
		if len(since) != 1 {
			t.Errorf("asked as of %v", since)
		}
	})
}
