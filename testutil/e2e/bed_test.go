// SPDX-License-Identifier: MIT

// Package e2e holds the tests of the main road with real parts: the real
// Telegraf, the real QuestDB, real processes and real signals. They are skipped
// with -short.
package e2e

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	about "github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// realParts skips with -short and bounds the test.
func realParts(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("runs real servers and processes; not with -short")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func startQuestDB(ctx context.Context, t testing.TB, o questdb.Options) *questdb.Server {
	t.Helper()
	srv := must(questdb.Start(ctx, o))(t)
	t.Cleanup(func() { check(t, srv.Stop()) })
	return srv
}

func startQWP(t testing.TB, o qwpserver.Options) *qwpserver.Server {
	t.Helper()
	srv := must(qwpserver.Start(o))(t)
	t.Cleanup(srv.Close)
	return srv
}

// shared is one server for the tests that neither kill nor configure theirs: a
// start costs four seconds.
var shared struct {
	sync.Mutex
	srv *questdb.Server
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.srv != nil {
		_ = shared.srv.Stop()
	}
	os.Exit(code)
}

// sharedQuestDB returns the shared server with the tables that it has; tests that
// run in parallel take a table_prefix of their own.
func sharedQuestDB(ctx context.Context, t testing.TB) *questdb.Server {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.srv == nil {
		shared.srv = must(questdb.Start(ctx, questdb.Options{}))(t)
	}
	return shared.srv
}

// emptyQuestDB returns the shared server without tables. It is not for tests
// that run in parallel.
func emptyQuestDB(ctx context.Context, t testing.TB) *questdb.Server {
	t.Helper()
	srv := sharedQuestDB(ctx, t)
	for _, row := range must(srv.Query(ctx, "SELECT table_name FROM tables()"))(t).Rows {
		exec(ctx, t, srv, "DROP TABLE "+questdb.Quote(fmt.Sprint(row[0])))
	}
	return srv
}

// exec runs a statement.
func exec(ctx context.Context, t testing.TB, srv *questdb.Server, sql string) {
	t.Helper()
	must(srv.Query(ctx, sql))(t)
}

// number runs a query of one row and one column of a whole number.
func number(ctx context.Context, t testing.TB, srv *questdb.Server, sql string) int {
	t.Helper()
	var n int
	res := must(srv.Query(ctx, sql))(t)
	_, err := fmt.Sscan(fmt.Sprint(res.Rows[0][0]), &n)
	check(t, err)
	return n
}

// config is a block for the execd binary; more are further option lines.
func config(url, dir string, more ...string) string {
	text := fmt.Sprintf("[[outputs.questdb_sf]]\nurls = [%q]\nsf_dir = %q\nreconnect_max_backoff = \"500ms\"\n", url, dir)
	for _, line := range more {
		text += line + "\n"
	}
	return text
}

// stayUntilSent makes the binary send everything before it ends.
const stayUntilSent = `close_flush_timeout = "120s"`

// runExecd feeds the binary one input and waits for its end.
func runExecd(ctx context.Context, t testing.TB, config string, input []byte) *execd.Process {
	t.Helper()
	p := must(execd.Start(config))(t)
	defer p.Close()
	_, err := p.Stdin.Write(input)
	check(t, err)
	check(t, p.Finish(ctx))
	return p
}

// deliver sends all that the four slots in dir hold, through the library, and
// returns when the server at url has it. The binary would do so too, but has no
// way to tell when the slots of its predecessor are empty.
func deliver(ctx context.Context, t testing.TB, url, dir string, exactlyOnce bool) {
	t.Helper()
	pool := must(sfpool.Open(ctx, sfpool.Config{URLs: []string{url}, Dir: dir, MinSenders: 4, ExactlyOnce: exactlyOnce}))(t)
	defer func() { check(t, pool.Close(ctx)) }()
	check(t, pool.WaitAcked(ctx))
}

// readBack returns the generated rows that QuestDB has.
func readBack(ctx context.Context, t testing.TB, srv *questdb.Server) []gen.Row {
	t.Helper()
	return readPrefixed(ctx, t, srv, "")
}

// readPrefixed is readBack for a block with that table_prefix.
func readPrefixed(ctx context.Context, t testing.TB, srv *questdb.Server, prefix string) []gen.Row {
	t.Helper()
	check(t, srv.WaitApplied(ctx))
	var rows []gen.Row
	for _, table := range gen.Tables() {
		res := must(srv.Rows(ctx, prefix+table))(t)
		rows = append(rows, must(gen.FromSQL(table, res.Maps()))(t)...)
	}
	return rows
}

// readBackQWP returns the rows that the QWP server has, without those on outages.
func readBackQWP(srv *qwpserver.Server) []gen.Row {
	var rows []gen.Row
	for _, table := range srv.Tables() {
		if table == about.EventsTable {
			continue // a machine that is slow enough makes an outage of a restart
		}
		for _, r := range srv.Rows(table) {
			rows = append(rows, gen.Row{Table: r.Table, Time: r.Time, Values: r.Values})
		}
	}
	return rows
}

// none fails unless every row arrived as it was, and at most so many twice.
func none(t testing.TB, r *gen.Report, maxDuplicates int) {
	t.Helper()
	t.Logf("missing %d, duplicates %d, wrong %d", len(r.Missing), len(r.Duplicates), len(r.Wrong))
	if len(r.Missing) > 0 || len(r.Wrong) > 0 || len(r.Duplicates) > maxDuplicates {
		t.Errorf("%s (at most %d duplicates may be)", r, maxDuplicates)
	}
}
