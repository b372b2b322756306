// SPDX-License-Identifier: MIT

package e2e

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// relay stands between the plugin and a server. It counts the connections that
// carry rows, and fails on request.
type relay struct {
	*httptest.Server
	proxy *httputil.ReverseProxy
	// forget closes the connections to the server that no request uses.
	forget func()

	// mu guards what follows.
	mu      sync.Mutex
	writing map[string]bool // open connections that have carried rows, by address
	most    int             // of them at a time
	away    bool            // every request loses its connection
	noSQL   bool            // /exec answers 503
	refused int             // how often it did
	lose    int             // answers to writes that are still to be lost
	lost    int
	hold    int           // the answer to this write from now on is held back; 0 is none
	held    chan struct{} // closed when it is
}

// startRelay returns a relay in front of the server at base.
func startRelay(t testing.TB, base string) *relay {
	t.Helper()
	return startRelayAt(t, base, "127.0.0.1:0")
}

// startRelayAt is startRelay at an address of the caller's choice, where nothing
// has listened up to now.
func startRelayAt(t testing.TB, base, addr string) *relay {
	t.Helper()
	target := must(url.Parse(base))(t)
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	r := &relay{writing: make(map[string]bool), forget: transport.CloseIdleConnections}
	r.proxy = &httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { p.SetURL(target) },
		Transport:      transport,
		ModifyResponse: r.answered,
		// A server that is away takes its connections with it: no 502.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	listener := must(net.Listen("tcp", addr))(t)
	r.Server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: r, ConnState: r.watch}}
	r.Start()
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
		transport.CloseIdleConnections()
	})
	return r
}

func (r *relay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.isAway() {
		panic(http.ErrAbortHandler)
	}
	if isSQL(req) && r.refusesSQL() {
		http.Error(w, `{"error":"too busy"}`, http.StatusServiceUnavailable)
		return
	}
	if isWrite(req) {
		r.carries(req.RemoteAddr)
	}
	r.proxy.ServeHTTP(w, req)
}

func isWrite(req *http.Request) bool { return strings.HasSuffix(req.URL.Path, "/write") }

func isSQL(req *http.Request) bool { return strings.HasSuffix(req.URL.Path, "/exec") }

func (r *relay) carries(addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.writing[addr] = true
	r.most = max(r.most, len(r.writing))
}

// watch forgets a connection that is gone.
func (r *relay) watch(c net.Conn, state http.ConnState) {
	if state != http.StateClosed {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.writing, c.RemoteAddr().String())
}

// mostWriting is how many connections have carried rows at a time.
func (r *relay) mostWriting() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.most
}

func (r *relay) isAway() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.away
}

// setAway takes the server away, or brings it back.
func (r *relay) setAway(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

func (r *relay) refusesSQL() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.noSQL {
		r.refused++
	}
	return r.noSQL
}

// refuseSQL makes /exec answer 503, or no longer.
func (r *relay) refuseSQL(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noSQL = on
}

// sqlRefused is how often it has answered 503.
func (r *relay) sqlRefused() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// loseAnswers cuts the connection of the next n writes after the server has
// taken the rows: they are sent again.
func (r *relay) loseAnswers(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lose += n
}

// answersLost is how often that has happened.
func (r *relay) answersLost() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// holdAnswer keeps the answer to the n-th write from now on until the client is
// gone. The channel closes when the server has given it.
func (r *relay) holdAnswer(n int) (held <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hold, r.held = n, make(chan struct{})
	return r.held
}

// answered does to an answer what was asked for.
func (r *relay) answered(answer *http.Response) error {
	if !isWrite(answer.Request) || answer.StatusCode != http.StatusNoContent {
		return nil
	}
	hold, err := r.fate()
	if hold {
		<-answer.Request.Context().Done()
	}
	return err
}

// fate says what becomes of the answer to a write.
func (r *relay) fate() (hold bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lose > 0 {
		r.lose--
		r.lost++
		err = errors.New("this answer is to be lost")
	}
	if r.hold > 0 {
		r.hold--
		hold = r.hold == 0
	}
	if hold {
		close(r.held)
	}
	return hold, err
}
