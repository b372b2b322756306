// SPDX-License-Identifier: MIT

package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// lossCase is a row of the loss table: what happens to the server, to Telegraf and
// to the disk.
type lossCase struct {
	name  string
	play  func(b *lossBed)
	judge func(b *lossBed, o *outcome) // of the case itself, besides the count
}

// lossCases are those that were first played with outputs.influxdb_v2; see
// docs/losses.md.
var lossCases = []lossCase{
	{name: "s1 server kill -9 and restart mid-stream", play: (*lossBed).serverKilled},
	{name: "s1b answer lost 3 times", play: (*lossBed).answersLost},
	{name: "s2 telegraf kill -9 with a backlog, server down", play: (*lossBed).killedWithBacklog},
	{name: "s2b telegraf kill -9 while draining", play: (*lossBed).killedWhileDraining},
	{name: "s3 server down longer than metric_buffer_limit allows", play: (*lossBed).longOutage},
	{name: "s7 SIGTERM while the server is down", play: (*lossBed).stoppedWithBacklog},
	{name: "s8 an option changed across a restart", play: (*lossBed).optionChanged},
	{name: "s9 two telegraf processes on one sf_dir", play: (*lossBed).twoProcesses},
}

// TestTheLossTable plays each case with exactly_once off and on. It prints a line
// for each: that is where docs/losses.md comes from.
func TestTheLossTable(t *testing.T) {
	playAll(t, slices.Concat(lossCases, woundCases(), poisonCases))
}

func playAll(t *testing.T, cases []lossCase) {
	for _, c := range cases {
		for _, once := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/exactly_once=%v", c.name, once), func(t *testing.T) {
				b := newLossBed(t, once)
				c.play(b)
				o := b.judge(fmt.Sprintf("%s | exactly_once=%v", c.name, once))
				if c.judge != nil {
					c.judge(b, o)
				}
			})
		}
	}
}

// serverKilled kills the server while rows come in. What was on its way then may
// have been committed without an answer. It is a server of its own: QuestDB 9.3.4 may
// come back with a table that can be neither read nor created if one of that name was
// dropped a moment before the kill.
func (b *lossBed) serverKilled() {
	const third = 10_000
	b.srv = startQuestDB(b.ctx, b, questdb.Options{})
	b.addr, b.doubles = hostOf(b, b.srv.HTTP()), requestRows
	a := b.start()
	b.feed(a, third)
	waitRows(b.ctx, b, b.srv, third/2)
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		write(b, a.in, b.set, third, 2*third)
	}()
	check(b, b.srv.Kill())
	<-fed
	b.rows += third
	check(b, a.WaitLog(b.ctx, "no connection; rows stay in the store"))
	check(b, b.srv.Restart(b.ctx))
	b.feed(a, third)
	b.drained()
	b.end(a)
}

func (b *lossBed) answersLost() {
	const lost = 3
	b.doubles = lost * requestRows
	b.up()
	a := b.start()
	for range lost {
		b.via.loseAnswers(1)
		b.feed(a, 5000)
		b.drained()
	}
	b.end(a)
	resent(b, b.via, lost)
}

// backlog feeds an agent without a server, and returns when all of it is stored.
func (b *lossBed) backlog(n int64) *lossAgent {
	b.Helper()
	a := b.start()
	b.feed(a, n)
	b.stored(a, b.rows)
	return a
}

func (b *lossBed) killedWithBacklog() {
	check(b, b.backlog(20_000).Kill())
	b.up()
	a := b.start()
	b.drained()
	b.end(a)
}

// killedWhileDraining kills Telegraf when the server has given its second answer
// and nobody has heard it.
func (b *lossBed) killedWhileDraining() {
	b.doubles = requestRows
	b.end(b.backlog(20_000))
	b.up()
	held := b.via.holdAnswer(2)
	a := b.start()
	select {
	case <-held:
	case <-b.ctx.Done():
		b.Fatal("no second request")
	}
	check(b, a.Kill())
	a = b.start()
	b.drained()
	b.end(a)
}

// longOutage feeds no faster than Telegraf hands on: what overflows before the output
// has seen it is no business of an outage.
func (b *lossBed) longOutage() {
	b.buffer = 10_000
	a := b.backlog(5000)
	for range 5 {
		b.feed(a, 5000)
		b.stored(a, b.rows)
	}
	b.up()
	b.drained()
	b.end(a)
}

func (b *lossBed) stoppedWithBacklog() {
	b.end(b.backlog(20_000))
	b.up()
	a := b.start()
	b.drained()
	b.end(a)
}

func (b *lossBed) optionChanged() {
	b.end(b.backlog(5000))
	b.options = append(b.options, `request_timeout = "9s"`)
	b.up()
	a := b.start()
	b.drained()
	b.end(a)
}

// twoProcesses gives 5000 rows to each. The second keeps its own until the first
// has ended.
func (b *lossBed) twoProcesses() {
	b.options = append(b.options, `lock_timeout = "1s"`)
	first := b.backlog(5000)
	second := b.start()
	b.feed(second, 5000)
	check(b, second.WaitLog(b.ctx, "slot already in use by another process"))
	b.up()
	waitRows(b.ctx, b, b.srv, 5000)
	b.end(first)
	b.drained()
	b.end(second)
}
