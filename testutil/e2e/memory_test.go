// SPDX-License-Identifier: MIT

//go:build linux

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/agent"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// quietConfig is an agent with next to nothing to do but its backlog.
const quietConfig = `
[agent]
  interval = "200ms"
  flush_interval = "200ms"
[[inputs.mem]]
[[outputs.file]]
  files = [%q]
  data_format = "influx"
`

const (
	backlogBytes int64 = 1 << 30
	memoryMargin       = 40 << 20
)

// seedBacklog fills four slots for the server at url and returns how many rows
// they hold.
func seedBacklog(ctx context.Context, t testing.TB, url, dir string) (rows int64) {
	t.Helper()
	pool := must(sfpool.Open(ctx, sfpool.Config{
		URLs: []string{url}, Dir: dir, Durability: sfpool.DurabilityMemory,
		MaxTotalBytes: 2 * backlogBytes, CloseFlushTimeout: -1,
	}))(t)
	defer func() { check(t, pool.Close(ctx)) }()
	const senders, batchRows = 4, 5000
	columns, at := backlogColumns(batchRows)
	for range senders {
		sender := must(pool.Borrow(ctx))(t)
		defer sender.Return()
		batch := pool.NewBatch()
		for stored := int64(0); stored < backlogBytes/senders; stored += int64(batch.Bytes()) {
			batch.Reset()
			check(t, batch.AddColumns("backlog", sfpool.Timestamps("", at), columns...))
			check(t, sender.Flush(ctx, batch))
			rows += batchRows
		}
	}
	if n := pool.Stats().Pending; n != rows {
		t.Fatalf("%d rows pending, want %d", n, rows)
	}
	return rows
}

// backlogColumns are like those of a log line: 16 hosts, a text, two numbers.
func backlogColumns(n int) (columns []sfpool.Column, at []time.Time) {
	hosts, texts := make([]string, n), make([]string, n)
	counts, loads := make([]int64, n), make([]float64, n)
	at = make([]time.Time, n)
	for i := range n {
		hosts[i] = fmt.Sprint("host-", i%16)
		texts[i] = fmt.Sprintf("%064d a line of a log that is about as long as such lines are %d", i, i)
		counts[i], loads[i] = int64(i)*int64(i), float64(i)/7
		at[i] = time.Unix(1_700_000_000+int64(i), 0)
	}
	return []sfpool.Column{
		sfpool.Symbols("host", hosts), sfpool.Strings("message", texts),
		sfpool.Int64s("count", counts), sfpool.Float64s("load", loads),
	}, at
}

// resident is what the system says of the memory of a process, in bytes; what is
// VmRSS for now and VmHWM for the most it has had.
func resident(t testing.TB, pid int, what string) int {
	t.Helper()
	text := string(must(os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)))(t))
	_, line, _ := strings.Cut(text, what+":")
	var kib int
	_, err := fmt.Sscanf(line, "%d kB", &kib)
	check(t, err)
	return kib << 10
}

// startQuiet runs the agent until it has stored what it collects for a while.
func startQuiet(ctx context.Context, t testing.TB, output string) *agent.Agent {
	t.Helper()
	seen := t.TempDir() + "/seen.lp"
	a := must(agent.Start(ctx, fmt.Sprintf(quietConfig, seen)+output))(t)
	t.Cleanup(func() { check(t, a.Close()) })
	check(t, a.WaitLog(ctx, "no connection"))
	awaitOf(ctx, t, a, "twenty flushes", func() bool {
		data, _ := os.ReadFile(seen)
		return strings.Count(string(data), "\n") >= 20
	})
	return a
}

func TestAGigabyteOfBacklogCostsTelegrafNoMemory(t *testing.T) {
	ctx := realParts(t)
	addr := freeAddr(t)
	url, dir := "http://"+addr, t.TempDir()
	more := fmt.Sprintf("sf_max_total_bytes = %d", 2*backlogBytes)
	rows := seedBacklog(ctx, t, url, dir)

	empty := startQuiet(ctx, t, config(url, t.TempDir(), more))
	without := resident(t, empty.PID(), "VmRSS")
	check(t, empty.Kill())
	a := startQuiet(ctx, t, config(url, dir, more))
	with := resident(t, a.PID(), "VmRSS")

	drain(ctx, t, addr, rows)
	draining := resident(t, a.PID(), "VmHWM")
	t.Logf("resident: %d MiB without a backlog, %d MiB with %d rows of one, at most %d MiB while they were sent",
		without>>20, with>>20, rows, draining>>20)
	if with > without+memoryMargin {
		t.Errorf("a backlog of %d MiB costs %d MiB", backlogBytes>>20, (with-without)>>20)
	}
	if draining > without+memoryMargin {
		t.Errorf("sending it costs %d MiB", (draining-without)>>20)
	}
}

// drain takes half of the rows as a server that speaks line protocol, and what
// is left as its successor that speaks QWP.
func drain(ctx context.Context, t testing.TB, addr string, rows int64) {
	t.Helper()
	old := &sink{}
	server := &http.Server{Handler: old}
	l := must(net.Listen("tcp", addr))(t)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	await(ctx, t, "half of the rows", func() bool { return old.lines.Load() >= rows/2 })
	check(t, server.Close())
	<-served

	srv := startQWP(t, qwpserver.Options{Addr: addr, KeepRows: -1})
	check(t, srv.Wait(ctx, func(s *qwpserver.State) bool { return s.Rows+old.lines.Load() >= rows }))
	t.Logf("%d rows over ILP, %d over QWP", old.lines.Load(), srv.Total())
}

// sink takes line protocol as QuestDB does, and counts it.
type sink struct{ lines atomic.Int64 }

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !isWrite(r) {
		http.NotFound(w, r)
		return
	}
	n := int64(0)
	for lines := bufio.NewScanner(r.Body); lines.Scan(); n++ {
	}
	s.lines.Add(n)
	w.Header().Set("Server", "questDB/1.0")
	w.WriteHeader(http.StatusNoContent)
}
