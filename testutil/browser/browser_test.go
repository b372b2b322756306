// SPDX-License-Identifier: MIT

package browser_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/testutil/browser"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// shows waits until a page that stays open shows a figure.
func shows(ctx context.Context, t testing.TB, p *browser.Page, name string, value int64) {
	t.Helper()
	require.NoError(t, p.Wait(ctx, fmt.Sprintf(`document.querySelector('[data-card="%s"]').dataset.value === "%d"`, name, value)))
}

func TestThePageShowsTheLedgerDuringAndAfterAnOutage(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	b := start(ctx, t)
	open := b.open(ctx, t, browser.Look{})
	b.feed(ctx, t, 0, 20_000)
	b.await(t, func(f map[string]int64) bool { return f["rows_acked"] == 20_000 })
	b.srv.Stop()
	b.feed(ctx, t, 20_000, 70_000)
	b.await(t, func(f map[string]int64) bool { return f["rows_pending"] == 50_000 && f["outage_ns"] > 0 })
	dom := b.compare(ctx, t, browser.Look{})
	require.Equal(t, int64(50_000), sum(t, dom))
	require.Contains(t, dom, `class="pending"`)
	require.Contains(t, dom, "connection refused")
	require.Contains(t, dom, `data-healthy="true"`, "an outage of seconds wakes nobody")
	require.Contains(t, dom, "50000 rows are pending; waiting for the server since")
	require.Equal(t, int64(50_000), sum(t, b.compare(ctx, t, browser.Look{NoScript: true})), "without a script")
	shows(ctx, t, open, "rows_pending", 50_000)

	require.NoError(t, b.srv.Restart())
	b.await(t, func(f map[string]int64) bool { return f["rows_acked"] == 70_000 })
	dom = b.compare(ctx, t, browser.Look{})
	require.Zero(t, sum(t, dom))
	require.NotContains(t, dom, "connection refused")
	require.Contains(t, dom, "nothing is pending")
	shows(ctx, t, open, "rows_acked", 70_000)
	complaints, err := open.Complaints(ctx)
	require.NoError(t, err)
	require.Empty(t, complaints)
	require.NoError(t, b.p.Finish(ctx))
}

func TestThePageKeepsWhatIsOpenAndSaysWhenItIsOld(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := start(ctx, t)
	p := b.open(ctx, t, browser.Look{})
	var focused string
	require.NoError(t, p.Eval(ctx, `document.querySelector("details").open = true, document.querySelector("summary").focus(), refresh()`, new(any)))
	require.NoError(t, p.Wait(ctx, `document.documentElement.dataset.refreshed > 0`))
	require.NoError(t, p.Wait(ctx, `document.querySelector("details").open`))
	require.NoError(t, p.Eval(ctx, `document.activeElement.tagName`, &focused))
	require.Equal(t, "SUMMARY", focused)
	require.NoError(t, b.p.Finish(ctx))
	require.NoError(t, p.Eval(ctx, `refresh()`, new(any)))
	require.NoError(t, p.Wait(ctx, `document.querySelector("#now.bad[role=alert]").textContent.includes("what is shown is old")`))
}

func TestThePageFitsAPhone(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	b := start(ctx, t, trouble)
	b.srv.Stop()
	b.feed(ctx, t, 0, 30_000)
	b.await(t, func(f map[string]int64) bool {
		return f["rows_pending"] == 30_000 && f["outage_ns"] > 0 && f["orphans"] == 1
	})
	for _, l := range []browser.Look{{Width: 360, Height: 800}, {Width: 320, Height: 600, Dark: true}, {Width: 360, Height: 800, NoScript: true}} {
		p := b.open(ctx, t, l)
		require.NoError(t, p.Eval(ctx, `document.querySelectorAll("details").forEach(d => d.open = true)`, new(any)))
		var wide struct{ Inner, Scroll int }
		require.NoError(t, p.Eval(ctx, `({inner: innerWidth, scroll: document.documentElement.scrollWidth})`, &wide))
		require.Equal(t, l.Width, wide.Inner)
		require.LessOrEqual(t, wide.Scroll, l.Width, "it scrolls sideways")
		var background string
		require.NoError(t, p.Eval(ctx, `getComputedStyle(document.body).backgroundColor`, &background))
		require.Equal(t, map[bool]string{false: "rgb(246, 247, 249)", true: "rgb(20, 23, 27)"}[l.Dark], background)
	}
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
	b := start(ctx, t, trouble)
	for step := range int64(48) {
		if step == 24 {
			b.srv.Stop()
		}
		b.feed(ctx, t, step*3000, (step+1)*3000)
		time.Sleep(5 * time.Second)
	}
	for name, look := range map[string]browser.Look{
		"status.png": {}, "status-dark.png": {Dark: true}, "status-phone.png": {Width: 360, Height: 800},
	} {
		require.NoError(t, b.open(ctx, t, look).Picture(ctx, filepath.Join(dir, name), 1700))
	}
}

func TestWhatAServerSaysIsNeverMarkup(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b := start(ctx, t, attack)
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
		p := b.open(ctx, t, browser.Look{})
		_, dom := page(ctx, t, p)
		require.NotContains(t, dom, "<img")
		require.NotContains(t, dom, "<b>7")
		require.Contains(t, dom, "meter &lt;b&gt;7", "the table of a dead letter")
		complaints, err := p.Complaints(ctx)
		require.NoError(t, err)
		require.Empty(t, complaints)
		var title string
		require.NoError(t, p.Eval(ctx, "document.title", &title))
		require.Equal(t, "questdb_sf", title)
		require.NoError(t, p.Close(ctx))
		return strings.Count(dom, "&lt;img src=x") > 1 // of the letter, and of the server
	}, 50*time.Second, 100*time.Millisecond)
}
