// SPDX-License-Identifier: MIT

package tables_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
	"github.com/questdb-sf/questdb_sf/internal/tables"
)

func TestWhoeverCreatesTheTableFirstItIsLookedAtAgain(t *testing.T) {
	for name, c := range map[string]struct {
		columns []column
		lost    tables.Lost
		want    string
	}{
		"as we would":            {keyed, tables.Hold, "id"},
		"without keys":           {plain, tables.Hold, "hold"},
		"without keys, restored": {plain, tables.Restore, "hold"},
		"with keys of another":   {others, tables.Hold, "plain"},
	} {
		for _, refuse := range []bool{false, true} {
			b := newBed(t, tables.Config{ExactlyOnce: true, DedupLost: c.lost})
			b.before = func(host, sql string) error {
				if strings.HasPrefix(sql, "CREATE") {
					b.tables[host+"/cpu"] = c.columns
					if refuse {
						return refusal("table name is reserved [table=cpu]")
					}
				}
				return nil
			}
			got := b.ready("cpu")
			b.want(got, c.want)
			if t.Failed() {
				t.Fatalf("%s, refused %v", name, refuse)
			}
		}
	}
}

func TestATableThatIsDroppedAgainAndAgainIsGivenUpForAWhile(t *testing.T) {
	b := newBed(t, tables.Config{ExactlyOnce: true})
	b.after = func(host string) { delete(b.tables, host+"/cpu") }
	b.want(b.ready("cpu"), "hold")
	if strings.Count(b.ran(), "CREATE") != 3 {
		t.Errorf("ran %s", b.ran())
	}
}

func TestKeysThatTheServerHasNotAppliedYetAreSetOnceAndCount(t *testing.T) {
	b := newBed(t, tables.Config{ExactlyOnce: true, DedupLost: tables.Restore, Notice: time.Nanosecond})
	b.set("db:9000/cpu", plain)
	b.after = func(host string) {
		for i := range b.tables[host+"/cpu"] {
			b.tables[host+"/cpu"][i].key = false
		}
	}
	b.want(b.ready("cpu"), "id")
	if strings.Count(b.ran(), "DEDUP ENABLE") != 1 {
		t.Errorf("ran %s", b.ran())
	}
}

func TestAColumnThatTheServerHasNotAppliedYetIsAddedOnceAndWaitedFor(t *testing.T) {
	b := newBed(t, tables.Config{ExactlyOnce: true, DedupLost: tables.Restore, Notice: time.Nanosecond})
	b.set("db:9000/cpu", plain)
	b.after = func(host string) { b.tables[host+"/cpu"] = plain }
	b.want(b.ready("cpu"), "hold")
	if strings.Count(b.ran(), "ADD COLUMN") != 1 || strings.Contains(b.ran(), "DEDUP ENABLE") {
		t.Errorf("ran %s", b.ran())
	}
}

var errCreate = refusal("could not create table")

func TestACreateThatIsRefusedHoldsTheRowsAndSaysWhatToRun(t *testing.T) {
	for _, c := range []struct {
		config  tables.Config
		refusal error
		want    string
	}{
		{tables.Config{ExactlyOnce: true}, errCreate, "hold"},
		{tables.Config{ExactlyOnce: true}, &sqlhttp.Error{Host: "db:9000", Status: 403, Message: "read only", QuestDB: true}, "hold"},
		{tables.Config{Create: tables.SQL}, errCreate, "hold"},
		// The server may still create it at the first row.
		{tables.Config{Create: tables.SQL}, &sqlhttp.Error{Host: "db:9000", Status: 403, Message: "read only", QuestDB: true}, "plain"},
		{tables.Config{Create: tables.SQL}, errUnreachable, "error"},
	} {
		b := newBed(t, c.config)
		b.before = func(string, string) error { return c.refusal }
		b.want(b.ready("cpu"), c.want)
		if c.refusal != errUnreachable && (b.lines("CREATE TABLE IF NOT EXISTS") != 1 || b.lines(c.refusal.Error()) != 1) {
			t.Errorf("logged %s", b.log.String())
		}
		if strings.Count(b.ran(), "CREATE") != 1 {
			t.Errorf("ran %s", b.ran())
		}
	}
}

func TestNamesThatQuestDBRefusesAreLeftToItsAnswer(t *testing.T) {
	for _, name := range []string{`a"b`, `a'b`, "a\nb", `x"); drop table y; --`, `\`, "", "..", "telemetry", strings.Repeat("x", 200)} {
		for _, c := range []tables.Config{{ExactlyOnce: true}, {Create: tables.Never}, {}} {
			b := newBed(t, c)
			b.want(b.ready(name), "plain")
			if b.ran() != "" {
				t.Errorf("ran %s", b.ran())
			}
		}
	}
}

func TestMemoryIsBoundedHoweverManyNamesThereAre(t *testing.T) {
	b := newBed(t, tables.Config{})
	for i := range 1000 {
		b.set(fmt.Sprint("db:9000/k", i), keyed)
		b.want(b.ready(fmt.Sprint("k", i)), "id")
	}
	names := func(from, to int) {
		for i := from; i < to; i++ {
			b.ready(fmt.Sprint("n", i))
		}
	}
	names(0, 17_000)
	before := heap()
	names(17_000, 35_000)
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Errorf("18,000 more names took %d bytes more", grown)
	}
	runtime.KeepAlive(b)
	b.silence(errForbidden)
	for i := range 1000 { // what wants an id is kept longest
		b.want(b.on(time.Now(), fmt.Sprint("k", i)), "id")
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestTroubleOfAThousandTablesIsTenLinesAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{ExactlyOnce: true})
		for i := range 1000 {
			b.set(fmt.Sprint("db:9000/t", i), plain)
		}
		ask := func() {
			for i := range 1000 {
				b.want(b.ready(fmt.Sprint("t", i)), "hold")
			}
		}
		ask()
		if n := strings.Count(b.log.String(), "\n"); n != 10 {
			t.Errorf("%d lines", n)
		}
		time.Sleep(time.Minute)
		ask()
		b.want(b.ready("t1000"), "id")
		if n := b.lines("more_not_logged=990"); n != 1 {
			t.Errorf("%d lines tell of 990 more: %s", n, b.log.String())
		}
	})
}

func TestWordsOfTheServerThatChangeAreNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{ExactlyOnce: true})
		for minute := range 30 {
			b.silence(refusal("table busy [txn=%d]", minute))
			b.want(b.ready("cpu"), "hold")
			time.Sleep(time.Minute)
		}
		if n := strings.Count(b.log.String(), "\n"); n != 1 {
			t.Errorf("%d lines in half an hour: %s", n, b.log.String())
		}
	})
}

func TestNothingIsLoggedInHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{})
		b.set("db:9000/cpu", keyed)
		for range 10 {
			b.ready("cpu")
			b.ready("mem")
			time.Sleep(time.Minute)
		}
		b.silence(errUnreachable) // a short restart of the server is told by the sender
		b.ready("cpu")
		time.Sleep(11 * time.Second)
		b.silence(nil)
		b.ready("cpu")
		if b.log.Len() > 0 {
			t.Errorf("logged %s", b.log.String())
		}
	})
}
