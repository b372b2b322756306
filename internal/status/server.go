// SPDX-License-Identifier: MIT

package status

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// servers is the one variable of the package: blocks know nothing of each other, and
// those that name the same address share a listener.
var servers = registry{at: map[string]*server{}, ended: map[string]chan struct{}{}, listen: listen}

type registry struct {
	// mu guards what follows and, with the mu of each server, which of them have sources.
	mu    sync.Mutex
	at    map[string]*server
	ended map[string]chan struct{} // closed when the last server at an address has let it go

	listen listener
}

// listener waits for nothing.
type listener func(ctx context.Context, address string) (net.Listener, error)

// server is one listener with the stores that it shows.
type server struct {
	address string
	log     *slog.Logger
	listen  listener
	before  <-chan struct{} // closed when the server that had the address has let it go; nil without one
	cancel  context.CancelFunc
	tasks   sync.WaitGroup

	// mu guards what follows. No store is looked at under it.
	mu     sync.Mutex
	stores []*watch // in the order they came
	watch  map[storeKey]*watch
}

type storeKey struct{ dir, senderID string }

// listenEvery is how often an address that cannot be had is tried again.
const listenEvery = 30 * time.Second

// Show has a block shown at an address, which ParseAddress has returned, until hide
// is called. It does not wait: an address that cannot be had is logged once, tried
// again every half a minute, and disturbs nothing else.
func Show(address string, s *Source, log *slog.Logger) (hide func()) {
	srv := servers.enter(address, s, log)
	return sync.OnceFunc(func() { servers.leave(srv, s) })
}

func (r *registry) enter(address string, s *Source, log *slog.Logger) *server {
	look := s.Store.Look()
	r.mu.Lock()
	defer r.mu.Unlock()
	srv := r.at[address]
	if srv == nil {
		srv = &server{address: address, log: log, listen: r.listen, before: r.ended[address], watch: map[storeKey]*watch{}}
		r.at[address] = srv
		defer srv.start()
	}
	srv.add(storeKey{look.Dir, look.SenderID}, s)
	return srv
}

// leave takes a block off, and ends a server that shows nothing any more.
func (r *registry) leave(srv *server, s *Source) {
	r.mu.Lock()
	last, ended := srv.remove(s), make(chan struct{})
	if last {
		delete(r.at, srv.address)
		r.ended[srv.address] = ended // who comes to the address meanwhile waits for it
	}
	r.mu.Unlock()
	if !last {
		return
	}
	srv.cancel()
	srv.tasks.Wait()
	close(ended)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended[srv.address] == ended {
		delete(r.ended, srv.address)
	}
}

func (s *server) add(key storeKey, src *Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watch[key]
	if w == nil {
		w = newWatch()
		s.watch[key] = w
		s.stores = append(s.stores, w)
	}
	w.sources = append(w.sources, src)
}

func (s *server) remove(src *Source) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, w := range s.watch {
		w.sources = slices.DeleteFunc(w.sources, func(o *Source) bool { return o == src })
		if len(w.sources) == 0 {
			delete(s.watch, key)
			s.stores = slices.DeleteFunc(s.stores, func(o *watch) bool { return o == w })
		}
	}
	return len(s.stores) == 0
}

// each calls f with each store and its blocks.
func (s *server) each(f func(w *watch, sources []*Source)) {
	type one struct {
		w       *watch
		sources []*Source
	}
	s.mu.Lock()
	var list []one
	for _, w := range s.stores {
		list = append(list, one{w, slices.Clone(w.sources)})
	}
	s.mu.Unlock()
	for _, o := range list {
		f(o.w, o.sources)
	}
}

// reports looks at each store in one way.
func (s *server) reports(look func(*watch, []*Source) report) (list []report) {
	s.each(func(w *watch, sources []*Source) { list = append(list, look(w, sources)) })
	return list
}

// start samples from now on, and serves once the address can be had: health has to know
// since when nothing moves.
func (s *server) start() {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	s.tasks.Go(func() { s.sampleUntil(ctx) })
	s.tasks.Go(func() { s.run(ctx) })
}

// run serves until ctx ends. A listener that fails is replaced.
func (s *server) run(ctx context.Context) {
	if s.before != nil {
		<-s.before // it ends by itself, and has the address until then
	}
	for l := s.await(ctx); l != nil; l = s.await(ctx) {
		err := s.serve(ctx, limit(l))
		if errors.Is(err, http.ErrServerClosed) {
			return
		}
		s.log.Error("the status page has ended; it is begun again in half a minute, and all else goes on", "status_address", s.address, "error", err)
		if !pause(ctx, listenEvery) {
			return
		}
	}
}

// serve returns http.ErrServerClosed once ctx has ended.
func (s *server) serve(ctx context.Context, l *limited) error {
	s.log.Info("status page", "url", "http://"+l.Addr().String()+"/")
	h := &http.Server{
		Handler: s.handler(l.Addr()), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ConnState: l.note,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), // what strangers send is no concern of the agent
	}
	defer func() { _ = h.Close() }() // the connections, if only the listener has failed
	stop := context.AfterFunc(ctx, func() { _ = h.Close() })
	defer stop()
	return h.Serve(l)
}

// await returns a listener once the address can be had; nil when ctx ends before.
func (s *server) await(ctx context.Context) net.Listener {
	l, err := s.listen(ctx, s.address)
	if err != nil {
		s.log.Error("the status page cannot listen at status_address; it is tried again every half a minute, and all else goes on",
			"status_address", s.address, "error", err)
	}
	for err != nil {
		if !pause(ctx, listenEvery) {
			return nil
		}
		l, err = s.listen(ctx, s.address)
	}
	return l
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", address)
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// sampleUntil keeps the history.
func (s *server) sampleUntil(ctx context.Context) {
	for {
		s.each(func(w *watch, sources []*Source) { w.sample(sources) })
		if !pause(ctx, sampleEvery) {
			return
		}
	}
}
