// SPDX-License-Identifier: MIT

package slot_test

import (
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// A segment takes hours to fill where little comes in, and most of it is settled.
func TestTheAgeOfWhatIsPendingIsNotThatOfItsSegment(t *testing.T) {
	now := time.UnixMicro(1795364204056942)
	o := options(newMem())
	o.Now = func() time.Time { return now }
	s := open(t, o)
	for id := range uint64(20) {
		mustStore(t, s, frame(id, 1, 40))
		if at := time.UnixMicro(s.Stats().OldestPendingTime); !at.Equal(now) {
			t.Fatalf("frame %d, stored at %s, shows as of %s", id, now, at)
		}
		settle(t, s, slot.FSN(id), slot.FSN(id))
		now = now.Add(10 * time.Second)
	}
}

func TestTheAgeOfTheOldestFrameGrowsThroughAnOutage(t *testing.T) {
	began := time.UnixMicro(1795364204056942)
	now := began
	o := options(newMem())
	o.Now, o.MaxBytes = func() time.Time { return now }, 1<<20
	s := open(t, o)
	for id := range uint64(2000) { // more than are remembered one by one
		mustStore(t, s, frame(id, 1, 40))
		now = now.Add(time.Second)
	}
	if at := time.UnixMicro(s.Stats().OldestPendingTime); !at.Equal(began) {
		t.Errorf("the oldest is of %s, want %s", at, began)
	}
	for id := range slot.FSN(1000) {
		settle(t, s, id, id)
	}
	exact := began.Add(1000 * time.Second)
	if at := time.UnixMicro(s.Stats().OldestPendingTime); at.After(exact) || exact.Sub(at) > 16*time.Second {
		t.Errorf("the oldest is of %s, want %s or little before it", at, exact)
	}
}
