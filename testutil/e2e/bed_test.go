// SPDX-License-Identifier: MIT

// Package e2e holds the tests of the main road with real parts: the real
// Telegraf, the real QuestDB, real processes and real signals. They are skipped
// with -short.
package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

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

// readBack returns the generated rows that QuestDB has.
func readBack(ctx context.Context, t testing.TB, srv *questdb.Server) []gen.Row {
	t.Helper()
	check(t, srv.WaitApplied(ctx))
	var rows []gen.Row
	for _, table := range gen.Tables() {
		res := must(srv.Rows(ctx, table))(t)
		rows = append(rows, must(gen.FromSQL(table, res.Maps()))(t)...)
	}
	return rows
}

// readBackQWP returns the rows that the QWP server has.
func readBackQWP(srv *qwpserver.Server) []gen.Row {
	var rows []gen.Row
	for _, table := range srv.Tables() {
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
