// SPDX-License-Identifier: MIT

package sender_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
)

// A reason that comes up while the first one is fresh is said when it stays; one
// that does not change is said again each hour.
func TestAnOutageIsSaidAgainWhenItsReasonChangesAndEachHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		srv := &server{refuseConnect: func(int) error {
			if time.Since(began) < 5*time.Second {
				return errors.New("connection refused")
			}
			return errors.New("401 for the token")
		}}
		b := newBed(t, srv)
		b.loop.Stop()
		var said bytes.Buffer
		loop := sender.Start(sender.Config{
			Slot: b.slot, Link: srv, InitialBackoff: 100 * time.Millisecond, MaxBackoff: 5 * time.Second,
			Rand: func() float64 { return 1 }, Log: slog.New(slog.NewTextHandler(&said, nil)),
		})
		b.store(2)
		time.Sleep(3*time.Hour + 2*time.Minute)
		loop.Stop()
		refused, token := strings.Count(said.String(), "connection refused"), strings.Count(said.String(), "401")
		if refused != 1 || token != 4 || strings.Contains(said.String(), "/sf/") {
			t.Errorf("said the first reason %d times, the second %d times:\n%s", refused, token, said.String())
		}
	})
}
