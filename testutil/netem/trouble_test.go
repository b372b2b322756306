// SPDX-License-Identifier: MIT

package netem_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/testutil/netem"
)

func TestAResetReachesBothEnds(t *testing.T) {
	seen := make(chan error, 1)
	p := start(t, serve(t, func(c *net.TCPConn) {
		_, err := io.Copy(c, c)
		seen <- err
	}), netem.Settings{})
	c := dial(t, p)
	exchange(t, c, "hello")
	if n := p.Reset(); n != 1 {
		t.Errorf("%d connections reset", n)
	}
	isReset(t, c)
	if err := <-seen; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the server's connection ends with %v", err)
	}
	exchange(t, dial(t, p), "again")
}

func TestAResetOfTheServerIsPassedOn(t *testing.T) {
	p := start(t, serve(t, func(c *net.TCPConn) { _ = c.SetLinger(0) }), netem.Settings{})
	resetsAtOnce(t, p)
}

func TestConnectionsAreResetAfterSoManyBytes(t *testing.T) {
	got := make(chan int64, 1)
	p := start(t, serve(t, func(c *net.TCPConn) {
		n, _ := io.Copy(io.Discard, c)
		got <- n
	}), netem.Settings{ResetAfter: 3000})
	c := dial(t, p)
	_, _ = c.Write(random(5000))
	isReset(t, c)
	if n := <-got; n > 3000 {
		t.Errorf("the server got %d bytes", n)
	}
}

func TestConnectionsAreResetAtAnInterval(t *testing.T) {
	t.Parallel()
	p := start(t, serve(t, echo), netem.Settings{ResetEvery: 50 * time.Millisecond})
	began := time.Now()
	for range 3 {
		resetsAtOnce(t, p)
	}
	if took := time.Since(began); took < 120*time.Millisecond || took > 2*time.Second {
		t.Errorf("three resets took %v", took)
	}
	p.Set(func(s *netem.Settings) { s.ResetEvery = 0 })
	c := dial(t, p)
	exchange(t, c, "hello")
	silent(t, c)
}

func TestAStallGoesOnWhereItStopped(t *testing.T) {
	p := start(t, serve(t, echo), netem.Settings{})
	open := dial(t, p)
	exchange(t, open, "hello")
	p.Set(func(s *netem.Settings) { s.Stall = true })
	fresh := dial(t, p)
	for _, c := range []net.Conn{open, fresh} {
		_, _ = io.WriteString(c, "x")
		silent(t, c)
	}
	p.Set(func(s *netem.Settings) { s.Stall = false })
	for _, c := range []net.Conn{open, fresh} {
		if b, err := io.ReadAll(io.LimitReader(c, 1)); string(b) != "x" {
			t.Errorf("%q, %v", b, err)
		}
	}
}

func TestABlackHoleGivesNothingBack(t *testing.T) {
	p := start(t, serve(t, echo), netem.Settings{})
	open := dial(t, p)
	exchange(t, open, "hello")
	p.Set(func(s *netem.Settings) { s.Swallow = true })
	fresh := dial(t, p)
	for _, c := range []net.Conn{open, fresh} {
		_, _ = io.WriteString(c, "x")
		silent(t, c)
	}
	p.Set(func(s *netem.Settings) { s.Swallow = false })
	for _, c := range []net.Conn{open, fresh} {
		_, _ = io.WriteString(c, "y")
		silent(t, c)
	}
	if s := p.Stats(); s.Up != int64(len("hello")+4) || s.Down != int64(len("hello")) {
		t.Errorf("%+v", s)
	}
	exchange(t, dial(t, p), "again")
}

func TestNobodyThereAndThereAgain(t *testing.T) {
	p := start(t, serve(t, echo), netem.Settings{})
	c := dial(t, p)
	exchange(t, c, "hello")
	if err := p.Refuse(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("Dial: %v", err)
	}
	exchange(t, c, "open ones stay")
	if err := p.Listen(); err != nil {
		t.Fatal(err)
	}
	exchange(t, dial(t, p), "again")
}

func TestAServerThatIsGoneIsAReset(t *testing.T) {
	p := start(t, "127.0.0.1:1", netem.Settings{})
	resetsAtOnce(t, p)
	p.Retarget(serve(t, echo))
	exchange(t, dial(t, p), "hello")
}

func TestMoreConnectionsThanTheLimitAreNotAnsweredUntilOneEnds(t *testing.T) {
	p := start(t, serve(t, echo), netem.Settings{MaxConns: 2})
	first, second := dial(t, p), dial(t, p)
	exchange(t, first, "hello")
	exchange(t, second, "hello")
	third := dial(t, p)
	_, _ = io.WriteString(third, "x")
	silent(t, third)
	_ = first.Close()
	if b, err := io.ReadAll(io.LimitReader(third, 1)); string(b) != "x" {
		t.Errorf("%q, %v", b, err)
	}
	if s := p.Stats(); s.Open != 2 || s.Peak != 2 || s.Total() != 3 {
		t.Errorf("%+v", s)
	}
}

// questDB counts what it was asked to write.
func questDB(t testing.TB) (host string, writes *atomic.Int64) {
	writes = new(atomic.Int64)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if up := (websocket.Upgrader{}); websocket.IsWebSocketUpgrade(r) {
			if ws, err := up.Upgrade(w, r, nil); err == nil {
				_ = ws.WriteMessage(websocket.TextMessage, []byte("upgraded"))
				_ = ws.Close()
			}
			return
		}
		if r.Method == http.MethodPost {
			writes.Add(1)
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://"), writes
}

func client(t testing.TB) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
}

// post sends a write; status 0 is none.
func post(t testing.TB, c *http.Client, p *netem.Proxy) (status int, body string) {
	t.Helper()
	resp, err := c.Post(p.URL()+"/write", "text/plain", strings.NewReader("cpu v=1i"))
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(b)
}

func TestAnswersGetLostOnceTheServerHasDoneIt(t *testing.T) {
	host, writes := questDB(t)
	p := start(t, host, netem.Settings{Lose: netem.Writes(1)})
	c := client(t)
	if resp, err := c.Get(p.URL() + "/settings"); err != nil {
		t.Error(err)
	} else {
		_ = resp.Body.Close()
	}
	if status, text := post(t, c, p); status != 0 || !strings.Contains(text, "EOF") {
		t.Errorf("the lost answer is %d %s", status, text)
	}
	if status, _ := post(t, c, p); status != http.StatusNoContent || writes.Load() != 2 {
		t.Errorf("then %d, and %d writes", status, writes.Load())
	}
}

func TestAStrangerAnswersAndGoesAway(t *testing.T) {
	host, writes := questDB(t)
	p := start(t, host, netem.Settings{})
	c := client(t)
	if status, _ := post(t, c, p); status != http.StatusNoContent {
		t.Fatalf("HTTP %d", status)
	}
	for _, k := range []struct {
		name   string
		answer http.Handler
		status int
		body   string
	}{
		{"portal", netem.Page("<html>log in"), 200, "<html>log in"},
		{"redirect", http.RedirectHandler("http://login.example/", http.StatusFound), 302, ""},
		{"raw", netem.Raw("HTTP/1.1 204 OK\r\n\r\n"), 204, ""},
	} {
		p.Set(func(s *netem.Settings) { s.Answer = k.answer })
		if status, body := post(t, c, p); status != k.status || body != k.body {
			t.Errorf("%s: HTTP %d %q", k.name, status, body)
		}
	}
	if writes.Load() != 1 || p.Stats().Requests != 3 {
		t.Errorf("%d writes reached the server, the stranger had %d", writes.Load(), p.Stats().Requests)
	}
	p.Set(func(s *netem.Settings) { s.Answer = nil })
	if status, _ := post(t, c, p); status != http.StatusNoContent || writes.Load() != 2 {
		t.Errorf("without it: HTTP %d", status)
	}
}

func TestAProxyThatKnowsNoWebSocketsStripsTheUpgrade(t *testing.T) {
	host, writes := questDB(t)
	p := start(t, host, netem.Settings{})
	url := "ws://" + p.Addr()
	hello := func() string {
		ws, resp, err := websocket.DefaultDialer.DialContext(t.Context(), url, nil)
		if err != nil {
			return resp.Status
		}
		defer ws.Close()
		_, text, _ := ws.ReadMessage()
		return string(text)
	}
	if got := hello(); got != "upgraded" {
		t.Error(got)
	}
	p.Set(func(s *netem.Settings) { s.Answer = p.Real() })
	if got := hello(); got != "upgraded" {
		t.Error(got)
	}
	p.Set(func(s *netem.Settings) { s.Answer = netem.StripUpgrade(p.Real()) })
	if got := hello(); got != "200 OK" {
		t.Error(got)
	}
	if status, _ := post(t, client(t), p); status != http.StatusNoContent || writes.Load() != 1 {
		t.Errorf("a write: HTTP %d", status)
	}
}
