// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// defaultMaxBatch is the message size in bytes when the server names none:
	// a little under the 2 MiB of its default receive buffer.
	defaultMaxBatch = 19 << 20 / 10
	// wsBuffer is the size of WebSocket fragments, in bytes.
	wsBuffer = 64 << 10
	// maxResponse bounds one response of the server, in bytes.
	maxResponse = 1 << 20
)

// connectQWP asks for the upgrade (facts/qwp-and-slots.md §8.6 for what the
// answers mean). There is no Origin header: a server that checks origins would
// refuse it.
func (l *Link) connectQWP(ctx context.Context, h *host, s secrets) (Conn, error) {
	timeout := &TimeoutError{Host: h.host, What: "WebSocket upgrade", After: l.cfg.ConnectTimeout}
	ctx, cancel := context.WithTimeoutCause(ctx, l.cfg.ConnectTimeout, timeout)
	defer cancel()
	var reached atomic.Bool
	var tcp atomic.Int64
	began := time.Now()
	d := websocket.Dialer{
		Proxy: l.cfg.Proxy,
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := l.dialName(ctx, network, addr)
			tcp.Store(int64(time.Since(began)))
			reached.Store(err == nil)
			return conn, err
		},
		TLSClientConfig: s.tls,
		ReadBufferSize:  4 << 10,
		WriteBufferSize: wsBuffer,
	}
	ws, resp, err := d.DialContext(ctx, h.url("ws", "/write/v4"), l.upgradeHeader(s))
	if err != nil {
		err = causeOr(ctx, err)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = timeout // gorilla hands the deadline on, and that was quicker
		}
		return nil, l.upgradeError(h.host, resp, err, reached.Load())
	}
	l.peer.answered(resp.Header, tlsState(ws))
	limit, err := checkUpgrade(resp.Header)
	if err == nil && l.cfg.RequestDurableAck {
		err = checkDurable(resp.Header)
	}
	if err != nil {
		_ = ws.Close()
		return nil, &ConnectError{Host: h.host, Err: err}
	}
	c := l.newQWPConn(h, ws, limit)
	c.slow = tookLong(time.Since(began), time.Duration(tcp.Load()))
	return c, nil
}

// tlsState returns nil without TLS.
func tlsState(ws *websocket.Conn) *tls.ConnectionState {
	conn, ok := ws.NetConn().(*tls.Conn)
	if !ok {
		return nil
	}
	state := conn.ConnectionState()
	return &state
}

func (l *Link) upgradeHeader(s secrets) http.Header {
	header := http.Header{
		"X-QWP-Max-Version": {"1"},
		"X-QWP-Client-Id":   {l.cfg.ClientID},
		"User-Agent":        {l.cfg.ClientID},
	}
	if l.cfg.RequestDurableAck {
		header.Set("X-QWP-Request-Durable-Ack", "true")
	}
	if s.authorization != "" {
		header.Set("Authorization", s.authorization)
	}
	return header
}

// upgradeError sorts what an upgrade that failed says about the host.
func (l *Link) upgradeError(host string, resp *http.Response, err error, reached bool) error {
	if resp == nil {
		return &ConnectError{Host: host, Err: err, answered: reached}
	}
	switch resp.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		return &AuthError{Host: host, Status: resp.StatusCode}
	case http.StatusMisdirectedRequest:
		return roleError(host, resp.Header)
	case http.StatusSwitchingProtocols:
		// Upgraded, but not to a WebSocket as RFC 6455 has it.
		return &ConnectError{Host: host, Err: err}
	}
	err = fmt.Errorf("HTTP %d instead of the upgrade to QWP at /write/v4 (QuestDB has it from version 10)", resp.StatusCode)
	return &ConnectError{Host: host, Err: err, RetryAfter: l.retryAfter(resp.Header), answered: true}
}

// checkUpgrade reads the headers of a 101: the version has to be ours, and the
// largest message is the server's to say.
func checkUpgrade(h http.Header) (limit int, err error) {
	version := h.Get("X-QWP-Version")
	if version == "" {
		return 0, errors.New("upgraded without X-QWP-Version: not a QuestDB that speaks QWP")
	}
	if version != "1" {
		return 0, fmt.Errorf("the server chose QWP version %q, this program speaks version 1", OneLine(version, 20))
	}
	n, err := strconv.ParseInt(h.Get("X-QWP-Max-Batch-Size"), 10, 64)
	if err != nil || n <= 0 {
		return defaultMaxBatch, nil
	}
	return int(min(n, math.MaxInt32)), nil
}
