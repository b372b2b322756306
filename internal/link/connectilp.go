// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 64 << 10

// connectILP proves that the host is there with GET /settings, on the
// connection that the writes will use. Whether the credentials may write shows
// at the first write only: /settings needs none.
func (l *Link) connectILP(ctx context.Context, h *host, s secrets) (Conn, error) {
	c := l.newILPConn(h, s)
	if _, err := c.settings(ctx, l.cfg.ConnectTimeout); err != nil {
		_ = c.Close()
		return nil, err
	}
	l.enter(c)
	return c, nil
}

// settleForILP is what follows an upgrade that was answered with something else
// than 101 (DESIGN.md 3). A server that says it offers QWP must not be degraded
// to ILP by something in between that dislikes WebSockets for a moment.
func (l *Link) settleForILP(ctx context.Context, h *host, s secrets, refused *ConnectError) (Conn, error) {
	c := l.newILPConn(h, s)
	body, err := c.settings(ctx, min(settingsTimeout, l.cfg.ConnectTimeout))
	if err == nil && offersQWP(body) {
		err = &ConnectError{Host: h.host, Err: fmt.Errorf("the server offers QWP, but the upgrade failed: %w", refused.Err)}
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	l.rememberILP(h)
	l.enter(c)
	return c, nil
}

// settings returns the body of GET /settings. Any answer proves that somebody
// is there, except those which a gateway gives when nobody is behind it.
func (c *ilpConn) settings(ctx context.Context, within time.Duration) ([]byte, error) {
	timeout := &TimeoutError{Host: c.h.host, What: "answer to /settings", After: within}
	ctx, cancel := context.WithTimeoutCause(ctx, within, timeout)
	defer cancel()
	began := time.Now()
	resp, err := c.roundTrip(ctx, http.MethodGet, "/settings", requestBody{})
	if err != nil {
		return nil, &ConnectError{Host: c.h.host, Err: err}
	}
	c.slow = tookLong(time.Since(began), c.tcp)
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return nil, &AuthError{Host: c.h.host, Status: resp.StatusCode}
	case http.StatusMisdirectedRequest:
		return nil, roleError(c.h.host, resp.Header)
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, http.StatusTooManyRequests:
		err := fmt.Errorf("HTTP %d from /settings", resp.StatusCode)
		return nil, &ConnectError{Host: c.h.host, Err: err, RetryAfter: c.link.retryAfter(resp.Header)}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, &ConnectError{Host: c.h.host, Err: causeOr(ctx, err)}
	}
	c.proof.told(body)
	return body, nil
}

// Announce makes the connection one for rows, with a write of none: QuestDB counts
// those for itself where http.ilp.connection.limit is set, and goes by the first request
// that is not about settings. It does nothing once rows were written.
func (c *ilpConn) Announce(ctx context.Context) error {
	if c.wrote {
		return nil
	}
	refusal, err := c.exchange(ctx, requestBody{open: new(atomic.Int32)})
	switch {
	case err != nil:
		return &ConnectError{Host: c.h.host, Err: err}
	case refusal != nil:
		c.judge(refusal) // a server that has become another is asked for QWP again
		return &ConnectError{Host: c.h.host, Err: refusal, RetryAfter: refusal.RetryAfter}
	}
	return nil
}

// tookLong says whether the first answer of a server took so long that it has little
// time for us, and it is not the way: a TCP connect takes one round trip, this one,
// with TLS, four.
func tookLong(took, tcp time.Duration) bool { return took > 2*time.Second+6*tcp }

// offersQWP reads the answer of /settings. QuestDB 9.3.4 lists its transports in
// config."ilp.proto.transports" as tcp and http; older versions had the
// keys at the top. What cannot be read offers nothing.
func offersQWP(body []byte) bool {
	for key, value := range settingsOf(body) {
		text := strings.ToLower(string(value))
		if strings.HasSuffix(key, "proto.transports") && strings.Contains(text, `"qwp`) {
			return true
		}
		if strings.HasPrefix(strings.ToLower(key), "qwp") && text != "false" && text != "null" && text != "[]" {
			return true
		}
	}
	return false
}

func roleError(host string, h http.Header) *RoleError {
	return &RoleError{Host: host, Role: OneLine(h.Get("X-QuestDB-Role"), 40)}
}
