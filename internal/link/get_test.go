// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// hostOf returns host:port of a test server's URL.
func hostOf(url string) string { return url[strings.Index(url, "//")+2:] }

func TestGetBringsTheAnswerWhateverItsStatus(t *testing.T) {
	for _, code := range []int{200, 302, 400, 404, 503} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/elsewhere")
			status(code, r.URL.RequestURI())(w, r)
		}))
		l := newLink(t, config(srv.URL))
		a, err := l.Get(t.Context(), hostOf(srv.URL), "/exec?query=select+1")
		if err != nil || a.Status != code || string(a.Body) != "/exec?query=select+1" {
			t.Errorf("%d: answer %d %q, error %v", code, a.Status, a.Body, err)
		}
		srv.Close()
	}
}

func TestGetKeepsThePathPrefixAndSpeaksHTTPToWebSocketHosts(t *testing.T) {
	var seen string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.URL.Path }))
	defer srv.Close()
	l := newLink(t, config("ws"+strings.TrimPrefix(srv.URL, "http")+"/questdb/"))
	if _, err := l.Get(t.Context(), hostOf(srv.URL), "/exec?query=x"); err != nil {
		t.Fatal(err)
	}
	if seen != "/questdb/exec" {
		t.Errorf("asked %q", seen)
	}
}

func TestGetAsksForTheCredentialsEachTime(t *testing.T) {
	var mu sync.Mutex
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, r.Header.Get("Authorization"))
	}))
	defer srv.Close()
	c := config(srv.URL)
	token := "first"
	c.Auth = func() (link.Auth, error) { return link.Auth{Token: token}, nil }
	l := newLink(t, c)
	get := func() error { _, err := l.Get(t.Context(), hostOf(srv.URL), "/x"); return err }
	if err := get(); err != nil {
		t.Fatal(err)
	}
	token = "second"
	if err := get(); err != nil {
		t.Fatal(err)
	}
	if strings.Join(seen, ", ") != "Bearer first, Bearer second" {
		t.Errorf("sent %q", seen)
	}
	token = "a secret\n"
	if err := get(); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("with a token that no header can carry: %v", err)
	}
}

func TestGetUsesOneConnectionForManyQuestions(t *testing.T) {
	var mu sync.Mutex
	peers := map[string]bool{}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		peers[r.RemoteAddr] = true
	}))
	defer srv.Close()
	l := newLink(t, config(srv.URL))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := l.Get(t.Context(), hostOf(srv.URL), "/x"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(peers) != 1 {
		t.Errorf("%d connections", len(peers))
	}
	l.CloseIdle()
}

func TestGetRefusesWhatIsNoEndpointAndWhatIsTooLong(t *testing.T) {
	srv := httptest.NewServer(status(200, strings.Repeat("x", 2<<20)))
	defer srv.Close()
	l := newLink(t, config(srv.URL))
	if _, err := l.Get(t.Context(), "elsewhere:9000", "/x"); err == nil || !strings.Contains(err.Error(), "elsewhere:9000") {
		t.Errorf("a stranger's host: %v", err)
	}
	var failed *link.ConnectError
	if _, err := l.Get(t.Context(), hostOf(srv.URL), "/x"); !errors.As(err, &failed) {
		t.Errorf("an answer of 2 MiB: %v", err)
	}
}

func TestGetEndsWithTheContextAndWithItsOwnTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipes := newPipeNet(t)
		pipes.serve(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		c := config("http://127.0.0.1:9000")
		c.RequestTimeout, c.Dial = time.Hour, pipes.dial
		l := newLink(t, c)
		began := time.Now()
		_, err := l.Get(t.Context(), "127.0.0.1:9000", "/x")
		var late *link.TimeoutError
		if !errors.As(err, &late) || time.Since(began) != 15*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		why := errors.New("the user went away")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		if _, err := l.Get(ctx, "127.0.0.1:9000", "/x"); !errors.Is(err, why) {
			t.Errorf("with the context ended: %v", err)
		}
	})
}

func TestGetLeavesTheServerAConnectionForAFewSecondsAndAMinuteAtMost(t *testing.T) {
	for _, c := range []struct {
		apart time.Duration
		count int
		want  int64 // connections
	}{
		{2 * time.Second, 20, 1},
		{2 * time.Second, 40, 2}, // TLS settings are asked for again after a minute
		{6 * time.Second, 4, 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			pipes := newPipeNet(t)
			pipes.serve(http.HandlerFunc(status(200, "")))
			var dialed atomic.Int64
			cfg := config("http://127.0.0.1:9000")
			cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
				dialed.Add(1)
				return pipes.dial(ctx, network, addr)
			}
			l := newLink(t, cfg)
			for range c.count {
				if _, err := l.Get(t.Context(), "127.0.0.1:9000", "/x"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.apart)
			}
			l.CloseIdle()
			if n := dialed.Load(); n != c.want {
				t.Errorf("%d questions %v apart took %d connections instead of %d", c.count, c.apart, n, c.want)
			}
		})
	}
}

func TestGetSpeaksTLS(t *testing.T) {
	srv := httptest.NewTLSServer(status(200, "ok"))
	defer srv.Close()
	c := config(srv.URL)
	c.TLS = func() (*tls.Config, error) {
		return srv.Client().Transport.(*http.Transport).TLSClientConfig.Clone(), nil
	}
	a, err := newLink(t, c).Get(t.Context(), hostOf(srv.URL), "/x")
	if err != nil || string(a.Body) != "ok" {
		t.Errorf("answer %q, error %v", a.Body, err)
	}
}
