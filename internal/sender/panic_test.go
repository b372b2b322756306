// SPDX-License-Identifier: MIT

package sender_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/questdb-sf/questdb_sf/internal/sender"
)

// Wherever a bug panics, in the loop or in the receiver, the sender comes back
// and the rows arrive: the process has other slots.
func TestAPanicWhileSendingIsAFailureLikeOthers(t *testing.T) {
	for name, arm := range map[string]func(*server){
		"connect": func(s *server) { s.refuseConnect = func(n int) error { return panicOnce(n) } },
		"add":     func(s *server) { s.add = func(n int, _ []int64) error { return panicOnce(n) } },
		"send":    func(s *server) { s.sendErr = func(n int, _ int64) error { return panicOnce(n) } },
		"receive": func(s *server) { s.recv = func(n int) { _ = panicOnce(n) } },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := &server{}
				arm(srv)
				b := newBed(t, srv)
				b.store(2)
				synctest.Wait()
				var bug *sender.PanicError
				if st := b.loop.State(); !errors.As(st.LastError, &bug) || st.Connected {
					t.Errorf("state %+v", st)
				}
				b.drained()
				if got := srv.ids(); len(got) < 2 || len(srv.connectTimes()) != 2 {
					t.Errorf("rows %v over %d connects", got, len(srv.connectTimes()))
				}
			})
		})
	}
}

func panicOnce(connect int) error {
	if connect == 1 {
		panic("a bug below")
	}
	return nil
}
