// SPDX-License-Identifier: MIT

package sender

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// run is the life of the sender: wait for something to send, connect, serve,
// wait a while, again.
func (s *Sender) run(ctx context.Context) {
	defer close(s.done)
	cursor := s.cfg.Slot.NewCursor()
	wait := backoff{initial: s.cfg.InitialBackoff, max: s.cfg.MaxBackoff, rand: s.cfg.Rand}
	for s.awaitFrames(ctx) {
		progressed, err := s.session(ctx, cursor)
		if ctx.Err() != nil {
			return
		}
		cursor.Rewind()
		if progressed {
			wait.reset()
		}
		if errors.Is(err, link.ErrReconnect) {
			continue // an orderly fresh start, not a failure
		}
		s.lost(err)
		if !sleep(ctx, wait.next()) {
			return
		}
	}
}

// awaitFrames waits, without a connection, until something is pending.
func (s *Sender) awaitFrames(ctx context.Context) bool {
	for ctx.Err() == nil {
		changed := s.cfg.Slot.Changed()
		if s.cfg.Slot.Stats().PendingFrames > 0 {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return false
}

// session makes one connection and serves it until it ends. It tells whether
// the server took anything, and why it ended.
func (s *Sender) session(ctx context.Context, cursor *slot.Cursor) (progressed bool, err error) {
	conn, err := s.cfg.Link.Connect(ctx)
	if err != nil {
		return false, err
	}
	s.connected(conn)
	f := newFlight(s, conn, cursor)
	err = f.serve(ctx)
	f.close()
	return f.acked > 0, err
}

func (s *Sender) connected(conn link.Conn) {
	s.mu.Lock()
	s.state.Connected, s.state.Transport, s.state.Host = true, conn.Transport(), conn.Host()
	s.state.Connects++
	since := s.state.Since
	s.mu.Unlock()
	if !since.IsZero() {
		s.cfg.Log.Info("connected again", "host", conn.Host(), "transport", conn.Transport().String(),
			"outage", time.Since(since).Round(time.Millisecond).String(), "pending_rows", s.cfg.Slot.Stats().Pending)
	}
}

// lost notes the end of a connection or attempt. It is logged when it is news:
// the first failure of an outage, and later ones that differ, once a minute.
func (s *Sender) lost(err error) {
	var refusal *link.Refusal
	refused := errors.As(err, &refusal)
	s.mu.Lock()
	first := s.state.Since.IsZero()
	same := s.state.LastError != nil && s.state.LastError.Error() == err.Error()
	s.state.Connected, s.state.LastError = false, err
	if refused {
		s.state.Refusals++
	}
	if first {
		s.state.Since = time.Now()
	}
	s.mu.Unlock()
	if first || !same && time.Since(s.logged) >= time.Minute {
		s.logged = time.Now()
		s.logLost(err, refused)
	}
}

func (s *Sender) logLost(err error, refused bool) {
	msg := "no connection; rows stay on disk and are sent when it is back"
	if refused {
		msg = "the server refused rows; they stay on disk and are offered again"
	}
	s.cfg.Log.Warn(msg, "error", err, "slot", s.cfg.Slot.Dir(), "pending_rows", s.cfg.Slot.Stats().Pending)
}

// settle records that the server took a whole frame.
func (s *Sender) settle(fsn slot.FSN, rows int) {
	if err := s.cfg.Slot.Settle(fsn, rows, slot.Acked); err != nil {
		s.cfg.Log.Warn("cannot note progress; rows may be sent twice after a restart",
			"slot", s.cfg.Slot.Dir(), "fsn", int64(fsn), "error", err)
	}
	s.madeProgress()
}

// backoff doubles from initial to max; each wait is drawn from [0, bound), so
// that many senders do not come back in step.
type backoff struct {
	initial, max, bound time.Duration
	rand                func() float64
}

func (b *backoff) reset() { b.bound = 0 }

func (b *backoff) next() time.Duration {
	b.bound = min(max(b.initial, 2*b.bound), b.max)
	return time.Duration(b.rand() * float64(b.bound))
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// damaged wraps what the slot itself cannot read.
func damaged(err error) error {
	return fmt.Errorf("read slot: %w", err)
}
