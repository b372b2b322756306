// SPDX-License-Identifier: MIT

package netem_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/testutil/netem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t testing.TB, target string, s netem.Settings) *netem.Proxy {
	t.Helper()
	p, err := netem.Start(target, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// serve runs talk for each connection and returns where.
func serve(t testing.TB, talk func(c *net.TCPConn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer c.Close()
				talk(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// echo returns what it is sent, and ends when the client has.
func echo(c *net.TCPConn) { _, _ = io.Copy(c, c) }

func dial(t testing.TB, p *netem.Proxy) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// exchange sends text and expects it back.
func exchange(t testing.TB, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("%q came back as %q, %v", text, got, err)
	}
}

// silent fails if anything arrives for a while, the end included.
func silent(t testing.TB, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(60 * time.Millisecond))
	n, err := c.Read(make([]byte, 1))
	var late net.Error
	if n > 0 || !errors.As(err, &late) || !late.Timeout() {
		t.Errorf("%d bytes, %v", n, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
}

func isReset(t testing.TB, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ends with %v", err)
	}
}

// resetsAtOnce expects a reset of a new connection, which can be quicker than its
// dial.
func resetsAtOnce(t testing.TB, p *netem.Proxy) {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err == nil {
		defer c.Close()
		_, err = io.Copy(io.Discard, c)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the connection ends with %v", err)
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.New(rand.NewSource(1)).Read(b)
	return b
}

// sendAll sends b, ends its side and returns what comes back.
func sendAll(t testing.TB, c *net.TCPConn, b []byte) []byte {
	t.Helper()
	var sending sync.WaitGroup
	sending.Go(func() {
		_, _ = c.Write(b)
		_ = c.CloseWrite()
	})
	got, err := io.ReadAll(c)
	sending.Wait()
	if err != nil {
		t.Error(err)
	}
	return got
}

func TestANetworkWithoutTroublesChangesNothing(t *testing.T) {
	p := start(t, serve(t, echo), netem.Settings{})
	sent := random(4 << 20)
	if got := sendAll(t, dial(t, p), sent); sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Errorf("%d bytes of %d came back, or others", len(got), len(sent))
	}
	if s := p.Stats(); s.Up != int64(len(sent)) || s.Down != s.Up || s.Total() != 1 || s.Peak != 1 {
		t.Errorf("%+v", s)
	}
}

func TestHTTPThroughAGoodNetworkIsWhatItIsWithoutOne(t *testing.T) {
	var heard []string
	var mu sync.Mutex
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var b strings.Builder
		_ = r.Write(&b)
		mu.Lock()
		heard = append(heard, b.String())
		mu.Unlock()
		w.Header().Set("Date", "today") // the one thing that may differ
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write(body)
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	p := start(t, host, netem.Settings{})
	request := "POST /write?x HTTP/1.1\r\nHost: db\r\nX-Odd:  a \r\nContent-Length: 5\r\n\r\nhello" +
		"GET /exec HTTP/1.1\r\nHost: db\r\nConnection: close\r\n\r\n"
	direct, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close()
	want := sendAll(t, direct.(*net.TCPConn), []byte(request))
	if got := sendAll(t, dial(t, p), []byte(request)); string(got) != string(want) || len(want) == 0 {
		t.Errorf("%q, and without a proxy %q", got, want)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(heard) != 4 || heard[0] != heard[2] || heard[1] != heard[3] {
		t.Errorf("the server heard %q", heard)
	}
}

func TestANarrowLinkIsSharedByItsConnections(t *testing.T) {
	t.Parallel()
	p := start(t, serve(t, echo), netem.Settings{Up: 200_000})
	began := time.Now()
	var all sync.WaitGroup
	for range 2 {
		c := dial(t, p)
		all.Go(func() {
			if n := len(sendAll(t, c, random(40_000))); n != 40_000 {
				t.Errorf("%d bytes came back", n)
			}
		})
	}
	all.Wait()
	if took := time.Since(began); took < 390*time.Millisecond || took > 2*time.Second {
		t.Errorf("80 kB at 200 kB/s took %v", took)
	}
}

func TestTheWayBackHasARateOfItsOwn(t *testing.T) {
	t.Parallel()
	p := start(t, serve(t, echo), netem.Settings{Down: 100_000})
	began := time.Now()
	sendAll(t, dial(t, p), random(30_000))
	if took := time.Since(began); took < 290*time.Millisecond || took > 2*time.Second {
		t.Errorf("30 kB at 100 kB/s took %v", took)
	}
}

func TestALongLinkCostsARoundTripAndNotOneForEachChunk(t *testing.T) {
	t.Parallel()
	p := start(t, serve(t, echo), netem.Settings{Delay: 150 * time.Millisecond})
	c := dial(t, p)
	began := time.Now()
	exchange(t, c, "hello")
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("a round trip took %v", took)
	}
	began = time.Now()
	sendAll(t, c, random(1<<20)) // 64 chunks and more
	if took := time.Since(began); took < 300*time.Millisecond || took > 2*time.Second {
		t.Errorf("a megabyte took %v", took)
	}
}

func TestJitterKeepsTheOrder(t *testing.T) {
	t.Parallel()
	p := start(t, serve(t, echo), netem.Settings{Delay: time.Millisecond, Jitter: 30 * time.Millisecond})
	c := dial(t, p)
	var got bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(&got, c) })
	sent := random(1000)
	for b := sent; len(b) > 0; b = b[50:] {
		_, _ = c.Write(b[:50])
		time.Sleep(2 * time.Millisecond)
	}
	_ = c.CloseWrite()
	reading.Wait()
	if !bytes.Equal(got.Bytes(), sent) {
		t.Error("the bytes came in another order")
	}
}

// pieces records the sizes of writes.
type pieces []int

func (p *pieces) Write(b []byte) (int, error) {
	*p = append(*p, len(b))
	return len(b), nil
}

func TestTinySegmentsCarryEverything(t *testing.T) {
	var sizes pieces
	if err := netem.WriteSplit(&sizes, make([]byte, 8), 3); err != nil || len(sizes) != 3 || sizes[2] != 2 {
		t.Errorf("%v, %v", sizes, err)
	}
	p := start(t, serve(t, echo), netem.Settings{Split: 7})
	sent := random(5000)
	if got := sendAll(t, dial(t, p), sent); !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d came back, or others", len(got), len(sent))
	}
}

func TestARateCountsTheBusiestWindow(t *testing.T) {
	from := time.Unix(1000, 0)
	var s netem.Stats
	for _, ms := range []int{0, 900, 1500, 1800, 9000, 10_000} {
		s.Connects = append(s.Connects, from.Add(time.Duration(ms)*time.Millisecond))
	}
	if peak, mean := s.Rate(time.Second, from, from.Add(10*time.Second)); peak != 3 || mean != 0.5 {
		t.Errorf("peak %d, mean %v", peak, mean)
	}
}
