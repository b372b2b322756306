// SPDX-License-Identifier: MIT

package sender_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// author makes the slot of another client: one segment of frames that bring only
// their new symbols, and no .symbol-dict, for the frames have it all.
type author struct {
	testing.TB
	conn   qwp.ConnDict
	frames [][]byte
	next   int64
}

// frame adds a frame of rows with ids that go on; deferred waits for a later one.
func (c *author) frame(deferred bool, symbols ...string) {
	c.Helper()
	c.frameIn("t", deferred, symbols...)
}

// frameIn is frame for another table.
func (c *author) frameIn(table string, deferred bool, symbols ...string) {
	c.Helper()
	build := qwp.NewBuilder(64 << 20)
	for _, s := range symbols {
		var r qwp.Row
		r.Reset(table)
		r.Symbol("s", s)
		r.Long("id", c.next)
		r.At(1700000000000000 + c.next)
		c.next++
		if err := build.Add(&r); err != nil {
			c.Fatal(err)
		}
	}
	var view qwp.View
	if err := view.Parse(build.AppendFrame(nil), nil); err != nil {
		c.Fatal(err)
	}
	msg := c.conn.AppendMessage(nil, &view, qwp.WholeMessage)
	c.conn.Commit()
	c.add(deferred, msg)
}

// commit adds a frame without rows.
func (c *author) commit() {
	msg := append([]byte("QWP1"), 1, qwp.FlagDeltaDict, 0, 0, 0, 0, 0, 0)
	msg = append(binary.AppendUvarint(msg, uint64(c.conn.Len())), 0)
	binary.LittleEndian.PutUint32(msg[8:], uint32(len(msg)-12))
	c.add(false, msg)
}

func (c *author) add(deferred bool, msg []byte) {
	if deferred {
		msg[5] |= qwp.FlagDeferCommit
	}
	c.frames = append(c.frames, msg)
}

// open writes the slot and opens it.
func (c *author) open() *slot.Foreign {
	c.Helper()
	b := append([]byte("SF01"), 1, 0, 0, 0)
	b = append(b, make([]byte, 16)...)
	for _, f := range c.frames {
		head := binary.LittleEndian.AppendUint32(nil, uint32(len(f)))
		b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(append(head, f...), crc32.MakeTable(crc32.Castagnoli)))
		b = append(append(b, head...), f...)
	}
	dir := c.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "sf-initial.sfa"), append(b, make([]byte, 64)...), 0o600); err != nil {
		c.Fatal(err)
	}
	s, err := slot.OpenForeign(slot.Options{Dir: dir})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = s.Close() })
	return s
}

// forward starts a sender for a slot over a real link.
func forward(t testing.TB, s sender.Store, url string, transport link.Transport, log *slog.Logger) *sender.Sender {
	t.Helper()
	return forwardWith(t, sender.Config{Slot: s, Log: log}, url, transport)
}

// forwardWith is forward with what cfg has of Slot, Tables, Voice and Log.
func forwardWith(t testing.TB, cfg sender.Config, url string, transport link.Transport) *sender.Sender {
	t.Helper()
	l, err := link.New(link.Config{
		URLs: []string{url}, Transport: transport, Compression: link.CompressionNone, MaxRequestBytes: 200,
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg.Rand = func() float64 { return 1 }
	cfg.InitialBackoff, cfg.MaxBackoff = time.Millisecond, 20*time.Millisecond
	cfg.Link = link.NewBudget(link.BudgetConfig{
		Connect: l.Connect, Max: 1, Idle: time.Minute, InitialBackoff: cfg.InitialBackoff, MaxBackoff: cfg.MaxBackoff, Rand: cfg.Rand,
	})
	loop := sender.Start(cfg)
	t.Cleanup(loop.Stop)
	return loop
}

func drain(t testing.TB, loop *sender.Sender) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := loop.Drain(ctx); err != nil {
		t.Fatalf("%v; %+v", err, loop.State())
	}
}

func qwpServer(t testing.TB, script ...qwpserver.Fault) *qwpserver.Server {
	t.Helper()
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	srv.Script(script...)
	return srv
}

// rows returns what a server has as "id=symbol", in the order of arrival.
func rows(srv *qwpserver.Server) []string {
	var list []string
	for _, r := range srv.Rows("t") {
		list = append(list, fmt.Sprintf("%d=%s", r.Values["id"], r.Values["s"]))
	}
	return list
}

// group adds n frames, of which only the last commits.
func (c *author) group(n int, symbol func(i int) string) (want []string) {
	for i := range n {
		want = append(want, fmt.Sprintf("%d=%s", c.next, symbol(i)))
		c.frame(i < n-1, symbol(i))
	}
	return want
}

func turns(i int) string { return "s" + strconv.Itoa(i%7) }

func TestADeferredGroupGoesOutAsOneHoweverManyFramesItHas(t *testing.T) {
	for _, n := range []int{2, 64, 65, 300} {
		c := &author{TB: t}
		c.frame(false, "before")
		want := append([]string{"0=before"}, c.group(n, turns)...)
		want = append(want, c.group(3, turns)...)
		srv := qwpServer(t)
		s := c.open()
		loop := forward(t, s, srv.URL(), link.QWP, nil)
		drain(t, loop)
		if got := rows(srv); !slices.Equal(got, want) {
			t.Errorf("%d frames: the server has %q", n, got)
		}
		if st := s.Stats(); st.Acked != int64(n+4) || st.PendingFrames != 0 || loop.State().Connects != 1 {
			t.Errorf("%d frames: %+v after %d connects", n, st, loop.State().Connects)
		}
	}
}

func TestAConnectionCutInsideAGroupBringsNoRowTwice(t *testing.T) {
	for _, at := range []int64{0, 1, 40, 78} {
		c := &author{TB: t}
		want := c.group(80, turns)
		settledInGroup := false
		var s *slot.Foreign
		srv := qwpServer(t, qwpserver.Cut().When(func(f *qwpserver.Frame) bool {
			settledInGroup = settledInGroup || f.Deferred && s.Stats().Acked > 0
			return f.Deferred && f.Seq == at
		}))
		s = c.open()
		loop := forward(t, s, srv.URL(), link.QWP, nil)
		drain(t, loop)
		if got := rows(srv); !slices.Equal(got, want) {
			t.Errorf("cut at %d: the server has %q", at, got)
		}
		if st := loop.State(); st.Connects != 2 || settledInGroup {
			t.Errorf("cut at %d: %d connects, settled inside %t", at, st.Connects, settledInGroup)
		}
	}
}

func TestARefusalInsideAGroupReplaysItWhole(t *testing.T) {
	c := &author{TB: t}
	want := c.group(100, turns)
	srv := qwpServer(t, qwpserver.Reject(qwp.StatusInternalError, "disk full").When(qwpserver.Seq(30)))
	s := c.open()
	loop := forward(t, s, srv.URL(), link.QWP, nil)
	drain(t, loop)
	if got := rows(srv); !slices.Equal(got, want) || loop.State().Refusals != 1 {
		t.Errorf("the server has %q, %+v", got, loop.State())
	}
}

func TestAnUnfinishedGroupIsNotSent(t *testing.T) {
	c := &author{TB: t}
	want := c.group(3, turns)
	c.frame(true, "never")
	srv := qwpServer(t)
	s := c.open()
	loop := forward(t, s, srv.URL(), link.QWP, nil)
	drain(t, loop)
	loop.Stop()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if got := rows(srv); !slices.Equal(got, want) || srv.State().Messages != 3 {
		t.Errorf("the server has %q of %d messages", got, srv.State().Messages)
	}
	if left, err := filepath.Glob(filepath.Join(s.Dir(), "*.sfa")); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestAGroupMayEndWithAFrameWithoutRows(t *testing.T) {
	c := &author{TB: t}
	c.commit()
	c.frame(true, "a", "b")
	c.frame(true, "c")
	c.commit()
	want := []string{"0=a", "1=b", "2=c"}
	t.Run("QWP", func(t *testing.T) {
		srv := qwpServer(t)
		s := c.open()
		drain(t, forward(t, s, srv.URL(), link.QWP, nil))
		if got := rows(srv); !slices.Equal(got, want) || s.Stats().Watermark != 3 {
			t.Errorf("the server has %q, %+v", got, s.Stats())
		}
	})
	t.Run("ILP", func(t *testing.T) {
		srv := newILPServer(t)
		s := c.open()
		drain(t, forward(t, s, srv.URL, link.ILP, nil))
		if got := srv.rows(); !slices.Equal(got, want) || s.Stats().Watermark != 3 {
			t.Errorf("the server has %q, %+v", got, s.Stats())
		}
	})
}

func TestDrainWaitsForFramesWithoutRows(t *testing.T) {
	c := &author{TB: t}
	c.commit()
	srv := qwpServer(t)
	s := c.open()
	drain(t, forward(t, s, srv.URL(), link.QWP, nil))
	if st := s.Stats(); st.PendingFrames != 0 || srv.State().Messages != 1 {
		t.Errorf("%+v after %d messages", st, srv.State().Messages)
	}
	ilp := newILPServer(t)
	s = c.open()
	drain(t, forward(t, s, ilp.URL, link.ILP, nil))
	if st := s.Stats(); st.PendingFrames != 0 || ilp.requests != 0 {
		t.Errorf("%+v after %d requests", st, ilp.requests)
	}
}

// ilpServer takes line protocol and fails the requests with some numbers.
type ilpServer struct {
	*httptest.Server
	mu       sync.Mutex
	lines    []string
	requests int
	fail     map[int]bool
}

func newILPServer(t testing.TB) *ilpServer {
	s := &ilpServer{fail: map[int]bool{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *ilpServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/write" {
		_, _ = io.WriteString(w, `{"config":{"release.version":"9.3.4","ilp.proto.transports":["http"]},"preferences":{}}`)
		return
	}
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	if s.fail[s.requests] {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	for line := range strings.Lines(string(body)) {
		s.lines = append(s.lines, line)
	}
	w.Header().Set("Server", "questDB/1.0")
	w.WriteHeader(http.StatusNoContent)
}

// rows returns "id=symbol" of "t,s=<symbol> id=<id>i <time>".
func (s *ilpServer) rows() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, line := range s.lines {
		f := strings.Fields(line)
		list = append(list, strings.TrimSuffix(f[1][len("id="):], "i")+"="+f[0][len("t,s="):])
	}
	return list
}

func TestOverILPAGroupIsSettledAsItsRequestsAre(t *testing.T) {
	c := &author{TB: t}
	want := c.group(100, turns)
	srv := newILPServer(t)
	srv.fail[3] = true
	s := c.open()
	loop := forward(t, s, srv.URL, link.ILP, nil)
	drain(t, loop)
	if got := srv.rows(); !slices.Equal(got, want) || srv.requests < 10 {
		t.Errorf("the server has %q of %d requests", got, srv.requests)
	}
	if st := loop.State(); st.Refusals != 1 || s.Stats().Acked != 100 {
		t.Errorf("%+v, %+v", st, s.Stats())
	}
}

// TestAGroupThatFillsTheDictionaryOfAConnectionIsSplit has more strings in one
// group than a connection takes: whole it would be sent again for ever.
func TestAGroupThatFillsTheDictionaryOfAConnectionIsSplit(t *testing.T) {
	c := &author{TB: t}
	const frames, each = 5, 40_000
	for i := range frames {
		symbols := make([]string, each)
		for k := range symbols {
			symbols[k] = fmt.Sprintf("%d.%d", i, k)
		}
		c.frame(i < frames-1, symbols...)
	}
	var log bytes.Buffer
	srv, err := qwpserver.Start(qwpserver.Options{KeepRows: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	s := c.open()
	loop := forward(t, s, srv.URL(), link.QWP, slog.New(slog.NewTextHandler(&log, nil)))
	drain(t, loop)
	loop.Stop()
	if n := srv.Total(); n != frames*each || s.Stats().Acked != frames*each {
		t.Errorf("the server has %d rows, %+v", n, s.Stats())
	}
	if !strings.Contains(log.String(), "one by one") {
		t.Errorf("it is not said: %s", log.String())
	}
}
