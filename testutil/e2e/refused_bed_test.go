// SPDX-License-Identifier: MIT

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/questdb"
)

// toll stands before a server and counts what is written through it.
type toll struct {
	*httptest.Server

	mu       sync.Mutex
	requests int
	refused  int
	statuses map[int]int
	fail     string // requests that contain it are answered 500
	named    bool   // with the line that does, as QuestDB does it
}

// lane is the way to the server of one client's connection: QuestDB keeps things for
// each of its connections, so they are not to be shared.
type lane struct{}

func startToll(t testing.TB, base string) *toll { return startTollFor(t, base, "", false) }

// startTollFor answers 500 to what contains a marker.
func startTollFor(t testing.TB, base, marker string, named bool) *toll {
	t.Helper()
	target := must(url.Parse(base))(t)
	c := &toll{statuses: map[int]int{}, fail: marker, named: named}
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if line := c.fails(r); line > 0 {
			w.WriteHeader(http.StatusInternalServerError)
			if c.named {
				_, _ = fmt.Fprintf(w, `{"code":"internal error","message":"write error: t, error: java.lang.UnsupportedOperationException","line":%d,"errorId":"e-1"}`, line)
			}
			return
		}
		proxy := &httputil.ReverseProxy{
			Rewrite:      func(p *httputil.ProxyRequest) { p.SetURL(target) },
			Transport:    r.Context().Value(lane{}).(*http.Transport),
			ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
			ModifyResponse: func(r *http.Response) error {
				if isWrite(r.Request) {
					c.count(r.StatusCode)
				}
				return nil
			},
		}
		proxy.ServeHTTP(w, r)
	}))
	lanes := map[net.Conn]*http.Transport{}
	c.Config.ConnContext = func(ctx context.Context, client net.Conn) context.Context {
		c.mu.Lock()
		defer c.mu.Unlock()
		lanes[client] = &http.Transport{MaxConnsPerHost: 1}
		return context.WithValue(ctx, lane{}, lanes[client])
	}
	c.Config.ConnState = func(client net.Conn, state http.ConnState) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if state == http.StateClosed && lanes[client] != nil {
			lanes[client].CloseIdleConnections()
		}
	}
	c.Start()
	t.Cleanup(func() {
		c.CloseClientConnections()
		c.Close()
	})
	return c
}

// fails returns the line of a write that is answered 500; 0 for none.
func (c *toll) fails(r *http.Request) int {
	if c.fail == "" || !isWrite(r) {
		return 0
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	before, _, found := strings.Cut(string(body), c.fail)
	if !found {
		return 0
	}
	c.count(http.StatusInternalServerError)
	return 1 + strings.Count(before, "\n")
}

func (c *toll) count(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	c.statuses[status]++
	if status != http.StatusNoContent {
		c.refused++
	}
}

// paid returns the requests so far, and how many of them were refused.
func (c *toll) paid() (requests, refused int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.requests, c.refused
}

// record is a log that can be read.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *record) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *record) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// openRefused opens a pool with one slot that is quick to try again.
func openRefused(ctx context.Context, t testing.TB, address string, change func(*sfpool.Config)) (*sfpool.Pool, *record) {
	t.Helper()
	log := new(record)
	cfg := sfpool.Config{
		URLs: []string{address}, Dir: t.TempDir(), MaxSenders: 1, MaxBackoff: 200 * time.Millisecond,
		Transport: sfpool.ILP, Logger: slog.New(slog.NewTextHandler(log, nil)), CloseFlushTimeout: time.Second,
	}
	if change != nil {
		change(&cfg)
	}
	p := must(sfpool.Open(ctx, cfg))(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the pool:\n%s", log)
		}
		check(t, p.Close(context.WithoutCancel(ctx)))
	})
	return p, log
}

// storeBatches stores n rows in batches of a size.
func storeBatches(ctx context.Context, t testing.TB, p *sfpool.Pool, n, size int, row func(b *sfpool.Batch, i int) error) {
	t.Helper()
	s := must(p.Borrow(ctx))(t)
	defer s.Return()
	b := p.NewBatch()
	for i := range n {
		check(t, row(b, i))
		if i%size == size-1 || i == n-1 {
			check(t, s.Flush(ctx, b))
			b = p.NewBatch()
		}
	}
}

// second is the time of the i-th row.
func second(i int) time.Time { return time.Unix(1_700_000_000+int64(i), 0) }

// until waits for something to become true.
func until(ctx context.Context, t testing.TB, what string, is func() bool) {
	t.Helper()
	for !is() {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, ctx.Err())
		}
	}
}

// sums runs a query of one row.
func sums(ctx context.Context, t testing.TB, srv *questdb.Server, sql string) []any {
	t.Helper()
	check(t, srv.WaitApplied(ctx))
	return must(srv.Query(ctx, sql))(t).Rows[0]
}
