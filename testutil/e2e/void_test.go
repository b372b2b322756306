// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// loggedStatement returns the statement of the first line of a log that contains text.
func loggedStatement(t testing.TB, log, text string) string {
	t.Helper()
	for line := range strings.Lines(log) {
		if m := statementText.FindStringSubmatch(line); m != nil && strings.Contains(line, text) {
			return strings.ReplaceAll(m[1], `\"`, `"`)
		}
	}
	t.Fatalf("no line has %q and a statement:\n%s", text, log)
	return ""
}

var statementText = regexp.MustCompile(`run[= ]"?((?:ALTER|CREATE|DROP) TABLE (?:[^"\\;,]|\\"|, )*)`)

// TestRowsThatWouldVanishOrStayUnseenAreSaidBeforeWithAStatementThatHelps is about a
// server that answers 204 to the first two of these rows, and nobody would see them.
func TestRowsThatWouldVanishOrStayUnseenAreSaidBeforeWithAStatementThatHelps(t *testing.T) {
	t.Parallel() // it waits for ten seconds
	ctx := realParts(t)
	srv := startQuestDB(ctx, t, questdb.Options{Settings: map[string]string{
		"dev.mode.enabled": "true", "line.auto.create.new.tables": "false",
	}})
	exec(ctx, t, srv, `CREATE TABLE "short lived" (timestamp TIMESTAMP, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY TTL 2 DAYS WAL`)
	exec(ctx, t, srv, `CREATE TABLE stopped (timestamp TIMESTAMP, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	exec(ctx, t, srv, `ALTER TABLE stopped SUSPEND WAL WITH 28, 'no space left on device'`)
	p, log := openRefused(ctx, t, srv.HTTP(), nil)
	now := time.Now()
	write := func() {
		storeBatches(ctx, t, p, 4, 4, func(b *sfpool.Batch, i int) error {
			table := []string{"short lived", "short lived", "stopped", "missing"}[i]
			return b.Table(table).Int64Column("v", int64(i)).At(now.AddDate(0, 0, []int{-9, 0, 0, 0}[i]))
		})
	}
	write()
	until(ctx, t, "all but the row of the missing table", func() bool { st := p.Stats(); return st.Pending == 4 && st.HeldRows == 1 })
	if st := p.Stats(); st.PastTTL != 1 || st.Refusals != 0 {
		t.Errorf("%d rows past their TTL, %d refusals", st.PastTTL, st.Refusals)
	}
	if n := rowsOf(ctx, srv, "stopped"); n != 0 {
		t.Errorf("a suspended table shows %d rows: this proves nothing", n)
	}
	if !strings.Contains(log.String(), "DISK FULL: no space left on device") {
		t.Error("the log does not say why the table is suspended")
	}
	for _, text := range []string{"a table is suspended", "creates none", "older than the TTL"} {
		sql := loggedStatement(t, log.String(), text)
		t.Log("as the log says: ", sql)
		exec(ctx, t, srv, sql)
	}
	until(ctx, t, "the row of the missing table", func() bool { return p.Stats().Pending == 0 })
	write() // now the old one stays
	until(ctx, t, "all", func() bool { return p.Stats().Pending == 0 })
	for table, want := range map[string]int{"short lived": 3, "stopped": 2, "missing": 2} {
		if n := count(ctx, t, srv, table); n != want {
			t.Errorf("%s has %d rows, want %d", table, n, want)
		}
	}
}

// TestATableThatLostItsFilesInACrashIsSaidAsSuch takes the directory of a table away, as
// a crash of the server may have it.
func TestATableThatLostItsFilesInACrashIsSaidAsSuch(t *testing.T) {
	t.Parallel()
	ctx := realParts(t)
	srv := startQuestDB(ctx, t, questdb.Options{})
	exec(ctx, t, srv, `CREATE TABLE cpu (timestamp TIMESTAMP, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	dirs := must(filepath.Glob(filepath.Join(srv.Dir(), "db", "cpu~*")))(t)
	for _, dir := range dirs {
		check(t, os.RemoveAll(dir))
	}
	p, log := openRefused(ctx, t, srv.HTTP(), func(c *sfpool.Config) { c.ExactlyOnce = true })
	storeBatches(ctx, t, p, 10, 10, func(b *sfpool.Batch, i int) error {
		return b.Table("cpu").Int64Column("v", int64(i)).At(second(i))
	})
	until(ctx, t, "a word about the table", func() bool { return strings.Contains(log.String(), "knows no such table") })
	exec(ctx, t, srv, loggedStatement(t, log.String(), "knows no such table"))
	until(ctx, t, "all rows", func() bool { return p.Stats().Pending == 0 })
	if n := count(ctx, t, srv, "cpu"); n != 10 {
		t.Errorf("%d rows", n)
	}
}

// TestATableDroppedMidStreamIsHeldUntilItsKeysAreThereAgainAndNothingIsDoubled is the
// companion of TestATableDroppedMeanwhileGetsItsKeysBackAndEveryRowOnce, which has
// dedup_lost = "restore". The server creates the tables anew, without keys, with the
// first rows that it gets: those that the agent sends before it asks again.
//
// QuestDB 9.3.4 answers 204 to the first request of each connection that has written to
// the dropped table, and loses it: docs/operators.md says how to drop tables instead.
func TestATableDroppedMidStreamIsHeldUntilItsKeysAreThereAgainAndNothingIsDoubled(t *testing.T) {
	t.Parallel() // it waits for ten seconds, and then for the next try
	ctx := realParts(t)
	srv, prefix := sharedQuestDB(ctx, t), "midstream_"
	via := startRelay(t, srv.HTTP())
	set := gen.Set{Seed: 46}
	p := must(execd.Start(config(via.URL, t.TempDir(), exactlyOnce, `table_prefix = "midstream_"`, stayUntilSent)))(t)
	defer p.Close()
	feedDurable(ctx, t, p, set, 0, 3000)
	waitPrefixed(ctx, t, srv, prefix, 3000)
	check(t, srv.WaitApplied(ctx))
	for _, table := range gen.Tables() {
		exec(ctx, t, srv, "DROP TABLE "+questdb.Quote(prefix+table))
	}
	fed := int64(3000) // the first requests go where the tables were
	await(ctx, t, "tables that the server created", func() bool {
		feedDurable(ctx, t, p, set, fed, fed+60)
		fed += 60
		return keyless(ctx, srv, prefix) == len(gen.Tables())
	})
	via.loseAnswers(2) // of rows that the tables without keys have now
	feedDurable(ctx, t, p, set, fed, fed+3000)
	await(ctx, t, "a word about the tables", func() bool { return len(statements(p.Log())) > 0 })
	resent(t, via, 1)
	feedDurable(ctx, t, p, set, fed+3000, fed+6000)
	sql := statements(p.Log())[0] // of one of them: the log is spared more than ten lines a minute
	t.Log("as the log says: ", sql)
	_, rest, _ := strings.Cut(sql, " DEDUP")
	for _, table := range gen.Tables() {
		exec(ctx, t, srv, "ALTER TABLE "+questdb.Quote(prefix+table)+" DEDUP"+rest)
	}
	await(ctx, t, "all that waited", func() bool {
		n := 0
		for _, table := range gen.Tables() {
			n += number(ctx, t, srv, fmt.Sprintf("SELECT count_distinct(row_id) FROM %s WHERE row_id >= %d", questdb.Quote(prefix+table), fed))
		}
		return n == 6000
	})
	check(t, p.Finish(ctx))
	report := set.Check(readPrefixed(ctx, t, srv, prefix), 3000, fed+6000)
	t.Logf("%d rows went to the dropped tables, of %d; %d twice, %d wrong", len(report.Missing), fed-3000, len(report.Duplicates), len(report.Wrong))
	if len(report.Duplicates) > 0 || len(report.Wrong) > 0 || len(report.Missing) > 0 && slices.Max(report.Missing) >= fed {
		t.Error(report)
	}
}

// keyless counts the tables of a block that are there and have no DEDUP keys.
func keyless(ctx context.Context, srv *questdb.Server, prefix string) (n int) {
	res, err := srv.Query(ctx, "SELECT count() FROM tables() WHERE NOT dedup AND table_name LIKE '"+prefix+"%'")
	if err == nil {
		_, _ = fmt.Sscan(fmt.Sprint(res.Rows[0][0]), &n)
	}
	return n
}
