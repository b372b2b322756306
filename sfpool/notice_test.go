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
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// talk is a pool with one sender borrowed, of which is read what it says.
type talk struct {
	*testing.T
	srv *server
	cfg Config
	p   *Pool
	s   *Sender
}

// talking runs a test in a bubble.
func talking(t *testing.T, srv *server, set func(*Config), test func(k *talk)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		cfg := tight(b, FullDropOldest)
		cfg.MaxTotalBytes = 64 << 20
		if set != nil {
			set(&cfg)
		}
		p := srv.open(t, cfg)
		k := &talk{t, srv, cfg, p, b.take(p, 1)[0]}
		defer k.end()
		test(k)
	})
}

func (k *talk) said() *notice.Notice { return notice.Read(k.cfg.FS, notice.Path(k.cfg.Dir, "default")) }

// end gives the sender back and closes the pool.
func (k *talk) end() {
	k.Helper()
	if k.s != nil {
		k.s.Return()
		k.s = nil
	}
	if k.p == nil {
		return // the test has closed it
	}
	if err := k.p.Close(context.Background()); err != nil {
		k.Error(err)
	}
}

// flush stores a row.
func (k *talk) flush(id int64) {
	k.Helper()
	flushRows(k, k.p, id, 1, k.s)
}

// leaves takes the server away.
func (k *talk) leaves() {
	k.srv.is(true)
	for _, m := range k.p.membersIn(live) {
		m.d.recycle()
	}
}

func TestAPoolSaysInItsDirectoryWhyRowsWaitAndNothingInHealth(t *testing.T) {
	talking(t, &server{}, nil, func(k *talk) {
		for id := range int64(20) {
			k.flush(id)
			time.Sleep(10 * time.Second)
			if n := k.said(); n != nil {
				k.Fatalf("in health: %+v", n)
			}
		}
		if st := k.p.Stats(); st.TimeToFull != 0 || st.Lasts == 0 {
			k.Errorf("in health the store is full in %s, and lasts %s", st.TimeToFull, st.Lasts)
		}
		k.leaves()
		began := time.Now()
		k.flush(20)
		time.Sleep(15 * time.Second)
		n := k.said()
		if n == nil || len(n.Slots) != 1 {
			k.Fatalf("%+v", n)
		}
		one := n.Of("default-0")
		if n.PID != os.Getpid() || n.ToFull <= 0 || one.First != 20 || !one.Stored.Equal(began) || !one.Since.Equal(began) {
			k.Errorf("%+v, began %s", n, began)
		}
		if why := one.Why(); !strings.Contains(why, "waiting for the server since "+began.UTC().Format(time.RFC3339)) || !strings.Contains(why, errTest.Error()) {
			k.Errorf("%q", why)
		}
		time.Sleep(30 * time.Second)
		if again := k.said(); !again.At.Equal(n.At) {
			k.Errorf("the same was written again after %s", again.At.Sub(n.At))
		}
		time.Sleep(time.Minute)
		if again := k.said(); !again.At.After(n.At) {
			k.Errorf("what was written at %s is never written anew", n.At)
		}
		k.srv.is(false)
		time.Sleep(2 * k.cfg.MaxBackoff)
		time.Sleep(4 * k.p.cfg.HousekeeperInterval)
		if n := k.said(); n != nil {
			k.Errorf("it is over, and still said: %+v", n)
		}
	})
}

// A pool whose connections live for ever has no other reason to keep house.
func TestTheHousekeeperSpeaksOfEveryOutageWhateverElseItHasToDo(t *testing.T) {
	set := func(c *Config) { c.MaxLifetime, c.DrainOrphans = -1, false }
	talking(t, &server{}, set, func(k *talk) {
		for id := range int64(2) {
			k.srv.is(false)
			k.flush(3 * id)
			time.Sleep(time.Hour)
			k.leaves()
			k.flush(3*id + 1)
			time.Sleep(time.Minute)
			if n := k.said(); n.Longest() == nil || n.Longest().First != 2*id+1 {
				k.Errorf("outage %d: %+v", id, n)
			}
		}
		time.Sleep(time.Hour) // all other work is done by then
		for time.Since(k.said().At) > 2*time.Second {
			time.Sleep(time.Second)
		}
		k.srv.is(false) // right behind a notice, which is left for some seconds
		time.Sleep(time.Minute)
		if n := k.said(); n != nil {
			k.Errorf("it is over, and still said: %+v", n)
		}
	})
}

func TestANewReasonIsSaidSoonAndTheSameWithOtherFiguresOnceAMinute(t *testing.T) {
	talking(t, &server{down: true}, nil, func(k *talk) {
		k.flush(0)
		time.Sleep(20 * time.Second)
		first, port := k.said(), 0
		k.srv.mu.Lock()
		k.srv.why = func() error { port++; return fmt.Errorf("read from port %d: reset", port) }
		k.srv.mu.Unlock()
		time.Sleep(20 * time.Second)
		second := k.said()
		if first.Longest() == nil || second.Longest() == nil || !strings.Contains(second.Longest().Error, "reset") {
			k.Fatalf("first %+v, then %+v", first, second)
		}
		time.Sleep(30 * time.Second)
		if third := k.said(); !third.At.Equal(second.At) {
			k.Errorf("written again after %s for another port", third.At.Sub(second.At))
		}
	})
}

func TestAPoolThatDropsRowsSaysSo(t *testing.T) {
	set := func(c *Config) { c.MaxTotalBytes = 4 * c.MaxSegmentBytes }
	talking(t, &server{down: true}, set, func(k *talk) {
		for id := range int64(100) {
			k.flush(id)
			time.Sleep(time.Second)
		}
		n := k.said()
		if n == nil || n.Dropped == 0 || n.StoreMaxBytes != k.cfg.MaxTotalBytes || !strings.Contains(n.Lost(), "rows are dropped") {
			k.Errorf("%+v", n)
		}
		time.Sleep(5 * time.Minute) // nothing comes any more, nothing is dropped
		if n := k.said(); n == nil || n.Lost() != "" {
			k.Errorf("%+v", n)
		}
	})
}

func TestAPoolThatIsClosedTakesItsNoticeAway(t *testing.T) {
	talking(t, &server{down: true}, nil, func(k *talk) {
		k.flush(0)
		time.Sleep(time.Minute)
		if k.said() == nil {
			k.Error("nothing was said")
		}
		k.end()
		if n := k.said(); n != nil {
			k.Errorf("%+v", n)
		}
	})
}

func TestANoticeOfAnEarlierRunIsTakenAway(t *testing.T) {
	talking(t, &server{}, nil, func(k *talk) {
		k.end()
		if err := notice.Write(k.cfg.FS, notice.Path(k.cfg.Dir, "default"), &notice.Notice{Full: true}); err != nil {
			k.Fatal(err)
		}
		k.srv.open(k, k.cfg)
		synctest.Wait()
		if n := k.said(); n != nil {
			k.Errorf("%+v", n)
		}
	})
}

func TestOrphansThatAreDrainedAndWaitAreToldOf(t *testing.T) {
	talking(t, &server{}, nil, func(k *talk) {
		since := time.Now().Add(-time.Minute)
		stuck := sender.State{Since: since, LastError: errTest}
		k.p.mu.Lock()
		k.p.orphans.known["old-1"] = &orphan{state: draining, pending: 5, conn: stuck}
		k.p.orphans.known["old-0"] = &orphan{state: draining, pending: 5, conn: sender.State{Held: 3, HeldFor: "a table"}}
		k.p.orphans.known["old-2"] = &orphan{state: draining, pending: 5, conn: sender.State{Connected: true}} // goes well
		k.p.orphans.known["old-3"] = &orphan{state: waiting, pending: 5, conn: stuck}
		k.p.unlock()
		n, _ := k.p.notice()
		if n == nil || len(n.Slots) != 2 || n.Slots[0].Held != 3 || n.Slots[1].Error != errTest.Error() || !n.Slots[1].Since.Equal(since) {
			k.Errorf("%+v", n)
		}
		k.p.mu.Lock()
		clear(k.p.orphans.known)
		k.p.unlock()
	})
}

// A disk that hangs, or a bug, while the notice is taken away keeps Close from nothing.
func TestCloseEndsWhateverBecomesOfTheNotice(t *testing.T) {
	for name, fault := range map[string]func(release chan struct{}){
		"hangs": func(release chan struct{}) { <-release }, "panics": func(chan struct{}) { panic("a bug") },
	} {
		t.Run(name, func(t *testing.T) {
			var release chan struct{} // nil before Close
			set := func(c *Config) {
				c.FS = vfstest.Wrap(c.FS, func(op vfstest.Op) error {
					if release != nil && strings.HasSuffix(op.Path, ".notice") {
						fault(release)
					}
					return nil
				})
			}
			talking(t, &server{down: true}, set, func(k *talk) {
				k.flush(0)
				time.Sleep(time.Minute)
				k.s.Return()
				k.s = nil
				synctest.Wait()
				began := time.Now()
				release = make(chan struct{})
				err := k.p.Close(context.Background())
				k.p = nil
				if took := time.Since(began); took > 2*closeTimeout || name == "hangs" && err == nil {
					t.Errorf("Close took %s, %v", took, err)
				}
				close(release)
				synctest.Wait()
			})
		})
	}
}
