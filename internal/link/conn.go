// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"sync"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Conn is one connection. Add and Send belong to one goroutine, Recv to one
// that may be another; Close may come from anywhere.
//
// An error of Send, other than ErrEmptyRequest, means that the connection is
// over, and that every request without an outcome has to be sent again on
// another one; so does an error of Recv, unless its own context ended. A context
// that has ended before Send begins changes nothing.
type Conn interface {
	// Transport returns QWP or ILP.
	Transport() Transport
	// Host returns the endpoint as host:port.
	Host() string
	// Add puts a part of a frame into the request that is being built.
	// ErrRequestFull: Send first, then Add the same part again.
	// ErrReconnect: the connection has served its time; let the answers arrive,
	// Close, Connect and Add there. *TooLargeError: the part alone is more than
	// one request may hold; split it. *UnsupportedError: this row cannot be said
	// over this transport. None of them changes the request.
	Add(v *qwp.View, p qwp.Part) error
	// AddWith is Add with a LONG column more in the blocks that more wants one
	// for: the row id of DESIGN.md 17. A nil more adds none.
	AddWith(v *qwp.View, p qwp.Part, more qwp.AddLong) error
	// Send transmits the request that was built. Requests are numbered 0, 1, 2 …
	// per connection, so that the caller knows the number beforehand: with QWP
	// the answer may reach Recv before Send returns. With ILP, Send is the whole
	// round trip, and its outcome waits for Recv.
	Send(ctx context.Context) (seq int64, err error)
	// Recv waits for the next outcome. Outcomes that arrived before the
	// connection ended are delivered first.
	Recv(ctx context.Context) (Outcome, error)
	// Window returns how many requests may be unanswered at a time.
	Window() int
	// Close ends the connection in an orderly way and unblocks Send and Recv,
	// which then return ErrClosed. It may be called again.
	Close() error
}

// Outcome is what the server said to a request. Without Refusal every request
// up to and including Seq is acked; where that is nothing new, -1 for none at all,
// Window has grown. With Refusal exactly the request Seq is
// refused (-1: the server named none), and on QWP the connection is used up:
// the server ignores what follows (Add returns ErrReconnect).
type Outcome struct {
	Seq     int64
	Refusal *Refusal
}

// ending is how a connection ends: the first reason wins and stays.
type ending struct {
	once sync.Once
	done chan struct{}
	err  error // written before done is closed, read after
}

func newEnding() *ending { return &ending{done: make(chan struct{})} }

// end records err as the reason and reports whether it is the first.
func (e *ending) end(err error) bool {
	first := false
	e.once.Do(func() {
		e.err, first = err, true
		close(e.done)
	})
	return first
}

// cause returns the reason, nil while the connection lives.
func (e *ending) cause() error {
	select {
	case <-e.done:
		return e.err
	default:
		return nil
	}
}
