// SPDX-License-Identifier: MIT

package link_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/testutil/netem"
)

// named answers with QuestDB's name in the headers, as QuestDB does.
func named(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "questDB/1.0")
		next(w, r)
	}
}

// closing announces the end of the connection with its answer.
func closing(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		next(w, r)
	}
}

func TestA204IsAnAckOnlyFromWhoProvesToBeQuestDB(t *testing.T) {
	settings, empty := status(200, settings934), status(204, "")
	for name, tc := range map[string]struct {
		settings, write http.HandlerFunc
		taken           int // of two writes, the first
		asked           int // for /settings
	}{
		"QuestDB":                                  {named(settings), named(empty), 2, 1},
		"QuestDB without /settings":                {named(http.NotFound), named(empty), 2, 1},
		"gateway with a name of its own":           {settings, empty, 2, 1},
		"gateway that closes each time":            {closing(settings), closing(empty), 2, 3},
		"gateway to a QuestDB before 8":            {status(200, `{"release.version":"7.3.10"}`), empty, 2, 1},
		"204 to everything":                        {empty, empty, 0, 3},
		"204 to everything, then close":            {closing(empty), closing(empty), 0, 3},
		"page and 204":                             {status(200, "<html>"), empty, 0, 3},
		"JSON of another program and 204":          {status(200, `{"config":{"version":1}}`), empty, 0, 3},
		"name at /settings and none at the write":  {named(settings), empty, 0, 1},
		"another name that begins like QuestDB's":  {empty, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Server", "quest"); empty(w, r) }, 0, 3},
		"gateway whose /settings is for the admin": {status(404, ""), empty, 0, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.settings, s.write = tc.settings, tc.write
			c := connect(t, newLink(t, ilpConfig(s.URL)))
			for i := range 2 {
				r := exchange(t, c, frame(t, simpleRow("a", 1))).Refusal
				var foreign *link.NotQuestDBError
				if (i < tc.taken) != (r == nil) || r != nil && (r.Class != link.ServerState || !errors.As(r, &foreign)) {
					t.Errorf("refusal %v", r)
				}
			}
			if n := len(s.seen("/settings")); n != tc.asked {
				t.Errorf("/settings was asked for %d times, want %d", n, tc.asked)
			}
		})
	}
}

// net/http connects anew by itself when an idle connection is gone; who answers then
// may be another.
func TestAStrangerWhoComesBetweenTwoWritesTakesNothing(t *testing.T) {
	for name, tc := range map[string]struct{ settings, write, stranger http.HandlerFunc }{
		"after QuestDB":   {named(status(200, settings934)), named(status(204, "")), status(204, "")},
		"after a gateway": {status(200, settings934), status(204, ""), status(204, "")},
		"and closes": {status(200, settings934), status(204, ""), func(w http.ResponseWriter, r *http.Request) {
			netem.Raw("HTTP/1.1 204 No Content\r\n\r\n").ServeHTTP(w, r)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t)
			s.settings, s.write = tc.settings, tc.write
			net := startNet(t, s.host(), netem.Settings{})
			c := connect(t, newLink(t, ilpConfig(net.URL())))
			if o := exchange(t, c, frame(t, simpleRow("a", 1))); o.Refusal != nil {
				t.Fatal(o.Refusal)
			}
			net.Set(func(n *netem.Settings) { n.Answer = tc.stranger })
			add(t, c, frame(t, simpleRow("a", 2)))
			if _, err := c.Send(t.Context()); err == nil {
				r := recv(t, c).Refusal
				if r == nil || !strings.Contains(r.Error(), "HTTP 204") {
					t.Errorf("refusal %v", r)
				}
			}
			if n := len(s.seen("/write")); n != 1 {
				t.Errorf("%d writes reached QuestDB", n)
			}
		})
	}
}

// A question over a connection of rows begins with a write of none, and may be the
// first to meet who answers now.
func TestQWPIsAskedForAgainWhenAQuestionMeetsAnother(t *testing.T) {
	s := newServer(t)
	l := newLink(t, config(s.URL))
	c := connect(t, l)
	s.write, s.upgrade = http.NotFound, speakQWP(hear, nil)
	var foreign *link.NotQuestDBError
	if _, err := l.Get(t.Context(), s.host(), "/exec"); !errors.As(err, &foreign) {
		t.Fatal(err)
	}
	_ = c.Close()
	if c := connect(t, l); c.Transport() != link.QWP {
		t.Errorf("the new server is spoken to over %v", c.Transport())
	}
}

func startNet(tb testing.TB, target string, s netem.Settings) *netem.Proxy {
	tb.Helper()
	p, err := netem.Start(target, s)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Close() })
	return p
}
