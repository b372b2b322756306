// SPDX-License-Identifier: MIT

package qwpserver

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// State is what the server has seen since Start.
type State struct {
	Attempts    int   // upgrade requests, refused ones too
	Connections int   // upgrades answered with 101
	Open        int   // connections open now
	Messages    int64 // binary messages received, processed or not
	Accepted    int64 // messages whose rows were taken
	Refused     int64 // messages answered with an error
	Pings       int64 // handled
	DurableAcks int64 // sent
	Rows        int64 // rows committed; with DedupKeys, replacements count too
	Tables      map[string]int64
}

// Connection is one upgrade request.
type Connection struct {
	ID         int    // in order of arrival, from 0
	Path       string // as requested
	RemoteAddr string
	Header     http.Header // transport headers of the request, credentials too
	Status     int         // what the upgrade was answered with; 0 = nothing
}

// keptConnections bounds the memory of a server that runs for days.
const keptConnections = 1024

// Wait returns nil as soon as f holds, looking at each change of the state. f
// must neither keep the state nor call the server.
func (s *Server) Wait(ctx context.Context, f func(*State) bool) error {
	for {
		s.mu.Lock()
		if f(&s.state) {
			s.mu.Unlock()
			return nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed, last := s.changed, s.state.clone()
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("qwpserver: waited in vain: %w; last state %+v", ctx.Err(), last)
		}
	}
}

// State returns a copy of the counters.
func (s *Server) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.clone()
}

// Total returns the number of rows committed.
func (s *Server) Total() int64 { return s.State().Rows }

// Connections lists the last upgrade requests, the oldest first.
func (s *Server) Connections() []Connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func (s State) clone() State {
	s.Tables = maps.Clone(s.Tables)
	return s
}

// update changes the state and wakes those who wait for it.
func (s *Server) update(change func(*State)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.state)
	s.wake()
}

// wake needs mu.
func (s *Server) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// arrive notes an upgrade request and returns its number.
func (s *Server) arrive(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.state.Attempts
	s.state.Attempts++
	if len(s.seen) == keptConnections {
		s.seen = slices.Delete(s.seen, 0, 1)
	}
	s.seen = append(s.seen, Connection{
		ID: id, Path: r.URL.Path, RemoteAddr: r.RemoteAddr, Header: r.Header.Clone(),
	})
	s.wake()
	return id
}

// answered notes how an upgrade request was answered.
func (s *Server) answered(id, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.seen {
		if s.seen[i].ID == id {
			s.seen[i].Status = status
		}
	}
	s.wake()
}
