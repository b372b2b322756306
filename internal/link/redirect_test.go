// SPDX-License-Identifier: MIT

package link_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// Whoever redirects gets the credentials, and nobody else. QWP says no more than
// that the upgrade failed; no row goes to a place that the user did not name.
func TestRedirectsAreFollowedByNothing(t *testing.T) {
	var followed atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer elsewhere.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		redirect := http.RedirectHandler(elsewhere.URL, code).ServeHTTP
		s := newServer(t)
		s.settings, s.write, s.upgrade = redirect, redirect, redirect
		cfg := config(s.URL)
		cfg.Auth = func() (link.Auth, error) { return link.Auth{Token: "tok"}, nil }
		o := exchange(t, connect(t, newLink(t, cfg)), frame(t, simpleRow("a", 1)))
		if o.Refusal == nil || o.Refusal.HTTPStatus != code {
			t.Errorf("a write is answered with %d: %v", code, o.Refusal)
		}
		cfg.Transport = link.QWP
		if _, err := newLink(t, cfg).Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "instead of the upgrade") {
			t.Errorf("an upgrade is answered with %d: %v", code, err)
		}
		srv := httptest.NewServer(http.HandlerFunc(redirect))
		cfg.URLs = []string{srv.URL}
		l := newLink(t, cfg)
		if a, err := l.Get(t.Context(), hostOf(srv.URL), "/exec"); err != nil || a.Status != code {
			t.Errorf("a question is answered with %d: %+v, %v", code, a, err)
		}
		l.CloseIdle()
		srv.Close()
	}
	if n := followed.Load(); n != 0 {
		t.Errorf("%d requests followed a redirect", n)
	}
}

func TestThePathOfAURLStandsBeforeEverything(t *testing.T) {
	for _, tc := range []struct {
		transport link.Transport
		path      string
		want      string
	}{
		{link.ILP, "/a%20b/db/", "/a%20b/db/settings /a%20b/db/write?precision=n /a%20b/db/exec?query=x"},
		{link.QWP, "/a%20b/db/", "/a%20b/db/write/v4 /a%20b/db/exec?query=x"},
		{link.Auto, "/db", "/db/write/v4 /db/settings /db/write?precision=n /db/exec?query=x"},
		{link.Auto, "", "/write/v4 /settings /write?precision=n /exec?query=x"},
	} {
		s := newServer(t)
		if tc.transport == link.QWP {
			s.upgrade = speakQWP(hear, nil)
		}
		cfg := config(s.URL + tc.path)
		cfg.Transport = tc.transport
		l := newLink(t, cfg)
		c := connect(t, l)
		if c.Transport() == link.ILP {
			exchange(t, c, frame(t, simpleRow("a", 1)))
		}
		if _, err := l.Get(t.Context(), s.host(), "/exec?query=x"); err != nil {
			t.Error(err)
		}
		l.CloseIdle()
		var paths []string
		for _, r := range s.seen("") {
			paths = append(paths, r.path)
		}
		if got := strings.Join(paths, " "); got != tc.want {
			t.Errorf("%v below %q: %s", tc.transport, tc.path, got)
		}
	}
}
