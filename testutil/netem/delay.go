// SPDX-License-Identifier: MIT

package netem

import (
	"math/rand/v2"
	"time"
)

// onItsWay is how many chunks a direction of a connection holds that are sent and
// have not arrived: 16 MiB of the largest.
const onItsWay = 1024

// chunk is what travels: bytes, or the end of the stream.
type chunk struct {
	due   time.Time
	bytes []byte
	end   error // io.EOF, or why the connection broke
}

// arrival is when something arrives that was sent at that time. Nothing overtakes
// what was sent before it.
func (f *flow) arrival(sent time.Time, s *Settings) time.Time {
	due := sent.Add(s.Delay)
	if s.Jitter > 0 {
		due = due.Add(rand.N(s.Jitter))
	}
	if due.Before(f.last) {
		due = f.last
	}
	f.last = due
	return due
}

// until waits for a time; false when the connection is over before.
func (c *conn) until(t time.Time) bool {
	wait := time.Until(t)
	if wait <= 0 {
		return true
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.done:
		return false
	}
}
