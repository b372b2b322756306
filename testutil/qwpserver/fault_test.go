// SPDX-License-Identifier: MIT

package qwpserver_test

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestUpgradeIsRefusedAsTheScriptSays(t *testing.T) {
	b := start(t, qwpserver.Options{})
	b.Script(qwpserver.RefuseUpgrade(http.StatusServiceUnavailable).Times(2), qwpserver.RejectRole("REPLICA").Times(3))
	for _, want := range []int{503, 503, 421} {
		_, resp, err := b.dial()
		if err == nil || resp == nil || resp.StatusCode != want {
			t.Fatalf("answer %v (%v), want %d", resp, err, want)
		}
		if role := resp.Header.Get("X-QuestDB-Role"); want == 421 && role != "REPLICA" {
			t.Errorf("role is %q", role)
		}
	}
	b.Script()
	b.connect()
}

func TestVersionHeaderIsOddOrMissingAsTheScriptSays(t *testing.T) {
	b := start(t, qwpserver.Options{MaxBatchSize: 1000})
	for _, want := range []string{"7", "", "1"} {
		if want != "1" {
			b.Script(qwpserver.Version(want))
		}
		_, resp, err := b.dial()
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("X-QWP-Version"); got != want {
			t.Errorf("version %q, want %q", got, want)
		}
		if got := resp.Header.Get("X-QWP-Max-Batch-Size"); got != "1000" {
			t.Errorf("max batch size is %q", got)
		}
	}
}

func TestMessageOverTheBatchSizeClosesWith1009(t *testing.T) {
	b := start(t, qwpserver.Options{MaxBatchSize: 200})
	c := b.connect()
	c.send(long("t", 0, 0))
	c.until(0)
	c.send(point("t", 1, func(r *qwp.Row) { r.Varchar("s", strings.Repeat("x", 300)) }))
	if err := c.end(); !websocket.IsCloseError(err, websocket.CloseMessageTooBig) {
		t.Errorf("connection ended with %v", err)
	}
}

func TestCredentialsAreAskedFor(t *testing.T) {
	basic := "Basic YWRtaW46cXVlc3Q=" // admin:quest
	for _, c := range []struct {
		opts qwpserver.Options
		auth string
		want int
	}{
		{qwpserver.Options{User: "admin", Password: "quest"}, basic, 101},
		{qwpserver.Options{User: "admin", Password: "other"}, basic, 401},
		{qwpserver.Options{Token: "secret"}, "Bearer secret", 101},
		{qwpserver.Options{Token: "secret"}, basic, 401},
		{qwpserver.Options{Token: "secret"}, "", 401},
	} {
		b := start(t, c.opts)
		_, resp, _ := b.dial("Authorization", c.auth)
		if resp == nil || resp.StatusCode != c.want {
			t.Errorf("%+v with %q: %v, want %d", c.opts, c.auth, resp, c.want)
		}
		seen := b.Connections()
		if len(seen) != 1 || seen[0].Header.Get("X-QWP-Max-Version") != "1" || seen[0].Path != "/write/v4" {
			t.Errorf("seen %+v", seen)
		}
	}
}

func TestSilentUpgradeEndsWhenTheServerStops(t *testing.T) {
	b := start(t, qwpserver.Options{})
	b.Script(qwpserver.SilentUpgrade())
	failed := make(chan error, 1)
	go func() {
		_, _, err := b.dial()
		failed <- err
	}()
	b.wait(func(s *qwpserver.State) bool { return s.Attempts == 1 })
	b.Stop()
	if err := <-failed; err == nil {
		t.Error("the upgrade succeeded")
	}
}

func TestLostOKIsCoveredByTheNext(t *testing.T) {
	b := start(t, qwpserver.Options{})
	b.Script(qwpserver.LoseAck())
	c := b.connect()
	c.send(long("t", 0, 0))
	c.nothingMore()

	again := b.connect()
	b.Script(qwpserver.LoseAck())
	again.send(long("t", 1, 1))
	b.wait(func(s *qwpserver.State) bool { return s.Rows == 2 })
	again.send(long("t", 2, 2))
	if r := again.answer(); r.Sequence != 1 {
		t.Errorf("answer %+v, want the OK of 1", r)
	}
}

func TestRepeatedOKComesTwice(t *testing.T) {
	b := start(t, qwpserver.Options{})
	b.Script(qwpserver.RepeatAck())
	c := b.connect()
	c.send(long("t", 0, 0))
	if first, second := c.answer(), c.answer(); first.Sequence != 0 || second.Sequence != 0 {
		t.Errorf("answers %+v and %+v", first, second)
	}
	c.nothingMore()
}

func TestHeldOKsComeAfterTheRelease(t *testing.T) {
	b := start(t, qwpserver.Options{})
	release := make(chan struct{})
	b.Script(qwpserver.HoldAcks(release))
	c := b.connect()
	for i := range int64(20) {
		c.send(long("t", i, i))
	}
	b.wait(func(s *qwpserver.State) bool { return s.Rows == 20 })
	close(release)
	if r := c.answer(); r.Sequence != 19 {
		t.Errorf("answer %+v, want the OK of 19", r)
	}
}

func TestDelayedOKsComeByThemselves(t *testing.T) {
	b := start(t, qwpserver.Options{})
	b.Script(qwpserver.DelayAcks(time.Millisecond))
	c := b.connect()
	c.send(long("t", 0, 0))
	c.until(0)
}

func TestSilenceStoresAndAnswersNothingMore(t *testing.T) {
	b := start(t, qwpserver.Options{})
	b.Script(qwpserver.Silence().When(qwpserver.Table("bad")))
	c := b.connect()
	c.send(long("t", 0, 0))
	c.until(0)
	c.send(long("bad", 1, 1))
	c.send(long("t", 2, 2))
	c.nothingMore()
	if got := b.Total(); got != 1 {
		t.Errorf("%d rows, want 1", got)
	}
}

func TestStallAcknowledgesAllThatCameBefore(t *testing.T) {
	b := start(t, qwpserver.Options{})
	b.Script(qwpserver.Stall().When(qwpserver.Table("bad")))
	c := b.connect()
	for i := range int64(11) {
		c.send(long("t", i, i))
	}
	c.send(long("bad", 11, 11))
	c.until(10)
	c.send(long("t", 12, 12))
	c.nothingMore()
	if got := b.Total(); got != 11 {
		t.Errorf("%d rows, want 11", got)
	}
}

func TestCloseCodesReachTheClient(t *testing.T) {
	for name, c := range map[string]struct {
		fault qwpserver.Fault
		rows  int64
	}{
		"before": {qwpserver.CloseBefore(websocket.CloseGoingAway, "bye"), 1},
		"after":  {qwpserver.CloseAfter(websocket.CloseGoingAway, "bye"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, qwpserver.Options{})
			b.Script(c.fault.When(qwpserver.Number(1)))
			conn := b.connect()
			for i := range int64(3) {
				conn.send(long("t", i, i))
			}
			if err := conn.end(); !websocket.IsCloseError(err, websocket.CloseGoingAway) {
				t.Errorf("connection ended with %v", err)
			}
			if got := b.Total(); got != c.rows {
				t.Errorf("%d rows, want %d", got, c.rows)
			}
		})
	}
}

func TestConnectionIsCutWhereTheScriptSays(t *testing.T) {
	for name, c := range map[string]struct {
		fault qwpserver.Fault
		rows  int64
	}{
		"after a message":            {qwpserver.Cut(), 1},
		"in the OK":                  {qwpserver.CutAnswer(), 1},
		"in the middle of a message": {qwpserver.CutAfterBytes(20), 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, qwpserver.Options{})
			b.Script(c.fault)
			conn := b.connect()
			conn.send(long("t", 0, 0))
			err := conn.end()
			if websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway) || isTimeout(err) {
				t.Errorf("connection ended with %v", err)
			}
			b.wait(func(s *qwpserver.State) bool { return s.Open == 0 && s.Connections == 1 })
			if got := b.Total(); got != c.rows {
				t.Errorf("%d rows, want %d", got, c.rows)
			}
		})
	}
}

func isTimeout(err error) bool {
	var e net.Error
	return errors.As(err, &e) && e.Timeout()
}

func TestRejectionOnARowPoisonsEveryMessageThatHasIt(t *testing.T) {
	b := start(t, qwpserver.Options{})
	poison := qwpserver.HasRow(func(r *qwpserver.Row) bool { return r.Values["v"] == int64(13) })
	b.Script(qwpserver.Reject(qwp.StatusParseError, "poison").When(poison).Always())
	for range 3 {
		c := b.connect()
		c.send(long("t", 0, 1))
		c.send(long("t", 1, 13), long("t", 2, 2))
		c.until(0)
		if r := c.answer(); r.Status != qwp.StatusParseError || r.Sequence != 1 {
			t.Errorf("answer %+v", r)
		}
	}
	if s := b.State(); s.Refused != 3 || s.Accepted != 3 || s.Tables["t"] != 3 {
		t.Errorf("state %+v", s)
	}
}

func TestStoppedServerComesBackOnItsPortWithItsRows(t *testing.T) {
	b := start(t, qwpserver.Options{})
	c := b.connect()
	c.send(long("t", 0, 0))
	c.until(0)
	url := b.URL()
	b.Stop()
	b.Stop()
	if err := c.end(); isTimeout(err) {
		t.Error("the connection is still open")
	}
	if _, _, err := b.dial(); err == nil {
		t.Fatal("a stopped server answers")
	}
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	again := b.connect()
	again.send(long("t", 1, 1))
	again.until(0)
	if b.URL() != url || len(b.Rows("t")) != 2 {
		t.Errorf("%s has %d rows, want 2 at %s", b.URL(), len(b.Rows("t")), url)
	}
}

func TestSettingsTellTheTransports(t *testing.T) {
	b := start(t, qwpserver.Options{})
	if version, transports := settings(b); version != "10.0.0" || !slices.Contains(transports, "qwp") {
		t.Errorf("version %s, transports %v", version, transports)
	}
	b.Configure(func(o *qwpserver.Options) { o.NoQWP, o.Version = true, "9.3.4" })
	if version, transports := settings(b); version != "9.3.4" || slices.Contains(transports, "qwp") {
		t.Errorf("version %s, transports %v", version, transports)
	}
	if _, resp, _ := b.dial(); resp == nil || resp.StatusCode != http.StatusNotFound {
		t.Errorf("upgrade answers %v", resp)
	}
}

func settings(b *bed) (version string, transports []string) {
	b.Helper()
	var answer struct {
		Config struct {
			Version    string   `json:"release.version"`
			Transports []string `json:"ilp.proto.transports"`
		} `json:"config"`
	}
	status, body := b.request(http.MethodGet, "/settings")
	if err := json.Unmarshal(body, &answer); status != http.StatusOK || err != nil {
		b.Fatalf("status %d: %v", status, err)
	}
	return answer.Config.Version, answer.Config.Transports
}

func TestOtherPathsAreForTheFallback(t *testing.T) {
	b := start(t, qwpserver.Options{})
	if status, _ := b.request(http.MethodPost, "/write"); status != http.StatusNotFound {
		t.Errorf("status %d without a fallback", status)
	}
	b.Configure(func(o *qwpserver.Options) {
		o.Fallback = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	})
	if status, _ := b.request(http.MethodPost, "/write"); status != http.StatusNoContent {
		t.Errorf("status %d with a fallback", status)
	}
}

func (b *bed) request(method, path string) (status int, body []byte) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.ctx, method, b.URL()+path, nil)
	if err != nil {
		b.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp.StatusCode, body
}
