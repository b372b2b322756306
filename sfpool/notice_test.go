// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
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
