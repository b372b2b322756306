// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"crypto/tls"
	"net/http"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

func TestTheServersClockAndCertificateAreKnownFromItsAnswers(t *testing.T) {
	for _, how := range []link.Transport{link.ILP, link.QWP} {
		t.Run(how.String(), func(t *testing.T) {
			ca, until := newAuthority(t, "peer"), time.Now().Add(72*time.Hour).Truncate(time.Second)
			s := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{ca.leaf(validFrom(time.Now().Add(-time.Hour), until))}})
			slow := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
			s.upgrade = speakQWP(hear, map[string]string{"Date": slow})
			settings := s.settings
			s.settings = func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Date", slow)
				settings(w, r)
			}
			c := config(s.URL)
			c.Transport, c.TLS = how, func() (*tls.Config, error) { return &tls.Config{RootCAs: ca.pool()}, nil }
			l := newLink(t, c)
			if p := l.Peer(); p != (link.Peer{}) {
				t.Errorf("before the first answer %+v", p)
			}
			conn, err := l.Connect(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			p := l.Peer()
			if off := p.ClockAhead - time.Hour; !p.ClockKnown || off.Abs() > 5*time.Second || !p.CertNotAfter.Equal(until) {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestAServerThatDoesNotTellTheTimeLeavesTheClockUnknown(t *testing.T) {
	s := newServer(t)
	settings := s.settings
	s.settings = func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Date"] = []string{"half past nine"}
		settings(w, r)
	}
	c := config(s.URL)
	c.Transport = link.ILP
	l := newLink(t, c)
	defer connect(t, l).Close()
	if p := l.Peer(); p != (link.Peer{}) {
		t.Errorf("%+v", p)
	}
}
