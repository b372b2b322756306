// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func ilpConfig(urls ...string) link.Config {
	c := config(urls...)
	c.Transport = link.ILP
	return c
}

func TestILPPutsSeveralFramesIntoOneRequest(t *testing.T) {
	s := newServer(t)
	c := connect(t, newLink(t, ilpConfig(s.URL)))
	for i := range 2 {
		add(t, c, frame(t, simpleRow("a", int64(2*i)), simpleRow("b", int64(2*i+1))))
	}
	if seq := send(t, c); seq != 0 {
		t.Errorf("first request has number %d", seq)
	}
	if o := recv(t, c); o.Seq != 0 || o.Refusal != nil {
		t.Errorf("outcome %+v", o)
	}
	writes := s.seen("/write")
	want := "cpu,host=a v=0i 1700000000000000t\ncpu,host=b v=1i 1700000000000001t\n" +
		"cpu,host=a v=2i 1700000000000002t\ncpu,host=b v=3i 1700000000000003t\n"
	if len(writes) != 1 || writes[0].body != want {
		t.Errorf("requests %+v", writes)
	}
	if o := exchange(t, c, frame(t, simpleRow("a", 1))); o.Seq != 1 {
		t.Errorf("second request has number %d", o.Seq)
	}
}

func TestILPSendsPathPrefixCredentialsAndClientID(t *testing.T) {
	for header, auth := range map[string]link.Auth{
		"Bearer tok":           {Token: "tok"},
		"Basic am9lOmh1bnRlcg": {Username: "joe", Password: "hunter"},
	} {
		s := newServer(t)
		cfg := ilpConfig(s.URL + "/db/one/")
		cfg.Auth = func() (link.Auth, error) { return auth, nil }
		exchange(t, connect(t, newLink(t, cfg)), frame(t, simpleRow("a", 1)))
		r := s.seen("/write")[0]
		if r.path != "/db/one/write?precision=n" {
			t.Errorf("path %q", r.path)
		}
		if got := strings.TrimRight(r.header.Get("Authorization"), "="); got != header {
			t.Errorf("Authorization %q, want %q", got, header)
		}
		if got := r.header.Get("User-Agent"); got != "questdb_sf/test" {
			t.Errorf("User-Agent %q", got)
		}
	}
}

func TestGzipBodiesAreCompleteAndHaveALength(t *testing.T) {
	s := newServer(t)
	cfg := ilpConfig(s.URL)
	cfg.Compression = link.CompressionGzip
	c := connect(t, newLink(t, cfg))
	for range 3 { // buffers are used again
		exchange(t, c, frame(t, simpleRow("a", 7)))
	}
	for _, r := range s.seen("/write") {
		if r.header.Get("Content-Encoding") != "gzip" || r.length <= 0 || r.body != "cpu,host=a v=7i 1700000000000007t\n" {
			t.Errorf("%+v", r)
		}
	}
}

func TestAutoCompressionSparesLoopback(t *testing.T) {
	s := newServer(t)
	exchange(t, connect(t, newLink(t, ilpConfig(s.URL))), frame(t, simpleRow("a", 1)))
	cfg := ilpConfig("http://questdb.example:80")
	cfg.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, s.Listener.Addr().String())
	}
	exchange(t, connect(t, newLink(t, cfg)), frame(t, simpleRow("a", 1)))
	writes := s.seen("/write")
	if writes[0].header.Get("Content-Encoding") != "" || writes[1].header.Get("Content-Encoding") != "gzip" {
		t.Errorf("%v %v", writes[0].header, writes[1].header)
	}
}

func TestServerWithoutGzipGetsPlainText(t *testing.T) {
	s := newServer(t)
	s.write = func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "" {
			status(415, `{"code":"not supported","message":"gzip encoding is not supported","errorId":"x"}`)(w, r)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
	cfg := ilpConfig(s.URL)
	cfg.Compression = link.CompressionGzip
	c := connect(t, newLink(t, cfg))
	for range 2 {
		if o := exchange(t, c, frame(t, simpleRow("a", 1))); o.Refusal != nil {
			t.Error(o.Refusal)
		}
	}
	if n := len(s.seen("/write")); n != 3 {
		t.Errorf("%d requests, want 3: only the first is tried with gzip", n)
	}
}

func TestOnlyAnEmpty204IsAnAck(t *testing.T) {
	html := "<html>\x00\x1b[31m Please log in " + strings.Repeat("x", 300)
	for name, answer := range map[string]http.HandlerFunc{
		"200 empty": status(200, ""),
		"200 JSON":  status(200, `{"code":"ok","message":"","errorId":"x"}`),
		"200 HTML":  status(200, html),
		"202":       status(202, ""),
		"404":       status(404, "Not Found"),
		"400 HTML":  status(400, html),
		"302": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/settings")
			w.WriteHeader(http.StatusFound)
		},
		"204 that announces a body": raw("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
		"204 chunked":               raw("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.write = answer
			r := exchange(t, connect(t, newLink(t, ilpConfig(s.URL))), frame(t, simpleRow("a", 1))).Refusal
			var foreign *link.NotQuestDBError
			if r == nil || r.Class != link.ServerState || !errors.As(r, &foreign) {
				t.Fatalf("refusal %v", r)
			}
			if len(foreign.Excerpt) > 110 || strings.ContainsAny(r.Error(), "\x00\x1b\n") {
				t.Errorf("excerpt %q", foreign.Excerpt)
			}
			if n := len(s.seen("/settings")); n != 1 {
				t.Errorf("the redirect was followed")
			}
		})
	}
}

// raw writes a response that net/http would not write, and hangs up.
func raw(response string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, response)
	}
}

func TestQuestDBs204WithoutLengthIsAnAck(t *testing.T) {
	s := newServer(t)
	s.write = raw("HTTP/1.1 204 OK\r\nServer: questDB/1.0\r\n\r\n")
	if o := exchange(t, connect(t, newLink(t, ilpConfig(s.URL))), frame(t, simpleRow("a", 1))); o.Refusal != nil {
		t.Error(o.Refusal)
	}
}

func TestRefusedLineIsNamed(t *testing.T) {
	s := newServer(t)
	s.write = status(400, refusal400)
	c := connect(t, newLink(t, ilpConfig(s.URL)))
	r := exchange(t, c, frame(t, simpleRow("a", 1), simpleRow("b", 2))).Refusal
	if r == nil || r.Class != link.RowFault || r.Line != 2 || r.Column != "v" || r.HTTPStatus != 400 {
		t.Fatalf("%+v", r)
	}
	if strings.Contains(r.Message, "\n") {
		t.Errorf("message has lines: %q", r.Message)
	}
	if r := exchange(t, c, frame(t, simpleRow("a", 1))).Refusal; r.Line != 0 {
		t.Errorf("line %d of a request of one line", r.Line)
	}
}

func TestRequestIsFullAtItsTarget(t *testing.T) {
	s := newServer(t)
	cfg := ilpConfig(s.URL)
	cfg.MaxRequestBytes = 60
	c := connect(t, newLink(t, cfg))
	v := frame(t, simpleRow("a", 1)) // 34 bytes a line
	add(t, c, v)
	add(t, c, v)
	if err := c.Add(v, qwp.WholeMessage); !errors.Is(err, link.ErrRequestFull) {
		t.Errorf("third Add: %v", err)
	}
	send(t, c)
	recv(t, c)
	add(t, c, v)
	if n := strings.Count(s.seen("/write")[0].body, "\n"); n != 2 {
		t.Errorf("%d lines sent, want 2", n)
	}
}

func TestPartThatNeedsSplittingLeavesTheRequestAlone(t *testing.T) {
	s := newServer(t)
	cfg := ilpConfig(s.URL)
	cfg.MaxRequestBytes = 60
	c := connect(t, newLink(t, cfg))
	var rows []*qwp.Row
	for i := range 100 {
		rows = append(rows, simpleRow("a", int64(i)))
	}
	large := frame(t, rows...)
	var tooLarge *link.TooLargeError
	if err := c.Add(large, qwp.WholeMessage); !errors.As(err, &tooLarge) || tooLarge.Limit != 60*link.HardCapFactor {
		t.Fatalf("Add: %v", err)
	}
	add(t, c, frame(t, simpleRow("b", 1)))
	if err := c.Add(large, qwp.WholeMessage); !errors.Is(err, link.ErrRequestFull) {
		t.Errorf("Add to a request with rows: %v", err)
	}
	huge := frame(t, simpleRow(strings.Repeat("x", 1000), 1))
	send(t, c)
	recv(t, c)
	add(t, c, huge) // one row cannot be split
	if got := s.seen("/write")[0].body; got != "cpu,host=b v=1i 1700000000000001t\n" {
		t.Errorf("sent %q", got)
	}
}

func TestAddWithAppendsTheRowID(t *testing.T) {
	s := newServer(t)
	c := connect(t, newLink(t, ilpConfig(s.URL)))
	ids := func(_ *qwp.Table, first, last int) (string, []int64) {
		list := make([]int64, 0, last-first)
		for i := first; i < last; i++ {
			list = append(list, int64(100+i))
		}
		return "sf_row_id", list
	}
	v := frame(t, simpleRow("a", 1), simpleRow("a", 2), simpleRow("a", 3))
	if err := c.AddWith(v, qwp.Part{Table: 0, First: 1, Last: 3}, ids); err != nil {
		t.Fatal(err)
	}
	send(t, c)
	want := "cpu,host=a v=2i,sf_row_id=101i 1700000000000002t\ncpu,host=a v=3i,sf_row_id=102i 1700000000000003t\n"
	if got := s.seen("/write")[0].body; got != want {
		t.Errorf("sent %q", got)
	}
}

func TestILPBreaksAreErrorsThatEndTheConnection(t *testing.T) {
	s := newServer(t)
	s.write = raw("HTTP/1.1 400 Bad")
	c := connect(t, newLink(t, ilpConfig(s.URL)))
	add(t, c, frame(t, simpleRow("a", 1)))
	var lost *link.LostError
	if _, err := c.Send(context.Background()); !errors.As(err, &lost) {
		t.Fatalf("Send: %v", err)
	}
	if _, err := c.Recv(context.Background()); !errors.As(err, &lost) {
		t.Errorf("Recv: %v", err)
	}
	if err := c.Add(frame(t, simpleRow("a", 1)), qwp.WholeMessage); !errors.As(err, &lost) {
		t.Errorf("Add: %v", err)
	}
}

func TestServerThatNeverAnswersIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipeNet(t)
		s := newHandler()
		s.write = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		net.serve(s)
		cfg := ilpConfig("http://h")
		cfg.Dial = net.dial
		cfg.RequestTimeout, cfg.RequestMinThroughput = 30*time.Second, 1
		c := connect(t, newLink(t, cfg))
		add(t, c, frame(t, simpleRow("a", 1)))
		begin := time.Now()
		_, err := c.Send(context.Background())
		var timeout *link.TimeoutError
		if !errors.As(err, &timeout) {
			t.Fatalf("Send: %v", err)
		}
		if waited := time.Since(begin); waited < 60*time.Second || waited > 300*time.Second {
			t.Errorf("waited %v: 30 s and one for each compressed byte", waited)
		}
		_ = c.Close()
	})
}

func TestCloseUnblocksILP(t *testing.T) {
	s := newServer(t)
	arrived := make(chan struct{})
	s.write = func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}
	c := connect(t, newLink(t, ilpConfig(s.URL)))
	add(t, c, frame(t, simpleRow("a", 1)))
	results := make(chan error, 2)
	go func() { _, err := c.Send(context.Background()); results <- err }()
	go func() { _, err := c.Recv(context.Background()); results <- err }()
	<-arrived
	_ = c.Close()
	for range 2 {
		if err := <-results; !errors.Is(err, link.ErrClosed) {
			t.Errorf("unblocked with %v", err)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if _, err := c.Send(context.Background()); !errors.Is(err, link.ErrClosed) {
		t.Errorf("Send after Close: %v", err)
	}
}

func TestEndedContextBeforeSendChangesNothing(t *testing.T) {
	s := newServer(t)
	c := connect(t, newLink(t, ilpConfig(s.URL)))
	if _, err := c.Send(context.Background()); !errors.Is(err, link.ErrEmptyRequest) {
		t.Errorf("Send of nothing: %v", err)
	}
	add(t, c, frame(t, simpleRow("a", 1)))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Send(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Send: %v", err)
	}
	if _, err := c.Recv(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Recv: %v", err)
	}
	send(t, c)
	if o := recv(t, c); o.Refusal != nil {
		t.Error(o.Refusal)
	}
}

func TestIdleConnectionClosedByTheServerIsReplacedUnseen(t *testing.T) {
	s := newServer(t)
	c := connect(t, newLink(t, ilpConfig(s.URL)))
	exchange(t, c, frame(t, simpleRow("a", 1)))
	s.CloseClientConnections()
	for i := range 3 {
		add(t, c, frame(t, simpleRow("a", int64(i))))
		if _, err := c.Send(context.Background()); err != nil {
			// The close and the request may cross: then it is a lost connection.
			var lost *link.LostError
			if !errors.As(err, &lost) {
				t.Error(err)
			}
			return
		}
		recv(t, c)
	}
}

func ExampleRefusal() {
	r := link.Classify(400, []byte(refusal400))
	fmt.Println(r.Class, r.Line, r.Column)
	// Output: row's fault 2 v
}
