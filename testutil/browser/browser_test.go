// SPDX-License-Identifier: MIT

package browser_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/testutil/browser"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// bed is the binary with a page and a server that comes and goes.
type bed struct {
	srv *qwpserver.Server
	p   *execd.Process
	url string
	set gen.Set
}

// start runs the test only where packaging/release-check, or somebody else, asks for it: a
// browser is large and slow to start.
func start(ctx context.Context, t *testing.T) *bed {
	if os.Getenv("QUESTDB_SF_BROWSER") == "" {
		t.Skip("QUESTDB_SF_BROWSER is not set; packaging/release-check page sets it")
	}
	srv, err := qwpserver.Start(qwpserver.Options{KeepRows: -1})
	require.NoError(t, err)
	t.Cleanup(srv.Close)
	box, err := os.MkdirTemp("", "box-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(box) })
	conf := fmt.Sprintf("[[outputs.questdb_sf]]\nurls = [%q]\nsf_dir = %q\nreconnect_max_backoff = \"500ms\"\nsf_max_segment_bytes = \"256KiB\"\nstatus_address = \"127.0.0.1:0\"\n",
		srv.URL(), filepath.Join(box, "questdb_sf"))
	p, err := execd.Start(conf)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	require.NoError(t, p.WaitLog(ctx, "status page"))
	return &bed{srv: srv, p: p, set: gen.Set{Seed: 81}, url: regexp.MustCompile(`http://[0-9.:]+/`).FindString(
		regexp.MustCompile(`status page.*`).FindString(p.Log()))}
}

func (b *bed) feed(ctx context.Context, t testing.TB, from, to int64) {
	_, err := b.p.Stdin.Write(b.set.Lines(from, int(to-from)))
	require.NoError(t, err)
	require.NoError(t, b.p.WaitDurable(ctx, to))
}

// figures asks /api/status.
func (b *bed) figures(t testing.TB) map[string]int64 {
	r, err := http.Get(b.url + "api/status")
	require.NoError(t, err)
	defer r.Body.Close()
	var d struct {
		Stores []struct{ Figures map[string]int64 }
	}
	require.NoError(t, json.NewDecoder(r.Body).Decode(&d))
	require.Len(t, d.Stores, 1)
	return d.Stores[0].Figures
}

func (b *bed) await(t testing.TB, what func(f map[string]int64) bool) {
	require.Eventually(t, func() bool { return what(b.figures(t)) }, time.Minute, 50*time.Millisecond)
}

// page returns the figures that the browser shows, and the rest of the document.
func (b *bed) page(ctx context.Context, t testing.TB) (figures map[string]int64, dom string) {
	dom, err := browser.DOM(ctx, b.url, browser.Look{})
	require.NoError(t, err)
	figures = map[string]int64{}
	for _, m := range regexp.MustCompile(`data-figure="([a-z_0-9]+)">(-?[0-9]+)<`).FindAllStringSubmatch(dom, -1) {
		figures[m[1]], err = strconv.ParseInt(m[2], 10, 64)
		require.NoError(t, err)
	}
	return figures, dom
}

// still are the figures that do not move by themselves while nothing is written.
var still = []string{
	"rows_appended", "rows_acked", "rows_pending", "rows_dead_lettered", "rows_evicted", "rows_quarantined", "rows_unknown",
	"bytes_appended", "bytes_pending", "store_bytes", "store_max_bytes", "slots_live", "slots_leaked", "incidents", "durability",
}

// compare looks at the page until nothing has moved meanwhile: right after rows were
// acked, files are still being trimmed. A page that a busy machine had no time to fill
// is looked at again, too.
func (b *bed) compare(ctx context.Context, t testing.TB) string {
	t.Helper()
	for {
		before := b.figures(t)
		got, dom := b.page(ctx, t)
		if after := b.figures(t); len(got) > 0 && equal(before, after) {
			require.Len(t, got, len(before), "the page shows all figures:\n%s", dom)
			same(t, before, got, dom)
			return dom
		}
		require.NoError(t, ctx.Err(), "the figures do not come to rest")
	}
}

func equal(a, b map[string]int64) bool {
	return !slices.ContainsFunc(still, func(name string) bool { return a[name] != b[name] })
}

func same(t testing.TB, want, got map[string]int64, dom string) {
	t.Helper()
	for _, name := range still {
		require.Equal(t, want[name], got[name], name)
		if m := regexp.MustCompile(`data-card="` + name + `" data-value="(\d+)"`).FindStringSubmatch(dom); m != nil {
			require.Equal(t, strconv.FormatInt(want[name], 10), m[1], name)
		}
	}
}

// sum adds up what the slots on the page say.
func sum(t testing.TB, dom string) (rows int64) {
	for _, m := range regexp.MustCompile(`data-slot-pending="(\d+)"`).FindAllStringSubmatch(dom, -1) {
		n, err := strconv.ParseInt(m[1], 10, 64)
		require.NoError(t, err)
		rows += n
	}
	return rows
}

func TestThePageShowsTheLedgerDuringAndAfterAnOutage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	b := start(ctx, t)
	b.feed(ctx, t, 0, 20_000)
	b.await(t, func(f map[string]int64) bool { return f["rows_acked"] == 20_000 })
	b.srv.Stop()
	b.feed(ctx, t, 20_000, 70_000)
	b.await(t, func(f map[string]int64) bool { return f["rows_pending"] == 50_000 && f["outage_ns"] > 0 })
	dom := b.compare(ctx, t)
	require.Equal(t, int64(50_000), sum(t, dom))
	require.Contains(t, dom, `class="pending"`)
	require.Contains(t, dom, "connection refused")
	require.Contains(t, dom, `data-healthy="true"`, "an outage of seconds wakes nobody")

	require.NoError(t, b.srv.Restart())
	b.await(t, func(f map[string]int64) bool { return f["rows_acked"] == 70_000 })
	dom = b.compare(ctx, t)
	require.Zero(t, sum(t, dom))
	require.NotContains(t, dom, "connection refused")
	require.NoError(t, b.p.Finish(ctx))
}

// pictures are taken where QUESTDB_SF_PICTURES names a directory, of an outage that
// began after a while of health.
func TestPicturesForTheDocumentation(t *testing.T) {
	dir := os.Getenv("QUESTDB_SF_PICTURES")
	if dir == "" {
		t.Skip("QUESTDB_SF_PICTURES names no directory")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	b := start(ctx, t)
	for step := range int64(48) {
		if step == 24 {
			b.srv.Stop()
		}
		b.feed(ctx, t, step*3000, (step+1)*3000)
		time.Sleep(5 * time.Second)
	}
	for name, look := range map[string]browser.Look{
		"status.png": {}, "status-dark.png": {Dark: true}, "status-phone.png": {Width: 500, Height: 1500},
	} {
		require.NoError(t, browser.Picture(ctx, b.url, filepath.Join(dir, name), look))
	}
}

func TestWhatAServerSaysIsNeverMarkup(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := start(ctx, t)
	const evil = `<img src=x onerror=document.title="taken">`
	b.srv.Configure(func(o *qwpserver.Options) {
		o.NoQWP = true
		o.Fallback = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusInternalServerError)
			fmt.Fprint(w, evil)
		})
	})
	b.feed(ctx, t, 0, 10)
	require.Eventually(t, func() bool {
		dom, err := browser.DOM(ctx, b.url, browser.Look{})
		require.NoError(t, err)
		require.NotContains(t, dom, "<img")
		require.NotContains(t, dom, "<title>taken")
		return strings.Contains(dom, "&lt;img src=x")
	}, 50*time.Second, 100*time.Millisecond)
}
