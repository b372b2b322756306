// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"strings"
	"testing"
	"time"
)

// monotonic is how a time shows that it can be compared without the wall clock.
const monotonic = " m="

func TestTheAgeOfPendingRowsDoesNotFollowAClockThatJumps(t *testing.T) {
	srv := new(server)
	srv.is(true)
	cfg := newBed(t).config()
	cfg.MaxSenders, cfg.CloseFlushTimeout, cfg.AcquireTimeout = 1, -1, time.Minute
	p := srv.open(t, cfg)
	s, err := p.Borrow(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	storeID(t, p, s, 1)
	s.Return()
	if at := p.Stats().OldestPending; !strings.Contains(at.String(), monotonic) {
		t.Errorf("the oldest pending row is from %s, without a monotonic reading", at)
	}
	if err := p.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
