// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/notice"
)

func TestAPoolSaysInItsDirectoryWhyRowsWaitAndNothingInHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		cfg := tight(b, FullDropOldest)
		cfg.MaxSenders, cfg.MaxTotalBytes = 2, 64<<20
		srv := &server{}
		p := srv.open(t, cfg)
		said := func() *notice.Notice { return notice.Read(cfg.FS, notice.Path(cfg.Dir, "default")) }
		s := b.take(p, 1)[0]
		for id := range int64(20) {
			flushRows(t, p, id, 1, s)
			time.Sleep(10 * time.Second)
			if n := said(); n != nil {
				t.Fatalf("in health: %+v", n)
			}
		}
		if st := p.Stats(); st.TimeToFull != 0 || st.Lasts == 0 {
			t.Errorf("in health the store is full in %s, and lasts %s", st.TimeToFull, st.Lasts)
		}
		srv.is(true)
		recycleAll(p)
		began := time.Now()
		flushRows(t, p, 20, 1, s)
		time.Sleep(15 * time.Second)
		n := said()
		if n == nil || len(n.Slots) != 1 {
			t.Fatalf("%+v", n)
		}
		one := n.Of("default-0")
		if n.PID != os.Getpid() || n.ToFull <= 0 || one.First != 20 || !one.Stored.Equal(began) || !one.Since.Equal(began) {
			t.Errorf("%+v, began %s", n, began)
		}
		if why := one.Why(); !strings.Contains(why, "waiting for the server since "+began.UTC().Format(time.RFC3339)) || !strings.Contains(why, errTest.Error()) {
			t.Errorf("%q", why)
		}
		time.Sleep(30 * time.Second)
		if again := said(); !again.At.Equal(n.At) {
			t.Errorf("the same was written again after %s", again.At.Sub(n.At))
		}
		time.Sleep(time.Minute)
		if again := said(); !again.At.After(n.At) {
			t.Errorf("what was written at %s is never written anew", n.At)
		}
		srv.is(false)
		time.Sleep(2 * cfg.MaxBackoff)
		time.Sleep(2 * p.cfg.HousekeeperInterval)
		if n := said(); n != nil {
			t.Errorf("it is over, and still said: %+v", n)
		}
		s.Return()
	})
}

// A pool whose connections live for ever has no other reason to keep house.
func TestTheHousekeeperSpeaksOfEveryOutageWhateverElseItHasToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		cfg := tight(b, FullDropOldest)
		cfg.MaxLifetime, cfg.DrainOrphans, cfg.MaxTotalBytes = -1, false, 64<<20
		srv := &server{}
		p := srv.open(t, cfg)
		path := notice.Path(cfg.Dir, "default")
		s := b.take(p, 1)[0]
		for id := range int64(2) {
			srv.is(false)
			flushRows(t, p, 3*id, 1, s)
			time.Sleep(time.Hour)
			srv.is(true)
			recycleAll(p)
			flushRows(t, p, 3*id+1, 1, s)
			time.Sleep(time.Minute)
			if n := notice.Read(cfg.FS, path); n.Longest() == nil || n.Longest().First != 2*id+1 {
				t.Errorf("outage %d: %+v", id, n)
			}
		}
		time.Sleep(time.Hour) // all other work is done by then
		for time.Since(notice.Read(cfg.FS, path).At) > 2*time.Second {
			time.Sleep(time.Second)
		}
		srv.is(false) // right behind a notice, which is left for some seconds
		time.Sleep(time.Minute)
		if n := notice.Read(cfg.FS, path); n != nil {
			t.Errorf("it is over, and still said: %+v", n)
		}
		s.Return()
	})
}

func TestANewReasonIsSaidSoonAndTheSameWithOtherFiguresOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		cfg := tight(b, FullDropOldest)
		cfg.MaxTotalBytes = 64 << 20
		srv := &server{down: true}
		p := srv.open(t, cfg)
		s := b.take(p, 1)[0]
		flushRows(t, p, 0, 1, s)
		said := func() *notice.Notice { return notice.Read(cfg.FS, notice.Path(cfg.Dir, "default")) }
		time.Sleep(20 * time.Second)
		first := said()
		port := 0
		srv.mu.Lock()
		srv.why = func() error { port++; return fmt.Errorf("read from port %d: reset", port) }
		srv.mu.Unlock()
		time.Sleep(20 * time.Second)
		second := said()
		if first.Longest() == nil || second.Longest() == nil || !strings.Contains(second.Longest().Error, "reset") {
			t.Fatalf("first %+v, then %+v", first, second)
		}
		time.Sleep(30 * time.Second)
		if third := said(); !third.At.Equal(second.At) {
			t.Errorf("written again after %s for another port", third.At.Sub(second.At))
		}
		s.Return()
	})
}

func TestAPoolThatDropsRowsSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		cfg := tight(b, FullDropOldest)
		srv := &server{down: true}
		p := srv.open(t, cfg)
		s := b.take(p, 1)[0]
		for id := range int64(100) {
			flushRows(t, p, id, 1, s)
			time.Sleep(time.Second)
		}
		n := notice.Read(cfg.FS, notice.Path(cfg.Dir, "default"))
		if n == nil || n.Dropped == 0 || n.StoreMaxBytes != cfg.MaxTotalBytes || !strings.Contains(n.Lost(), "rows are dropped") {
			t.Errorf("%+v", n)
		}
		time.Sleep(5 * time.Minute) // nothing comes any more, nothing is dropped
		if n := notice.Read(cfg.FS, notice.Path(cfg.Dir, "default")); n == nil || n.Lost() != "" {
			t.Errorf("%+v", n)
		}
		s.Return()
	})
}

func TestAPoolThatIsClosedTakesItsNoticeAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		cfg := tight(b, FullDropOldest)
		srv := &server{down: true}
		p := srv.open(t, cfg)
		s := b.take(p, 1)[0]
		flushRows(t, p, 0, 1, s)
		time.Sleep(time.Minute)
		path := notice.Path(cfg.Dir, "default")
		if notice.Read(cfg.FS, path) == nil {
			t.Error("nothing was said")
		}
		s.Return()
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := notice.Read(cfg.FS, path); n != nil {
			t.Errorf("%+v", n)
		}
	})
}

func TestANoticeOfAnEarlierRunIsTakenAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		cfg := tight(b, FullDropOldest)
		srv := &server{}
		if err := srv.open(t, cfg).Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		path := notice.Path(cfg.Dir, "default")
		if err := notice.Write(cfg.FS, path, &notice.Notice{Full: true}); err != nil {
			t.Fatal(err)
		}
		srv.open(t, cfg)
		synctest.Wait()
		if n := notice.Read(cfg.FS, path); n != nil {
			t.Errorf("%+v", n)
		}
	})
}

// recycleAll ends the connections of all senders.
func recycleAll(p *Pool) {
	for _, m := range p.membersIn(live) {
		m.d.recycle()
	}
}
