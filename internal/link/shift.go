// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"syscall"
	"time"
)

const (
	// shift is how long a connection is used before it is seen whether the server has
	// room for others: QuestDB takes 256 in all by default, or a part of them for rows,
	// and who holds one notices nothing of those who are turned away. It doubles up to
	// maxShift, as long as there is room.
	shift    = 30 * time.Second
	maxShift = 5 * time.Minute
	// crowdedShift is for how long a connection to a crowded server is used. Then it is
	// left to others, for as long at the most.
	crowdedShift = 5 * time.Second
	// crowdedFor is how long a server counts as crowded.
	crowdedFor = 10 * time.Minute
	// probeTime bounds the look; on a narrow link it shares the way with a request of
	// requestTime.
	probeTime = 4 * requestTime
)

// crowd notes that the server has no room for all. The caller holds mu.
func (b *Budget) crowd() { b.crowded = time.Now().Add(crowdedFor) }

func (b *Budget) isCrowded() bool { return time.Now().Before(b.crowded) }

// within cuts a time to what is left of the life of a connection.
func (b *Budget) within(s *shared, d time.Duration) time.Duration {
	if b.cfg.Life <= 0 {
		return d
	}
	return min(d, max(0, b.cfg.Life-time.Since(s.made)))
}

// shiftOver ends the use of a connection, if others need its place, or it has lived
// long enough.
func (b *Budget) shiftOver(s *shared) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.holds(s):
		return
	case b.cfg.Life > 0 && time.Since(s.made) >= b.cfg.Life, b.isCrowded():
	case b.probing: // one more connection is enough
		s.shift.Reset(time.Second)
		return
	case b.hasRoom():
		if b.holds(s) {
			s.long = min(2*s.long, maxShift)
			s.shift.Reset(b.within(s, s.long))
		}
		return
	default:
		b.crowd()
	}
	s.over = true
	for _, l := range b.leases {
		if l.s == s {
			l.ask()
		}
	}
	b.dropFree(s)
}

// holds says whether a connection is in use, or free. The caller holds mu.
func (b *Budget) holds(s *shared) bool {
	return slices.Contains(b.free, s) || slices.ContainsFunc(b.leases, func(l *Lease) bool { return l.s == s })
}

// hasRoom sees whether the server takes another connection for rows, which is closed at
// once. The caller holds mu, which is free meanwhile.
func (b *Budget) hasRoom() (room bool) {
	b.probing = true
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.probing = false
	}()
	return !isFull(b.probe())
}

// probe returns what the look for room has met.
func (b *Budget) probe() (err error) {
	defer func() {
		if recover() != nil {
			err = nil // a bug that a sender meets, too, and tells
		}
	}()
	ctx, cancel := context.WithTimeoutCause(b.ctx, probeTime, errSilent)
	defer cancel()
	conn, err := b.cfg.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if isSlow(conn) {
		return errSilent
	}
	if c, ok := conn.(interface{ Announce(context.Context) error }); ok {
		return c.Announce(ctx)
	}
	return nil
}

var errSilent = errors.New("no answer in time")

// isFull says whether an error shows that a server whose connections work takes no
// more: it does not answer, refuses or resets the connect, or says so. Any other trouble
// says nothing.
func isFull(err error) bool {
	var refusal *Refusal
	return errors.Is(err, errSilent) || isSilence(err) ||
		errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) ||
		errors.As(err, &refusal) && refusal.HTTPStatus == http.StatusTooManyRequests
}

// leave lets others have a place at a crowded server. The caller holds mu.
func (b *Budget) leave() {
	if b.isCrowded() {
		b.hold(time.Duration(b.cfg.Rand() * float64(crowdedShift)))
	}
}
