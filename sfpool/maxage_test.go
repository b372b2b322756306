// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wall is a clock that a test sets.
type wall struct{ ahead atomic.Int64 }

func (w *wall) now() time.Time           { return time.Now().Add(time.Duration(w.ahead.Load())).Round(0) }
func (w *wall) jump(d time.Duration)     { w.ahead.Add(int64(d)) }
func (w *wall) set(to time.Time)         { w.jump(to.Sub(w.now())) }
func today() time.Time                   { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) }
func (w *wall) config(cfg Config) Config { cfg.Now = w.now; return cfg }

// aging is a pool that drops what is older than a day, with room for much, and a
// wall clock that is set to today.
func aging(t *testing.T, b *bed, srv *server) (*Pool, *wall, Config) {
	t.Helper()
	w := &wall{}
	w.set(today())
	cfg := w.config(tight(b, FullBlock))
	cfg.MaxSenders, cfg.MaxTotalBytes, cfg.MaxAge = 1, 64<<20, 24*time.Hour
	cfg.MaxBackoff, cfg.HousekeeperInterval = time.Hour, time.Minute
	return srv.open(t, cfg), w, cfg
}

// aged is such a pool with 20 rows of an earlier run, of which only the clock on the
// wall can tell how old they are; at its start that shows now.
func aged(t *testing.T, b *bed, now time.Time) (_ *Pool, _ *wall, done func()) {
	t.Helper()
	srv := &server{down: true}
	p, _, cfg := aging(t, b, srv)
	s := b.take(p, 1)[0]
	flushRows(t, p, 0, 20, s)
	s.Return()
	if err := p.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	w := &wall{}
	w.set(now)
	p = srv.open(t, w.config(cfg))
	return p, w, b.take(p, 1)[0].Return
}

func TestRowsOlderThanTheirAgeAreDroppedBySegments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		p, _, _ := aging(t, b, &server{down: true})
		s := b.take(p, 1)[0]
		for id := range int64(20) { // seven in a segment, one in an hour
			flushRows(t, p, id, 1, s)
			time.Sleep(time.Hour)
		}
		for _, step := range []struct{ later, dropped int64 }{ // in half hours, from 20:00 on
			{19, 0}, {2, 7}, {12, 7}, {2, 14}, {48, 14}, // the segment that is appended to stays
		} {
			time.Sleep(time.Duration(step.later) * 30 * time.Minute)
			if st := adds(t, p); st.Evicted != step.dropped || (st.DroppedFor == "sf_max_age") != (step.dropped > 0) || st.Pending != 20-step.dropped {
				t.Errorf("%d half hours later: %+v", step.later, st)
			}
		}
		if n := b.log.count("older than sf_max_age"); n != 2 {
			t.Errorf("said %d times:\n%s", n, b.log.String())
		}
		s.Return()
	})
}

func TestAJumpOfTheClockDropsNothingUntilItIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		p, w, done := aged(t, b, today())
		defer done()
		time.Sleep(90 * time.Second) // not in the moment of a look
		w.jump(365 * 24 * time.Hour)
		time.Sleep(58 * time.Minute)
		if st := adds(t, p); st.Evicted != 0 || b.log.count("the clock has jumped") != 1 {
			t.Fatalf("%+v\n%s", st, b.log.String())
		}
		w.jump(-365 * 24 * time.Hour) // it was wrong
		time.Sleep(time.Minute)
		if st := adds(t, p); st.Evicted != 0 || b.log.count("the clock is believed again") != 1 {
			t.Fatalf("%+v\n%s", st, b.log.String())
		}
		w.jump(48 * time.Hour)
		time.Sleep(58 * time.Minute)
		if st := adds(t, p); st.Evicted != 0 || b.log.count("the clock has jumped") != 2 {
			t.Fatalf("%+v\n%s", st, b.log.String())
		}
		time.Sleep(4 * time.Minute)
		if st := adds(t, p); st.Evicted != 14 || b.log.count("the clock is believed again") != 2 {
			t.Errorf("confirmed: %+v\n%s", st, b.log.String())
		}
	})
}

func TestAClockThatIsNotSetDropsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		p, w, done := aged(t, b, time.Unix(0, 0)) // a box without a battery
		defer done()
		time.Sleep(100 * time.Hour)
		if st := adds(t, p); st.Evicted != 0 || b.log.count("is not set") != 1 {
			t.Fatalf("%+v\n%s", st, b.log.String())
		}
		w.set(today().Add(-1000 * time.Hour)) // the segments come from the future now
		time.Sleep(100 * time.Hour)
		if st := adds(t, p); st.Evicted != 0 || b.log.count("believed again") != 1 {
			t.Fatalf("%+v\n%s", st, b.log.String())
		}
		w.set(today().Add(100 * time.Hour))
		time.Sleep(2 * time.Hour)
		if st := adds(t, p); st.Evicted != 14 {
			t.Errorf("%+v\n%s", st, b.log.String())
		}
	})
}

func TestASlowClockIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wall{}
		w.set(today())
		c := clock{now: w.now}
		for range 100 {
			if _, trusted, changed := c.look(); !trusted || changed {
				t.Fatal("a clock that is set by half an hour a day is not believed")
			}
			time.Sleep(24 * time.Hour)
			w.jump(30 * time.Minute)
		}
	})
}
