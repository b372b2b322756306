// SPDX-License-Identifier: MIT

package tables_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
	"github.com/questdb-sf/questdb_sf/internal/tables"
)

var (
	errUnreachable = errors.New("connect to db:9000: connection refused")
	errForbidden   = &sqlhttp.Error{Host: "db:9000", Status: 403, Message: "Forbidden"}
	errPortal      = &sqlhttp.Error{Host: "db:9000", Status: 200, Message: "<html>"}
)

func TestKeysDecideWhetherRowsGetAnID(t *testing.T) {
	for _, c := range []struct {
		name    string
		columns []column
		off, on string // with and without exactly_once
	}{
		{"id among the keys", keyed, "id", "id"},
		{"id in other letters", []column{{"ts", "TIMESTAMP", true, true}, {"SF_Row_ID", "LONG", false, true}}, "id", "id"},
		{"id and more", append(others[:2:2], column{"sf_row_id", "LONG", false, true}), "id", "id"},
		{"keys of the user's own", others, "plain", "plain"},
		{"no keys", plain, "plain", "hold"},
		{"a column of the name that is no key", append(plain[:2:2], column{"sf_row_id", "LONG", false, false}), "id", "hold"},
		{"such a column beside the user's keys", append(others[:2:2], column{"sf_row_id", "LONG", false, false}), "id", "id"},
		{"such a column of another type", append(plain[:2:2], column{"sf_row_id", "INT", false, false}), "plain", "hold"},
		{"an id that is no LONG", []column{{"ts", "TIMESTAMP", true, true}, {"sf_row_id", "INT", false, true}}, "hold", "hold"},
		{"no designated timestamp", []column{{"a", "LONG", false, false}}, "hold", "hold"},
		{"no table", nil, "plain", "id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for want, config := range map[*string]tables.Config{&c.off: {}, &c.on: {ExactlyOnce: true}} {
				b := newBed(t, config)
				b.set("db:9000/cpu", c.columns)
				b.want(b.ready("cpu"), *want)
			}
		})
	}
}

func TestMissingTablesAreCreatedAsConfigured(t *testing.T) {
	for _, c := range []struct {
		config tables.Config
		want   string // of Ready
		sql    string
	}{
		{tables.Config{}, "plain", ""},
		{tables.Config{Create: tables.Never}, "hold", ""},
		{tables.Config{Create: tables.Never, ExactlyOnce: true}, "hold", ""},
		{tables.Config{Create: tables.SQL}, "plain",
			`CREATE TABLE IF NOT EXISTS "cpu" ("timestamp" TIMESTAMP) TIMESTAMP("timestamp") PARTITION BY DAY WAL`},
		{tables.Config{ExactlyOnce: true}, "id",
			`CREATE TABLE IF NOT EXISTS "cpu" ("timestamp" TIMESTAMP, "sf_row_id" LONG) TIMESTAMP("timestamp") PARTITION BY DAY WAL DEDUP UPSERT KEYS("timestamp", "sf_row_id")`},
		{tables.Config{Create: tables.SQL, ExactlyOnce: true, PartitionBy: "hour", TTL: "4w", TimestampColumn: "ts", Nanos: true}, "id",
			`CREATE TABLE IF NOT EXISTS "cpu" ("ts" TIMESTAMP_NS, "sf_row_id" LONG) TIMESTAMP("ts") PARTITION BY HOUR TTL 4 WEEKS WAL DEDUP UPSERT KEYS("ts", "sf_row_id")`},
	} {
		b := newBed(t, c.config)
		b.want(b.ready("cpu"), c.want)
		if got := b.ran(); got != c.sql {
			t.Errorf("ran %s\nwant %s", got, c.sql)
		}
		if c.config.Create == tables.Never && !strings.Contains(b.log.String(), "CREATE TABLE IF NOT EXISTS") {
			t.Errorf("the log does not say what to run: %s", b.log.String())
		}
	}
}

func TestTablesWithoutKeysAreHeldOrRestored(t *testing.T) {
	const add, enable = `ALTER TABLE "cpu" ADD COLUMN IF NOT EXISTS "sf_row_id" LONG`, `ALTER TABLE "cpu" DEDUP ENABLE UPSERT KEYS("at", "sf_row_id")`
	columns := []column{{"host", "SYMBOL", false, false}, {"at", "TIMESTAMP", true, false}}
	hold := newBed(t, tables.Config{ExactlyOnce: true})
	hold.set("db:9000/cpu", columns)
	if got := hold.ready("cpu"); !strings.Contains(got, "run "+add+"; two minutes later") || !strings.Contains(got, "run "+enable+"; or") || hold.ran() != "" || hold.lines(`DEDUP ENABLE`) != 1 {
		t.Errorf("%s; ran %q; logged %s", got, hold.ran(), hold.log.String())
	}
	synctest.Test(t, func(t *testing.T) {
		restore := newBed(t, tables.Config{ExactlyOnce: true, DedupLost: tables.Restore})
		restore.set("db:9000/cpu", columns)
		for restore.ready("cpu") != "id" {
			time.Sleep(5 * time.Second)
		}
		if restore.ran() != add+"; "+enable || restore.lines("DEDUP keys restored") != 1 {
			t.Errorf("ran %s; logged %s", restore.ran(), restore.log.String())
		}
	})
}

// TestAColumnThatCannotHoldIDsIsNotMadeAKey: rows go to it without ids, and would be one
// for each time.
func TestAColumnThatCannotHoldIDsIsNotMadeAKey(t *testing.T) {
	for _, lost := range []tables.Lost{tables.Hold, tables.Restore} {
		b := newBed(t, tables.Config{ExactlyOnce: true, DedupLost: lost, Notice: time.Nanosecond})
		b.set("db:9000/cpu", append(plain[:2:2], column{"sf_row_id", "VARCHAR", false, false}))
		got := b.ready("cpu")
		b.want(got, "hold")
		if b.ran() != "" || strings.Contains(got, "DEDUP ENABLE") || !strings.Contains(got, "VARCHAR") {
			t.Errorf("%v: %s; ran %q", lost, got, b.ran())
		}
	}
}

// TestKeysAreRestoredOnlyWhenEveryWriterSendsIDs has an agent without the option, who
// learned of the table just before: rows that it sends without ids must not meet the
// keys. 40 s are what its sender keeps an answer and a request may be on its way.
func TestKeysAreRestoredOnlyWhenEveryWriterSendsIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		with, without := newBed(t, tables.Config{ExactlyOnce: true, DedupLost: tables.Restore}), newBed(t, tables.Config{})
		without.fake = with.fake
		without.k = keeperOver(t, with.fake)
		with.set("db:9000/cpu", plain)
		without.want(without.ready("cpu"), "plain")
		lastPlain := time.Now()
		for with.ready("cpu") != "id" {
			if without.ready("cpu") == "plain" {
				lastPlain = time.Now()
			}
			time.Sleep(time.Second)
		}
		if gap := time.Since(lastPlain); gap < 40*time.Second {
			t.Errorf("keys were set %s after rows went without ids", gap)
		}
		if strings.Count(with.ran(), "DEDUP ENABLE") != 1 || time.Since(lastPlain) > 2*time.Minute {
			t.Errorf("after %s: ran %s", time.Since(lastPlain), with.ran())
		}
	})
}

// keeperOver returns a Keeper without exactly_once over a server that is there.
func keeperOver(tb testing.TB, f *fake) *tables.Keeper {
	tb.Helper()
	k, err := tables.New(tables.Config{SQL: f})
	if err != nil {
		tb.Fatal(err)
	}
	return k
}

func TestAnAnswerTellsTheTimestampAndWhoCreatesTheTable(t *testing.T) {
	b := newBed(t, tables.Config{})
	b.set("db:9000/cpu", []column{{"at", "TIMESTAMP", true, false}})
	for table, want := range map[string]tables.Answer{
		"cpu": {Timestamp: "at"},
		"mem": {Timestamp: "timestamp", Missing: true},
	} {
		if got, err := b.k.Ready(t.Context(), "db:9000", table, time.Time{}); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", table, got, err, want)
		}
	}
}

func TestAlteringIsNeverDoneWithoutBeingAskedFor(t *testing.T) {
	for _, c := range []tables.Config{{}, {Create: tables.SQL, DedupLost: tables.Restore}, {Create: tables.Never}, {ExactlyOnce: true}} {
		for _, columns := range [][]column{plain, keyed, others} {
			b := newBed(t, c)
			b.set("db:9000/cpu", columns)
			b.ready("cpu")
			if b.ran() != "" {
				t.Errorf("%+v: %s", c, b.ran())
			}
		}
	}
}

func TestAnAnswerCountsForAMinuteAndForOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{ExactlyOnce: true})
		b.set("db:9000/cpu", keyed)
		connected := time.Now()
		for range 49 {
			b.want(b.on(connected, "cpu"), "id")
			time.Sleep(time.Second)
		}
		if b.asked() != 1 {
			t.Errorf("%d questions in a minute", b.asked())
		}
		b.set("db:9000/cpu", plain) // dropped, and created anew by somebody else
		b.want(b.on(connected, "cpu"), "id")
		b.want(b.on(time.Now(), "cpu"), "hold") // a new connection sends rows again
		b.set("db:9000/cpu", keyed)
		time.Sleep(time.Minute)
		b.want(b.on(connected, "cpu"), "id")
		b.set("db:9000/cpu", plain)
		time.Sleep(time.Minute)
		b.want(b.on(connected, "cpu"), "hold")
	})
}

func TestHeldTablesAreLookedAtEveryTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{ExactlyOnce: true})
		b.set("db:9000/cpu", plain)
		for range 40 {
			b.want(b.ready("cpu"), "hold")
			time.Sleep(time.Second)
		}
		if b.asked() != 4 || b.lines("rows of a table wait") != 1 {
			t.Errorf("%d questions in 40 s; logged %s", b.asked(), b.log.String())
		}
		b.set("db:9000/cpu", keyed)
		time.Sleep(10 * time.Second)
		b.want(b.ready("cpu"), "id")
		if b.lines("the table takes rows again") != 1 {
			t.Errorf("logged %s", b.log.String())
		}
	})
}

func TestHoldErrorTellsWhenToAskAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{ExactlyOnce: true})
		b.set("db:9000/cpu", plain)
		for _, trouble := range []error{nil, errForbidden, refusal("busy")} {
			b.silence(trouble)
			_, err := b.k.Ready(t.Context(), "db:9000", "cpu", time.Now())
			var hold *tables.HoldError
			if !errors.As(err, &hold) || hold.Host != "db:9000" || hold.Table != "cpu" || !hold.Again.Equal(time.Now().Add(10*time.Second)) {
				t.Fatalf("%+v", err)
			}
			if trouble != nil && !errors.Is(err, trouble) {
				t.Errorf("%v does not lead to %v", err, trouble)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestTwoHostsAreTwoSetsOfKnowledge(t *testing.T) {
	b := newBed(t, tables.Config{})
	b.set("a:9000/cpu", keyed)
	b.set("b:9000/cpu", plain)
	for host, want := range map[string]string{"a:9000": "id", "b:9000": "plain"} {
		b.want(said(b.k.Ready(t.Context(), host, "cpu", time.Time{})), want)
	}
	if b.asked() != 2 {
		t.Errorf("%d questions", b.asked())
	}
}

func TestManyCallersOfOneTableAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{ExactlyOnce: true})
		b.wait = func(ctx context.Context) error { time.Sleep(time.Second); return nil }
		began := time.Now()
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { b.want(b.on(began, "cpu"), "id") })
		}
		wg.Wait()
		if b.asked() != 2 || strings.Count(b.ran(), "CREATE") != 1 {
			t.Errorf("%d questions, ran %s", b.asked(), b.ran())
		}
	})
}

func TestACallerThatGivesUpLeavesTheQuestionToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{ExactlyOnce: true})
		b.set("db:9000/cpu", keyed)
		b.wait = func(ctx context.Context) error {
			select {
			case <-time.After(2 * time.Second):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		why := errors.New("the sender stops")
		ctx, cancel := context.WithCancelCause(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := b.k.Ready(ctx, "db:9000", "cpu", time.Time{}); !errors.Is(err, why) {
				t.Errorf("who gave up got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() { b.want(b.ready("cpu"), "id") })
		time.Sleep(time.Second)
		cancel(why)
		wg.Wait()
		if _, err := b.k.Ready(ctx, "db:9000", "other", time.Time{}); !errors.Is(err, why) {
			t.Errorf("with an ended context: %v", err)
		}
	})
}

func TestAPanicWhileAskingLetsTheOthersGoOn(t *testing.T) {
	b := newBed(t, tables.Config{})
	b.set("db:9000/cpu", keyed)
	b.wait = func(context.Context) error { panic("bug") }
	func() {
		defer func() { _ = recover() }()
		b.ready("cpu")
	}()
	b.wait = nil
	b.want(b.ready("cpu"), "id")
}
