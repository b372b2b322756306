// SPDX-License-Identifier: MIT

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/agent"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// lossConfig is an agent with an input, another for what must not be split at line
// breaks, the output under test, a file of what the agent has collected, and one of
// the figures of the output.
const lossConfig = `
[agent]
  interval = "200ms"
  flush_interval = "200ms"
  metric_batch_size = 1000
  metric_buffer_limit = %[1]d
[[inputs.socket_listener]]
  service_address = "tcp://%[2]s"
  data_format = "influx"
[[inputs.socket_listener]]
  service_address = "udp://%[2]s"
  data_format = "influx"
[[inputs.internal]]
  collect_memstats = false
[[outputs.file]]
  files = [%[3]q]
  data_format = "influx"
  namedrop = ["internal*"]
[[outputs.file]]
  files = [%[4]q]
  data_format = "influx"
  namepass = ["internal_questdb_sf"]
%[5]s
namedrop = ["internal*"]
`

// lossBed is one case of the loss table at work: a store, a server that may be
// away, agents one after the other or side by side, and generated rows.
type lossBed struct {
	*testing.T
	ctx  context.Context
	srv  *questdb.Server
	once bool // with exactly_once
	set  gen.Set

	dir     string
	sf      string   // sf_dir
	addr    string   // where the agents look for the server
	via     *relay   // nil while nothing is there
	options []string // more lines of the block
	buffer  int      // metric_buffer_limit
	agents  []*lossAgent

	rows    int64   // fed, with the ids from 0 on
	missing []int64 // that are to be missing
	doubles int     // rows that may arrive twice without exactly_once
}

// lossBound is what a case may take on a busy machine.
const lossBound = 2 * time.Minute

func newLossBed(t *testing.T, once bool) *lossBed {
	t.Helper()
	ctx, cancel := context.WithTimeout(realParts(t), lossBound)
	t.Cleanup(cancel)
	dir := t.TempDir()
	return &lossBed{
		T: t, ctx: ctx, srv: emptyQuestDB(ctx, t), once: once, set: gen.Set{Seed: 61},
		dir: dir, sf: filepath.Join(dir, "sf"), addr: freeAddr(t), buffer: 100_000,
	}
}

// lossAgent is a Telegraf of a bed.
type lossAgent struct {
	*agent.Agent
	in            net.Conn
	addr          string // of in
	seen, figures string // files
}

// start runs a Telegraf on the store of the bed.
func (b *lossBed) start() *lossAgent {
	b.Helper()
	n, addr := len(b.agents), freeAddr(b)
	a := &lossAgent{
		addr:    addr,
		seen:    filepath.Join(b.dir, fmt.Sprint("seen.", n)),
		figures: filepath.Join(b.dir, fmt.Sprint("figures.", n)),
	}
	output := config("http://"+b.addr, b.sf, append(b.options, fmt.Sprint("exactly_once = ", b.once))...)
	a.Agent = must(agent.Start(b.ctx, fmt.Sprintf(lossConfig, b.buffer, addr, a.seen, a.figures, output)))(b)
	b.Cleanup(func() {
		if b.Failed() {
			b.Logf("log of agent %d:\n%s", n, a.Log())
		}
		check(b, a.Close())
	})
	b.agents = append(b.agents, a)
	check(b, a.WaitLog(b.ctx, "Listening on tcp://"))
	a.in = must(net.Dial("tcp", addr))(b)
	b.Cleanup(func() { _ = a.in.Close() })
	return a
}

// feed gives an agent the next n rows of the bed, and returns when it has read them.
func (b *lossBed) feed(a *lossAgent, n int64) {
	b.Helper()
	before, _ := os.ReadFile(a.seen)
	write(b, a.in, b.set, b.rows, b.rows+n)
	b.rows += n
	waitCollected(b.ctx, b, a.seen, bytes.Count(before, []byte(gen.RowID+"="))+int(n))
}

// up lets the server be there, behind a relay.
func (b *lossBed) up() { b.via = startRelayAt(b, b.srv.HTTP(), b.addr) }

// stored waits until so many rows have been accepted by the store, ever.
func (b *lossBed) stored(a *lossAgent, n int64) {
	b.Helper()
	awaitOf(b.ctx, b, a.Agent, fmt.Sprint(n, " rows in the store"), func() bool { return b.figure(a, "rows_appended") >= n })
}

// figure returns a number of the output as inputs.internal showed it last.
func (b *lossBed) figure(a *lossAgent, name string) (n int64) {
	data, _ := os.ReadFile(a.figures) // absent until there is one
	for line := range strings.Lines(string(data)) {
		_, after, ok := strings.Cut(strings.ReplaceAll(line, " ", ","), ","+name+"=")
		if ok && !strings.Contains(line, ",slot=") {
			_, _ = fmt.Sscanf(after, "%di", &n)
		}
	}
	return n
}

// quiet is after how long without a new row no more are expected.
const quiet = 15 * time.Second

// drained waits until the server has all rows that are to arrive.
func (b *lossBed) drained() {
	b.Helper()
	want, got, since := int(b.rows)-len(b.missing), -1, time.Now()
	await(b.ctx, b, "rows", func() bool {
		if now := countRows(b.ctx, b.srv, ""); now != got {
			got, since = now, time.Now()
		}
		return got >= want || time.Since(since) > quiet
	})
}

// end stops an agent as a service manager does.
func (b *lossBed) end(a *lossAgent) {
	b.Helper()
	check(b, a.Term())
	check(b, a.Wait(b.ctx))
}

// ledger sends what an agent may have left behind, and returns the books of the
// store when nothing is pending any more.
func (b *lossBed) ledger() sfpool.Stats {
	b.Helper()
	pool := must(sfpool.Open(b.ctx, sfpool.Config{URLs: []string{"http://" + b.addr}, Dir: b.sf, MinSenders: 4,
		MaxSegmentBytes: 64 << 10, ExactlyOnce: b.once}))(b)
	defer func() { check(b, pool.Close(b.ctx)) }()
	check(b, pool.WaitAcked(b.ctx))
	st := pool.Stats()
	if st.Accepted != st.Acked+st.Pending+st.DeadLettered+st.Evicted+st.Quarantined+st.Unknown {
		b.Errorf("the ledger does not add up: %+v", st)
	}
	return st
}

// outcome is a line of the loss table.
type outcome struct {
	name          string
	rows          int64
	lost, doubled int
	books         sfpool.Stats
	told          []string
}

func (o *outcome) String() string {
	s := &o.books
	return fmt.Sprintf("%s | rows %d | lost %d | duplicated %d | accepted %d = acked %d + dead letters %d + evicted %d + quarantined %d + unknown %d | told: %s",
		o.name, o.rows, o.lost, o.doubled, s.Accepted, s.Acked, s.DeadLettered, s.Evicted, s.Quarantined, s.Unknown, strings.Join(o.told, " / "))
}

// judge counts what arrived, and fails unless that is what the case allows.
func (b *lossBed) judge(name string) *outcome {
	b.Helper()
	o := &outcome{name: name, rows: b.rows, books: b.ledger(), told: b.told()}
	report := b.set.Check(rowsBut(readBack(b.ctx, b, b.srv), poisonID), 0, b.rows)
	o.lost, o.doubled = len(report.Missing), len(report.Duplicates)
	may := b.doubles
	if b.once {
		may = 0
	}
	if !slices.Equal(report.Missing, b.missing) || o.doubled > may || len(report.Wrong) > 0 {
		b.Errorf("%s; %d missing and at most %d duplicates are in order", report, len(b.missing), may)
	}
	b.Log(o)
	return o
}

// attributes are what stands behind the words of a line.
var attributes = regexp.MustCompile(` [a-z_]+=.*`)

// told returns what the output told, the first line of each kind without its time,
// and without figures where nothing is wrong.
func (b *lossBed) told() (list []string) {
	const longest = 400
	known := make(map[string]bool)
	for _, a := range b.agents {
		for _, line := range ours(a.Log()) {
			_, line, _ := strings.Cut(strings.TrimSpace(line), " ")
			line = strings.Replace(line, "[outputs.questdb_sf] ", "", 1)
			words := attributes.ReplaceAllString(line, "")
			if known[words] {
				continue
			}
			known[words] = true
			if strings.HasPrefix(line, "I!") {
				line = words
			}
			list = append(list, line[:min(len(line), longest)])
		}
	}
	return list
}
