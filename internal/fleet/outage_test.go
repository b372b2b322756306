// SPDX-License-Identifier: MIT

package fleet_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/fleet"
)

// scene is a store whose figures a test sets.
type scene struct {
	testing.TB
	fleet.Outages
	now fleet.Figures
}

func (s *scene) look() fleet.Figures { return s.now }

func (s *scene) begins(k fleet.Kind, reason string) { s.Begin(k, reason, s.look) }

// ends fails the test unless the end of a trouble is that of an outage, as it should be.
func (s *scene) ends(k fleet.Kind, want bool) fleet.Outage {
	s.Helper()
	u, over := s.End(k, s.look)
	if over != want {
		s.Errorf("the outage is over: %t, want %t: %+v", over, want, u)
	}
	return u
}

func play(t *testing.T, f func(s *scene)) {
	synctest.Test(t, func(t *testing.T) { f(&scene{TB: t}) })
}

func TestAnOutageIsToldOnceWithTheFiguresOfItsEnd(t *testing.T) {
	play(t, func(s *scene) {
		s.now.Lost = 3 // before
		began := time.Now()
		s.begins(fleet.Server, "connection\nrefused")
		time.Sleep(time.Minute)
		s.begins(fleet.Server, "another reason")
		s.now = fleet.Figures{Rows: 70, Bytes: 7000, Lost: 8}
		u := s.ends(fleet.Server, true)
		want := fleet.Outage{From: began, To: began.Add(time.Minute), Rows: 70, Bytes: 7000, Lost: 5, Cause: "server: connection refused"}
		if u != want {
			s.Errorf("%+v, want %+v", u, want)
		}
		s.ends(fleet.Server, false)
	})
}

func TestABlipIsNoOutage(t *testing.T) {
	play(t, func(s *scene) {
		s.now.Rows = 5
		for range 20 {
			s.begins(fleet.Server, "reset")
			time.Sleep(fleet.Blip)
			s.ends(fleet.Server, false)
		}
		s.begins(fleet.Server, "reset")
		time.Sleep(fleet.Blip + time.Millisecond)
		s.ends(fleet.Server, true)
	})
}

func TestTroublesThatOverlapAreOneOutage(t *testing.T) {
	play(t, func(s *scene) {
		s.now.Rows = 1
		began := time.Now()
		s.begins(fleet.Full, "no room")
		time.Sleep(time.Second)
		s.begins(fleet.Server, strings.Repeat("é", 500))
		time.Sleep(8 * time.Second)
		s.ends(fleet.Full, false)
		s.begins(fleet.Store, "read-only")
		s.ends(fleet.Server, false)
		s.begins(fleet.Server, "again")
		s.ends(fleet.Server, false)
		time.Sleep(8 * time.Second)
		u := s.ends(fleet.Store, true)
		parts := strings.Split(u.Cause, "; ")
		if !u.From.Equal(began) || len(parts) != 3 || parts[1] != "store: read-only" || parts[2] != "full: no room" || len(u.Cause) > 300 {
			s.Errorf("%+v", u)
		}
	})
}

func TestARowOnAnOutageIsNotARowToTellOf(t *testing.T) {
	play(t, func(s *scene) {
		outage := func(rows int64, want bool) {
			s.Helper()
			s.begins(fleet.Server, "down")
			s.now.Rows = rows
			time.Sleep(time.Minute)
			s.ends(fleet.Server, want)
		}
		outage(4, true)
		s.Wrote()
		outage(1, false) // it is the row on the first
		outage(1, true)  // which has gone since
		s.Wrote()
		outage(2, true)
		outage(0, false)
		s.begins(fleet.Store, "read-only")
		time.Sleep(time.Minute)
		s.ends(fleet.Store, true)
	})
}

func TestWhatIsLostIsToldAlsoWhereNothingIsLeft(t *testing.T) {
	play(t, func(s *scene) {
		s.begins(fleet.Server, "down")
		time.Sleep(time.Minute)
		s.now.Lost = 9
		if u := s.ends(fleet.Server, true); u.Lost != 9 || u.Rows != 0 {
			s.Errorf("%+v", u)
		}
	})
}
