// SPDX-License-Identifier: MIT

package qwpserver

import (
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"strconv"

	"github.com/gorilla/websocket"
)

// The headers of the QWP handshake.
const (
	headerVersion      = "X-QWP-Version"
	headerMaxBatchSize = "X-QWP-Max-Batch-Size"
	headerRole         = "X-QuestDB-Role"
)

// handler routes as the real server does: both upgrade paths, /settings without
// credentials, everything else to the fallback.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/write/v4", s.upgrade)
	mux.HandleFunc("/api/v4/write", s.upgrade)
	mux.HandleFunc("GET /settings", s.settings)
	mux.HandleFunc("GET /exec", s.exec)
	mux.HandleFunc("/", s.other)
	return mux
}

// other serves what is not QWP, if anything is there to serve it.
func (s *Server) other(w http.ResponseWriter, r *http.Request) {
	opts := s.options()
	switch {
	case !allowed(&opts, r):
		unauthorized(w)
	case opts.Fallback == nil:
		http.Error(w, "Not Found", http.StatusNotFound)
	default:
		opts.Fallback.ServeHTTP(w, r)
	}
}

// exec serves SQL, if anything is there to answer it.
func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	opts := s.options()
	if opts.Exec == nil || !allowed(&opts, r) {
		s.other(w, r)
		return
	}
	status, body := opts.Exec(r.URL.Query().Get("query"))
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// settings answers in the shape of QuestDB 9.3.4, with the transport added that
// this server has.
func (s *Server) settings(w http.ResponseWriter, _ *http.Request) {
	opts := s.options()
	version, transports := opts.Version, []string{"tcp", "http"}
	if version == "" {
		version = "10.0.0"
	}
	if !opts.NoQWP {
		transports = append(transports, "qwp")
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"config": map[string]any{
			"release.type":                "OSS",
			"release.version":             version,
			"line.proto.support.versions": []int{1, 2, 3},
			"ilp.proto.transports":        transports,
			"cairo.max.file.name.length":  maxNameLength,
		},
		"preferences.version": 0,
		"preferences":         map[string]any{},
	})
}

// upgrade answers the handshake and, if it succeeds, serves the connection
// until it ends.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) {
	stopped, ok := s.begin()
	if !ok {
		return
	}
	defer s.wg.Done()
	id := s.arrive(r)
	header := make(http.Header)
	header.Set(headerVersion, "1")
	opts := s.options()
	if opts.MaxBatchSize > 0 {
		header.Set(headerMaxBatchSize, strconv.FormatInt(opts.MaxBatchSize, 10))
	}
	offerDurable(&opts, r, header)
	h := &handshake{w: w, r: r, header: header, stopped: stopped}
	if status, refused := s.refuse(h, &opts); refused {
		s.answered(id, status)
		return
	}
	if ws := accept(w, r, header); ws != nil {
		s.answered(id, http.StatusSwitchingProtocols)
		if opts.MaxBatchSize > 0 {
			ws.SetReadLimit(opts.MaxBatchSize)
		}
		c := newConn(s, ws, id, stopped)
		c.durable = header.Get(headerDurable) != ""
		s.serve(c)
	} else {
		s.answered(id, http.StatusBadRequest)
	}
}

// handshake is one upgrade request and the headers that will answer it.
type handshake struct {
	w       http.ResponseWriter
	r       *http.Request
	header  http.Header
	stopped <-chan struct{}
}

// refuse answers requests that do not become connections: those that the script
// or the options refuse.
func (s *Server) refuse(h *handshake, opts *Options) (status int, refused bool) {
	for _, f := range s.fire(func(f *Fault) bool { return f.onUpgrade != nil }) {
		if status, refused := f.onUpgrade(h); refused {
			return status, true
		}
	}
	switch {
	case opts.NoQWP:
		http.Error(h.w, "Not Found", http.StatusNotFound)
		return http.StatusNotFound, true
	case !allowed(opts, h.r):
		unauthorized(h.w)
		return http.StatusUnauthorized, true
	case h.r.Header.Get("Origin") != "":
		http.Error(h.w, "Origin not allowed", http.StatusBadRequest)
		return http.StatusBadRequest, true
	}
	return 0, false
}

// accept speaks the WebSocket handshake; nil if the request is none, which has
// been answered then.
func accept(w http.ResponseWriter, r *http.Request, header http.Header) *websocket.Conn {
	up := websocket.Upgrader{
		ReadBufferSize:  64 << 10,
		WriteBufferSize: 4 << 10,
		Error: func(w http.ResponseWriter, _ *http.Request, _ int, reason error) {
			http.Error(w, reason.Error(), http.StatusBadRequest)
		},
	}
	ws, err := up.Upgrade(w, r, header)
	if err != nil {
		return nil
	}
	return ws
}

// allowed checks basic or bearer credentials, where the options ask for some.
func allowed(opts *Options, r *http.Request) bool {
	if opts.Token != "" {
		return equal(r.Header.Get("Authorization"), "Bearer "+opts.Token)
	}
	if opts.User == "" {
		return true
	}
	user, password, ok := r.BasicAuth()
	return ok && equal(user, opts.User) && equal(password, opts.Password)
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func unauthorized(w http.ResponseWriter) {
	w.Header().Set("WWW-Authenticate", `Basic realm="questdb"`)
	http.Error(w, "Unauthorized", http.StatusUnauthorized)
}
