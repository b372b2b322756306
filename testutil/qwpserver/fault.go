// SPDX-License-Identifier: MIT

package qwpserver

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Fault is one thing that goes wrong. It does so once, on the first occasion,
// unless When, Times or Always say otherwise.
type Fault struct {
	left    int // occasions left, -1 = without end
	onFrame bool
	when    func(*Frame) bool

	// onUpgrade may change the answer to an upgrade, or answer itself.
	onUpgrade func(*handshake) (status int, refused bool)
	// before runs on a decoded message; ended means that it is not stored.
	before func(*conn, *Frame) (ended bool, err error)
	// after runs once the message is stored and before it is acknowledged.
	after func(*conn, *Frame) error
}

// When limits a fault to the messages for which match holds.
func (f Fault) When(match func(*Frame) bool) Fault { f.when = match; return f }

// Times lets a fault happen n times.
func (f Fault) Times(n int) Fault { f.left = n; return f }

// Always lets a fault happen on every occasion.
func (f Fault) Always() Fault { f.left = -1; return f }

// Script replaces the fault script. Without arguments the server is healthy
// again; what already befell a connection stays.
func (s *Server) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = make([]*Fault, len(faults))
	for i := range faults {
		s.script[i] = &faults[i]
	}
}

// fire returns the faults that are due, in the order of the script, and counts
// them. match runs under the lock.
func (s *Server) fire(match func(*Fault) bool) []*Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []*Fault
	for _, f := range s.script {
		if f.left == 0 || !match(f) {
			continue
		}
		if f.left > 0 {
			f.left--
		}
		due = append(due, f)
	}
	return due
}

func (f *Fault) matches(frame *Frame) bool { return f.when == nil || f.when(frame) }

// Seq matches the message with that wire sequence, on any connection.
func Seq(n int64) func(*Frame) bool { return func(f *Frame) bool { return f.Seq == n } }

// Number matches the nth message that the server processes, from 0.
func Number(n int64) func(*Frame) bool { return func(f *Frame) bool { return f.Number == n } }

// Table matches messages with a row for that table.
func Table(name string) func(*Frame) bool {
	return HasRow(func(r *Row) bool { return strings.EqualFold(r.Table, name) })
}

// HasRow matches messages with a row for which match holds.
func HasRow(match func(*Row) bool) func(*Frame) bool {
	return func(f *Frame) bool {
		for i := range f.Rows {
			if match(&f.Rows[i]) {
				return true
			}
		}
		return false
	}
}

// RefuseUpgrade answers an upgrade with an HTTP status and headers given as
// key, value, key, value.
func RefuseUpgrade(status int, headers ...string) Fault {
	return Fault{left: 1, onUpgrade: func(h *handshake) (int, bool) {
		for i := 0; i+1 < len(headers); i += 2 {
			h.w.Header().Set(headers[i], headers[i+1])
		}
		http.Error(h.w, http.StatusText(status), status)
		return status, true
	}}
}

// RejectRole answers an upgrade as a server that is not the primary does: 421
// and its role, REPLICA or PRIMARY_CATCHUP.
func RejectRole(role string) Fault {
	return RefuseUpgrade(http.StatusMisdirectedRequest, headerRole, role)
}

// Version makes the upgrade succeed with that X-QWP-Version; empty leaves the
// header out.
func Version(value string) Fault {
	return Fault{left: 1, onUpgrade: func(h *handshake) (int, bool) {
		h.header.Del(headerVersion)
		if value != "" {
			h.header.Set(headerVersion, value)
		}
		return 0, false
	}}
}

// SilentUpgrade takes the request and never answers it. It ends when the client
// gives up or the server stops.
func SilentUpgrade() Fault {
	return Fault{left: 1, onUpgrade: func(h *handshake) (int, bool) {
		select {
		case <-h.r.Context().Done():
		case <-h.stopped:
		}
		panic(http.ErrAbortHandler)
	}}
}

// CutAfterBytes accepts the upgrade and resets the TCP connection after n more
// bytes of the client, wherever that is in a frame.
func CutAfterBytes(n int64) Fault {
	return Fault{left: 1, onUpgrade: func(h *handshake) (int, bool) {
		if c, ok := h.r.Context().Value(connKey{}).(*cuttable); ok {
			c.cutAfter(n)
		}
		return 0, false
	}}
}

// Reject answers a message with an error status and does not store it.
func Reject(status qwp.Status, message string) Fault {
	return Fault{left: 1, onFrame: true, before: func(c *conn, f *Frame) (bool, error) {
		c.srv.update(func(st *State) { st.Refused++ })
		return true, c.refuse(f.Seq, &refusal{status, message})
	}}
}

// Silence drops a message and everything after it on that connection, which
// stays open.
func Silence() Fault {
	return Fault{left: 1, onFrame: true, before: func(c *conn, _ *Frame) (bool, error) {
		c.dead, c.group = true, group{}
		return true, nil
	}}
}

// Stall is Silence once all that came before is acknowledged: the client knows
// exactly what it is rid of.
func Stall() Fault {
	return Fault{left: 1, onFrame: true, before: func(c *conn, _ *Frame) (bool, error) {
		err := c.flush()
		c.dead, c.group = true, group{}
		return true, err
	}}
}

// CloseBefore closes with a code instead of storing the message. OKs that are
// due go out first.
func CloseBefore(code int, text string) Fault {
	return Fault{left: 1, onFrame: true, before: func(c *conn, _ *Frame) (bool, error) {
		_ = c.flush()
		return true, c.closeWith(code, text)
	}}
}

// CloseAfter stores the message and closes with a code without acknowledging
// it: the client must send it again, and the rows arrive twice.
func CloseAfter(code int, text string) Fault {
	return Fault{left: 1, onFrame: true, after: func(c *conn, _ *Frame) error {
		return c.closeWith(code, text)
	}}
}

// Cut stores the message and drops the TCP connection without a word.
func Cut() Fault {
	return Fault{left: 1, onFrame: true, after: func(c *conn, _ *Frame) error {
		c.cut()
		return errDone
	}}
}

// CutAnswer stores the message and drops the TCP connection in the middle of
// the websocket frame that acknowledges it.
func CutAnswer() Fault {
	return Fault{left: 1, onFrame: true, after: func(c *conn, _ *Frame) error {
		c.ok.broken = true
		return nil
	}}
}

// LoseAck stores the message and never sends the OK that is due with it. The
// next OK covers it, if there is one.
func LoseAck() Fault {
	return Fault{left: 1, onFrame: true, after: func(c *conn, f *Frame) error {
		c.ok.lose = f.Seq
		return nil
	}}
}

// RepeatAck sends the OK of the message twice.
func RepeatAck() Fault {
	return Fault{left: 1, onFrame: true, after: func(c *conn, _ *Frame) error {
		c.ok.twice = true
		return nil
	}}
}

// HoldAcks stores the message and lets no OK out on that connection until
// release is closed. Later messages are stored meanwhile.
func HoldAcks(release <-chan struct{}) Fault {
	return Fault{left: 1, onFrame: true, after: func(c *conn, _ *Frame) error {
		c.ok.held = release
		return nil
	}}
}

// DelayAcks is HoldAcks for a time.
func DelayAcks(d time.Duration) Fault {
	return Fault{left: 1, onFrame: true, after: func(c *conn, _ *Frame) error {
		ctx, cancel := context.WithTimeout(context.Background(), d)
		context.AfterFunc(ctx, cancel)
		c.ok.held = ctx.Done()
		return nil
	}}
}

// Pause stops processing on a connection before the message until release is
// closed. What arrives meanwhile is received but neither stored nor answered.
func Pause(release <-chan struct{}) Fault {
	return Fault{left: 1, onFrame: true, before: func(c *conn, _ *Frame) (bool, error) {
		if !c.until(release) {
			return true, errDone
		}
		return false, nil
	}}
}
