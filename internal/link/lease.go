// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Lease is a connection of a Budget for as long as one sender uses it. It ends with
// Return or Close.
type Lease struct {
	Conn
	b      *Budget
	s      *shared
	fresh  bool
	wanted chan struct{}
	asked  bool // wanted is closed; Budget.mu guards it

	ended context.Context // of Recv
	quiet context.CancelCauseFunc
	from  context.Context // the caller's, of which recv was made
	recv  context.Context
	once  sync.Once
}

// Made returns when the connection was made.
func (l *Lease) Made() time.Time { return l.s.made }

// Fresh says that nobody has used it before.
func (l *Lease) Fresh() bool { return l.fresh }

// Wanted returns a channel that closes when the connection should be given up soon:
// others wait for one, or it has had its time.
func (l *Lease) Wanted() <-chan struct{} { return l.wanted }

// Idle returns how long to keep it without use.
func (l *Lease) Idle() time.Duration {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	return l.b.idle()
}

// Hold lets everybody wait for a connection for that long, as the server asked for.
func (l *Lease) Hold(d time.Duration) {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.b.hold(d)
}

// Crowd notes that the server takes no more connections.
func (l *Lease) Crowd() {
	l.b.mu.Lock()
	defer l.b.mu.Unlock()
	l.b.crowd()
}

// ask closes wanted. The caller holds the mutex of the budget.
func (l *Lease) ask() {
	if !l.asked {
		l.asked = true
		close(l.wanted)
	}
}

// Recv is that of the connection, and ends with Quiet, too.
func (l *Lease) Recv(ctx context.Context) (Outcome, error) {
	if l.from != ctx {
		merged, cancel := context.WithCancelCause(ctx)
		context.AfterFunc(l.ended, func() { cancel(ErrClosed) })
		l.from, l.recv = ctx, merged
	}
	return l.Conn.Recv(l.recv)
}

// Quiet ends Recv with ErrClosed, and leaves the connection as it is.
func (l *Lease) Quiet() { l.quiet(ErrClosed) }

// Return hands the connection on. Nothing is unanswered, nothing was added to a
// request, and nobody is in Recv.
func (l *Lease) Return() {
	l.once.Do(func() {
		l.Quiet()
		l.b.returned(l, func() { l.b.keep(l.s) })
	})
}

// Close closes the connection.
func (l *Lease) Close() (err error) {
	l.once.Do(func() {
		l.Quiet()
		l.s.shift.Stop()
		err = l.Conn.Close()
		l.b.returned(l, func() {
			l.b.open--
			l.b.leave()
		})
	})
	return err
}

// returned ends a lease.
func (b *Budget) returned(l *Lease, as func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leases = slices.DeleteFunc(b.leases, func(o *Lease) bool { return o == l })
	as()
	b.serve()
}
