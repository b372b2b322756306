// SPDX-License-Identifier: MIT

package link

import (
	"context"
	"slices"
	"time"
)

// shiftOver ends the use of a connection, if others need its place.
func (b *Budget) shiftOver(s *shared) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.holds(s):
		return
	case b.probing: // one more connection is enough
		s.shift.Reset(time.Second)
		return
	case !b.isCrowded() && b.hasRoom():
		s.long = min(2*s.long, maxShift)
		if b.holds(s) {
			s.shift.Reset(s.long)
		}
		return
	}
	b.crowd()
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
func (b *Budget) hasRoom() bool {
	b.probing = true
	b.mu.Unlock()
	room := b.probe()
	b.mu.Lock()
	b.probing = false
	return room
}

func (b *Budget) probe() bool {
	ctx, cancel := context.WithTimeout(context.Background(), probeTime)
	defer cancel()
	conn, err := b.cfg.Connect(ctx)
	if err != nil {
		return false
	}
	defer conn.Close()
	if c, ok := conn.(interface{ Announce(context.Context) error }); ok {
		err = c.Announce(ctx)
	}
	return err == nil && !isSlow(conn)
}
