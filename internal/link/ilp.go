// SPDX-License-Identifier: MIT

package link

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// The size of a request times hardCapFactor is what one part may grow to as line
// protocol before it has to be split: frames are columnar and can be many times
// smaller than their text. On a link that is too narrow for MaxRequestBytes it is
// narrowCap.
const hardCapFactor = 4

// narrowCap is half as much again: after a request that got no answer, the next one is
// smaller whatever it was.
func narrowCap(size int) int { return size + size/2 }

// ilpConn sends rows as line protocol over HTTP. It is a connection in the
// sense of Conn: over HTTP/1.1 with one keep-alive TCP connection, which
// net/http may replace between requests when the server closed it as idle; ILP
// has no state that this could break.
type ilpConn struct {
	link   *Link
	h      *host
	auth   string
	client *http.Transport
	auto   bool // QWP is asked for again when the memory of the host runs out
	proof  proof

	enc  encoder
	zbuf bytes.Buffer
	zip  *gzip.Writer
	next int64

	outcomes chan Outcome
	ending   *ending

	// busy is held for a request and its answer: of rows, or of a Link.Get.
	busy  chan struct{} // has one place
	wrote bool          // a write was answered
	tcp   time.Duration // which the last TCP connect took
	slow  bool          // the server let us wait for its first answer

	// mu guards abort, which ends the request on its way, if there is one.
	mu    sync.Mutex
	abort context.CancelFunc
}

func (l *Link) newILPConn(h *host, s secrets) *ilpConn {
	c := &ilpConn{
		link:     l,
		h:        h,
		auth:     s.authorization,
		auto:     l.cfg.Transport == Auto && !h.ws,
		busy:     make(chan struct{}, 1),
		outcomes: make(chan Outcome, 1),
		ending:   newEnding(),
	}
	c.client = l.newTransport(s.tls)
	c.client.DialContext = c.dial
	c.client.WriteBufferSize = 64 << 10
	return c
}

// newTransport returns one with a single connection to a host.
func (l *Link) newTransport(settings *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:               l.cfg.Proxy,
		DialContext:         l.dial,
		TLSClientConfig:     settings,
		TLSHandshakeTimeout: l.cfg.ConnectTimeout,
		DisableCompression:  true,
		MaxConnsPerHost:     1,
		MaxIdleConnsPerHost: 1,
	}
}

// identify says who asks.
func (l *Link) identify(req *http.Request, authorization string) {
	req.Header.Set("User-Agent", l.cfg.ClientID)
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
}

// dial is Config.Dial within ConnectTimeout.
func (l *Link) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	timeout := &TimeoutError{Host: addr, What: whatTCP, After: l.cfg.ConnectTimeout}
	ctx, cancel := context.WithTimeoutCause(ctx, l.cfg.ConnectTimeout, timeout)
	defer cancel()
	conn, err := l.dialName(ctx, network, addr)
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	return conn, nil
}

// dial notes how far away the host is.
func (c *ilpConn) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	began := time.Now()
	conn, err := c.link.dial(ctx, network, addr)
	c.tcp = time.Since(began)
	return conn, err
}

// Alive says that nothing has ended the connection yet.
func (c *ilpConn) Alive() bool { return c.ending.cause() == nil }

// Crowded says that the server had little time for us when we came.
func (c *ilpConn) Crowded() bool { return c.slow }

func (c *ilpConn) Transport() Transport { return ILP }
func (c *ilpConn) Host() string         { return c.h.host }
func (c *ilpConn) Window() int          { return 1 }

func (c *ilpConn) Add(v *qwp.View, p qwp.Part) error { return c.AddWith(v, p, nil) }

func (c *ilpConn) AddWith(v *qwp.View, p qwp.Part, more qwp.AddLong) error {
	if err := c.ending.cause(); err != nil {
		return err
	}
	if c.enc.lines == 0 && c.auto && !c.link.knownILP(c.h) {
		return ErrReconnect
	}
	if c.enc.lines == 0 {
		c.enc.resize(c.h.pace.bytes(), c.link.cfg.MaxRequestBytes)
	}
	err := c.enc.add(v, p, more)
	if tooLarge, ok := err.(*TooLargeError); ok {
		tooLarge.Host = c.h.host
	}
	return err
}

func (c *ilpConn) Send(ctx context.Context) (int64, error) {
	if err := c.ending.cause(); err != nil {
		return 0, err
	}
	if c.enc.lines == 0 {
		return 0, ErrEmptyRequest
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	refusal, err := c.write(ctx)
	if err != nil {
		return 0, c.fail(err)
	}
	c.enc.reset()
	seq := c.next
	c.next++
	select {
	case c.outcomes <- Outcome{Seq: seq, Refusal: refusal}:
		return seq, nil
	case <-c.ending.done:
		return 0, c.ending.err
	case <-ctx.Done():
		return 0, c.fail(context.Cause(ctx))
	}
}

// write does one request and says what came of it. An error means that nobody
// knows.
func (c *ilpConn) write(ctx context.Context) (*Refusal, error) {
	if err := c.occupy(ctx); err != nil {
		return nil, err
	}
	defer func() { <-c.busy }()
	zipped := c.link.wantsGzip(c.h)
	began := time.Now()
	refusal, err := c.post(ctx, zipped)
	if zipped && refusal != nil && refusal.HTTPStatus == http.StatusUnsupportedMediaType {
		// QuestDB before 9.1.0 has no gzip and says so before it reads a line.
		c.link.setPlain(c.h)
		refusal, err = c.post(ctx, false)
	}
	took := time.Since(began)
	if err == nil && refusal == nil {
		refusal, err = c.prove(ctx)
	}
	c.note(refusal, err, took)
	return refusal, err
}

// occupy waits until no question uses the connection.
func (c *ilpConn) occupy(ctx context.Context) error {
	select {
	case c.busy <- struct{}{}:
		return nil
	case <-c.ending.done:
		return c.ending.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (c *ilpConn) post(ctx context.Context, zipped bool) (*Refusal, error) {
	body, err := c.body(zipped)
	if err != nil {
		return nil, err
	}
	refusal, err := c.exchange(ctx, body)
	if body.open.Load() != 0 {
		// net/http still reads the body of a request that is over: leave the
		// buffers to it.
		c.enc.buf, c.zbuf = bytes.Clone(c.enc.buf), bytes.Buffer{}
	}
	return refusal, err
}

// exchange does one write and reads the answer.
func (c *ilpConn) exchange(ctx context.Context, body requestBody) (*Refusal, error) {
	within := c.link.cfg.timeout(len(body.bytes))
	timeout := &TimeoutError{Host: c.h.host, What: "answer to a write", After: within}
	ctx, cancel := context.WithTimeoutCause(ctx, within, timeout)
	defer cancel()
	resp, err := c.roundTrip(ctx, http.MethodPost, "/write?precision=n", body)
	if err != nil {
		return nil, err
	}
	c.wrote = true
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, causeOr(ctx, err)
	}
	return c.refusal(resp, c.link.mask(c.h, answer, c.auth)), nil
}

// refusal gives the answer to the classifier. A line number beyond the request
// names nothing.
func (c *ilpConn) refusal(resp *http.Response, answer []byte) *Refusal {
	r := classifyHTTP(c.h.host, resp.StatusCode, resp.Header, len(resp.TransferEncoding) > 0, answer)
	if r == nil {
		return nil
	}
	if r.Line > c.enc.lines {
		r.Line = 0
	}
	r.RetryAfter = c.link.retryAfter(resp.Header)
	return r
}

// body returns the request's bytes. A compressed body is always complete: a
// stream cut short gets a 204 from QuestDB and loses its rest.
func (c *ilpConn) body(zipped bool) (requestBody, error) {
	open := new(atomic.Int32)
	if !zipped {
		return requestBody{bytes: c.enc.buf, open: open}, nil
	}
	c.zbuf.Reset()
	if c.zip == nil {
		c.zip, _ = gzip.NewWriterLevel(&c.zbuf, gzip.BestSpeed)
	}
	c.zip.Reset(&c.zbuf)
	if _, err := c.zip.Write(c.enc.buf); err != nil {
		return requestBody{}, err
	}
	if err := c.zip.Close(); err != nil {
		return requestBody{}, err
	}
	return requestBody{bytes: c.zbuf.Bytes(), open: open, zipped: true}, nil
}

// fail ends the connection: a request whose fate is unknown is never followed
// by another on the same connection.
func (c *ilpConn) fail(err error) error {
	// Between two requests net/http may have had to connect anew.
	if c.ending.end(&LostError{Host: c.h.host, Err: explainTLS(c.h, err, time.Now())}) {
		c.link.lost(c.h)
		c.link.addresses.silent(c.h.host, err)
		c.client.CloseIdleConnections()
	}
	return c.ending.err
}

func (c *ilpConn) Recv(ctx context.Context) (Outcome, error) {
	select {
	case o := <-c.outcomes:
		return o, nil
	default:
	}
	select {
	case o := <-c.outcomes:
		return o, nil
	case <-c.ending.done:
		return Outcome{}, c.ending.err
	case <-ctx.Done():
		return Outcome{}, context.Cause(ctx)
	}
}

func (c *ilpConn) Close() error {
	c.ending.end(ErrClosed)
	c.mu.Lock()
	if c.abort != nil {
		c.abort()
	}
	c.mu.Unlock()
	c.client.CloseIdleConnections()
	c.link.leave(c)
	return nil
}

// roundTrip uses the transport without http.Client: redirects are answers like
// any other. The context must carry its timeout as cause.
func (c *ilpConn) roundTrip(ctx context.Context, method, path string, body requestBody) (*http.Response, error) {
	ctx, cancel := context.WithCancel(ctx)
	if !c.begin(cancel) {
		return nil, ErrClosed
	}
	req, err := http.NewRequestWithContext(c.proof.trace(ctx), method, c.h.url("http", path), nil)
	if err != nil {
		c.finish()
		return nil, err
	}
	c.setHeaders(req, body)
	resp, err := c.client.RoundTrip(req)
	if err != nil {
		err = causeOr(ctx, err) // before finish ends the context, too
		c.finish()
		return nil, err
	}
	c.proof.heard(resp)
	c.link.peer.answered(resp.Header, resp.TLS)
	resp.Body = &watchedBody{ReadCloser: resp.Body, done: c.finish}
	return resp, nil
}

func (c *ilpConn) setHeaders(req *http.Request, body requestBody) {
	c.link.identify(req, c.auth)
	if body.open == nil {
		return
	}
	req.Header.Set("Content-Type", "text/plain; charset=utf-8")
	if body.zipped {
		req.Header.Set("Content-Encoding", "gzip")
	}
	if len(body.bytes) == 0 {
		return
	}
	req.Body, _ = body.reader()
	req.GetBody = body.reader
	req.ContentLength = int64(len(body.bytes))
}

// begin registers the request that Close has to end; false if Close came first.
func (c *ilpConn) begin(cancel context.CancelFunc) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abort = cancel
	if c.ending.cause() != nil {
		cancel()
		return false
	}
	return true
}

func (c *ilpConn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.abort != nil {
		c.abort()
		c.abort = nil
	}
}

// causeOr prefers the reason for which a context ended over what the network
// made of it.
func causeOr(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
