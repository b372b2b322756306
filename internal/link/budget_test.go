// SPDX-License-Identifier: MIT

package link_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/link"
)

// dialer makes connections that do nothing, and counts them.
type dialer struct {
	mu        sync.Mutex
	now, peak int
	at        []time.Time // of each connect
	fail      func(n int) error
	takes     func(n int) time.Duration
}

func (d *dialer) connect(ctx context.Context) (link.Conn, error) {
	d.mu.Lock()
	d.at = append(d.at, time.Now())
	n := len(d.at)
	d.now++
	d.peak = max(d.peak, d.now)
	d.mu.Unlock()
	var err error
	if d.takes != nil {
		select {
		case <-time.After(d.takes(n)):
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if err == nil && d.fail != nil {
		err = d.fail(n)
	}
	c := &idleConn{d: d, out: make(chan link.Outcome, 1), over: make(chan struct{})}
	if err != nil {
		_ = c.Close()
		return nil, &link.ConnectError{Host: "h", Err: err}
	}
	return c, nil
}

func (d *dialer) connects() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.at)
}

func (d *dialer) opened() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

// idleConn is a connection over which a test sends outcomes.
type idleConn struct {
	link.Conn
	d    *dialer
	out  chan link.Outcome
	over chan struct{}
	once sync.Once
	dead bool
	slow bool
}

func (c *idleConn) Alive() bool   { return !c.dead }
func (c *idleConn) Crowded() bool { return c.slow }

func (c *idleConn) Recv(ctx context.Context) (link.Outcome, error) {
	select {
	case o := <-c.out:
		return o, nil
	case <-c.over:
		return link.Outcome{}, link.ErrClosed
	case <-ctx.Done():
		return link.Outcome{}, context.Cause(ctx)
	}
}

func (c *idleConn) Close() error {
	c.once.Do(func() {
		c.d.mu.Lock()
		defer c.d.mu.Unlock()
		c.d.now--
		close(c.over)
	})
	return nil
}

func budget(t testing.TB, d *dialer, most int) *link.Budget {
	b := link.NewBudget(link.BudgetConfig{
		Connect: d.connect, Max: most, Idle: 5 * time.Second,
		InitialBackoff: 100 * time.Millisecond, MaxBackoff: time.Minute, Rand: func() float64 { return 1 },
	})
	t.Cleanup(b.Close)
	return b
}

func lease(t testing.TB, b *link.Budget, w link.Wish) *link.Lease {
	t.Helper()
	c, err := b.Connect(context.Background(), w)
	if err != nil {
		t.Fatal(err)
	}
	return c.(*link.Lease)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestAConnectionIsHandedToThoseWhoWaitInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		d := &dialer{fail: func(int) error {
			if full.Load() {
				return syscall.ECONNREFUSED
			}
			return nil
		}}
		b := budget(t, d, 1)
		first := lease(t, b, link.Wish{})
		if isClosed(first.Wanted()) || !first.Fresh() {
			t.Error("wanted by nobody, or used before")
		}
		var order []int
		var mu sync.Mutex
		for i := range 5 {
			go func() {
				l := lease(t, b, link.Wish{})
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				<-l.Wanted() // the last one waits for its shift to end
				l.Return()
			}()
			synctest.Wait()
		}
		if !isClosed(first.Wanted()) {
			t.Error("nobody said that others wait")
		}
		first.Return()
		synctest.Wait()
		if !slices.Equal(order, []int{0, 1, 2, 3, 4}) || d.connects() != 1 {
			t.Errorf("order %v over %d connections", order, d.connects())
		}
		full.Store(true)
		time.Sleep(time.Minute)
	})
}

func TestUrgentRowsGoFirstButNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget(t, &dialer{}, 1)
		first := lease(t, b, link.Wish{})
		var order []string
		var mu sync.Mutex
		for _, w := range []string{"old 1", "old 2", "new 1", "new 2", "new 3"} {
			go func() {
				l := lease(t, b, link.Wish{Urgent: func() bool { return w[0] == 'n' }})
				mu.Lock()
				order = append(order, w)
				mu.Unlock()
				l.Return()
			}()
			synctest.Wait()
		}
		first.Return()
		synctest.Wait()
		if want := []string{"new 1", "new 2", "old 1", "new 3", "old 2"}; !slices.Equal(order, want) {
			t.Errorf("%q, want %q", order, want)
		}
	})
}

func TestAConnectionThatNobodyUsesIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{}
		b := budget(t, d, 2)
		one, two := lease(t, b, link.Wish{}), lease(t, b, link.Wish{})
		one.Return()
		time.Sleep(4 * time.Second)
		again := lease(t, b, link.Wish{})
		if d.connects() != 2 || again.Fresh() {
			t.Errorf("%d connects", d.connects())
		}
		again.Return()
		two.Return()
		time.Sleep(6 * time.Second)
		if d.opened() != 0 {
			t.Errorf("%d are open", d.opened())
		}
	})
}

func TestOneThatIsDeadOrUsedIsNotHandedOnToWhoWantsAFreshOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{}
		b := budget(t, d, 1)
		l := lease(t, b, link.Wish{})
		l.Return()
		if l = lease(t, b, link.Wish{Fresh: true}); !l.Fresh() || d.connects() != 2 || d.peak != 1 {
			t.Errorf("%d connects, at most %d at a time", d.connects(), d.peak)
		}
		l.Conn.(*idleConn).dead = true
		l.Return()
		if l = lease(t, b, link.Wish{}); d.connects() != 3 || d.peak != 1 {
			t.Errorf("%d connects, at most %d at a time", d.connects(), d.peak)
		}
		_ = l.Close()
	})
}

func TestAnOutcomeAfterQuietIsForTheNextOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget(t, &dialer{}, 1)
		l := lease(t, b, link.Wish{})
		done := make(chan error, 1)
		go func() {
			_, err := l.Recv(context.Background())
			done <- err
		}()
		synctest.Wait()
		l.Quiet()
		if err := <-done; !errors.Is(err, link.ErrClosed) {
			t.Errorf("Recv: %v", err)
		}
		l.Return()
		next := lease(t, b, link.Wish{})
		next.Conn.(*idleConn).out <- link.Outcome{Seq: 7}
		if o, err := next.Recv(context.Background()); o.Seq != 7 || err != nil {
			t.Errorf("%+v, %v", o, err)
		}
		_ = next.Close()
	})
}

// The bound of the pause doubles to a minute; a pool of senders connects as often as
// one.
func TestAfterAConnectThatFailedNobodyConnectsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{fail: func(int) error { return errors.New("refused") }}
		b := budget(t, d, 4)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, _ = b.Connect(ctx, link.Wish{})
				}
			})
		}
		wg.Wait()
		// 100 ms, 200 ms … 51.2 s make 102.3 s; then one a minute.
		if n := d.connects(); n > 10*4+9 {
			t.Errorf("%d connects in ten minutes", n)
		}
	})
}

func TestAServerThatConnectsAndDoesNotAnswerIsCrowded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{fail: func(n int) error {
			if n == 2 {
				return &link.TimeoutError{Host: "h", What: "answer to /settings", After: 15 * time.Second}
			}
			return nil
		}}
		b := budget(t, d, 2)
		l := lease(t, b, link.Wish{})
		if l.Idle() != 5*time.Second {
			t.Errorf("kept for %s", l.Idle())
		}
		if _, err := b.Connect(t.Context(), link.Wish{}); err == nil {
			t.Fatal("no error")
		}
		if l.Idle() != 0 {
			t.Errorf("kept for %s at a crowded server", l.Idle())
		}
		l.Return()
		synctest.Wait()
		if d.opened() != 0 {
			t.Error("kept for nobody at a crowded server")
		}
	})
}

// Who holds a connection does not notice that others are turned away: it looks, each
// half a minute at first and less often while there is room.
func TestAConnectionIsLeftToOthersWhenTheServerHasNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var full atomic.Bool
		d := &dialer{fail: func(n int) error {
			if full.Load() && n > 1 {
				return syscall.ECONNREFUSED
			}
			return nil
		}}
		b := budget(t, d, 1)
		l := lease(t, b, link.Wish{})
		time.Sleep(20 * time.Minute)
		if n := d.connects(); isClosed(l.Wanted()) || n < 5 || n > 8 || d.opened() != 1 {
			t.Errorf("%d connects, %d open", n, d.opened())
		}
		full.Store(true)
		time.Sleep(5 * time.Minute)
		if !isClosed(l.Wanted()) {
			t.Fatal("it is not wanted")
		}
		full.Store(false)
		l.Return()
		left := time.Now()
		l = lease(t, b, link.Wish{})
		if away := time.Since(left); away != 5*time.Second || !l.Fresh() {
			t.Errorf("away for %s", away)
		}
		time.Sleep(5*time.Second + time.Millisecond)
		if !isClosed(l.Wanted()) {
			t.Error("kept although the server was crowded a moment ago")
		}
		_ = l.Close()
	})
}

// One sign that a server is crowded counts for ten minutes, and trouble of another kind is
// none.
func TestACrowdedServerIsForgivenWhenItHasRoomAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{fail: func(n int) error {
			switch {
			case n == 1:
				return &link.TimeoutError{Host: "h", What: "answer to /settings", After: 15 * time.Second}
			case n > 200 && n%2 == 0:
				return errors.New("401")
			}
			return nil
		}}
		b := budget(t, d, 1)
		if _, err := b.Connect(t.Context(), link.Wish{}); err == nil {
			t.Fatal("no error")
		}
		ctx, stop := context.WithCancel(t.Context())
		go func() {
			for ctx.Err() == nil {
				c, err := b.Connect(ctx, link.Wish{})
				if err != nil {
					continue
				}
				select {
				case <-c.(*link.Lease).Wanted():
				case <-ctx.Done():
				}
				c.(*link.Lease).Return()
			}
		}()
		time.Sleep(11 * time.Minute)
		crowded := d.connects()
		time.Sleep(2 * time.Hour)
		if n := d.connects() - crowded; crowded < 50 || n > 40 {
			t.Errorf("%d connects in the first minutes, %d in two hours after", crowded, n)
		}
		stop()
		time.Sleep(time.Hour)
	})
}

func TestAPanicInAConnectLosesNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{fail: func(n int) error {
			if n == 1 {
				panic("bug")
			}
			return nil
		}}
		b := budget(t, d, 1)
		func() {
			defer func() { _ = recover() }()
			_, _ = b.Connect(t.Context(), link.Wish{})
		}()
		_ = lease(t, b, link.Wish{}).Close()
	})
}

func TestWhatAServerAskedForIsNotForgottenWithTheNextConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget(t, &dialer{takes: func(n int) time.Duration { return time.Duration(n) * time.Second }}, 3)
		first, began := lease(t, b, link.Wish{}), time.Now()
		go func() { _ = lease(t, b, link.Wish{}).Close() }()
		synctest.Wait()
		first.Hold(10 * time.Minute)
		time.Sleep(3 * time.Second) // the second connect has come about
		_ = lease(t, b, link.Wish{}).Close()
		if waited := time.Since(began); waited < 10*time.Minute {
			t.Errorf("the next connect came after %s", waited)
		}
		_ = first.Close()
	})
}

func TestAConnectionIsUsedNoLongerThanItsLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := link.NewBudget(link.BudgetConfig{
			Connect: (&dialer{}).connect, Max: 1, Idle: time.Second, Life: 10 * time.Minute, Rand: func() float64 { return 1 },
		})
		l, began := lease(t, b, link.Wish{}), time.Now()
		<-l.Wanted()
		if age := time.Since(began); age != 10*time.Minute {
			t.Errorf("wanted after %s", age)
		}
		l.Return()
		if l = lease(t, b, link.Wish{}); !l.Fresh() {
			t.Error("handed on beyond its life")
		}
		_ = l.Close()
		b.Close()
	})
}

func TestWhoGivesUpWaitingLeavesNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &dialer{}
		b := budget(t, d, 1)
		l := lease(t, b, link.Wish{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Connect(ctx, link.Wish{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		_ = l.Close()
		l = lease(t, b, link.Wish{})
		b.Close()
		_ = l.Close()
		if _, err := b.Connect(t.Context(), link.Wish{}); !errors.Is(err, link.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if d.opened() != 0 {
			t.Errorf("%d open", d.opened())
		}
	})
}

// Whatever senders do, there are never more connections than allowed, but for the one
// that looks for room, everybody has his turn, and all are closed in the end.
func TestThereAreNeverMoreConnectionsThanAllowed(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		most, senders := rapid.IntRange(1, 3).Draw(rt, "max"), rapid.IntRange(1, 6).Draw(rt, "senders")
		fails := rapid.SliceOfN(rapid.Bool(), 32, 32).Draw(rt, "fails")
		ways := rapid.SliceOfN(rapid.IntRange(0, 5), 64, 64).Draw(rt, "ways")
		synctest.Test(t, func(t *testing.T) {
			d := &dialer{
				fail: func(n int) error {
					if fails[n%len(fails)] && n%3 > 0 {
						return errors.New("refused")
					}
					return nil
				},
				takes: func(n int) time.Duration { return time.Duration(n%4) * 300 * time.Millisecond },
			}
			b := budget(t, d, most)
			turns := make([]int, senders)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			var wg sync.WaitGroup
			for i := range senders {
				wg.Go(func() {
					for n := i; ctx.Err() == nil; n++ {
						way := ways[n%len(ways)]
						asking, stop := context.WithCancel(ctx)
						if way == 4 {
							time.AfterFunc(time.Second, stop)
						}
						c, err := b.Connect(asking, link.Wish{Fresh: way == 3, Urgent: func() bool { return way == 1 }})
						stop()
						if err != nil {
							continue
						}
						turns[i]++
						time.Sleep(time.Duration(n%7) * time.Second)
						l := c.(*link.Lease)
						if l.Conn.(*idleConn).dead = way == 5; way == 2 {
							_ = l.Close()
						} else {
							l.Return()
						}
					}
				})
			}
			wg.Wait()
			b.Close()
			time.Sleep(time.Minute)
			if d.opened() != 0 || d.peak > most+1 {
				rt.Errorf("%d open in the end, at most %d of %d", d.opened(), d.peak, most)
			}
			for i, n := range turns {
				if n < 10 {
					rt.Errorf("sender %d had %d turns in an hour: %v", i, n, turns)
				}
			}
		})
	})
}
