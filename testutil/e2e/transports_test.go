// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func writeFile(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func hostOf(t testing.TB, base string) string {
	t.Helper()
	return must(url.Parse(base))(t).Host
}

func portOf(t testing.TB, addr string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	check(t, err)
	return must(strconv.Atoi(port))(t)
}

func TestTheSameMetricsGiveEqualTablesOverQWPAndILP(t *testing.T) {
	ctx := realParts(t)
	const rows = 6000
	set := gen.Set{Seed: 7, Jitter: true}
	input := set.Lines(0, rows)

	ilp := startQuestDB(ctx, t, questdb.Options{})
	p := runExecd(ctx, t, config(ilp.HTTP(), t.TempDir(), stayUntilSent), input)
	logged(t, p, "transport=ilp")
	over := startQWP(t, qwpserver.Options{})
	p = runExecd(ctx, t, config(over.URL(), t.TempDir(), stayUntilSent), input)
	logged(t, p, "transport=qwp")

	none(t, set.Check(readBack(ctx, t, ilp), 0, rows), 0)
	none(t, set.Check(readBackQWP(over), 0, rows), 0)
	for _, table := range gen.Tables() {
		equalColumns(ctx, t, table, ilp, over)
	}
}

// equalColumns compares names and types. QuestDB names the designated timestamp.
func equalColumns(ctx context.Context, t testing.TB, table string, ilp *questdb.Server, over *qwpserver.Server) {
	t.Helper()
	want := over.Columns(table)
	res := must(ilp.Rows(ctx, table))(t)
	for _, c := range res.Columns {
		if c.Name == "timestamp" {
			if c.Type != qwp.TypeTimestamp.String() {
				t.Errorf("%s.timestamp is %s over ILP", table, c.Type)
			}
			delete(want, "timestamp")
			delete(want, "")
			continue
		}
		if want[c.Name].String() != c.Type {
			t.Errorf("%s.%s is %s over ILP and %s over QWP", table, c.Name, c.Type, want[c.Name])
		}
		delete(want, c.Name)
	}
	if len(want) > 0 {
		t.Errorf("%s has %v over QWP only", table, want)
	}
}

func logged(t testing.TB, p *execd.Process, text string) {
	t.Helper()
	check(t, p.WaitLog(context.Background(), text))
}

func TestRowsStoredForAnOldServerAreDeliveredOverQWPAfterItsUpgrade(t *testing.T) {
	ctx := realParts(t)
	set := gen.Set{Seed: 8}
	old := startQuestDB(ctx, t, questdb.Options{})
	p := must(execd.Start(config(old.HTTP(), t.TempDir(), stayUntilSent)))(t)
	defer p.Close()
	send(ctx, t, p, set, 0, 1000)
	waitRows(ctx, t, old, 1000)
	first := readBack(ctx, t, old)
	check(t, old.Kill())
	send(ctx, t, p, set, 1000, 3000)

	upgraded := startQWP(t, qwpserver.Options{Addr: hostOf(t, old.HTTP())})
	check(t, p.Finish(ctx))
	logged(t, p, "transport=ilp")
	logged(t, p, "transport=qwp")
	none(t, set.Check(append(first, readBackQWP(upgraded)...), 0, 3000), 0)
}

func TestRowsStoredForANewServerAreDeliveredOverILPAfterItsDowngrade(t *testing.T) {
	ctx := realParts(t)
	set := gen.Set{Seed: 9}
	newer := startQWP(t, qwpserver.Options{})
	p := must(execd.Start(config(newer.URL(), t.TempDir(), stayUntilSent)))(t)
	defer p.Close()
	send(ctx, t, p, set, 0, 1000)
	check(t, newer.Wait(ctx, func(s *qwpserver.State) bool { return s.Rows >= 1000 }))
	first := readBackQWP(newer)
	newer.Stop()
	send(ctx, t, p, set, 1000, 3000)

	older := startQuestDB(ctx, t, questdb.Options{HTTPPort: portOf(t, newer.Addr())})
	check(t, p.Finish(ctx))
	none(t, set.Check(append(first, readBack(ctx, t, older)...), 0, 3000), 0)
}

// send feeds rows and waits until they are durable.
func send(ctx context.Context, t testing.TB, p *execd.Process, set gen.Set, from, to int64) {
	t.Helper()
	_, err := p.Stdin.Write(set.Lines(from, int(to-from)))
	check(t, err)
	check(t, p.WaitDurable(ctx, to))
}
