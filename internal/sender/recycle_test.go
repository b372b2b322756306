// SPDX-License-Identifier: MIT

package sender_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestRecycleEndsAnIdleConnectionAndTheNextRowMakesAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{window: 4})
		b.loop.Recycle() // there is none yet
		b.store(1)
		b.drained()
		if st := b.loop.State(); !st.Connected || st.Connects != 1 {
			t.Errorf("%+v", st)
		}
		b.loop.Recycle()
		b.loop.Recycle()
		synctest.Wait()
		if st := b.loop.State(); st.Connected || st.Connects != 1 || st.LastError != nil || !st.Since.IsZero() {
			t.Errorf("recycled: %+v", st)
		}
		b.loop.Recycle()
		start := time.Now()
		b.store(1)
		b.drained()
		b.has(0, 1)
		if st := b.loop.State(); st.Connects != 2 || time.Since(start) > 0 {
			t.Errorf("%+v after %s", st, time.Since(start))
		}
	})
}

func TestRecycleWaitsForTheLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{window: 4, answer: func(conn int, seq int64) *link.Outcome {
			if conn == 1 {
				return nil
			}
			return &link.Outcome{Seq: seq}
		}})
		b.store(1)
		b.store(1)
		synctest.Wait()
		b.loop.Recycle()
		b.store(1)
		synctest.Wait()
		b.has(0, 1)
		if st := b.loop.State(); !st.Connected {
			t.Errorf("%+v", st)
		}
		b.srv.conns[0].out <- link.Outcome{Seq: 1}
		b.drained()
		b.has(0, 1, 2)
		if n := len(b.srv.connectTimes()); n != 2 {
			t.Errorf("%d connects", n)
		}
	})
}

func TestRecycleFinishesTheFrameThatIsSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{window: 1, maxRows: 3}
		b := newBed(t, srv)
		srv.add = func(_ int, ids []int64) error {
			if ids[0] > 0 {
				b.loop.Recycle()
			}
			return nil
		}
		b.store(10)
		b.drained()
		b.has(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)
		synctest.Wait()
		if n := len(b.srv.connectTimes()); n != 1 || b.loop.State().Connected {
			t.Errorf("%d connects, %+v", n, b.loop.State())
		}
	})
}

func TestRecycleFinishesTheGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &author{TB: t}
		c.group(9, turns)
		c.group(1, turns)
		var loop *sender.Sender
		srv := &server{window: 2}
		started := make(chan struct{})
		srv.add = func(_ int, ids []int64) error {
			<-started
			if ids[0] == 4 {
				loop.Recycle()
			}
			return nil
		}
		srv.answer = func(conn int, seq int64) *link.Outcome {
			if conn == 1 && seq < 8 {
				return nil
			}
			return &link.Outcome{Seq: seq}
		}
		loop = sender.Start(sender.Config{
			Slot: c.open(), Link: srv, InitialBackoff: time.Second, MaxBackoff: time.Second, Rand: func() float64 { return 1 },
		})
		defer loop.Stop()
		close(started)
		drain(t, loop)
		if got := srv.ids(); !slices.Equal(got, []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) || srv.conns[0].seq != 9 || len(srv.conns) != 2 {
			t.Errorf("the server has %v, %d of them over the first of %d connections", got, srv.conns[0].seq, len(srv.conns))
		}
	})
}

func TestRecycleSendsNothingBehindTheFrameThatIsSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := &server{window: 1, maxRows: 3, frames: 3}
		b := newBed(t, srv)
		stored, over := make(chan struct{}), map[int64]int{} // row -> connection
		srv.add = func(conn int, ids []int64) error {
			<-stored
			if over[ids[0]] = conn; ids[0] == 0 {
				b.loop.Recycle()
			}
			return nil
		}
		b.store(10)
		b.store(1)
		close(stored)
		b.drained()
		b.has(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
		if len(over) < 5 || over[0] != 1 || over[10] != 2 {
			t.Errorf("row -> connection: %v", over)
		}
	})
}

// TestRecycleOfAConnectionThatCarriedNothingIsNoFailure has the only frame leave
// the slot by another way while the connection is made.
func TestRecycleOfAConnectionThatCarriedNothingIsNoFailure(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			var b *bed
			b = newBedOn(t, vfstest.NewMem(), &server{refuseConnect: func(n int) error {
				if n == 1 {
					return b.slot.Settle(0, 1, slot.Evicted)
				}
				return nil
			}}, slog.New(slog.NewTextHandler(&log, nil)))
			b.store(1)
			synctest.Wait()
			if st := b.loop.State(); !st.Connected {
				t.Fatalf("%+v", st)
			}
			start := time.Now()
			b.loop.Recycle()
			b.store(1) // before or after the connection is given up
			synctest.Wait()
			if st := b.loop.State(); st.LastError != nil || !st.Since.IsZero() || log.Len() > 0 {
				t.Errorf("%+v; %s", st, log.String())
			}
			b.drained()
			b.has(1)
			if took := time.Since(start); took > 0 {
				t.Errorf("after %s", took)
			}
		})
	}
}

func TestStuckTellsWhatLiesBelowFromTheConnection(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"none":     {nil, false},
		"refused":  {fmt.Errorf("send: %w", &link.Refusal{Host: "x"}), true},
		"damage":   {&slot.DamageError{Path: "x"}, true},
		"bug":      {&sender.PanicError{Value: "x"}, true},
		"link":     {&link.ConnectError{Host: "x", Err: errors.New("refused")}, false},
		"login":    {&link.AuthError{Host: "x", Status: 401}, false},
		"recycled": {link.ErrReconnect, false},
		"stranger": {errors.Join(&link.Refusal{Host: "x"}, &link.NotQuestDBError{Host: "x"}), false},
	} {
		if got := sender.Stuck(c.err); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// TestTroubleWithRowsAndDiskIsStuck has the sender itself tell of both.
func TestTroubleWithRowsAndDiskIsStuck(t *testing.T) {
	for name, arm := range map[string]func(srv *server, broken *atomic.Bool){
		"a row that cannot be sent": func(srv *server, _ *atomic.Bool) {
			srv.add = func(int, []int64) error {
				return &link.UnsupportedError{Table: "t", Column: "ip", Type: qwp.TypeIPv4}
			}
		},
		"a disk that cannot be read": func(_ *server, broken *atomic.Bool) { broken.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var broken atomic.Bool
				srv := &server{}
				arm(srv, &broken)
				b := newBedOn(t, vfstest.Wrap(vfstest.NewMem(), func(op vfstest.Op) error {
					if broken.Load() && op.Kind == vfstest.OpRead && filepath.Ext(op.Path) == ".sfa" {
						return syscall.EIO
					}
					return nil
				}), srv, nil)
				b.store(1)
				synctest.Wait()
				if st := b.loop.State(); st.LastError == nil || !sender.Stuck(st.LastError) || sender.Damage(st.LastError) {
					t.Errorf("%+v", st)
				}
			})
		})
	}
}

func TestAConnectionThatTheServerEndsIsNotConnectedAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{add: func(conn int, ids []int64) error {
			if conn == 1 && ids[0] == 1 {
				return link.ErrReconnect
			}
			return nil
		}, refuseConnect: func(n int) error {
			if n > 1 {
				return errors.New("down")
			}
			return nil
		}})
		b.store(1)
		b.drained()
		b.store(1)
		synctest.Wait()
		if st := b.loop.State(); st.Connected || st.LastError == nil {
			t.Errorf("%+v", st)
		}
	})
}

func TestProgressTellsTheNextFrameThatIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{})
		for range 3 {
			progress := b.loop.Progress()
			select {
			case <-progress:
				t.Error("there was none")
			default:
			}
			b.store(1)
			<-progress
		}
	})
}

func TestDamageIsToldFromTroubleWithServerAndDisk(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"none":     {nil, false},
		"damage":   {fmt.Errorf("open: %w", &slot.DamageError{Path: "x"}), true},
		"disk":     {&os.PathError{Op: "read", Path: "x", Err: syscall.EIO}, false},
		"locked":   {&slot.LockedError{Dir: "x"}, false},
		"foreign":  {&slot.ForeignError{Dir: "x"}, false},
		"server":   {&link.Refusal{Host: "x"}, false},
		"link":     {&link.ConnectError{Host: "x", Err: errors.New("refused")}, false},
		"one of":   {errors.Join(errors.New("a"), &slot.DamageError{Path: "x"}), true},
		"recycled": {link.ErrReconnect, false},
		"stranger": {errors.Join(&link.Refusal{Host: "x"}, &link.NotQuestDBError{Host: "x"}), false},
	} {
		if got := sender.Damage(c.err); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestAFrameThatIsNoMessageIsDamageOnceWhatStandsBeforeItIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &author{TB: t}
		c.frame(false, "a")
		c.frames = append(c.frames, []byte("these bytes are no message"))
		c.frame(false, "b")
		srv := &server{window: 4}
		loop := sender.Start(sender.Config{
			Slot: c.open(), Link: srv, InitialBackoff: time.Second, MaxBackoff: time.Second, Rand: func() float64 { return 1 },
		})
		defer loop.Stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		var wound *slot.DamageError
		if st := loop.State(); !sender.Damage(st.LastError) || !errors.As(st.LastError, &wound) || wound.FSN != 1 || st.Connected {
			t.Errorf("%+v", st)
		}
		if got := srv.ids(); !slices.Equal(got, []int64{0}) {
			t.Errorf("the server has %v", got)
		}
	})
}
