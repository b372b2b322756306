// SPDX-License-Identifier: MIT

package link_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const settings934 = `{"config":{"release.version":"9.3.4","line.proto.support.versions":[1,2,3],"ilp.proto.transports":["tcp", "http"]},"preferences":{}}`

const refusal400 = `{"code":"invalid","message":"failed to parse line protocol:errors encountered on line(s):\nerror in line 2: table: cpu, column: v; cast error from protocol type: STRING to column type: LONG","line":2,"errorId":"x-1"}`

// row returns a row of table cpu unless set says otherwise.
func row(set func(r *qwp.Row)) *qwp.Row {
	r := new(qwp.Row)
	r.Reset("cpu")
	set(r)
	return r
}

func simpleRow(host string, v int64) *qwp.Row {
	return row(func(r *qwp.Row) {
		r.Symbol("host", host)
		r.Long("v", v)
		r.At(1_700_000_000_000_000 + v)
	})
}

func frame(tb testing.TB, rows ...*qwp.Row) *qwp.View {
	tb.Helper()
	b := qwp.NewBuilder(16 << 20)
	for _, r := range rows {
		if err := b.Add(r); err != nil {
			tb.Fatal(err)
		}
	}
	v := new(qwp.View)
	if err := v.Parse(b.AppendFrame(nil), nil); err != nil {
		tb.Fatal(err)
	}
	return v
}

// server is a QuestDB of the given talents. Handlers run in its goroutines.
type server struct {
	*httptest.Server
	settings http.HandlerFunc
	write    http.HandlerFunc
	upgrade  http.HandlerFunc

	mu       sync.Mutex
	requests []request
}

// request is what arrived, with the body unpacked.
type request struct {
	path, body string
	header     http.Header
	length     int64
}

func newServer(tb testing.TB) *server {
	s := newHandler()
	s.Server = httptest.NewServer(s)
	tb.Cleanup(s.Close)
	return s
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.record(r)
	switch {
	case strings.HasSuffix(r.URL.Path, "/write/v4"):
		s.upgrade(w, r)
	case strings.HasSuffix(r.URL.Path, "/write"):
		s.write(w, r)
	case strings.HasSuffix(r.URL.Path, "/settings"):
		s.settings(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *server) record(r *http.Request) {
	reader := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			reader = strings.NewReader("not gzip: " + err.Error())
		} else {
			reader = z
		}
	}
	body, err := io.ReadAll(reader) // gzip checks length and CRC at its end
	if err != nil {
		body = []byte("incomplete: " + err.Error())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, request{r.URL.RequestURI(), string(body), r.Header, r.ContentLength})
}

// seen returns the requests so far to paths that end in suffix.
func (s *server) seen(suffix string) []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []request
	for _, r := range s.requests {
		path, _, _ := strings.Cut(r.path, "?")
		if strings.HasSuffix(path, suffix) {
			list = append(list, r)
		}
	}
	return list
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// speakQWP upgrades and runs talk, with the headers of a 101 changed by more.
func speakQWP(talk func(ws *websocket.Conn), more map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		header := http.Header{"X-Qwp-Version": {"1"}}
		for k, v := range more {
			header.Set(k, v)
		}
		var up websocket.Upgrader
		ws, err := up.Upgrade(w, r, header)
		if err != nil {
			return
		}
		defer ws.Close()
		talk(ws)
	}
}

// hear reads until the connection ends.
func hear(ws *websocket.Conn) {
	for {
		if _, _, err := ws.ReadMessage(); err != nil {
			return
		}
	}
}

func reply(ws *websocket.Conn, r qwp.Response) {
	_ = ws.WriteMessage(websocket.BinaryMessage, r.Append(nil))
}

func config(urls ...string) link.Config {
	return link.Config{
		URLs: urls, Transport: link.Auto, Compression: link.CompressionAuto,
		ConnectTimeout: 10 * time.Second, RequestTimeout: 10 * time.Second,
		ClientID: "questdb_sf/test",
	}
}

func newLink(tb testing.TB, c link.Config) *link.Link {
	tb.Helper()
	l, err := link.New(c)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func connect(tb testing.TB, l *link.Link) link.Conn {
	tb.Helper()
	c, err := l.Connect(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

func add(tb testing.TB, c link.Conn, v *qwp.View) {
	tb.Helper()
	if err := c.Add(v, qwp.WholeMessage); err != nil {
		tb.Fatal(err)
	}
}

func send(tb testing.TB, c link.Conn) int64 {
	tb.Helper()
	seq, err := c.Send(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return seq
}

func recv(tb testing.TB, c link.Conn) link.Outcome {
	tb.Helper()
	o, err := c.Recv(context.Background())
	if err != nil {
		tb.Fatal(err)
	}
	return o
}

// exchange sends one frame and returns what the server said to it.
func exchange(tb testing.TB, c link.Conn, v *qwp.View) link.Outcome {
	tb.Helper()
	add(tb, c, v)
	send(tb, c)
	return recv(tb, c)
}
