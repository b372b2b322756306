// SPDX-License-Identifier: MIT

package link_test

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

const proxyPassword = "prx-Zq77xW"

// forward is an HTTP proxy that wants joe and his password.
type forward struct {
	*httptest.Server
	// refuse answers what is not let through; nil lets everything through.
	refuse http.HandlerFunc

	mu   sync.Mutex
	seen []string // "CONNECT host" or "POST path"
}

func startForward(t testing.TB) *forward {
	f := new(forward)
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	return f
}

func (f *forward) proxy(*http.Request) (*url.URL, error) {
	return &url.URL{Scheme: "http", User: url.UserPassword("joe", proxyPassword), Host: hostOf(f.URL)}, nil
}

func (f *forward) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := r.URL.Path
	if r.Method == http.MethodConnect {
		what = r.Host
	}
	f.mu.Lock()
	f.seen = append(f.seen, r.Method+" "+what)
	f.mu.Unlock()
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("joe:"+proxyPassword))
	switch {
	case f.refuse != nil:
		f.refuse(w, r)
	case r.Header.Get("Proxy-Authorization") != want:
		w.WriteHeader(http.StatusProxyAuthRequired)
	case r.Method == http.MethodConnect:
		tunnel(w, r.Host)
	default:
		r.Header.Del("Proxy-Authorization")
		r.RequestURI = ""
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}
}

func tunnel(w http.ResponseWriter, host string) {
	server, err := net.Dial("tcp", host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer server.Close()
	client, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer client.Close()
	_, _ = io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(server, client); _ = server.(*net.TCPConn).CloseWrite() })
	both.Go(func() { _, _ = io.Copy(client, server); _ = client.(*net.TCPConn).CloseWrite() })
	both.Wait()
}

// viaProxy is a link to s through f.
func viaProxy(t testing.TB, s *server, f *forward, how link.Transport) *link.Link {
	cfg := config(s.URL)
	cfg.Transport, cfg.Proxy = how, f.proxy
	if s.TLS != nil {
		cfg.TLS = func() (*tls.Config, error) {
			return s.Client().Transport.(*http.Transport).TLSClientConfig.Clone(), nil
		}
	}
	return newLink(t, cfg)
}

func TestEverythingGoesThroughTheProxy(t *testing.T) {
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	for _, secure := range []bool{false, true} {
		for _, how := range []link.Transport{link.ILP, link.QWP} {
			t.Run(fmt.Sprintf("%v/secure=%t", how, secure), func(t *testing.T) {
				s := newServer(t)
				if secure {
					s = serveTLS(t, nil)
				}
				s.upgrade = speakQWP(hear, nil)
				f := startForward(t)
				l := viaProxy(t, s, f, how)
				c := connect(t, l)
				if how == link.ILP {
					if o := exchange(t, c, frame(t, simpleRow("a", 1))); o.Refusal != nil {
						t.Error(o.Refusal)
					}
				}
				if a, err := l.Get(t.Context(), s.host(), "/exec"); err != nil || a.Status != http.StatusNotFound {
					t.Errorf("%+v, %v", a, err)
				}
				l.CloseIdle()
				_ = c.Close()
				want := map[string]string{
					"ilp/false": "GET /settings, POST /write, GET /exec",
					"qwp/false": "CONNECT " + s.host() + ", GET /exec",
					"ilp/true":  "CONNECT " + s.host(), // for rows and questions
					"qwp/true":  "CONNECT " + s.host() + ", CONNECT " + s.host(),
				}[fmt.Sprintf("%v/%t", how, secure)]
				f.mu.Lock()
				defer f.mu.Unlock()
				if got := strings.Join(f.seen, ", "); got != want {
					t.Errorf("the proxy saw %s", got)
				}
			})
		}
	}
}

// A proxy that shows what it was sent must not bring its password into the log.
func TestNoErrorOfAProxyShowsItsPassword(t *testing.T) {
	echo := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(code)
			fmt.Fprintf(w, "<html>%s %s", r.Header.Get("Proxy-Authorization"), proxyPassword)
		}
	}
	inJSON := func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"headers": r.Header, "password": proxyPassword})
	}
	for name, refuse := range map[string]http.HandlerFunc{
		"407": echo(407), "403": echo(403), "200": echo(200), "502": echo(502), "200 with JSON": inJSON,
	} {
		for _, secure := range []bool{false, true} {
			for _, how := range []link.Transport{link.ILP, link.QWP, link.Auto} {
				t.Run(fmt.Sprintf("%s/%v/secure=%t", name, how, secure), func(t *testing.T) {
					s := newServer(t)
					if secure {
						s = serveTLS(t, nil)
					}
					f := startForward(t)
					f.refuse = refuse
					l := viaProxy(t, s, f, how)
					var errs []error
					if c, err := l.Connect(t.Context()); err != nil {
						errs = append(errs, err)
					} else {
						o := exchange(t, c, frame(t, simpleRow("a", 1)))
						_ = c.Close()
						errs = append(errs, o.Refusal)
					}
					a, err := l.Get(t.Context(), s.host(), "/exec")
					l.CloseIdle()
					if errs = append(errs, err, errors.New(string(a.Body))); errs[0] == nil {
						t.Fatal("no error")
					}
					basic := base64.StdEncoding.EncodeToString([]byte("joe:" + proxyPassword))
					if text := fmt.Sprint(errs); strings.Contains(text, proxyPassword) || strings.Contains(text, basic) {
						t.Error(text)
					}
				})
			}
		}
	}
}
