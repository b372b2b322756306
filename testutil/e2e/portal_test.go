// SPDX-License-Identifier: MIT

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/netem"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// portalPassword is what no log and no stranger may show; its letters occur
// nowhere else.
const portalPassword = "pas-Zq91xW"

// portals answer in the server's place. says is what the log quotes of them.
var portals = []struct {
	name   string
	answer func(elsewhere string) http.Handler
	says   string
}{
	{"page", func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			echo := r.Header.Get("Authorization")
			netem.Page("<html>Please log in \x1b[31m"+echo+" "+portalPassword).ServeHTTP(w, r)
		})
	}, `(HTTP 200, \"<html>Please log in [31m`},
	{"redirect", func(elsewhere string) http.Handler {
		return http.RedirectHandler(elsewhere, http.StatusFound)
	}, "(HTTP 302, "},
	{"temporary redirect", func(elsewhere string) http.Handler {
		return http.RedirectHandler(elsewhere, http.StatusTemporaryRedirect)
	}, "(HTTP 307, "},
	{"204 then close", func(string) http.Handler {
		return netem.Raw("HTTP/1.1 204 No Content\r\n\r\n")
	}, "(HTTP 204, "},
	{"204 that says it closes", func(string) http.Handler {
		return netem.Raw("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	}, "(HTTP 204, "},
	{"204 kept open", func(string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	}, "(HTTP 204, "},
	{"204 with a body", func(string) http.Handler {
		return netem.Raw("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello")
	}, "(HTTP 204, "},
}

// Nothing is taken for an ack but QuestDB's own answer, whether the stranger is
// there from the beginning or comes while rows flow; and nobody follows it to the
// place that it sends to. The beds wait together.
func TestNoStrangerInFrontOfQuestDBTakesARow(t *testing.T) {
	t.Parallel()
	ctx := realParts(t)
	srv := startQuestDB(ctx, t, questdb.Options{})
	var elsewhere atomic.Int64
	login := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer login.Close()
	var beds []*portalBed
	for i := range 2 * len(portals) {
		beds = append(beds, newPortalBed(ctx, t, srv, i, login.URL+"/login"))
	}
	for _, b := range beds {
		b.lie()
	}
	for _, b := range beds {
		b.refuses()
	}
	for _, b := range beds {
		b.net.Set(func(s *netem.Settings) { s.Answer = nil })
	}
	for _, b := range beds {
		b.delivered()
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests followed a redirect", n)
	}
}

// portalBed is a pool that finds a stranger in its server's place.
type portalBed struct {
	*testing.T
	ctx    context.Context
	srv    *questdb.Server
	net    *netem.Proxy
	pool   *sfpool.Pool
	log    *record
	table  string
	answer http.Handler
	says   string
	acked  int64 // before the stranger came
}

// newPortalBed is a bed of a kind of portal; every second one has delivered rows
// before.
func newPortalBed(ctx context.Context, t *testing.T, srv *questdb.Server, i int, elsewhere string) *portalBed {
	t.Helper()
	net := must(netem.Start(hostOf(t, srv.HTTP()), netem.Settings{}))(t)
	t.Cleanup(func() { check(t, net.Close()) })
	k := &portals[i/2]
	b := &portalBed{T: t, ctx: ctx, srv: srv, net: net, table: fmt.Sprint(k.name, i), answer: k.answer(elsewhere), says: k.says}
	b.pool, b.log = openRefused(ctx, t, net.URL(), withPassword)
	if i%2 == 1 {
		b.store()
		check(b, b.pool.WaitAcked(ctx))
		b.acked = portalRows
	}
	return b
}

func withPassword(c *sfpool.Config) {
	c.Transport = sfpool.Auto
	c.Auth = func() (sfpool.Auth, error) { return sfpool.Auth{Username: "joe", Password: portalPassword}, nil }
}

// portalRows are stored at a time.
const portalRows = 100

func (b *portalBed) store() {
	b.Helper()
	from := int(b.pool.Stats().Accepted)
	storeBatches(b.ctx, b, b.pool, portalRows, 10, func(batch *sfpool.Batch, i int) error {
		return batch.Table(b.table).Symbol("host", "a").Int64Column("v", int64(from+i)).At(second(from + i))
	})
}

// lie lets the stranger in, and rows come.
func (b *portalBed) lie() {
	b.Helper()
	b.net.Set(func(s *netem.Settings) { s.Answer = b.answer })
	b.store()
}

// refuses waits for several tries, none of which may be taken for an ack.
func (b *portalBed) refuses() {
	b.Helper()
	until(b.ctx, b, "tries at the stranger", func() bool { return b.net.Stats().Requests >= 6 })
	if s := b.pool.Stats(); s.Acked != b.acked || s.Pending != portalRows || s.DeadLettered != 0 {
		b.Errorf("%s: acked %d, pending %d, dead letters %d while the stranger answers", b.table, s.Acked, s.Pending, s.DeadLettered)
	}
	b.told()
}

// told looks for the one line on the stranger, and for what must be in none.
func (b *portalBed) told() {
	b.Helper()
	text := b.log.String()
	n := 0
	for line := range strings.Lines(text) {
		if strings.Contains(line, "level=WARN") {
			n++
			if !strings.Contains(line, b.says) || !strings.Contains(line, b.net.Addr()) {
				b.Errorf("%s: %q or the host is not in: %s", b.table, b.says, line)
			}
		}
	}
	if n != 1 {
		b.Errorf("%s: the stranger is told of %d times:\n%s", b.table, n, text)
	}
	basic := base64.StdEncoding.EncodeToString([]byte("joe:" + portalPassword))
	if strings.Contains(text, portalPassword) || strings.Contains(text, basic) || strings.Contains(text, "\x1b") {
		b.Errorf("%s: the log shows what it must not:\n%s", b.table, text)
	}
}

// delivered expects every row in the server once.
func (b *portalBed) delivered() {
	b.Helper()
	check(b, b.pool.WaitAcked(b.ctx))
	rows := b.acked + portalRows
	got := sums(b.ctx, b, b.srv, "SELECT count(), count_distinct(v), sum(v) FROM "+questdb.Quote(b.table))
	if want := fmt.Sprint([]any{rows, rows, rows * (rows - 1) / 2}); fmt.Sprint(got) != want {
		b.Errorf("%s: %v in the server, want %s", b.table, got, want)
	}
	if s := b.pool.Stats(); s.Acked != rows || s.Pending != 0 {
		b.Errorf("%s: acked %d, pending %d of %d", b.table, s.Acked, s.Pending, rows)
	}
}

// A proxy that has never heard of WebSockets takes nothing from a server without
// QWP, and does not talk one that has it into ILP.
func TestAProxyThatStripsTheUpgradeNeitherTakesRowsNorChangesTheTransport(t *testing.T) {
	t.Parallel()
	ctx := realParts(t)
	srv := startQWP(t, qwpserver.Options{})
	net := must(netem.Start(srv.Addr(), netem.Settings{}))(t)
	defer func() { check(t, net.Close()) }()
	net.Set(func(s *netem.Settings) { s.Answer = netem.StripUpgrade(net.Real()) })
	pool, log := openRefused(ctx, t, net.URL(), withPassword)
	storeBatches(ctx, t, pool, 100, 10, func(b *sfpool.Batch, i int) error {
		return b.Table("stripped").Int64Column("v", int64(i)).At(second(i))
	})
	until(ctx, t, "tries through the proxy", func() bool { return net.Stats().Requests >= 6 })
	if s := pool.Stats(); s.Acked != 0 || s.Pending != 100 || srv.Total() != 0 {
		t.Errorf("acked %d, pending %d, %d rows in the server", s.Acked, s.Pending, srv.Total())
	}
	if !strings.Contains(log.String(), "the server offers QWP, but the upgrade failed") {
		t.Errorf("the log does not say why:\n%s", log)
	}
	net.Set(func(s *netem.Settings) { s.Answer = nil })
	check(t, pool.WaitAcked(ctx))
	if n := srv.Total(); n != 100 || len(srv.Rows("stripped")) != 100 {
		t.Errorf("%d rows over QWP", n)
	}
}
