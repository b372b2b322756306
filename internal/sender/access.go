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

// slowly returns how long to wait at least before the next attempt, as far as
// MaxBackoff goes, beyond what the backoff says: 0 unless somebody refused the
// credentials, which only an operator can change.
func slowly(err error) (floor time.Duration) {
	var auth *link.AuthError
	var refusal *link.Refusal
	switch {
	case errors.As(err, &auth):
		return refusedWait
	case errors.As(err, &refusal) && (refusal.HTTPStatus == http.StatusUnauthorized ||
		refusal.HTTPStatus == http.StatusForbidden || refusal.Status == qwp.StatusSecurityError):
		return refusedWait
	}
	return 0
}

// clockTimes are what changes from one time to the next in the words for one
// trouble: the reading of a clock.
var clockTimes = regexp.MustCompile(`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\S*`)

// gist is what an error says whenever it is said: the same trouble must not be
// told again because a clock in it reads something else.
func gist(err error) string { return clockTimes.ReplaceAllString(err.Error(), "") }
