// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// TestAGroupGoesOutHoweverLateItsTableIsReady keeps the connection meanwhile: the table
// is asked about again and again, not only once.
func TestAGroupGoesOutHoweverLateItsTableIsReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &author{TB: t}
		c.frameIn("b", true, "in")
		c.frame(false, "in")
		o := &oracle{}
		o.hold("b")
		s := c.open()
		loop := sender.Start(sender.Config{
			Slot: s, Link: &server{window: 4}, Tables: o,
			InitialBackoff: time.Second, MaxBackoff: time.Second, Rand: func() float64 { return 1 },
		})
		defer loop.Stop()
		waits(t, loop, 2)
		time.Sleep(10 * time.Minute)
		o.hold()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := s.Stats().Pending; n != 0 {
			t.Errorf("%d rows are pending; %d questions, %+v", n, len(o.about("b")), loop.State())
		}
	})
}

// TestWhatATableNeedsIsAskedAgainInsideAFrame has a server that is slow to take the
// parts of one: the keys must not come before the sender knows of them, nor the rest
// wait for more than its table.
func TestWhatATableNeedsIsAskedAgainInsideAFrame(t *testing.T) {
	slow := func() *server {
		return &server{ilp: true, maxRows: 1, answer: func(_ int, seq int64) *link.Outcome {
			time.Sleep(4 * time.Second)
			return &link.Outcome{Seq: seq}
		}}
	}
	t.Run("ids", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			o := &oracle{}
			b := startBed(t, vfstest.NewMem(), slow(), sender.Config{Tables: o})
			b.store(40)
			time.Sleep(time.Minute)
			o.mu.Lock()
			o.ids = map[string]bool{"t": true}
			before := int64(len(b.srv.taken()))
			o.mu.Unlock()
			b.drained()
			if got := b.srv.taken(); len(got) != 40 || got[before-1].rowID || !got[before+4].rowID || !got[39].rowID {
				t.Errorf("%d rows, ids asked for at %d: %v", len(got), before, got)
			}
		})
	})
	t.Run("a table that has to wait", func(t *testing.T) {
		heldBed(t, slow(), nil, func(t *testing.T, b *bed, o *oracle) {
			b.storeIn("a", "a", "a", "a", "a", "b")
			time.Sleep(6 * time.Second)
			o.hold("a")
			time.Sleep(time.Minute)
			if st := b.slot.Stats(); st.PendingFrames != 1 || b.loop.State().Held == 0 {
				t.Errorf("%+v, %+v", st, b.loop.State())
			}
			o.hold()
			time.Sleep(3 * time.Minute)
			b.drained()
			if got := b.srv.ids(); len(got) != 6 {
				t.Errorf("the server has %v", got)
			}
		})
	})
}

// TestRowsThatWereNotConfirmedWhenTheSenderStopsStayInTheSlot stops it while it asks
// whether somebody else created the table.
func TestRowsThatWereNotConfirmedWhenTheSenderStopsStayInTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := make(chan struct{})
		o := &oracle{missing: map[string]bool{"a": true}}
		o.heard = func(string, time.Time, bool, error) {
			o.fails = func(string) error {
				<-stopped
				return context.Canceled
			}
		}
		b := startBed(t, vfstest.NewMem(), &server{window: 4}, sender.Config{Tables: o})
		b.storeIn("a")
		synctest.Wait()
		b.has(0)
		go b.loop.Stop()
		synctest.Wait()
		close(stopped)
		b.loop.Stop()
		if st := b.slot.Stats(); st.Pending != 1 {
			t.Errorf("%+v", st)
		}
	})
}

// TestTablesThatWaitHoldUpNoOtherByBeingAskedAbout has many of them, and a server that
// takes its time.
func TestTablesThatWaitHoldUpNoOtherByBeingAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		o := &oracle{heard: func(table string, _ time.Time, _ bool, _ error) {
			if slow.Load() && table != "a" {
				time.Sleep(time.Second)
			}
		}}
		var waiting []string
		for i := range 100 {
			waiting = append(waiting, fmt.Sprint("w", i))
		}
		o.hold(waiting...)
		b := startBed(t, vfstest.NewMem(), &server{window: 4}, sender.Config{Tables: o})
		b.storeIn(waiting...)
		synctest.Wait()
		slow.Store(true)
		time.Sleep(10*time.Second + time.Millisecond) // they are asked about again
		b.storeIn("a")
		time.Sleep(15 * time.Second)
		if got := b.srv.ids(); !slices.Contains(got, 100) {
			t.Errorf("the server has %v", got)
		}
		o.hold()
		time.Sleep(15 * time.Minute)
		b.drained()
	})
}
