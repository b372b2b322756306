// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// fleetSize is how many boxes write the same new tables first.
const fleetSize = 20

// today are rows that no TTL takes away.
func today(seed uint64) gen.Set {
	return gen.Set{Seed: seed, Start: time.Now().Add(-2 * time.Hour).Truncate(time.Second)}
}

// runFleet runs that many binaries at once, each with its share of the rows
// [0, total), and waits until all is sent.
func runFleet(ctx context.Context, t testing.TB, srv *questdb.Server, set gen.Set, total int, more ...string) {
	t.Helper()
	share := total / fleetSize
	var boxes sync.WaitGroup
	for n := range fleetSize {
		conf := config(srv.HTTP(), t.TempDir(), append(more, stayUntilSent)...)
		p := must(execd.Start(conf))(t)
		t.Cleanup(p.Close)
		boxes.Go(func() {
			_, err := p.Stdin.Write(set.Lines(int64(n*share), share))
			if err == nil {
				err = p.Finish(ctx)
			}
			if err != nil {
				t.Errorf("box %d: %v", n, err)
			}
		})
	}
	boxes.Wait()
}

// property is a column of tables() for a table.
func property(ctx context.Context, t testing.TB, srv *questdb.Server, table, column string) string {
	t.Helper()
	res := must(srv.Query(ctx, fmt.Sprintf("SELECT %s FROM tables() WHERE table_name = '%s'", column, table)))(t)
	if len(res.Rows) != 1 {
		t.Fatalf("%d tables are called %s", len(res.Rows), table)
	}
	return fmt.Sprint(res.Rows[0][0])
}

// keys are the DEDUP keys of a table, in the order of its columns.
func keys(ctx context.Context, t testing.TB, srv *questdb.Server, table string) (list []string) {
	t.Helper()
	for _, row := range must(srv.Query(ctx, fmt.Sprintf("SELECT \"column\" FROM table_columns('%s') WHERE upsertKey", table)))(t).Rows {
		list = append(list, fmt.Sprint(row[0]))
	}
	return list
}

func TestTwentyBoxesThatWriteNewTablesFirstMakeOneOfEach(t *testing.T) {
	for name, test := range map[string]struct {
		more []string
		keys string
	}{
		"sql":          {[]string{`table_create = "sql"`}, "[]"},
		"exactly_once": {[]string{`exactly_once = true`}, "[timestamp sf_row_id]"},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := realParts(t)
			const rows = 30_000
			srv := emptyQuestDB(ctx, t)
			set := today(30)
			runFleet(ctx, t, srv, set, rows,
				append(test.more, `table_partition_by = "HOUR"`, `table_ttl = "30 DAYS"`)...)

			none(t, set.Check(readBack(ctx, t, srv), 0, rows), 0)
			if n := number(ctx, t, srv, "SELECT count() FROM tables()"); n != len(gen.Tables()) {
				t.Errorf("%d tables, want %d", n, len(gen.Tables()))
			}
			for _, table := range gen.Tables() {
				made := fmt.Sprint(property(ctx, t, srv, table, "partitionBy"), " ", property(ctx, t, srv, table, "ttlValue"), " ",
					property(ctx, t, srv, table, "ttlUnit"), " ", keys(ctx, t, srv, table))
				if want := "HOUR 30 DAY " + test.keys; made != want {
					t.Errorf("table %s: partition, TTL and keys are %s, want %s", table, made, want)
				}
			}
		})
	}
}
