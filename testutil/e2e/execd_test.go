// SPDX-License-Identifier: MIT

package e2e

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// commitRows is how many lines the binary stores before it reports them: so
// many may be stored twice for each kill.
const commitRows = 8192

func TestLinesReportedDurableSurviveFiveKillsWhileTheServerIsDown(t *testing.T) {
	ctx := realParts(t)
	const lines, kills = 200_000, 5
	srv := startQuestDB(ctx, t, questdb.Options{})
	check(t, srv.Kill())
	set := gen.Set{Seed: 3}
	dir := t.TempDir()
	conf := config(srv.HTTP(), dir)
	rnd := rand.New(rand.NewPCG(1, 2))

	var durable int64
	for kill := range kills {
		p := must(execd.Start(conf))(t)
		go feed(p, set, durable, lines)
		check(t, p.WaitDurable(ctx, 20_000+rnd.Int64N(15_000)))
		time.Sleep(time.Duration(rnd.IntN(20)) * time.Millisecond) // somewhere in a commit
		p.Close()
		durable += p.Durable()
		t.Logf("kill %d: %d lines durable", kill+1, durable)
	}
	runExecd(ctx, t, conf, set.Lines(durable, int(lines-durable)))

	check(t, srv.Restart(ctx))
	deliver(ctx, t, srv.HTTP(), dir, false)
	none(t, set.Check(readBack(ctx, t, srv), 0, lines), kills*commitRows)
}

// feed writes lines until the end or until the binary is gone.
func feed(p *execd.Process, set gen.Set, from, to int64) {
	const chunk = 1000
	for ; from < to; from += chunk {
		if _, err := p.Stdin.Write(set.Lines(from, int(min(chunk, to-from)))); err != nil {
			return
		}
	}
}

func TestTheBinaryKilledWhileItSendsLosesNothing(t *testing.T) {
	ctx := realParts(t)
	const lines = 60_000
	srv := startQuestDB(ctx, t, questdb.Options{})
	set, dir := gen.Set{Seed: 4}, t.TempDir()
	conf := config(srv.HTTP(), dir)
	p := must(execd.Start(conf))(t)
	go feed(p, set, 0, lines)
	check(t, p.WaitDurable(ctx, lines/2))
	p.Close()
	runExecd(ctx, t, conf, set.Lines(p.Durable(), int(lines-p.Durable())))
	deliver(ctx, t, srv.HTTP(), dir, false)
	none(t, set.Check(readBack(ctx, t, srv), 0, lines), commitRows+requestRows)
}

// requestRows is more than an ILP request of 1 MiB, and one frame beyond it,
// can hold of generated rows.
const requestRows = 8000

func TestASecondProcessWaitsForTheLockAndReadsNothingMeanwhile(t *testing.T) {
	ctx := realParts(t)
	srv := startQWP(t, qwpserver.Options{})
	conf := config(srv.URL(), t.TempDir(), stayUntilSent, `lock_timeout = "100ms"`)
	first := must(execd.Start(conf))(t)
	defer first.Close()
	set := gen.Set{Seed: 5}
	_, err := first.Stdin.Write(set.Lines(0, 10))
	check(t, err)
	check(t, first.WaitDurable(ctx, 10))

	second := must(execd.Start(conf))(t)
	defer second.Close()
	_, err = second.Stdin.Write(set.Lines(10, 10))
	check(t, err)
	check(t, second.WaitLog(ctx, "slot already in use by another process"))
	if n := second.Durable(); n != 0 {
		t.Errorf("%d lines durable beside the owner", n)
	}
	check(t, first.Finish(ctx))
	check(t, second.WaitDurable(ctx, 10))
	check(t, second.Finish(ctx))
	none(t, set.Check(readBackQWP(srv), 0, 20), 0)
}
