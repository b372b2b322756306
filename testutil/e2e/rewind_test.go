// SPDX-License-Identifier: MIT

package e2e

import (
	"errors"
	"os"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// A server is set back to a copy of its data from before some rows, all of which it had
// acked: what is kept of them brings the copy up to date, and no row twice.
func TestRewindBringsAServerThatWasSetBackUpToDate(t *testing.T) {
	t.Parallel() // it waits for a server of its own to start, three times
	ctx := realParts(t)
	srv := startQuestDB(ctx, t, questdb.Options{})
	set, dir, backup := gen.Set{Seed: 71}, t.TempDir(), t.TempDir()
	conf := config(srv.HTTP(), dir, exactlyOnce, `sf_retain_acked = "1h"`, `sf_max_segment_bytes = "64KiB"`, stayUntilSent)
	runExecd(ctx, t, conf, set.Lines(0, 6000))
	none(t, set.Check(readBack(ctx, t, srv), 0, 6000), 0)
	check(t, srv.Kill())
	check(t, os.CopyFS(backup, os.DirFS(srv.Dir())))
	since := time.Now()

	check(t, srv.Restart(ctx))
	runExecd(ctx, t, conf, set.Lines(6000, 6000))
	none(t, set.Check(readBack(ctx, t, srv), 0, 12_000), 0)
	check(t, srv.Kill())
	check(t, errors.Join(os.RemoveAll(srv.Dir()), os.CopyFS(srv.Dir(), os.DirFS(backup))))
	check(t, srv.Restart(ctx))
	none(t, set.Check(readBack(ctx, t, srv), 0, 6000), 0) // the others are not there

	pool := must(sfpool.Open(ctx, sfpool.Config{URLs: []string{srv.HTTP()}, Dir: dir, ExactlyOnce: true, RetainAcked: time.Hour, HousekeeperInterval: 100 * time.Millisecond}))(t)
	defer func() { check(t, pool.Close(ctx)) }()
	r := must(pool.Rewind(ctx, since))(t)
	t.Logf("%+v", r)
	if r.Rows < 6000 || len(r.Slots) != 1 || len(r.Skipped) > 0 || r.Earliest.IsZero() || !r.Latest.After(r.Earliest) {
		t.Errorf("%+v", r)
	}
	waitRows(ctx, t, srv, 12_000)
	none(t, set.Check(readBack(ctx, t, srv), 0, 12_000), 0)
}
