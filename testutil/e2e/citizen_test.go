// SPDX-License-Identifier: MIT

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/agent"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// burst is how many metrics one input emits at a time: more than are given to
// one sender alone (DESIGN.md 11).
const burst = 20_000

// houseConfig is an agent with six inputs at 100 ms, one that emits a burst every
// second, the output under test, and one whose file tells what Telegraf had.
const houseConfig = `
[agent]
  interval = "100ms"
  flush_interval = "200ms"
  metric_batch_size = 20000
  metric_buffer_limit = 400000
[[inputs.cpu]]
  percpu = true
[[inputs.mem]]
[[inputs.internal]]
  collect_memstats = false
[[inputs.file]]
  files = [%[1]q]
  data_format = "influx"
[[inputs.exec]]
  commands = ["sh -c 'echo executed,by=exec pid=$$i'"]
  data_format = "influx"
[[inputs.execd]]
  command = ["sh", "-c", "n=0; while read x; do n=$((n+1)); echo \"streamed,by=execd pid=$$i,n=${n}i\"; done"]
  signal = "STDIN"
  data_format = "influx"
[[inputs.file]]
  alias = "burst"
  interval = "1s"
  files = [%[2]q]
  data_format = "influx"
[[outputs.file]]
  files = [%[3]q]
  data_format = "influx"
%[4]s
`

// house is a Telegraf with much to do, and its server.
type house struct {
	*agent.Agent
	srv    *questdb.Server
	config string
	seen   string // file of what was collected
	via    *relay
	sf     string // sf_dir
	once   bool   // with exactly_once
	past   string // log of the agents before this one
}

// startHouse runs the agent and a server of its own.
func startHouse(ctx context.Context, t testing.TB, once bool) *house {
	t.Helper()
	srv, dir := startQuestDB(ctx, t, questdb.Options{}), t.TempDir()
	h := &house{srv: srv, via: startRelay(t, srv.HTTP()), seen: filepath.Join(dir, "seen.lp"), sf: filepath.Join(dir, "sf"), once: once}
	small, large := filepath.Join(dir, "small.lp"), filepath.Join(dir, "large.lp")
	check(t, os.WriteFile(small, []byte("seldom,kind=gauge a=1i,b=0.5,c=\"text\"\n"), 0o600))
	check(t, os.WriteFile(large, burstLines(), 0o600))
	h.config = fmt.Sprintf(houseConfig, small, large, h.seen,
		config(h.via.URL, h.sf, "sender_pool_max = 4", "max_connections = 4", fmt.Sprint("exactly_once = ", once)))
	h.start(ctx, t)
	return h
}

// burstLines are of many series, so that they can be split.
func burstLines() []byte {
	var lines bytes.Buffer
	for id := range burst {
		fmt.Fprintf(&lines, "burst,host=h%d,site=s%d id=%di,v=%d.5\n", id%500, id%7, id, id)
	}
	return lines.Bytes()
}

func (h *house) start(ctx context.Context, t testing.TB) {
	t.Helper()
	a := must(agent.Start(ctx, h.config))(t)
	t.Cleanup(func() { check(t, a.Close()) })
	check(t, a.WaitLog(ctx, "Loaded outputs"))
	h.Agent = a
}

// said is the log of all agents of the house.
func (h *house) said() string {
	select {
	case <-h.Done():
		return h.past
	default:
		return h.past + h.Log()
	}
}

// stop ends Telegraf as a service manager does, which is not patient.
func (h *house) stop(ctx context.Context, t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	defer func(began time.Time) {
		t.Logf("Telegraf ended %s after SIGTERM", time.Since(began).Round(time.Millisecond))
	}(time.Now())
	check(t, h.Term())
	check(t, h.Wait(ctx))
	h.past += h.Log()
}

// seenBursts is how many bursts have been collected, whole ones.
func (h *house) seenBursts(t testing.TB) int {
	t.Helper()
	data, err := os.ReadFile(h.seen)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return bytes.Count(data, []byte("\nburst,")) / burst
}

// waitBursts returns when n more bursts have been collected.
func (h *house) waitBursts(ctx context.Context, t testing.TB, n int) {
	t.Helper()
	n += h.seenBursts(t)
	awaitOf(ctx, t, h.Agent, "a burst in "+h.seen, func() bool { return h.seenBursts(t) >= n })
}

// waitArrival returns when rows collected from now on have reached the server.
func (h *house) waitArrival(ctx context.Context, t testing.TB) {
	t.Helper()
	since := number(ctx, t, h.srv, "SELECT now()::long")
	awaitOf(ctx, t, h.Agent, "rows collected now", func() bool {
		res, err := h.srv.Query(ctx, "SELECT max(timestamp)::long FROM burst")
		return err == nil && len(res.Rows) == 1 && asInt(res.Rows[0][0]) > since
	})
}

func asInt(v any) (n int) {
	_, _ = fmt.Sscan(fmt.Sprint(v), &n)
	return n
}

// outage kills the server behind rows whose answer is lost, lets two bursts come
// in, and starts it again. The plugin must have said little in the meantime.
func (h *house) outage(ctx context.Context, t testing.TB, meanwhile func()) {
	t.Helper()
	before, lost := len(h.said()), h.via.answersLost()
	h.via.loseAnswers(1)
	await(ctx, t, "an answer to lose", func() bool { return h.via.answersLost() > lost })
	check(t, h.srv.Kill())
	h.waitBursts(ctx, t, 2)
	meanwhile()
	check(t, h.srv.Restart(ctx))
	h.waitArrival(ctx, t)
	lines := ours(h.said()[before:])
	t.Logf("the plugin said %d lines about this outage:\n%s", len(lines), strings.Join(lines, ""))
	if len(lines) == 0 || len(lines) > 20 {
		t.Errorf("%d lines about one outage; 1 to 20 are in order", len(lines))
	}
}

// ours are the lines of a log that the plugin has written.
func ours(log string) (lines []string) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, "[outputs.questdb_sf]") {
			lines = append(lines, line)
		}
	}
	return lines
}

// reload makes Telegraf read its configuration again.
func (h *house) reload(ctx context.Context, t testing.TB) {
	t.Helper()
	const line = "Loaded outputs"
	before := strings.Count(h.said(), line)
	check(t, h.Hup())
	awaitOf(ctx, t, h.Agent, "the reload", func() bool { return strings.Count(h.said(), line) > before })
	h.waitBursts(ctx, t, 1)
}

// live goes through all that a server and a service manager do to an agent.
func (h *house) live(ctx context.Context, t testing.TB) {
	t.Helper()
	h.waitArrival(ctx, t)
	h.outage(ctx, t, func() {})
	h.reload(ctx, t)
	h.outage(ctx, t, func() { h.reload(ctx, t) })
	h.outage(ctx, t, func() {
		h.stop(ctx, t)
		h.start(ctx, t)
		h.waitBursts(ctx, t, 1)
	})
	h.stop(ctx, t)
	deliver(ctx, t, h.via.URL, h.sf, h.once) // what the stop has left on disk
}

// fourWays fails unless all four slots and four connections have had rows.
func (h *house) fourWays(ctx context.Context, t testing.TB) {
	t.Helper()
	if n := h.via.mostWriting(); n != 4 {
		t.Errorf("%d connections carried rows at a time, want 4", n)
	}
	for n := range 4 {
		slot := fmt.Sprint("default-", n)
		pending := number(ctx, t, h.srv, fmt.Sprintf("SELECT max(rows_pending) FROM internal_questdb_sf WHERE slot = '%s'", slot))
		t.Logf("%s: up to %d rows pending", slot, pending)
		if pending == 0 {
			t.Errorf("%s never had a row", slot)
		}
	}
}

func TestABusyTelegrafLosesNothingThroughKillsReloadsAndRestarts(t *testing.T) {
	ctx := realParts(t)
	h := startHouse(ctx, t, false)
	h.live(ctx, t)
	if n := sameRows(ctx, t, h.srv, h.seen); n == 0 {
		t.Error("no duplicates though answers were lost: the outages did not hit what they should")
	}
	h.fourWays(ctx, t)
}

func TestABusyTelegrafDeliversExactlyOnceThroughKillsReloadsAndRestarts(t *testing.T) {
	ctx := realParts(t)
	h := startHouse(ctx, t, true)
	h.live(ctx, t)
	if n := sameRows(ctx, t, h.srv, h.seen); n != 0 {
		t.Errorf("%d duplicates", n)
	}
	resent(t, h.via, 3)
	h.fourWays(ctx, t)
}
