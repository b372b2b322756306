// SPDX-License-Identifier: MIT

package link

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// What Add and Send say about the connection itself.
var (
	// ErrRequestFull: the request takes no more; Send it, then Add again.
	ErrRequestFull = errors.New("request is full: send it first")
	// ErrReconnect: the connection has served its time (its dictionary is full,
	// the server refused something, or QWP should be asked for again). Let the
	// outstanding answers arrive, Close and Connect.
	ErrReconnect = errors.New("connection has served its time: reconnect")
	// ErrClosed: Close was called.
	ErrClosed = errors.New("connection is closed")
	// ErrEmptyRequest: Send was called without a successful Add.
	ErrEmptyRequest = errors.New("nothing was added to the request")
)

// AuthError says that a host refused the credentials (HTTP 401 or 403). No
// other host was tried: the same credentials would meet the same answer.
type AuthError struct {
	Host   string
	Status int
}

func (e *AuthError) Error() string {
	return fmt.Sprintf("%s refused the credentials (HTTP %d): check username and password, or token, and that the user may write", e.Host, e.Status)
}

// RoleError says that a host takes no writes (HTTP 421). Role is what it calls
// itself, such as REPLICA or PRIMARY_CATCHUP; empty when it does not say.
type RoleError struct {
	Host string
	Role string
}

func (e *RoleError) Error() string {
	role := "no role given"
	if e.Role != "" {
		role = "role " + e.Role
	}
	return fmt.Sprintf("%s takes no writes now (HTTP 421, %s): rows wait for a primary", e.Host, role)
}

// catchingUp says that the host is about to become the primary.
func (e *RoleError) catchingUp() bool { return strings.EqualFold(e.Role, "PRIMARY_CATCHUP") }

// ConnectError says why no connection to one host came about.
type ConnectError struct {
	Host string
	Err  error
	// RetryAfter is for how long the host asks to be left alone; 0 if it does not.
	RetryAfter time.Duration

	// answered: the host was reached and did not speak QWP, so that it is worth
	// asking whether it speaks ILP.
	answered bool
}

func (e *ConnectError) Error() string {
	err := e.Err
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" && dial.Addr != nil && dial.Addr.String() == e.Host {
		err = dial.Err // the address is said already
	}
	return fmt.Sprintf("connect to %s: %v", e.Host, err)
}

// Unwrap returns the reason.
func (e *ConnectError) Unwrap() error { return e.Err }

// RoundError holds what every endpoint said when none could be used.
type RoundError struct{ Errs []error }

func (e *RoundError) Error() string {
	texts := make([]string, len(e.Errs))
	for i, err := range e.Errs {
		texts[i] = err.Error()
	}
	return fmt.Sprintf("none of %d endpoints is usable: %s", len(e.Errs), strings.Join(texts, "; "))
}

// Unwrap returns the errors in the order in which the endpoints were tried.
func (e *RoundError) Unwrap() []error { return e.Errs }

// LostError says that an established connection broke. What was sent on it and
// has no outcome may or may not have been stored.
type LostError struct {
	Host string
	Err  error
}

func (e *LostError) Error() string { return fmt.Sprintf("connection to %s lost: %v", e.Host, e.Err) }

// Unwrap returns the reason.
func (e *LostError) Unwrap() error { return e.Err }

// whatTCP is what a TimeoutError waited for when nobody was reached.
const whatTCP = "TCP connection"

// TimeoutError says that a host did not answer in time. It is found inside
// ConnectError and LostError.
type TimeoutError struct {
	Host  string
	What  string // what was waited for
	After time.Duration
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("%s gave no %s within %v", e.Host, e.What, e.After)
}

// Timeout marks the error for net.Error.
func (e *TimeoutError) Timeout() bool { return true }

// Temporary marks the error for net.Error.
func (e *TimeoutError) Temporary() bool { return true }

// ProtocolError says that the server sent what the QWP specification does not
// allow. The connection is over.
type ProtocolError struct {
	Host string
	Err  error
}

func (e *ProtocolError) Error() string {
	return fmt.Sprintf("%s broke the QWP protocol: %v", e.Host, e.Err)
}

// Unwrap returns what is wrong.
func (e *ProtocolError) Unwrap() error { return e.Err }

// ClosedError says that the server closed the WebSocket. Orderly is a close
// with code 1000 or 1001: a restart or a change of roles, never the rows' fault.
type ClosedError struct {
	Host    string
	Code    int
	Text    string
	Orderly bool
}

func (e *ClosedError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("%s closed the connection (code %d)", e.Host, e.Code)
	}
	return fmt.Sprintf("%s closed the connection (code %d: %s)", e.Host, e.Code, e.Text)
}

// NotQuestDBError says that an answer does not prove to be QuestDB's: a captive
// portal, a redirect, another program behind the address. No row is given up.
type NotQuestDBError struct {
	Host    string
	Status  int
	Excerpt string // the first printable bytes of the answer, or what a 204 lacks
}

func (e *NotQuestDBError) Error() string {
	return fmt.Sprintf("%s does not answer like QuestDB (HTTP %d, %q): rows are kept; check the url and what stands in between", e.Host, e.Status, e.Excerpt)
}

// TooLargeError says that a part is more than one request may hold. Size and
// Limit are bytes; Size may stop counting beyond Limit.
type TooLargeError struct {
	Host  string
	Size  int
	Limit int
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%d bytes are too large for one request to %s (limit %d): split the part", e.Size, e.Host, e.Limit)
}

// UnsupportedError says that line protocol cannot carry a row. Block is the
// index of the table in the frame, Row the row in that block. Column is empty
// when the row as a whole is meant.
type UnsupportedError struct {
	Table  string
	Column string
	Type   qwp.Type
	Block  int
	Row    int
	Reason string
}

func (e *UnsupportedError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("ILP cannot carry row %d of table %q: %s", e.Row, e.Table, e.Reason)
	}
	return fmt.Sprintf("ILP cannot carry column %q (%v) of row %d of table %q: %s", e.Column, e.Type, e.Row, e.Table, e.Reason)
}
