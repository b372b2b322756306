// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"time"
)

// glance is what a server shows to somebody without credentials. A zero one is of a
// server that shows nothing.
type glance struct {
	at   time.Time // on the clock of this box
	took time.Duration
	date time.Time // on the server's, to the second
	body []byte    // of /settings
	tls  *tls.ConnectionState
}

// maxSettings bounds what is read of /settings.
const maxSettings = 64 << 10

// glance asks for /settings, which needs no credentials. A certificate that is not to be
// trusted is looked at too; nothing of worth goes over such a connection.
func (s *server) glance(ctx context.Context) (g glance) {
	ctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	tr := &http.Transport{Proxy: s.Link.Proxy, DialContext: s.Link.Dial, DisableKeepAlives: true}
	if s.secure {
		c := new(tls.Config)
		if s.Link.TLS != nil {
			given, err := s.Link.TLS()
			if err != nil {
				return g // examineTLS says it
			}
			c = given.Clone()
		}
		c.InsecureSkipVerify, c.VerifyPeerCertificate = true, nil
		c.VerifyConnection = func(st tls.ConnectionState) error { g.tls = &st; return nil }
		tr.TLSClientConfig = c
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/settings", nil)
	if err != nil {
		return g
	}
	began := s.Tick()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return g
	}
	defer resp.Body.Close()
	g.at, g.took = s.Now(), s.Tick().Sub(began)
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		g.date = date.Add(time.Second / 2) // it is cut to the second
	}
	g.body, _ = io.ReadAll(io.LimitReader(resp.Body, maxSettings))
	return g
}

// version returns release.version, which older versions have at the top.
func (g *glance) version() string {
	var s struct {
		Version string `json:"release.version"`
		Config  struct {
			Version string `json:"release.version"`
		} `json:"config"`
	}
	if json.Unmarshal(g.body, &s) != nil {
		return ""
	}
	if s.Config.Version != "" {
		return s.Config.Version
	}
	return s.Version
}
