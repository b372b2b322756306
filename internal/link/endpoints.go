// SPDX-License-Identifier: MIT

package link

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// DefaultPort is the HTTP port of QuestDB, used for URLs without one.
const DefaultPort = "9000"

// endpoint is one of Config.URLs, taken apart.
type endpoint struct {
	host   string // host:port
	prefix string // path before /write, without a slash at the end
	secure bool
	ws     bool // ws or wss: QWP or nothing
}

// parseEndpoint never repeats more of raw than scheme and host: anything else
// may hold a credential.
func parseEndpoint(raw string, t Transport) (endpoint, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return endpoint{}, errors.New("not a valid URL: write it as http://host:9000")
	}
	if u.User != nil {
		return endpoint{}, fmt.Errorf("%s://%s carries credentials: use the options username and password, or token", u.Scheme, u.Host)
	}
	e, err := endpointOf(u)
	if err != nil {
		return endpoint{}, err
	}
	if e.ws && t == ILP {
		return endpoint{}, fmt.Errorf("%s://%s speaks QWP only, but transport is ilp: use http or https", u.Scheme, u.Host)
	}
	return e, nil
}

func endpointOf(u *url.URL) (endpoint, error) {
	scheme := strings.ToLower(u.Scheme)
	switch {
	case strings.HasPrefix(u.Opaque, ":"):
		return endpoint{}, errors.New("this is a QuestDB connect string: write http://host:9000 and use the options for the rest")
	case scheme != "http" && scheme != "https" && scheme != "ws" && scheme != "wss":
		return endpoint{}, fmt.Errorf("scheme %q is not supported: use http or https (QWP or ILP), ws or wss (QWP only), as in http://host:9000", scheme)
	case u.Hostname() == "":
		return endpoint{}, fmt.Errorf("no host after %s://", scheme)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return endpoint{}, fmt.Errorf("%s://%s has a query or a fragment: only a path prefix is allowed", scheme, u.Host)
	}
	port := cmp.Or(u.Port(), DefaultPort)
	return endpoint{
		host:   net.JoinHostPort(u.Hostname(), port),
		prefix: strings.TrimRight(u.EscapedPath(), "/"),
		secure: scheme == "https" || scheme == "wss",
		ws:     scheme == "ws" || scheme == "wss",
	}, nil
}

// Canonical returns a URL in the one spelling that names its endpoint: http or
// https whatever the transport, lower case, with port, without a slash at the end.
// What is no URL of an endpoint is returned as it is.
func Canonical(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return raw
	}
	e, err := endpointOf(u)
	if err != nil {
		return raw
	}
	e.host = strings.ToLower(e.host)
	return e.url("http", "")
}

// url returns the address of a path below the prefix. scheme is http or ws.
func (e *endpoint) url(scheme, path string) string {
	if e.secure {
		scheme += "s"
	}
	return scheme + "://" + e.host + e.prefix + path
}

func (e *endpoint) loopback() bool {
	name, _, err := net.SplitHostPort(e.host)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && ip.IsLoopback()
}

// hostState is what is known of a host, best first.
type hostState uint8

const (
	hostHealthy  hostState = iota + 1 // bound, or acked
	hostUnknown                       // never tried in this round
	hostCatchup                       // 421, about to become the primary
	hostTrouble                       // unreachable, broke off, answered 5xx
	hostReadOnly                      // 421
)

// host is an endpoint with what was learned about it. Link.mu guards all but
// the endpoint and the paces.
type host struct {
	endpoint
	pace   *pace      // of ILP requests
	stream *pace      // of what is on its way over QWP
	conns  []*ilpConn // over which a question may be asked
	state  hostState
	// ilpUntil: until then this host is taken to offer no QWP.
	ilpUntil time.Time
	// plain: this server does not understand gzip (before QuestDB 9.1.0).
	plain  bool
	logged Transport
}

// stateAfter returns what a failed connect says of the host.
func stateAfter(err error) hostState {
	var role *RoleError
	switch {
	case !errors.As(err, &role):
		return hostTrouble
	case role.catchingUp():
		return hostCatchup
	}
	return hostReadOnly
}

// round returns the hosts in the order in which to try them: the best known
// first, the order of the configuration among equals.
func (l *Link) round() []*host {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := slices.Clone(l.hosts)
	slices.SortStableFunc(list, func(a, b *host) int { return cmp.Compare(a.state, b.state) })
	return list
}

// mark records the state of a host.
func (l *Link) mark(h *host, s hostState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.state = s
}

// Avoid says that a host, as Conn.Host names it, is of no use now although
// connections to it come about: the next round tries the others first.
func (l *Link) Avoid(host string) {
	if h := l.named(host); h != nil {
		l.mark(h, hostTrouble)
	}
}

// failed records a failed connect. QWP will be asked for again: an outage is
// when servers are upgraded.
func (l *Link) failed(h *host, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.state, h.ilpUntil = stateAfter(err), time.Time{}
}

// lost records that a connection broke: the next round tries the others first.
func (l *Link) lost(h *host) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.state, h.ilpUntil = hostTrouble, time.Time{}
}

// forgetStates begins anew after a round in which every host failed.
func (l *Link) forgetStates() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.hosts {
		h.state = hostUnknown
	}
}

// bound records a connection, and says so when the transport is another than
// the last time.
func (l *Link) bound(h *host, t Transport) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t == QWP {
		h.state, h.ilpUntil = hostHealthy, time.Time{}
	}
	if h.logged != t {
		h.logged = t
		l.cfg.Log.Info("transport in use", "transport", t.String(), "host", h.host)
	}
}

// rememberILP notes that a host offers no QWP.
func (l *Link) rememberILP(h *host) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.ilpUntil = time.Now().Add(askAgain)
}

// knownILP reports that a host is known to offer no QWP and need not be asked.
func (l *Link) knownILP(h *host) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Before(h.ilpUntil)
}

func (l *Link) setPlain(h *host) {
	l.mu.Lock()
	defer l.mu.Unlock()
	h.plain = true
}

func (l *Link) wantsGzip(h *host) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case h.plain || l.cfg.Compression == CompressionNone:
		return false
	case l.cfg.Compression == CompressionGzip:
		return true
	}
	return !h.loopback()
}
