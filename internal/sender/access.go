// SPDX-License-Identifier: MIT

package sender

import (
	"errors"
	"net/http"
	"regexp"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// refusedWait is the shortest wait after credentials were refused: who asks more
// often is locked out by servers that count failures, and changes nothing.
const refusedWait = 5 * time.Second

// slowly returns how long to wait at least before the next attempt, beyond what the
// backoff says: as long as the server asked for, and a while, as far as MaxBackoff goes,
// if somebody refused the credentials, which only an operator can change.
func (s *Sender) slowly(err error) (floor time.Duration) {
	if asked := retryAfter(err); asked > 0 {
		return s.later(asked)
	}
	var auth *link.AuthError
	var refusal *link.Refusal
	switch {
	case errors.As(err, &auth):
		floor = refusedWait
	case errors.As(err, &refusal) && (refusal.HTTPStatus == http.StatusUnauthorized ||
		refusal.HTTPStatus == http.StatusForbidden || refusal.Status == qwp.StatusSecurityError):
		floor = refusedWait
	}
	return min(floor, s.cfg.MaxBackoff)
}

// maxRetryAfter bounds what a server may ask for.
const maxRetryAfter = 10 * time.Minute

// retryAfter returns for how long a server asked to be left alone; 0 if it did not.
func retryAfter(err error) time.Duration {
	var refusal *link.Refusal
	var connect *link.ConnectError
	switch {
	case errors.As(err, &refusal):
		return min(refusal.RetryAfter, maxRetryAfter)
	case errors.As(err, &connect):
		return min(connect.RetryAfter, maxRetryAfter)
	}
	return 0
}

// later is up to half longer than what a server told, for it may have told everybody.
func (s *Sender) later(d time.Duration) time.Duration {
	return d + time.Duration(s.cfg.Rand()*float64(d)/2)
}

// clockTimes are what changes from one time to the next in the words for one
// trouble: the reading of a clock, and what QuestDB says of a connection too many.
var clockTimes = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*|(fd|numOfConnections)=\d+`)

// gist is what an error says whenever it is said: the same trouble must not be
// told again because a clock in it reads something else.
func gist(err error) string { return clockTimes.ReplaceAllString(err.Error(), "") }
