// SPDX-License-Identifier: MIT

package tables_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
	"github.com/questdb-sf/questdb_sf/internal/tables"
)

// asides answers the questions that are not about columns.
func (f *fake) asides(host, sql string) (r *sqlhttp.Result, aside bool, err error) {
	r = &sqlhttp.Result{}
	switch {
	case strings.Contains(sql, "FROM tables()"):
		f.surveys++
		r.Columns = make([]sqlhttp.Column, 6)
		for name, row := range f.states {
			_, table, _ := strings.Cut(name, "/")
			asked := !strings.Contains(sql, "table_name =") || strings.HasSuffix(sql, "table_name = "+sqlhttp.Literal(table))
			if strings.HasPrefix(name, host+"/") && asked {
				r.Rows = append(r.Rows, append([]any{table}, row...))
			}
		}
	case strings.Contains(sql, "FROM wal_tables()"):
		r.Columns = make([]sqlhttp.Column, 3)
		r.Rows = [][]any{f.stopped}
	case strings.Contains(sql, "SHOW PARAMETERS"):
		f.surveys++
		for name, value := range f.parameters {
			r.Rows = append(r.Rows, []any{name, value})
		}
	default:
		return nil, false, nil
	}
	if f.broken {
		return nil, true, refusal("Invalid column: table_suspended")
	}
	return r, true, nil
}

// stateOf is a row of tables() without the name.
func stateOf(ttl int, unit string, wal bool, kind string, suspended bool) []any {
	return []any{json.Number(fmt.Sprint(ttl)), unit, wal, kind, suspended}
}

// show has tables() tell of a table of db:9000.
func (f *fake) show(table string, row []any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.states == nil {
		f.states = map[string][]any{}
	}
	f.states["db:9000/"+table] = row
	if row == nil {
		delete(f.states, "db:9000/"+table)
	}
}

func (f *fake) surveyed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.surveys
}

// ttl is the TTL that Ready tells of a table.
func (b *bed) ttl(table string) string {
	b.Helper()
	a, err := b.k.Ready(b.Context(), "db:9000", table, time.Time{})
	if err != nil {
		b.Error(err)
	}
	return a.TTL.String()
}

func TestAnAnswerTellsTheTTLOfATable(t *testing.T) {
	for _, unit := range []string{"HOUR", "DAY", "WEEK", "MONTH", "YEAR"} {
		b := newBed(t, tables.Config{})
		b.set("db:9000/cpu", plain)
		b.show("CPU", stateOf(3, unit, true, "T", false))
		if got := b.ttl("cpu"); got != "3 "+unit+"S" {
			t.Errorf("%s: TTL %q", unit, got)
		}
	}
	b := newBed(t, tables.Config{})
	b.set("db:9000/cpu", plain)
	if got := b.ttl("cpu"); got != "" {
		t.Errorf("a table without one has TTL %q", got)
	}
}

func TestATTLThatIsChangedIsKnownWithinFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{})
		b.set("db:9000/cpu", plain)
		b.ttl("cpu")
		b.show("cpu", stateOf(1, "WEEK", true, "T", false))
		began := time.Now()
		for b.ttl("cpu") == "" {
			time.Sleep(10 * time.Second)
		}
		if took := time.Since(began); took > 6*time.Minute {
			t.Errorf("known after %s", took)
		}
	})
}

func TestATableOfOursHasItsTTLFromItsFirstRowOn(t *testing.T) {
	b := newBed(t, tables.Config{Create: tables.SQL, TTL: "2 DAYS"})
	b.set("db:9000/mem", plain)
	b.ttl("mem") // the others are known
	b.after = func(string) { b.states = map[string][]any{"db:9000/cpu": stateOf(2, "DAY", true, "T", false)} }
	if got := b.ttl("cpu"); got != "2 DAYS" {
		t.Errorf("TTL %q", got)
	}
}

func TestOneQuestionInFiveMinutesTellsOfAllTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{})
		for range 600 {
			for table := range 20 {
				b.set(fmt.Sprint("db:9000/t", table), plain)
				b.want(b.ready(fmt.Sprint("t", table)), "plain")
			}
			time.Sleep(time.Second)
		}
		if b.surveyed() != 2 {
			t.Errorf("%d questions in ten minutes", b.surveyed())
		}
	})
}

func TestWhereManyTablesAreOutOfTheOrdinaryEachIsAskedAbout(t *testing.T) {
	b := newBed(t, tables.Config{})
	for table := range 600 {
		b.set(fmt.Sprint("db:9000/t", table), plain)
		b.show(fmt.Sprint("t", table), stateOf(1+table, "DAY", true, "T", false))
	}
	for _, table := range []int{599, 0, 300, 599} {
		want := fmt.Sprint(1+table, " DAYS")
		if table == 0 {
			want = "1 DAY"
		}
		if got := b.ttl(fmt.Sprint("t", table)); got != want {
			t.Errorf("TTL %q, want %s", got, want)
		}
	}
	if b.surveyed() != 4 { // of all, and of three
		t.Errorf("%d questions", b.surveyed())
	}
}

func TestASuspendedTableIsSaidBeforeItsRowsGoThenHourlyAndWhenItIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{})
		b.set("db:9000/cpu", plain)
		b.show("cpu", stateOf(0, "HOUR", true, "T", true))
		b.stopped = []any{"DISK FULL", "no space left", json.Number("12")}
		b.want(b.ready("cpu"), "plain")
		for _, text := range []string{"a table is suspended", "DISK FULL: no space left", "transactions_behind=12", `RESUME WAL`} {
			if b.lines(text) != 1 {
				t.Errorf("%q is missing: %s", text, b.log.String())
			}
		}
		for range 150 {
			b.want(b.ready("cpu"), "plain")
			time.Sleep(time.Minute)
		}
		if n := b.lines("a table is suspended"); n != 3 {
			t.Errorf("said %d times in two and a half hours", n)
		}
		b.show("cpu", nil)
		time.Sleep(time.Minute)
		for range 3 {
			b.want(b.ready("cpu"), "plain")
			time.Sleep(time.Minute)
		}
		if n := b.lines("not suspended any more"); n != 1 {
			t.Errorf("its end was said %d times", n)
		}
	})
}

func TestWhatTakesNoRowsIsCalledByItsName(t *testing.T) {
	for _, c := range []struct {
		state []any
		text  string
	}{
		{stateOf(0, "HOUR", true, "V", false), "it is a view"},
		{stateOf(0, "HOUR", true, "M", false), "it is a materialized view"},
		{stateOf(0, "HOUR", false, "T", false), `run ALTER TABLE "cpu" SET TYPE WAL`},
	} {
		synctest.Test(t, func(t *testing.T) {
			for _, lost := range []tables.Lost{tables.Hold, tables.Restore} {
				b := newBed(t, tables.Config{ExactlyOnce: true, DedupLost: lost})
				b.set("db:9000/cpu", plain)
				b.show("cpu", c.state)
				got := b.ready("cpu")
				b.want(got, "hold")
				if !strings.Contains(got, c.text) || strings.Contains(got, "DEDUP ENABLE") || b.ran() != "" {
					t.Errorf("%s; ran %q", got, b.ran())
				}
				b.show("cpu", nil)
				b.set("db:9000/cpu", keyed)
				time.Sleep(10 * time.Second)
				b.want(b.ready("cpu"), "id")
			}
		})
	}
}

func TestATableThatTheServerWillNotCreateIsHeldWithTheStatement(t *testing.T) {
	const create = `run CREATE TABLE IF NOT EXISTS "cpu" ("timestamp" TIMESTAMP) TIMESTAMP("timestamp") PARTITION BY DAY WAL`
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{})
		b.parameters = map[string]string{"line.auto.create.new.tables": "false"}
		got := b.ready("cpu")
		b.want(got, "hold")
		if !strings.HasSuffix(got, create) {
			t.Error(got)
		}
		b.parameters = map[string]string{"line.auto.create.new.tables": "true", "line.auto.create.new.columns": "false"}
		time.Sleep(10 * time.Second)
		if got := b.ready("cpu"); !strings.Contains(got, create) || !strings.Contains(got, "with all columns") {
			t.Error(got)
		}
		b.parameters["line.auto.create.new.columns"] = "true" // after a restart
		time.Sleep(10 * time.Second)
		b.want(b.ready("cpu"), "plain")
	})
	b := newBed(t, tables.Config{Create: tables.SQL}) // who creates tables needs no such help
	b.parameters = map[string]string{"line.auto.create.new.tables": "false"}
	b.want(b.ready("cpu"), "plain")
}

func TestWhatCannotBeSurveyedHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, tables.Config{})
		b.set("db:9000/cpu", plain)
		b.broken = true
		for range 30 {
			b.want(b.ready("cpu"), "plain")
			b.want(b.ready("missing"), "plain")
			time.Sleep(10 * time.Second)
		}
		if n := strings.Count(b.log.String(), "\n"); n != 0 {
			t.Errorf("logged %s", b.log.String())
		}
	})
}

func TestTTLsAreComparedWithTheTimesOfRows(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"":               {},
		"25h":            now.Add(-25 * time.Hour),
		"3 DAYS":         now.AddDate(0, 0, -3),
		"2 WEEKS":        now.AddDate(0, 0, -14),
		"12 MONTHS":      now.AddDate(-1, 0, 0),
		"2y":             now.AddDate(-2, 0, 0),
		"2000 YEARS":     {},
		"89478485 DAYS":  {},
		"178956970 YEAR": {},
	} {
		ttl, err := tables.ParseTTL(text)
		if got := ttl.Before(now); err != nil || !got.Equal(want) {
			t.Errorf("%s: before %s, want %s; %v", text, got, want, err)
		}
	}
	for _, c := range []struct {
		ttl, want string
		age       time.Duration
	}{{"3 DAYS", "12 DAYS", 10 * 24 * time.Hour}, {"1 WEEK", "1 WEEK", time.Hour}, {"36h", "72 HOURS", 40 * time.Hour}, {"2 MONTHS", "4 MONTHS", 90 * 24 * time.Hour}} {
		ttl, err := tables.ParseTTL(c.ttl)
		if got := ttl.Enlarged(now, now.Add(-c.age)); err != nil || got.String() != c.want {
			t.Errorf("%s for %s: %s, want %s; %v", c.ttl, c.age, got, c.want, err)
		}
	}
}

// TestATableThatTheServerHasHalfLostIsSaidAsSuch: CREATE TABLE IF NOT EXISTS succeeds,
// and table_columns() knows no such table.
func TestATableThatTheServerHasHalfLostIsSaidAsSuch(t *testing.T) {
	b := newBed(t, tables.Config{ExactlyOnce: true})
	b.after = func(host string) { delete(b.tables, host+"/cpu") }
	got := b.ready("cpu")
	b.want(got, "hold")
	if !strings.Contains(got, `DROP TABLE "cpu"`) || !strings.Contains(got, "knows no such table") {
		t.Error(got)
	}
}
