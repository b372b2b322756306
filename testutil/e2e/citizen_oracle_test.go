// SPDX-License-Identifier: MIT

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	about "github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/testutil/agent"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// await asks until it is so; for what has no event to wait for.
func await(ctx context.Context, t testing.TB, what string, so func() bool) {
	t.Helper()
	for !so() {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s: %v", what, ctx.Err())
		}
	}
}

// awaitOf is await for what an agent must do while it lives.
func awaitOf(ctx context.Context, t testing.TB, a *agent.Agent, what string, so func() bool) {
	t.Helper()
	await(ctx, t, what, func() bool {
		select {
		case <-a.Done():
			t.Fatalf("Telegraf ended before %s:\n%s", what, a.Log())
		default:
		}
		return so()
	})
}

// collected reads what Telegraf's own file output has: the distinct lines of
// each measurement, and with them what must be in each table. The lines have no
// line break or escaped name in them.
func collected(t testing.TB, file string) map[string]map[string]struct{} {
	t.Helper()
	f := must(os.Open(file))(t)
	defer f.Close()
	lines := make(map[string]map[string]struct{})
	s := bufio.NewScanner(f)
	for s.Buffer(nil, 1<<20); s.Scan(); {
		name := s.Text()[:strings.IndexAny(s.Text(), ", ")]
		if lines[name] == nil {
			lines[name] = make(map[string]struct{})
		}
		lines[name][s.Text()] = struct{}{}
	}
	check(t, s.Err())
	return lines
}

// tally is how many rows a table has, and how many different ones.
type tally struct{ rows, distinct int }

// tallies counts the rows of every table that the server has.
func tallies(ctx context.Context, t testing.TB, srv *questdb.Server) map[string]tally {
	t.Helper()
	check(t, srv.WaitApplied(ctx))
	all := make(map[string]tally)
	for _, row := range must(srv.Query(ctx, "SELECT table_name FROM tables()"))(t).Rows {
		name := fmt.Sprint(row[0])
		from := " FROM " + questdb.Quote(name)
		all[name] = tally{
			rows:     number(ctx, t, srv, "SELECT count()"+from),
			distinct: number(ctx, t, srv, "SELECT count() FROM (SELECT DISTINCT *"+from+")"),
		}
	}
	return all
}

// sameRows fails unless every table has exactly the different rows that Telegraf
// collected. It returns how many rows are there again.
func sameRows(ctx context.Context, t testing.TB, srv *questdb.Server, file string) (duplicates int) {
	t.Helper()
	want, got := collected(t, file), tallies(ctx, t, srv)
	delete(got, about.EventsTable) // of the plugin's own
	total := 0
	for name, lines := range want {
		have := got[name]
		total += len(lines)
		duplicates += have.rows - len(lines)
		if have.distinct != len(lines) {
			t.Errorf("table %s has %d different rows, Telegraf collected %d", name, have.distinct, len(lines))
		}
		delete(got, name)
	}
	for name, have := range got {
		t.Errorf("table %s, %d rows: Telegraf collected nothing of that name", name, have.rows)
	}
	t.Logf("%d rows in %d tables, %d duplicates", total, len(want), duplicates)
	return duplicates
}
