// SPDX-License-Identifier: MIT

package netem

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
)

// startAnswers starts the HTTP server of the stranger. It is behind the same
// network as the real one: the proxy connects to it in the server's place.
func (p *Proxy) startAnswers() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.stranger = l.Addr().String()
	p.hop = &http.Transport{DisableCompression: true}
	silent := slog.NewLogLogger(slog.DiscardHandler, 0)
	p.real = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: p.server()})
			r.Out.Host = r.In.Host
		},
		Transport:    p.hop,
		ErrorLog:     silent,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.answers = &http.Server{Handler: http.HandlerFunc(p.answer), ErrorLog: silent}
	p.running.Go(func() { _ = p.answers.Serve(l) })
	return nil
}

// answer is asked by connections that began while a stranger answered.
func (p *Proxy) answer(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	h := p.set.Answer
	p.stats.Requests++
	p.mu.Unlock()
	if h == nil {
		panic(http.ErrAbortHandler) // reset a moment later anyhow
	}
	h.ServeHTTP(w, r)
}

// Real hands requests on to the real server, for handlers that answer only some.
func (p *Proxy) Real() http.Handler { return p.real }

// Page answers every request with 200 and that HTML, as a captive portal does.
func Page(html string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, html)
	})
}

// Raw answers every request with these bytes, whatever they are, and hangs up.
func Raw(answer string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Unread bytes would make a reset of the end, and the answer be lost.
		_, _ = io.Copy(io.Discard, r.Body)
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, answer)
		_ = c.Close()
	})
}

// StripUpgrade hands requests on without their Upgrade and Connection, as a proxy
// does that has never heard of WebSockets.
func StripUpgrade(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Upgrade")
		r.Header.Del("Connection")
		next.ServeHTTP(w, r)
	})
}
