// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// urgentTurns is how often in a row urgent rows go before the longest waiting.
const urgentTurns = 2

// Wish says what is wanted of a connection. The zero value is any.
type Wish struct {
	// Fresh wants one that is made now: a server may go by what a table was when the
	// connection was made.
	Fresh bool
	// Urgent says, whenever it is asked, whether rows wait that are to go before those
	// of others. It must not block. May be nil.
	Urgent func() bool
}

func (w *Wish) urgent() bool { return w.Urgent != nil && w.Urgent() }

// BudgetConfig configures a Budget. Fields are required where they do not say so.
type BudgetConfig struct {
	Connect func(ctx context.Context) (Conn, error) // Link.Connect
	Avoid   func(host string)                       // Link.Avoid; may be nil
	// Max is how many connections there may be at a time.
	Max int
	// Idle is how long one is kept that nobody uses.
	Idle time.Duration
	// Life is how long one is used at all; 0 or less is for ever.
	Life time.Duration
	// InitialBackoff and MaxBackoff bound the pause after a connect that failed, which
	// is drawn from the whole range between zero and the doubling bound.
	InitialBackoff, MaxBackoff time.Duration
	// Rand draws from [0, 1).
	Rand func() float64
}

// Budget makes at most so many connections at a time and hands them on between those
// who want one, in the order in which they ask, urgent rows before others. After a
// connect that failed nobody connects for a while. Its methods may be called
// concurrently.
type Budget struct {
	cfg  BudgetConfig
	ctx  context.Context // ends with Close
	stop context.CancelFunc

	// mu guards what follows. Nothing blocks while it is held.
	mu      sync.Mutex
	open    int // connections that are used, free, being made, or being closed
	closing int // of those, free ones that are being closed
	free    []*shared
	leases  []*Lease // those in use, the oldest first
	queue   []*claim // the longest waiting first
	urgents int      // urgent claims in a row that went before others
	backoff
	heldUntil time.Time // nobody gets a connection before, for another reason
	timer     *time.Timer
	crowded   time.Time // until then the server counts as crowded
	probing   bool
	closed    bool
}

// backoff is the pause after connects that failed.
type backoff struct {
	bound time.Duration
	since time.Time // of the last one
	until time.Time
}

// NewBudget returns a Budget without connections.
func NewBudget(c BudgetConfig) *Budget {
	ctx, stop := context.WithCancel(context.Background())
	return &Budget{cfg: c, ctx: ctx, stop: stop}
}

// shared is a connection that is handed on.
type shared struct {
	Conn
	made  time.Time
	shift *time.Timer
	long  time.Duration // of the shift
	over  bool          // it is not handed on any more
	idle  *time.Timer   // runs while it is free
}

// alive says whether a connection can still be used, as far as is known.
func (s *shared) alive() bool {
	c, ok := s.Conn.(interface{ Alive() bool })
	return !ok || c.Alive()
}

// claim is somebody who waits for a connection. Granting nil is leave to make one.
type claim struct {
	Wish
	granted chan *Lease
}

// Connect waits for a connection, or for leave to make one and makes it. Errors are
// those of Link.Connect; inside a *ConnectError the cause of a context that ends, and
// ErrClosed after Close.
func (b *Budget) Connect(ctx context.Context, w Wish) (Conn, error) {
	c := &claim{Wish: w, granted: make(chan *Lease, 1)}
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil, &ConnectError{Err: ErrClosed}
	}
	b.queue = append(b.queue, c)
	b.serve()
	b.mu.Unlock()
	select {
	case l, ok := <-c.granted:
		switch {
		case !ok:
			return nil, &ConnectError{Err: ErrClosed}
		case l != nil:
			return l, nil
		}
		return b.make(ctx)
	case <-ctx.Done():
		b.withdraw(c)
		return nil, &ConnectError{Err: context.Cause(ctx)}
	}
}

// Avoid is Link.Avoid.
func (b *Budget) Avoid(host string) {
	if b.cfg.Avoid != nil {
		b.cfg.Avoid(host)
	}
}

// withdraw takes back a claim; what it was granted meanwhile goes to the next.
func (b *Budget) withdraw(c *claim) {
	b.mu.Lock()
	i := slices.Index(b.queue, c)
	if i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	}
	b.mu.Unlock()
	if i >= 0 {
		return
	}
	switch l, ok := <-c.granted; {
	case l != nil:
		l.Return()
	case ok:
		b.giveBack()
	}
}

// giveBack gives up a place without a connection.
func (b *Budget) giveBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	b.serve()
}

func (b *Budget) make(ctx context.Context) (_ Conn, err error) {
	began, made := time.Now(), false
	defer func() {
		if !made { // failed, or a panic
			b.giveBack()
		}
	}()
	conn, err := b.cfg.Connect(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if isSlow(conn) || isSilence(err) {
		b.crowd()
	}
	if err != nil {
		if ctx.Err() == nil {
			b.backOff(began)
		}
		return nil, err
	}
	made, b.backoff = true, backoff{}
	s := &shared{Conn: conn, made: time.Now(), long: shift}
	if b.isCrowded() {
		s.long = crowdedShift
	}
	s.shift = time.AfterFunc(b.within(s, s.long), func() { b.shiftOver(s) })
	l := b.lease(s, true)
	b.serve()
	return l, nil
}

// isSilence says whether a host was reached and did not answer.
func isSilence(err error) bool {
	var timeout *TimeoutError
	return errors.As(err, &timeout) && timeout.What != whatTCP
}

// isSlow says whether a server let us wait for its first answer.
func isSlow(c Conn) bool {
	slow, ok := c.(interface{ Crowded() bool })
	return ok && slow.Crowded()
}

// backOff lets everybody wait after a connect that failed; those that fail together
// count once. The caller holds mu.
func (b *Budget) backOff(began time.Time) {
	if began.Before(b.since) {
		return
	}
	b.bound = min(max(b.cfg.InitialBackoff, 2*b.bound), b.cfg.MaxBackoff)
	b.since = time.Now()
	b.until = b.since.Add(time.Duration(b.cfg.Rand() * float64(b.bound)))
}

// hold lets everybody wait that long at least. The caller holds mu.
func (b *Budget) hold(d time.Duration) {
	if until := time.Now().Add(d); until.After(b.heldUntil) {
		b.heldUntil = until
	}
}

// wait returns for how long nobody gets a connection. The caller holds mu.
func (b *Budget) wait() time.Duration {
	return max(time.Until(b.until), time.Until(b.heldUntil))
}

// serve gives the queue what there is, and asks for what there is not. The caller
// holds mu.
func (b *Budget) serve() {
	for len(b.queue) > 0 && !b.closed {
		if wait := b.wait(); wait > 0 {
			b.serveIn(wait)
			return
		}
		n := len(b.free)
		if n == 0 && b.open >= b.cfg.Max {
			b.ask()
			return
		}
		at := b.next()
		c := b.queue[at]
		switch {
		case n > 0 && !c.Fresh && !b.free[n-1].alive():
			b.drop(b.take(n - 1))
			continue
		case n > 0 && !c.Fresh:
			b.queue = slices.Delete(b.queue, at, at+1)
			c.granted <- b.lease(b.take(n-1), false)
		case b.open < b.cfg.Max:
			b.queue = slices.Delete(b.queue, at, at+1)
			b.open++
			c.granted <- nil
		default: // it has another look when that is closed
			if b.closing == 0 {
				b.drop(b.take(0))
			}
			return
		}
	}
}

// take returns a free connection. The caller holds mu.
func (b *Budget) take(i int) *shared {
	s := b.free[i]
	b.free = slices.Delete(b.free, i, i+1)
	s.idle.Stop()
	return s
}

func (b *Budget) serveIn(wait time.Duration) {
	if b.timer == nil {
		b.timer = time.AfterFunc(wait, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.serve()
		})
		return
	}
	b.timer.Reset(wait)
}

// next returns whose turn it is in the queue, which is not empty.
func (b *Budget) next() int {
	if b.urgents < urgentTurns {
		if i := slices.IndexFunc(b.queue, func(c *claim) bool { return c.urgent() }); i > 0 {
			b.urgents++
			return i
		}
	}
	b.urgents = 0
	return 0
}

// ask tells those who use a connection longest that others wait.
func (b *Budget) ask() {
	missing := len(b.queue)
	for _, l := range b.leases {
		if l.asked {
			missing--
		}
	}
	for _, l := range b.leases {
		if missing > 0 && !l.asked {
			l.ask()
			missing--
		}
	}
}

// lease hands a connection out. The caller holds mu.
func (b *Budget) lease(s *shared, fresh bool) *Lease {
	ctx, quiet := context.WithCancelCause(context.Background())
	l := &Lease{Conn: s.Conn, b: b, s: s, fresh: fresh, wanted: make(chan struct{}), ended: ctx, quiet: quiet}
	b.leases = append(b.leases, l)
	if s.over {
		l.ask()
	}
	if len(b.queue) > 0 && len(b.free) == 0 {
		b.ask()
	}
	return l
}

// keep puts a connection among the free ones, for as long as it may be kept. The
// caller holds mu.
func (b *Budget) keep(s *shared) {
	if b.closed || s.over || !s.alive() || b.idle() == 0 && len(b.queue) == 0 {
		b.drop(s)
		return
	}
	b.free = append(b.free, s)
	s.idle = time.AfterFunc(b.cfg.Idle, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.dropFree(s)
	})
}

// idle returns how long a connection is kept without use.
func (b *Budget) idle() time.Duration {
	if b.isCrowded() {
		return 0
	}
	return b.cfg.Idle
}

func (b *Budget) dropFree(s *shared) {
	if i := slices.Index(b.free, s); i >= 0 {
		b.drop(b.take(i))
	}
}

// drop closes a connection, beside the caller, who holds mu. It counts until it is
// closed.
func (b *Budget) drop(s *shared) {
	b.leave()
	s.shift.Stop()
	b.closing++
	go func() {
		_ = s.Conn.Close()
		b.mu.Lock()
		defer b.mu.Unlock()
		b.closing--
		b.open--
		b.serve()
	}()
}

// Close closes the connections that nobody uses. There are none after it: those in
// use are closed when they are returned.
func (b *Budget) Close() {
	b.stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	for len(b.free) > 0 {
		b.drop(b.take(0))
	}
	for _, c := range b.queue {
		close(c.granted)
	}
	b.queue = nil
	if b.timer != nil {
		b.timer.Stop()
	}
}
