// SPDX-License-Identifier: MIT

package sfpool

import (
	"testing"
	"time"
)

func TestTheTimeToEmptyGoesByHowTheBacklogShrinks(t *testing.T) {
	var e ebb
	now := time.Now()
	look := func(after time.Duration, bytes int64, want time.Duration) {
		t.Helper()
		now = now.Add(after)
		if got := lasts(bytes, e.rate(now, bytes)); got.Round(time.Second) != want {
			t.Errorf("%s for %d, want %s", got, bytes, want)
		}
	}
	look(0, 0, 0)
	look(time.Second, 1000, 0)                // nothing is known yet
	look(10*time.Second, 2000, 0)             // it grows
	look(10*time.Second, 1000, 0)             // as much as before
	look(60*time.Second, 400, 40*time.Second) // 600 in 60 s, since what is older counts no more
	look(time.Second, 390, 39*time.Second)
	look(time.Hour, 380, 19*time.Hour+19*time.Second) // since the last look
	look(time.Second, 0, 0)
	look(time.Hour, 100, 0) // another backlog
}

func TestADetailedLookHasTheWoundsOfThePool(t *testing.T) {
	p := newBed(t).open(newBed(t).config())
	for range maxWounds + 5 {
		p.onIncident("default-0")(Incident{}.Incident)
	}
	if d := p.Details(); len(d.Incidents) != maxWounds || d.Incidents[0].Slot != "default-0" || len(d.Segments) != 4 {
		t.Errorf("%+v", d)
	}
}
