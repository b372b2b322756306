// SPDX-License-Identifier: MIT

package link_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

const settingsQWP = `{"config":{"release.version":"10.0.0","ilp.proto.transports":["tcp","http","qwp"]}}`

func role(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if name != "" {
			w.Header().Set("X-QuestDB-Role", name)
		}
		w.WriteHeader(http.StatusMisdirectedRequest)
	}
}

func TestAutoTakesWhatTheServerOffers(t *testing.T) {
	for name, tc := range map[string]struct {
		upgrade, settings http.HandlerFunc
		want              link.Transport // 0: an error that contains text
		text              string
	}{
		"101":                        {speakQWP(hear, nil), nil, link.QWP, ""},
		"404, settings of 9.3.4":     {http.NotFound, nil, link.ILP, ""},
		"404, no settings":           {http.NotFound, http.NotFound, link.ILP, ""},
		"404, settings unreadable":   {http.NotFound, status(200, "<html>"), link.ILP, ""},
		"400":                        {status(400, ""), nil, link.ILP, ""},
		"502 for the upgrade only":   {status(502, ""), nil, link.ILP, ""},
		"connection cut, settings":   {raw("HTT"), nil, link.ILP, ""},
		"404, settings offer QWP":    {http.NotFound, status(200, settingsQWP), 0, "offers QWP, but the upgrade failed: HTTP 404"},
		"404, QWP is switched off":   {http.NotFound, status(200, `{"config":{"qwp.enabled":false}}`), link.ILP, ""},
		"404, old settings name QWP": {http.NotFound, status(200, `{"qwp.max.version":1}`), 0, "offers QWP"},
		"503 for all":                {status(503, ""), status(503, ""), 0, "HTTP 503 from /settings"},
		"401":                        {status(401, ""), nil, 0, "refused the credentials (HTTP 401)"},
		"403":                        {status(403, ""), nil, 0, "refused the credentials (HTTP 403)"},
		"401 at settings":            {http.NotFound, status(401, ""), 0, "refused the credentials (HTTP 401)"},
		"421 replica":                {role("REPLICA"), nil, 0, "role REPLICA"},
		"421 without role":           {role(""), nil, 0, "no role given"},
		"421 at settings":            {http.NotFound, role("REPLICA"), 0, "role REPLICA"},
		"no version":                 {speakQWP(hear, map[string]string{"X-Qwp-Version": ""}), nil, 0, "without X-QWP-Version"},
		"version 2":                  {speakQWP(hear, map[string]string{"X-Qwp-Version": "2"}), nil, 0, `version "2"`},
		"101 of something else":      {raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n"), nil, 0, "bad handshake"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.upgrade = tc.upgrade
			if tc.settings != nil {
				s.settings = tc.settings
			}
			c, err := newLink(t, config(s.URL)).Connect(context.Background())
			if tc.want == 0 {
				if err == nil || !strings.Contains(err.Error(), tc.text) || !strings.Contains(err.Error(), s.host()) {
					t.Fatalf("Connect: %v, want %q", err, tc.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if c.Transport() != tc.want || c.Host() != s.host() {
				t.Errorf("%v at %s", c.Transport(), c.Host())
			}
		})
	}
}

func (s *server) host() string { return s.Listener.Addr().String() }

func TestRefusedDialIsNotTakenForILP(t *testing.T) {
	s := newServer(t)
	s.Close()
	_, err := newLink(t, config(s.URL)).Connect(context.Background())
	var failed *link.ConnectError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Connect: %v", err)
	}
}

func TestWebSocketURLsNeverFallBack(t *testing.T) {
	s := newServer(t)
	_, err := newLink(t, config("ws"+strings.TrimPrefix(s.URL, "http"))).Connect(context.Background())
	if err == nil || !strings.Contains(err.Error(), "HTTP 404 instead of the upgrade") {
		t.Errorf("Connect: %v", err)
	}
	if n := len(s.seen("/settings")); n != 0 {
		t.Error("settings were asked for")
	}
}

func TestUpgradeCarriesTheHeadersOfTheSpecification(t *testing.T) {
	s := newServer(t)
	s.upgrade = speakQWP(hear, nil)
	cfg := config(s.URL + "/db")
	cfg.Auth = func() (link.Auth, error) { return link.Auth{Token: "tok"}, nil }
	connect(t, newLink(t, cfg))
	r := s.seen("/write/v4")[0]
	for key, want := range map[string]string{
		"X-QWP-Max-Version": "1", "X-QWP-Client-Id": "questdb_sf/test",
		"Authorization": "Bearer tok", "Origin": "",
	} {
		if got := r.header.Get(key); got != want {
			t.Errorf("%s: %q, want %q", key, got, want)
		}
	}
	if r.path != "/db/write/v4" {
		t.Errorf("path %q", r.path)
	}
}

func TestILPIsRememberedForTenMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := newPipeNet(t)
		s := newHandler()
		net.serve(s)
		cfg := config("http://h")
		cfg.Dial = net.dial
		l := newLink(t, cfg)
		first := connect(t, l)
		second := connect(t, l)
		if n := len(s.seen("/write/v4")); n != 1 {
			t.Errorf("asked for QWP %d times, want once", n)
		}
		exchange(t, first, frame(t, simpleRow("a", 1)))
		time.Sleep(10*time.Minute + time.Second)
		for _, c := range []link.Conn{first, second} {
			if err := c.Add(frame(t, simpleRow("a", 1)), qwp.WholeMessage); !errors.Is(err, link.ErrReconnect) {
				t.Errorf("Add after ten minutes: %v", err)
			}
			_ = c.Close()
		}
		s.upgrade = speakQWP(hear, nil)
		third := connect(t, l)
		if third.Transport() != link.QWP {
			t.Errorf("upgraded server is spoken to over %v", third.Transport())
		}
		_ = third.Close()
	})
}

func TestQWPIsAskedForAgainAfterAnOutage(t *testing.T) {
	s := newServer(t)
	l := newLink(t, config(s.URL))
	c := connect(t, l)
	s.write = raw("HTT")
	add(t, c, frame(t, simpleRow("a", 1)))
	if _, err := c.Send(context.Background()); err == nil {
		t.Fatal("broken answer is no error")
	}
	s.upgrade = speakQWP(hear, nil)
	if c := connect(t, l); c.Transport() != link.QWP {
		t.Errorf("after the outage: %v", c.Transport())
	}
}

func TestWhatAPortalSaysOfAHostIsNotRemembered(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"page": status(200, "<html>log in</html>"), "redirect": http.RedirectHandler("/login", http.StatusFound).ServeHTTP, "404": http.NotFound,
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.settings, s.write = answer, answer
			l := newLink(t, config(s.URL))
			if o := exchange(t, connect(t, l), frame(t, simpleRow("a", 1))); o.Refusal == nil {
				t.Fatal("the portal's answer is an ack")
			}
			s.upgrade = speakQWP(hear, nil)
			if c := connect(t, l); c.Transport() != link.QWP {
				t.Errorf("behind the portal: %v", c.Transport())
			}
		})
	}
}

func TestRoundTriesTheBestKnownHostFirst(t *testing.T) {
	replica, catchup, good := newServer(t), newServer(t), newServer(t)
	replica.upgrade, catchup.upgrade, good.upgrade = role("REPLICA"), role("PRIMARY_CATCHUP"), speakQWP(hear, nil)
	dead := newServer(t)
	dead.Close()
	cfg := config(replica.URL, dead.URL, catchup.URL, good.URL)
	l := newLink(t, cfg)
	if c := connect(t, l); c.Host() != good.host() {
		t.Fatalf("bound to %s", c.Host())
	}
	good.upgrade = status(401, "")
	var auth *link.AuthError
	if _, err := l.Connect(context.Background()); !errors.As(err, &auth) || auth.Host != good.host() {
		t.Errorf("the good host was not tried first: %v", err)
	}
	good.upgrade = role("REPLICA")
	_, err := l.Connect(context.Background())
	var round *link.RoundError
	if !errors.As(err, &round) || len(round.Errs) != 4 {
		t.Fatalf("Connect: %v", err)
	}
	var order []string
	for _, e := range round.Errs {
		order = append(order, e.Error())
	}
	for i, want := range []string{good.host(), catchup.host(), dead.host(), replica.host()} {
		if !strings.Contains(order[i], want) {
			t.Errorf("attempt %d: %s, want %s", i+1, order[i], want)
		}
	}
	var roleErr *link.RoleError
	if !errors.As(err, &roleErr) {
		t.Error("RoleError is not found in the round's error")
	}
	catchup.upgrade = speakQWP(hear, nil)
	good.upgrade = speakQWP(hear, nil)
	if c := connect(t, l); c.Host() != catchup.host() {
		t.Errorf("after a failed round the order of the configuration counts, but bound to %s", c.Host())
	}
}

func TestReplicaThatRefusesWritesIsLeftForAnotherHost(t *testing.T) {
	replica, primary := newServer(t), newServer(t)
	replica.write = role("REPLICA")
	l := newLink(t, ilpConfig(replica.URL, primary.URL))
	c := connect(t, l)
	r := exchange(t, c, frame(t, simpleRow("a", 1))).Refusal
	if r == nil || r.Class != link.ServerState || r.HTTPStatus != 421 {
		t.Fatalf("refusal %v", r)
	}
	_ = c.Close()
	if c := connect(t, l); c.Host() != primary.host() {
		t.Errorf("bound to %s again", c.Host())
	}
}

func TestHostThatCatchesUpIsTriedBeforeOneThatOnlyReads(t *testing.T) {
	replica, catchup, dead := newServer(t), newServer(t), newServer(t)
	replica.write, catchup.write = role("REPLICA"), role("PRIMARY_CATCHUP")
	dead.Close()
	l := newLink(t, ilpConfig(replica.URL, dead.URL, catchup.URL))
	for i, want := range []string{replica.host(), catchup.host()} {
		c := connect(t, l)
		if o := exchange(t, c, frame(t, simpleRow("a", 1))); o.Refusal == nil || c.Host() != want {
			t.Fatalf("attempt %d: %v from %s, want %s", i, o.Refusal, c.Host(), want)
		}
		_ = c.Close()
	}
	catchup.write = status(http.StatusNoContent, "")
	c := connect(t, l)
	if o := exchange(t, c, frame(t, simpleRow("a", 1))); o.Refusal != nil || c.Host() != catchup.host() {
		t.Errorf("%v from %s", o.Refusal, c.Host())
	}
}

func TestHostThatIsNotWritableAnyMoreIsLeftForAnother(t *testing.T) {
	demoted, primary := newServer(t), newServer(t)
	demoted.upgrade = speakQWP(func(ws *websocket.Conn) {
		hearMessages(ws, 1)
		reply(ws, qwp.Response{Status: qwp.StatusNotWritable, Message: "replica"})
		hear(ws)
	}, nil)
	primary.upgrade = speakQWP(hear, nil)
	l := newLink(t, config(demoted.URL, primary.URL))
	c := connect(t, l)
	if o := exchange(t, c, frame(t, simpleRow("a", 1))); o.Refusal == nil || o.Refusal.Class != link.ServerState {
		t.Fatalf("outcome %+v", o)
	}
	_ = c.Close()
	if c := connect(t, l); c.Host() != primary.host() {
		t.Errorf("bound to %s again", c.Host())
	}
}

func TestCredentialsNeverShowInErrorsAndLogs(t *testing.T) {
	s := newServer(t)
	s.upgrade = status(401, "no")
	var log bytes.Buffer
	cfg := config(s.URL, "http://127.0.0.1:1")
	cfg.Auth = func() (link.Auth, error) { return link.Auth{Username: "joe", Password: "hunter2"}, nil }
	cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
	l := newLink(t, cfg)
	_, refused := l.Connect(context.Background())
	s.upgrade = http.NotFound
	s.write = status(403, `{"code":"unauthorised","message":"no","errorId":"1"}`)
	c := connect(t, l)
	denied := exchange(t, c, frame(t, simpleRow("a", 1))).Refusal
	if denied == nil || denied.Class != link.ServerState {
		t.Errorf("403: %v", denied)
	}
	s.Close()
	_, gone := l.Connect(context.Background())
	for _, text := range []string{refused.Error(), denied.Error(), gone.Error(), log.String()} {
		if strings.Contains(text, "hunter2") || strings.Contains(text, "am9l") {
			t.Errorf("shows a credential: %s", text)
		}
	}
	if n := strings.Count(log.String(), "transport in use"); n != 1 {
		t.Errorf("the transport was logged %d times:\n%s", n, log.String())
	}
}

func TestCredentialsThatCannotBeReadFailConnect(t *testing.T) {
	cfg := config("http://127.0.0.1:1")
	locked := errors.New("the store is locked")
	cfg.Auth = func() (link.Auth, error) { return link.Auth{}, locked }
	if _, err := newLink(t, cfg).Connect(context.Background()); !errors.Is(err, locked) {
		t.Errorf("Connect: %v", err)
	}
	cfg = config("https://127.0.0.1:1")
	cfg.TLS = func() (*tls.Config, error) { return nil, locked }
	if _, err := newLink(t, cfg).Connect(context.Background()); !errors.Is(err, locked) {
		t.Errorf("Connect: %v", err)
	}
}

func TestBothTransportsRunOverTLS(t *testing.T) {
	s := newHandler()
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	cfg := config(s.URL)
	if _, err := newLink(t, cfg).Connect(context.Background()); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("unknown certificate: %v", err)
	}
	cfg.TLS = func() (*tls.Config, error) {
		return s.Client().Transport.(*http.Transport).TLSClientConfig.Clone(), nil
	}
	if o := exchange(t, connect(t, newLink(t, cfg)), frame(t, simpleRow("a", 1))); o.Refusal != nil {
		t.Error(o.Refusal)
	}
	s.upgrade = speakQWP(hear, nil)
	if c := connect(t, newLink(t, cfg)); c.Transport() != link.QWP {
		t.Errorf("over TLS: %v", c.Transport())
	}
}

func TestHostThatConnectsButNeverAnswersIsATimeout(t *testing.T) {
	for _, how := range []link.Transport{link.Auto, link.QWP, link.ILP} {
		synctest.Test(t, func(t *testing.T) {
			network := newPipeNet(t)
			go func() {
				for {
					c, err := network.Accept()
					if err != nil {
						return
					}
					go swallow(c)
				}
			}()
			defer network.Close()
			cfg := config("http://h")
			cfg.Transport, cfg.Dial = how, network.dial
			_, err := newLink(t, cfg).Connect(context.Background())
			var timeout *link.TimeoutError
			if !errors.As(err, &timeout) || timeout.Host != "h:9000" {
				t.Errorf("%v: %v", how, err)
			}
		})
	}
}

func swallow(c net.Conn) {
	defer c.Close()
	buf := make([]byte, 1024)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

func TestEndedContextEndsTheRound(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	stopping := errors.New("stopping")
	cfg := config("http://one", "http://two")
	dials := 0
	cfg.Dial = func(context.Context, string, string) (net.Conn, error) {
		dials++
		cancel(stopping)
		return nil, errors.New("cancelled")
	}
	if _, err := newLink(t, cfg).Connect(ctx); !errors.Is(err, stopping) || dials != 1 {
		t.Errorf("%v after %d dials", err, dials)
	}
}

// QuestDB without TLS closes the connection when it reads a handshake.
func TestAServerThatHangsUpOnTLSIsAskedForHTTP(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 64<<10))
			_ = conn.Close()
		}
	})
	t.Cleanup(func() { _ = listener.Close(); ended.Wait() })
	for _, scheme := range []string{"https", "wss"} {
		l, err := link.New(link.Config{URLs: []string{scheme + "://" + listener.Addr().String()},
			Transport: link.Auto, Compression: link.CompressionAuto})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "does it speak https or wss") {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}
