// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

const exactlyOnce = "exactly_once = true"

// resent fails unless answers were lost, so that rows were sent again.
func resent(t testing.TB, via *relay, atLeast int) {
	t.Helper()
	if n := via.answersLost(); n < atLeast {
		t.Errorf("%d answers were lost: this proves nothing, want %d", n, atLeast)
	}
}

func TestFramesStoredBeforeExactlyOnceWasSwitchedOnArriveOnce(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	via := startRelay(t, srv.HTTP())
	set, dir := gen.Set{Seed: 40}, t.TempDir()
	conf := config(via.URL, dir)

	via.setAway(true)
	runExecd(ctx, t, conf, set.Lines(0, 10_000))
	via.setAway(false)
	via.loseAnswers(3)
	runExecd(ctx, t, conf+exactlyOnce+"\n"+stayUntilSent, set.Lines(10_000, 10_000))
	deliver(ctx, t, via.URL, dir, true)
	resent(t, via, 2)
	none(t, set.Check(readBack(ctx, t, srv), 0, 20_000), 0)
}

func TestAnAgentWithoutTheOptionNeitherErasesNorDoublesRowsOfExactlyOnceTables(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	via := startRelay(t, srv.HTTP())
	set := gen.Set{Seed: 41}
	with, without := config(via.URL, t.TempDir(), exactlyOnce, stayUntilSent), config(via.URL, t.TempDir(), stayUntilSent)

	runExecd(ctx, t, with, set.Lines(0, 6000)) // makes the tables
	first := must(execd.Start(with))(t)
	defer first.Close()
	second := must(execd.Start(without))(t)
	defer second.Close()
	via.loseAnswers(4)
	feedDurable(ctx, t, first, set, 6000, 12_000)
	feedDurable(ctx, t, second, set, 12_000, 18_000)
	check(t, first.Finish(ctx))
	check(t, second.Finish(ctx))
	resent(t, via, 2)
	none(t, set.Check(readBack(ctx, t, srv), 0, 18_000), 0)
}

// feedDurable feeds rows and waits until as many lines are durable.
func feedDurable(ctx context.Context, t testing.TB, p *execd.Process, set gen.Set, from, to int64) {
	t.Helper()
	before := p.Durable()
	_, err := p.Stdin.Write(set.Lines(from, int(to-from)))
	check(t, err)
	check(t, p.WaitDurable(ctx, before+to-from))
}

func TestATableDroppedMeanwhileGetsItsKeysBackAndEveryRowOnce(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	via := startRelay(t, srv.HTTP())
	set := gen.Set{Seed: 42}
	conf := config(via.URL, t.TempDir(), exactlyOnce, `dedup_lost = "restore"`, stayUntilSent)
	runExecd(ctx, t, conf, set.Lines(0, 6000))
	check(t, srv.WaitApplied(ctx))
	// QuestDB loses the next request of each connection that has written to a table
	// which is dropped (docs/operators.md): there is none any more. A drop in the middle
	// of a stream is TestATableDroppedMidStream….
	via.forget()
	emptyQuestDB(ctx, t)
	p := must(execd.Start(conf))(t)
	defer p.Close()
	feedDurable(ctx, t, p, set, 6000, 9000) // to where there is no table any more
	via.loseAnswers(2)
	feedDurable(ctx, t, p, set, 9000, 12_000)
	check(t, p.Finish(ctx))
	resent(t, via, 1)
	none(t, set.Check(readBack(ctx, t, srv), 6000, 12_000), 0)
}

func TestATableRecreatedWithoutKeysIsHeldUntilItHasThem(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	set, conf := gen.Set{Seed: 43}, config(srv.HTTP(), t.TempDir(), exactlyOnce)
	runExecd(ctx, t, conf+stayUntilSent, set.Lines(0, 1200))
	emptyQuestDB(ctx, t)
	postLines(t, srv, "mem,host=else used=1i,row_id=-1i 1767225600000000000\n")
	check(t, srv.WaitApplied(ctx))

	p := must(execd.Start(conf))(t) // it need not stay: it cannot send
	defer p.Close()
	feedDurable(ctx, t, p, set, 1200, 2400)
	check(t, p.WaitLog(ctx, "DEDUP ENABLE UPSERT KEYS"))
	check(t, p.Finish(ctx))
	if n := number(ctx, t, srv, "SELECT count() FROM mem"); n != 1 {
		t.Errorf("%d rows in a table without keys, want the 1 of somebody else", n)
	}
	for _, sql := range statements(p.Log()) {
		t.Log("as the log says: ", sql)
		exec(ctx, t, srv, sql)
	}
	check(t, srv.WaitApplied(ctx))
	runExecd(ctx, t, conf+stayUntilSent, nil)
	rows := rowsBut(readBack(ctx, t, srv), -1)
	none(t, set.Check(rows, 1200, 2400), 0)
}

// postLines writes line protocol as any other client would.
func postLines(t testing.TB, srv *questdb.Server, lines string) {
	t.Helper()
	res := must(http.Post(srv.HTTP()+"/write", "text/plain", strings.NewReader(lines)))(t)
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		t.Fatalf("the server answers %s", res.Status)
	}
}

func TestKeysThatCannotBeReadForAMinuteDelayRowsAndNeitherEraseNorDoubleThem(t *testing.T) {
	t.Parallel() // it waits most of the time
	ctx := realParts(t)
	srv, prefix := sharedQuestDB(ctx, t), "minute_"
	via := startRelay(t, srv.HTTP())
	set, fed := gen.Set{Seed: 44}, int64(3000)
	start := func(more string) *execd.Process {
		p := must(execd.Start(config(via.URL, t.TempDir(), fmt.Sprintf("table_prefix = %q", prefix), more)))(t)
		t.Cleanup(p.Close)
		return p
	}
	with, without := start(exactlyOnce), start("")
	feed := func(n int64) { // half of them to each
		feedDurable(ctx, t, with, set, fed, fed+n/2)
		feedDurable(ctx, t, without, set, fed+n/2, fed+n)
		fed += n
	}
	feedDurable(ctx, t, with, set, 0, fed) // makes the tables
	waitPrefixed(ctx, t, srv, prefix, int(fed))

	feed(3000)
	waitPrefixed(ctx, t, srv, prefix, 6000)
	via.refuseSQL(true)
	for range 70 { // seconds: what is known of the keys is too old after a minute
		feed(60)
		time.Sleep(time.Second)
	}
	via.loseAnswers(2) // rows in doubt, on connections that are gone
	feed(3000)
	await(ctx, t, "questions for the keys", func() bool { return via.sqlRefused() > 0 })
	via.refuseSQL(false)
	waitPrefixed(ctx, t, srv, prefix, int(fed))
	check(t, with.Finish(ctx))
	check(t, without.Finish(ctx))
	t.Logf("%d questions for the keys were refused, %d rows sent", via.sqlRefused(), fed)
	none(t, set.Check(readPrefixed(ctx, t, srv, prefix), 0, fed), 0)
}

// statements are the SQL statements that a log tells the operator to run.
func statements(log string) (list []string) {
	for line := range strings.Lines(log) {
		for rest := line; ; {
			_, after, ok := strings.Cut(rest, "ALTER TABLE ")
			if !ok {
				break
			}
			sql, tail, _ := strings.Cut(after, ";")
			list = append(list, "ALTER TABLE "+strings.ReplaceAll(strings.TrimRight(sql, "\"\n"), `\"`, `"`))
			rest = tail
		}
	}
	return list
}

// rowsBut leaves out the row of an id.
func rowsBut(rows []gen.Row, id int64) (list []gen.Row) {
	for _, r := range rows {
		if fmt.Sprint(r.Values[gen.RowID]) != fmt.Sprint(id) {
			list = append(list, r)
		}
	}
	return list
}
