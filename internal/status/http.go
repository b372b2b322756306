// SPDX-License-Identifier: MIT

package status

import (
	"bytes"
	"encoding/json"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// handler answers GET and HEAD.
func (s *server) handler(at net.Addr) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", s.metrics)
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /api/status", s.api)
	mux.HandleFunc("GET /{$}", s.page)
	host, _, err := net.SplitHostPort(at.String())
	if err == nil && isLoopback(host) {
		return onlyLoopback(mux)
	}
	return mux
}

// onlyLoopback refuses requests that a browser was led here with: a name of a
// stranger that he has resolve to this machine would let his page read ours.
func onlyLoopback(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		host = strings.ToLower(strings.Trim(host, "[]")) // those of an IPv6 address without a port
		if host != "" && !isLoopback(host) {
			http.Error(w, "status_address is for this machine only; name a host in it to be reached under "+strconv.Quote(r.Host), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) metrics(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	writeMetrics(&b, s.reports((*watch).look))
	answer(w, http.StatusOK, "text/plain; version=0.0.4; charset=utf-8", b.Bytes())
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	text, well := healthText(s.reports((*watch).look))
	code := http.StatusOK
	if !well {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, "text/plain; charset=utf-8", []byte(text+"\n"))
}

func (s *server) api(w http.ResponseWriter, _ *http.Request) {
	b, err := json.Marshal(documentOf(s.reports((*watch).lookAtAll)))
	if err != nil {
		http.Error(w, "bug: the status cannot be written as JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, http.StatusOK, "application/json", b)
}

func (s *server) page(w http.ResponseWriter, _ *http.Request) {
	p := page()
	html, err := p.draw(documentOf(s.reports((*watch).lookAtAll)))
	if err != nil {
		http.Error(w, "bug: the page cannot be drawn: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", p.policy)
	answer(w, http.StatusOK, "text/html; charset=utf-8", html)
}

// answer sends a whole body. net/http leaves it out for HEAD.
func answer(w http.ResponseWriter, code int, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	if h.Get("Content-Security-Policy") == "" {
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	}
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
