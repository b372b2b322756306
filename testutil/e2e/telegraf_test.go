// SPDX-License-Identifier: MIT

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/agent"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// telegrafConfig listens for line protocol on a port of its own choice and hands
// it to an output.
const telegrafConfig = `
[agent]
  interval = "1s"
  flush_interval = "200ms"
  metric_batch_size = 1000
  metric_buffer_limit = 200000
[[inputs.socket_listener]]
  service_address = "tcp://%s"
  data_format = "influx"
%s
`

// freeAddr returns an address that nothing listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	return l.Addr().String()
}

// startTelegraf runs the agent and returns a connection to its input.
func startTelegraf(ctx context.Context, t testing.TB, output string) (*agent.Agent, net.Conn) {
	t.Helper()
	addr := freeAddr(t)
	a := must(agent.Start(ctx, fmt.Sprintf(telegrafConfig, addr, output)))(t)
	t.Cleanup(func() { check(t, a.Close()) })
	check(t, a.WaitLog(ctx, "Listening on tcp://"))
	conn := must(net.Dial("tcp", addr))(t)
	t.Cleanup(func() { _ = conn.Close() })
	return a, conn
}

// write sends the generated rows [from, to) to the input.
func write(t testing.TB, conn net.Conn, set gen.Set, from, to int64) {
	t.Helper()
	const chunk = 1000
	for ; from < to; from += chunk {
		_, err := conn.Write(set.Lines(from, int(min(chunk, to-from))))
		check(t, err)
	}
}

// waitRows returns when QuestDB has at least n rows of the generated tables.
func waitRows(ctx context.Context, t testing.TB, srv *questdb.Server, n int) {
	t.Helper()
	waitPrefixed(ctx, t, srv, "", n)
}

// waitPrefixed is waitRows for a block with that table_prefix.
func waitPrefixed(ctx context.Context, t testing.TB, srv *questdb.Server, prefix string, n int) {
	t.Helper()
	for {
		got := countRows(ctx, srv, prefix)
		if got >= n {
			return
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%d of %d rows: %v", got, n, ctx.Err())
		}
	}
}

// countRows counts distinct row ids; tables that are not there yet count zero.
func countRows(ctx context.Context, srv *questdb.Server, prefix string) int {
	total := 0
	for _, table := range gen.Tables() {
		res, err := srv.Query(ctx, "SELECT count_distinct(row_id) n FROM "+questdb.Quote(prefix+table))
		if err != nil || len(res.Rows) == 0 {
			continue
		}
		var n int
		if _, err := fmt.Sscan(fmt.Sprint(res.Rows[0][0]), &n); err == nil {
			total += n
		}
	}
	return total
}

func TestTelegrafLosesNothingWhenTheServerIsKilledMidStream(t *testing.T) {
	ctx := realParts(t)
	const rows = 60_000
	srv := startQuestDB(ctx, t, questdb.Options{})
	a, conn := startTelegraf(ctx, t, config(srv.HTTP(), t.TempDir()))
	set := gen.Set{Seed: 1}

	write(t, conn, set, 0, rows/3)
	waitRows(ctx, t, srv, 5000)
	written := make(chan struct{})
	go func() {
		defer close(written)
		write(t, conn, set, rows/3, 2*rows/3)
	}()
	check(t, srv.Kill())
	<-written
	check(t, a.WaitLog(ctx, "no connection; rows stay in the store"))
	check(t, srv.Restart(ctx))
	write(t, conn, set, 2*rows/3, rows)
	waitRows(ctx, t, srv, rows)

	check(t, a.Term())
	check(t, a.Wait(ctx))
	none(t, set.Check(readBack(ctx, t, srv), 0, rows), requestRows)
}

// waitCollected returns when Telegraf's second output has written n rows: then
// the inputs have read them all.
func waitCollected(ctx context.Context, t testing.TB, file string, n int) {
	t.Helper()
	for {
		data, err := os.ReadFile(file)
		if err == nil && bytes.Count(data, []byte(gen.RowID+"=")) >= n {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("Telegraf has not collected %d rows: %v", n, ctx.Err())
		}
	}
}

func TestTelegrafKeepsTheBacklogThroughItsOwnStopWhileTheServerIsDown(t *testing.T) {
	ctx := realParts(t)
	const rows = 20_000
	srv := startQuestDB(ctx, t, questdb.Options{})
	check(t, srv.Kill())
	output := config(srv.HTTP(), t.TempDir())
	set := gen.Set{Seed: 2}
	seen := filepath.Join(t.TempDir(), "seen.lp")
	a, conn := startTelegraf(ctx, t, output+fmt.Sprintf("[[outputs.file]]\nfiles = [%q]\ndata_format = \"influx\"\n", seen))
	write(t, conn, set, 0, rows)
	waitCollected(ctx, t, seen, rows)
	check(t, a.WaitLog(ctx, "no connection"))
	check(t, a.Term())
	check(t, a.Wait(ctx))

	check(t, srv.Restart(ctx))
	startTelegraf(ctx, t, output)
	waitRows(ctx, t, srv, rows)
	none(t, set.Check(readBack(ctx, t, srv), 0, rows), 0)
}

func TestTelegrafRunsTheBinaryAsItsExecdChild(t *testing.T) {
	ctx := realParts(t)
	const rows = 20_000
	srv := startQuestDB(ctx, t, questdb.Options{})
	bin := must(execd.Build())(t)
	conf := writeFile(t, config(srv.HTTP(), t.TempDir()))
	a, conn := startTelegraf(ctx, t, fmt.Sprintf(
		"[[outputs.execd]]\ncommand = [%q, \"-config\", %q]\ndata_format = \"influx\"\nuse_batch_format = true\nrestart_delay = \"1s\"\n",
		bin, conf))
	set := gen.Set{Seed: 6}
	write(t, conn, set, 0, rows)
	waitRows(ctx, t, srv, rows)
	check(t, a.Term())
	check(t, a.Wait(ctx))
	none(t, set.Check(readBack(ctx, t, srv), 0, rows), 0)
}
