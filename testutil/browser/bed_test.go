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
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/sfpool"
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
	b   *browser.Browser
}

// start runs the test only where packaging/release-check, or somebody else, asks for it: a
// browser is large and slow to start. left puts files into sf_dir before.
func start(ctx context.Context, t *testing.T, left ...func(testing.TB, string)) *bed {
	if os.Getenv("QUESTDB_SF_BROWSER") == "" {
		t.Skip("QUESTDB_SF_BROWSER is not set; packaging/release-check page sets it")
	}
	srv, err := qwpserver.Start(qwpserver.Options{KeepRows: -1})
	require.NoError(t, err)
	t.Cleanup(srv.Close)
	box, err := os.MkdirTemp("", "box-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(box) })
	dir := filepath.Join(box, "questdb_sf")
	for _, f := range left {
		f(t, dir)
	}
	conf := fmt.Sprintf("[[outputs.questdb_sf]]\nurls = [%q]\nsf_dir = %q\nreconnect_max_backoff = \"500ms\"\nsf_max_segment_bytes = \"256KiB\"\nstatus_address = \"127.0.0.1:0\"\n",
		srv.URL(), dir)
	p, err := execd.Start(conf)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	require.NoError(t, p.WaitLog(ctx, "status page"))
	b, err := browser.Start(ctx)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return &bed{srv: srv, p: p, b: b, set: gen.Set{Seed: 81}, url: regexp.MustCompile(`http://[0-9.:]+/`).FindString(
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

// open opens the page.
func (b *bed) open(ctx context.Context, t testing.TB, l browser.Look) *browser.Page {
	t.Helper()
	p, err := b.b.Open(ctx, b.url, l)
	require.NoError(t, err)
	return p
}

// page returns the figures that a page shows, and all of the document.
func page(ctx context.Context, t testing.TB, p *browser.Page) (figures map[string]int64, dom string) {
	t.Helper()
	dom, err := p.DOM(ctx)
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

// compare opens the page until nothing has moved meanwhile: right after rows were acked,
// files are still being trimmed.
func (b *bed) compare(ctx context.Context, t testing.TB, l browser.Look) string {
	t.Helper()
	for {
		before := b.figures(t)
		p := b.open(ctx, t, l)
		got, dom := page(ctx, t, p)
		require.NoError(t, p.Close(ctx))
		if after := b.figures(t); equal(before, after) {
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

// trouble is past with nothing of it meant to harm.
func trouble(t testing.TB, dir string) {
	t.Helper()
	past(t, dir, "meter", "time before 1970", "more than 2046 values")
}

// attack is past with names and words that want to be markup.
func attack(t testing.TB, dir string) {
	t.Helper()
	past(t, dir, "meter <b>7</b>", "time before 1970", `<img src=x onerror=document.title="taken">`)
}

// past leaves what earlier runs may leave: dead letters, a slot whose rows belong
// elsewhere, and a wound.
func past(t testing.TB, dir, table, often, seldom string) {
	t.Helper()
	p, err := sfpool.Open(t.Context(), sfpool.Config{URLs: []string{"http://old-server:9000"}, Dir: dir, SenderID: "retired", CloseFlushTimeout: -1})
	require.NoError(t, err)
	s, err := p.Borrow(t.Context())
	require.NoError(t, err)
	batch := p.NewBatch()
	for i := range 1200 {
		require.NoError(t, batch.Table("pump").Int64Column("v", int64(i)).At(time.Now()))
	}
	require.NoError(t, s.Flush(t.Context(), batch))
	s.Return()
	require.NoError(t, p.Close(t.Context()))
	letters := deadletter.Open(deadletter.Options{FS: vfs.OS, Dir: dir, SenderID: "default"})
	for reason, rows := range map[string]int{often: 40, seldom: 3} {
		for range rows {
			r := &qwp.Row{}
			r.Reset(table)
			r.Long("v", 1)
			require.NoError(t, letters.Add([]deadletter.Letter{{Row: r, Class: deadletter.Final, Reason: reason}}))
		}
	}
	require.NoError(t, letters.Close())
	const receipt = `{"what": "its checksum is wrong", "file": "sf-0000000000000003.sfa", "kept_as": "sf-0000000000000003.sfa.corrupt",
"first_fsn": 7, "last_fsn": 9, "rows": 120, "rows_known": true, "found": "2026-11-20T08:15:00Z", "what_to_do": "see docs/losses.md"}`
	for name, text := range map[string]string{"incident-sf-0000000000000003-0a1b2c3d.json": receipt, "sf-0000000000000003.sfa.corrupt": receipt} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "retired-0", name), []byte(text), 0o600))
	}
}
