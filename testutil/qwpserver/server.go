// SPDX-License-Identifier: MIT

// Package qwpserver is a QuestDB that only speaks QWP over WebSocket, in
// process and in memory, written from the ingress specification. It decodes and
// checks every message, keeps the rows, acknowledges as the real server does,
// and fails as its script says.
//
// What it copies from the real server, because clients have stumbled over it:
//
//   - One OK covers 8 processed messages, one more covers the rest as soon as
//     nothing is left to read. A deferred message is never acknowledged alone.
//   - OKs are cumulative and name the last transaction of each table.
//   - After an error response nothing more is processed or answered on that
//     connection; only pings still are.
//   - A message over X-QWP-Max-Batch-Size closes the connection with 1009.
//   - DURABLE_ACKs come only while it handles a message or a ping, behind the OKs.
//   - A column keeps the type of its first value. A value that does not convert
//     refuses the whole message with SCHEMA_MISMATCH.
//
// One file stands for one concern: upgrade.go the handshake, message.go what is
// read, answer.go what is written, durable.go durable acks, tables.go the memory,
// fault.go the script.
package qwpserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options are read at each request, so that [Server.Configure] can change them
// while the server runs. The zero value is a server that takes everything.
type Options struct {
	// Addr is where to listen; empty is a free port of 127.0.0.1.
	Addr string
	// TLS, when set, makes it an https and wss server. Read by Start only.
	TLS *tls.Config
	// Version is the release that /settings tells; empty is "10.0.0".
	Version string
	// NoQWP makes it a server from before QWP: /settings names no such
	// transport and the upgrade answers 404.
	NoQWP bool
	// MaxBatchSize is announced as X-QWP-Max-Batch-Size and enforced, in bytes
	// of one message. 0 announces and enforces nothing.
	MaxBatchSize int64
	// User and Password, or Token, must come with each request if set.
	User, Password, Token string
	// Durable says whether durable acks are offered.
	Durable Durability
	// KeepRows is how many rows a table keeps, the newest; 0 keeps all. -1 only
	// counts rows: no value is converted, and the script sees none.
	KeepRows int
	// DedupKeys names the columns that identify a row together with its time,
	// as DEDUP UPSERT KEYS would; a later row replaces an equal one. It needs
	// KeepRows 0.
	DedupKeys []string
	// Exec answers the SQL statements of GET /exec, one at a time or several at
	// once. Without it they go to Fallback.
	Exec func(sql string) (status int, body string)
	// Fallback serves every other path, /write among them. Without it they answer
	// 404.
	Fallback http.Handler
}

// Server is a running server. Its methods may be called from any goroutine.
type Server struct {
	// mu guards what stands below it. Nothing that can block runs while it is
	// held.
	mu      sync.Mutex
	opts    Options
	http    *http.Server
	stopped chan struct{} // closed by Stop, made anew by Restart
	open    map[*conn]struct{}
	seen    []Connection
	script  []*Fault
	tables  tables
	state   State
	changed chan struct{} // closed at a change somebody waits for

	addr string
	wg   sync.WaitGroup
}

// Start opens the port and serves. The caller ends it with [Server.Close].
func Start(opts Options) (*Server, error) {
	s := &Server{opts: opts, addr: opts.Addr, open: make(map[*conn]struct{})}
	s.tables = tables{byName: make(map[string]*table)}
	s.state.Tables = make(map[string]int64)
	if s.addr == "" {
		s.addr = "127.0.0.1:0"
	}
	if err := s.listen(); err != nil {
		return nil, err
	}
	return s, nil
}

// listen opens the port and serves it until Stop.
func (s *Server) listen() error {
	ln, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("qwpserver: listen on %s: %w", s.addr, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr = ln.Addr().String()
	ln = listener{ln}
	if s.opts.TLS != nil {
		ln = tls.NewListener(ln, s.opts.TLS)
	}
	srv := &http.Server{
		Handler:           s.handler(),
		ConnContext:       withConn,
		ReadHeaderTimeout: 10 * time.Second,
	}
	s.http, s.stopped = srv, make(chan struct{})
	s.wg.Go(func() { _ = srv.Serve(ln) })
	return nil
}

// Addr returns host and port. They stay the same across Stop and Restart.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// URL returns the base URL, http or https.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.opts.TLS != nil {
		return "https://" + s.addr
	}
	return "http://" + s.addr
}

// Configure changes options of the running server; requests and messages that
// come later see the change. It cannot change Addr and TLS.
func (s *Server) Configure(change func(*Options)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	addr, tlsConfig := s.opts.Addr, s.opts.TLS
	change(&s.opts)
	s.opts.Addr, s.opts.TLS = addr, tlsConfig
}

func (s *Server) options() Options {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opts
}

// Stop drops every connection without a close frame and refuses new ones, as a
// killed server would. Rows, script and counters stay. It waits until nothing
// runs any more; a second Stop does nothing.
func (s *Server) Stop() {
	s.mu.Lock()
	srv := s.http
	s.http = nil
	if srv != nil {
		close(s.stopped)
	}
	open := make([]*conn, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	if srv == nil {
		return
	}
	_ = srv.Close()
	for _, c := range open {
		c.cut()
	}
	s.wg.Wait()
}

// Restart serves again on the same port, after Stop or instead of it.
func (s *Server) Restart() error {
	s.Stop()
	return s.listen()
}

// Close ends the server and waits for its goroutines.
func (s *Server) Close() { s.Stop() }

// begin counts a request among the goroutines that Stop waits for, and returns
// the channel that tells it to end; false once the server is stopped.
func (s *Server) begin() (stopped <-chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http == nil {
		return nil, false
	}
	s.wg.Add(1)
	return s.stopped, true
}

type connKey struct{}

// withConn lets a handler find the TCP connection below its request.
func withConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}
