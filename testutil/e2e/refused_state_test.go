// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// longer is realParts for tests that wait for minutes to pass.
func longer(t *testing.T) context.Context {
	realParts(t)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func rowsOf(ctx context.Context, srv *questdb.Server, table string) int {
	res, err := srv.Query(ctx, "SELECT count() FROM "+questdb.Quote(table))
	if err != nil || srv.WaitApplied(ctx) != nil {
		return 0
	}
	var n int
	_, _ = fmt.Sscan(fmt.Sprint(res.Rows[0][0]), &n)
	return n
}

// withAutoCreate restarts a server with the creation of tables and columns on or off.
func withAutoCreate(ctx context.Context, t testing.TB, dir string, port int, tables, columns bool) *questdb.Server {
	t.Helper()
	return must(questdb.Start(ctx, questdb.Options{Dir: dir, HTTPPort: port, Settings: map[string]string{
		"line.auto.create.new.tables": fmt.Sprint(tables), "line.auto.create.new.columns": fmt.Sprint(columns),
	}}))(t)
}

func TestABacklogDrainsWithoutACommandOnceTablesAndColumnsAreCreatedAgain(t *testing.T) {
	t.Parallel() // it waits most of its time
	ctx := longer(t)
	dir := t.TempDir()
	srv := withAutoCreate(ctx, t, dir, 0, false, false)
	port := httpPort(t, srv)
	exec(ctx, t, srv, `CREATE TABLE old (v LONG, timestamp TIMESTAMP) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	front := startToll(t, srv.HTTP())
	p, log := openRefused(ctx, t, front.URL, nil)
	row := func(b *sfpool.Batch, i int) error {
		r := b.Table([]string{"old", "fresh", "old"}[i%3]).Int64Column("v", int64(i))
		if i%3 == 2 {
			r.Float64Column("added", 0.5) // a column that is not there
		}
		return r.At(second(i))
	}
	storeBatches(ctx, t, p, 3000, 100, row)
	until(ctx, t, "rows of the old table without the new column", func() bool { return rowsOf(ctx, srv, "old") == 1000 })
	time.Sleep(time.Minute)
	_, refused := front.paid()
	st := p.Stats()
	t.Logf("after a minute: %d refused requests, %d rows wait, %d letters", refused, st.HeldRows, st.Letters.Refused.Letters)
	if st.Pending < 2000 || st.Letters.Refused.Letters != 0 || refused > 20 {
		t.Errorf("%d pending, %d refused", st.Pending, refused)
	}
	check(t, srv.Kill())
	srv = withAutoCreate(ctx, t, dir, port, true, true)
	t.Cleanup(func() { check(t, srv.Stop()) })
	began := time.Now()
	until(ctx, t, "the backlog", func() bool { return p.Stats().Pending == 0 })
	if a, b := rowsOf(ctx, srv, "old"), rowsOf(ctx, srv, "fresh"); a != 2000 || b != 1000 {
		t.Errorf("%d and %d rows", a, b)
	}
	t.Logf("the backlog drained %s after the restart by itself; letters %d\n%s", time.Since(began).Round(time.Second), p.Stats().Letters.Refused.Letters, log)
	if strings.Contains(log.String(), "dead letters") {
		t.Error("rows became dead letters")
	}
}

func httpPort(t testing.TB, srv *questdb.Server) (port int) {
	t.Helper()
	_, err := fmt.Sscanf(srv.HTTP(), "http://127.0.0.1:%d", &port)
	check(t, err)
	return port
}

// trickle stores a row of other and of these tables now and then, as inputs do, until all
// that was pending before is settled. A row is blamed only when others are taken.
func trickle(ctx context.Context, t testing.TB, p *sfpool.Pool, tables ...string) {
	t.Helper()
	until(ctx, t, "all", func() bool {
		if p.Stats().Pending == 0 {
			return true
		}
		storeBatches(ctx, t, p, 1+len(tables), 1, func(b *sfpool.Batch, i int) error {
			return b.Table(append(tables, "later")[i]).Int64Column("later", 1).At(second(90_000))
		})
		return false
	})
}

func TestRowsForViewsAndTablesWithoutWALWaitAloneAndGoOnOnceThereIsATable(t *testing.T) {
	ctx := longer(t)
	srv := emptyQuestDB(ctx, t)
	exec(ctx, t, srv, `CREATE TABLE base (timestamp TIMESTAMP, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL`)
	exec(ctx, t, srv, `CREATE VIEW seen AS (SELECT * FROM base)`)
	exec(ctx, t, srv, `CREATE MATERIALIZED VIEW mat AS (SELECT timestamp, count() n FROM base SAMPLE BY 1h) PARTITION BY DAY`)
	exec(ctx, t, srv, `CREATE TABLE nowal (timestamp TIMESTAMP, v LONG) TIMESTAMP(timestamp) PARTITION BY DAY BYPASS WAL`)
	front := startToll(t, srv.HTTP())
	p, _ := openRefused(ctx, t, front.URL, nil)
	names := []string{"seen", "good", "mat", "fine", "nowal"}
	storeBatches(ctx, t, p, 5000, 100, func(b *sfpool.Batch, i int) error {
		return b.Table(names[i%5]).Int64Column("v", int64(i)).At(second(i))
	})
	until(ctx, t, "the others", func() bool { return rowsOf(ctx, srv, "good") == 1000 && rowsOf(ctx, srv, "fine") == 1000 })
	_, refused := front.paid()
	t.Logf("three targets take nothing: %d refused requests until the others had their rows; %d rows wait", refused, p.Stats().HeldRows)
	exec(ctx, t, srv, `DROP VIEW seen`)
	exec(ctx, t, srv, `DROP MATERIALIZED VIEW mat`)
	exec(ctx, t, srv, `DROP TABLE nowal`)
	began := time.Now()
	until(ctx, t, "the backlog", func() bool { return p.Stats().Pending == 0 })
	for _, name := range names {
		if n := rowsOf(ctx, srv, name); n != 1000 {
			t.Errorf("%s has %d rows", name, n)
		}
	}
	requests, refused := front.paid()
	t.Logf("they went on %s after they were replaced; %d requests, %d refused, %d letters", time.Since(began).Round(time.Second), requests, refused, p.Stats().Letters.Refused.Letters)
}

func TestALineThatIsTooLargeForTheServerIsADeadLetterAndNothingIsStuck(t *testing.T) {
	ctx := longer(t)
	srv := startQuestDB(ctx, t, questdb.Options{Settings: map[string]string{"line.http.max.recv.buffer.size": "256k", "http.recv.buffer.size": "64k"}})
	front := startToll(t, srv.HTTP())
	p, log := openRefused(ctx, t, front.URL, nil)
	huge := strings.Repeat("x", 700<<10)
	storeBatches(ctx, t, p, 5000, 500, func(b *sfpool.Batch, i int) error {
		r := b.Table("big").Int64Column("id", int64(i)).StringColumn("s", fmt.Sprint("text ", i))
		if i == 1234 {
			r.StringColumn("large", huge)
		}
		return r.At(second(i))
	})
	trickle(ctx, t, p)
	got := sums(ctx, t, srv, "SELECT count(), count_distinct(id) FROM big")
	requests, refused := front.paid()
	t.Logf("rows, ids: %v; %d requests, %d refused, %d letters; statuses %v", got, requests, refused, p.Stats().Letters.Refused.Letters, front.statuses)
	if fmt.Sprint(got) != "[4999 4999]" || p.Stats().Letters.Refused.Letters != 1 || front.statuses[413] == 0 {
		t.Errorf("%v; %s", got, log)
	}
}

// The one is a proxy that chokes on a row, the other QuestDB, which says which line it is.
// The very first row of a table is poison, too.
func TestRowsThatGet500ForEverAreFoundAndCostNoNeighbour(t *testing.T) {
	t.Parallel() // it waits most of its time
	for name, named := range map[string]bool{"without a line": false, "with the line": true} {
		t.Run(name, func(t *testing.T) {
			ctx := longer(t)
			srv := startQuestDB(ctx, t, questdb.Options{})
			front := startTollFor(t, srv.HTTP(), "MARK", named)
			p, log := openRefused(ctx, t, front.URL, nil)
			storeBatches(ctx, t, p, 2000, 100, func(b *sfpool.Batch, i int) error {
				r := b.Table([]string{"t", "u"}[i%2]).Int64Column("id", int64(i))
				if i == 0 || i == 1010 {
					r.StringColumn("s", "MARK")
				}
				return r.At(second(i))
			})
			trickle(ctx, t, p, "t", "u")
			a := number(ctx, t, srv, "SELECT count() FROM t WHERE id IS NOT NULL")
			b := number(ctx, t, srv, "SELECT count() FROM u WHERE id IS NOT NULL")
			requests, refused := front.paid()
			t.Logf("%d + %d rows; %d requests, %d refused, %d letters", a, b, requests, refused, p.Stats().Letters.Refused.Letters)
			if a != 998 || b != 1000 || p.Stats().Letters.Refused.Letters != 2 {
				t.Errorf("%d and %d rows: %s", a, b, log)
			}
		})
	}
}
