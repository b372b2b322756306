// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// openPool opens a pool without any option for tables.
func openPool(ctx context.Context, t testing.TB, url string) *sfpool.Pool {
	t.Helper()
	p := must(sfpool.Open(ctx, sfpool.Config{URLs: []string{url}, Dir: t.TempDir()}))(t)
	t.Cleanup(func() { check(t, p.Close(ctx)) })
	return p
}

// flushed stores a batch and waits until the server has it.
func flushed(ctx context.Context, t testing.TB, p *sfpool.Pool, b *sfpool.Batch) {
	t.Helper()
	s := must(p.Borrow(ctx))(t)
	check(t, s.Flush(ctx, b))
	s.Return()
	check(t, p.WaitAcked(ctx))
}

// creator is a proxy that has somebody create a table in the moment when the first
// rows arrive.
func creator(ctx context.Context, t testing.TB, srv *questdb.Server, sql string) string {
	t.Helper()
	proxy := httputil.NewSingleHostReverseProxy(must(url.Parse(srv.HTTP()))(t))
	var once sync.Once
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/write" && r.ContentLength != 0 { // an empty one only says what the connection is for
			once.Do(func() { _, _ = srv.Query(ctx, sql) })
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	return front.URL
}

func TestNoRowIsErasedWhenAnotherAgentCreatesTheTableMeanwhile(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	front := creator(ctx, t, srv, `CREATE TABLE cpu (timestamp TIMESTAMP, sf_row_id LONG) TIMESTAMP(timestamp) PARTITION BY DAY WAL DEDUP UPSERT KEYS(timestamp, sf_row_id)`)
	p := openPool(ctx, t, front)
	b := p.NewBatch()
	for i := range 200 {
		check(t, b.Table("cpu").Symbol("host", fmt.Sprintf("host-%03d", i)).Float64Column("load", 0.5).At(time.UnixMicro(fleetTime)))
	}
	flushed(ctx, t, p, b)
	rows := count(ctx, t, srv, "cpu")
	if hosts := number(ctx, t, srv, "SELECT count_distinct(host) FROM cpu"); hosts != 200 || rows != 201 {
		t.Errorf("%d rows of %d hosts, want all 200 and the one that was left of those without ids", rows, hosts)
	}
}

func TestAColumnCalledAsTheTimestampOfItsTableHoldsUpNothing(t *testing.T) {
	ctx := realParts(t)
	srv := emptyQuestDB(ctx, t)
	exec(ctx, t, srv, `CREATE TABLE jobs ("when" TIMESTAMP) TIMESTAMP("when") PARTITION BY DAY WAL`)
	p := openPool(ctx, t, srv.HTTP())
	b := p.NewBatch()
	check(t, b.Table("jobs").Symbol("host", "a").Int64Column("WHEN", 7).At(time.UnixMicro(fleetTime)))
	check(t, b.Table("cpu").Symbol("host", "a").Int64Column("load", 1).At(time.UnixMicro(fleetTime)))
	flushed(ctx, t, p, b)
	check(t, srv.WaitApplied(ctx))
	if n := number(ctx, t, srv, `SELECT "WHEN_" FROM jobs`); n != 7 {
		t.Errorf("the column has %d, want 7", n)
	}
	if n := count(ctx, t, srv, "cpu"); n != 1 {
		t.Errorf("%d rows of another table", n)
	}
}
