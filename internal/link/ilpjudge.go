// SPDX-License-Identifier: MIT

package link

import (
	"net/http"
	"time"
)

// note keeps what the outcome of a write says of the host. A request that was given
// up, or cut off, says that it was too large only if it had the time it should take.
func (c *ilpConn) note(refusal *Refusal, err error, took time.Duration) {
	switch {
	case err == nil:
		c.judge(refusal)
		if refusal == nil {
			c.h.pace.took(len(c.enc.buf), took)
		}
	case took >= requestTime:
		c.h.pace.failed(len(c.enc.buf))
	}
}

// judge keeps what an answer says of the host for the next round.
func (c *ilpConn) judge(r *Refusal) {
	switch {
	case r == nil:
		c.link.mark(c.h, hostHealthy)
	case r.HTTPStatus == http.StatusMisdirectedRequest:
		c.link.mark(c.h, stateAfter(&RoleError{Host: c.h.host, Role: r.role}))
	case r.HTTPStatus == http.StatusUnauthorized, r.HTTPStatus == http.StatusForbidden:
		// The same credentials would meet the same answer elsewhere.
	case r.HTTPStatus >= 500, r.foreign != nil:
		c.link.lost(c.h) // what a stranger said of its transports counts no more
	}
}
