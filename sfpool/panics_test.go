// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// mishap is how a call goes wrong.
type mishap struct{ panics bool }

// hit makes each call of a kind go wrong in one slot.
func (m mishap) hit(s *script, call string, index int) {
	if !m.panics {
		s.fail(callOf(call, index), errTest)
		return
	}
	s.on(call, func(i int) {
		if i == index {
			panic(errTest)
		}
	})
}

func callOf(call string, index int) string { return fmt.Sprintf("%s %d", call, index) }

// lift ends it.
func (m mishap) lift(s *script, call string, index int) {
	s.fail(callOf(call, index), nil)
	s.on(call, nil)
}

// eachMishap runs a test with an error, and again with a panic.
func eachMishap(t *testing.T, f func(t *testing.T, b *bed, s *script, m mishap)) {
	for name, m := range map[string]mishap{"error": {}, "panic": {panics: true}} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *bed, s *script) { f(t, b, s, m) })
		})
	}
}

// eachCall does that for several calls.
func eachCall(t *testing.T, calls []string, f func(t *testing.T, b *bed, s *script, m mishap, call string)) {
	for _, call := range calls {
		t.Run(call, func(t *testing.T) {
			eachMishap(t, func(t *testing.T, b *bed, s *script, m mishap) { f(t, b, s, m, call) })
		})
	}
}

// flushed returns how a flush of one row ends: with a panic or an error.
func flushed(t testing.TB, s *Sender) (panicked any, err error) {
	b := oneRow(t, s.pool)
	panicked = panicOf(func() { err = s.Flush(context.Background(), b) })
	return panicked, err
}

// sound fails the test unless every index is accounted for and can be used.
func (b *bed) sound(p *Pool) {
	b.t.Helper()
	b.settled(p)
	b.census(p)
	giveBack(b.take(p, 1)...)
	b.recovers(p)
}

func TestABuildThatFailsFreesItsIndex(t *testing.T) {
	eachMishap(t, func(t *testing.T, b *bed, s *script, m mishap) {
		p := b.open(b.config())
		m.hit(s, "open", 0)
		if _, err := p.Borrow(context.Background()); !errors.Is(err, errTest) || isPanic(err) != m.panics {
			t.Errorf("error %v", err)
		}
		if st := p.Stats(); st.Free != 4 {
			t.Errorf("stats %+v", st)
		}
		m.lift(s, "open", 0)
		if got := b.take(p, 1)[0]; got.Index() != 0 {
			t.Errorf("slot %s", got.Name())
		} else {
			got.Return()
		}
		b.sound(p)
	})
}

func TestABuildThatFailsFailsOneBorrowAndNotTheNext(t *testing.T) {
	eachMishap(t, func(t *testing.T, b *bed, s *script, m mishap) {
		cfg := b.config()
		cfg.MaxSenders = 1
		p := b.open(cfg)
		m.hit(s, "open", 0)
		gate, builds := make(chan struct{}), 0
		s.on("open", func(int) {
			if builds++; builds > 1 {
				s.fail("open 0", nil)
				return
			}
			<-gate
			if m.panics {
				panic(errTest)
			}
			s.fail("open 0", errTest)
		})
		results := make(chan error, 2)
		for range 2 {
			go func() {
				got, err := p.Borrow(context.Background())
				if err == nil {
					got.Return()
				}
				results <- err
			}()
		}
		synctest.Wait()
		close(gate)
		if a, b := <-results, <-results; !errors.Is(errors.Join(a, b), errTest) || a != nil && b != nil {
			t.Errorf("errors %v and %v", a, b)
		}
		b.sound(p)
	})
}

func TestAFlushThatIsRefusedBeforeItsFirstByteLeavesTheSenderHealthy(t *testing.T) {
	for _, refusal := range []error{ErrStoreFull, context.DeadlineExceeded, context.Canceled, errTest} {
		t.Run(refusal.Error(), func(t *testing.T) {
			inTime(t, func(t *testing.T, b *bed, s *script) { staysHealthy(t, b, s, "reserve", refusal) })
		})
	}
}

func TestAFlushThatIsRolledBackWholeLeavesTheSenderHealthy(t *testing.T) {
	for _, call := range []string{"append", "sync"} {
		t.Run(call, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *bed, s *script) { staysHealthy(t, b, s, call, errTest) })
		})
	}
}

// staysHealthy lets a call of a flush fail, and demands that the sender is used
// on and holds no row of it.
func staysHealthy(t *testing.T, b *bed, s *script, call string, refusal error) {
	p := b.open(b.config())
	first := b.take(p, 1)[0]
	s.fail(callOf(call, 0), refusal)
	if panicked, err := flushed(t, first); !errors.Is(err, refusal) || panicked != nil {
		t.Errorf("error %v, panic %v", err, panicked)
	}
	if call != "reserve" && s.count("rollback 0") != 1 {
		t.Errorf("calls %v", s.calls)
	}
	s.fail(callOf(call, 0), nil)
	put(t, p, first) // the handle is as good as before
	first.Return()
	again := b.take(p, 1)[0]
	if again.member != first.member || b.pending[0] != 1 {
		t.Errorf("opened %v, %d rows", b.opens, b.pending[0])
	}
	again.Return()
	b.sound(p)
}

func TestAFlushThatIsRolledBackDoesNotStopTheSending(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		var broken atomic.Bool
		srv, cfg := &server{down: true}, b.config()
		cfg.FS = vfstest.Wrap(cfg.FS, func(op vfstest.Op) error {
			if op.Kind == vfstest.OpWrite && broken.CompareAndSwap(true, false) {
				return errTest
			}
			return nil
		})
		p := srv.open(t, cfg)
		s := b.take(p, 1)[0]
		put(t, p, s)
		broken.Store(true)
		if panicked, err := flushed(t, s); !errors.Is(err, errTest) || panicked != nil {
			t.Errorf("error %v, panic %v", err, panicked)
		}
		srv.is(false)
		if err := p.WaitAcked(context.Background()); err != nil || len(srv.took()) != 1 {
			t.Errorf("the server took %v: %v", srv.took(), err)
		}
		put(t, p, s)
		s.Return()
		b.settled(p)
		if st := p.Stats(); st.Idle != 1 {
			t.Errorf("stats %+v", st)
		}
		if err := p.WaitAcked(context.Background()); err != nil || len(srv.took()) != 2 {
			t.Errorf("the server took %v: %v", srv.took(), err)
		}
	})
}

func TestAFlushThatPanicsDiscardsTheSender(t *testing.T) {
	for _, call := range []string{"reserve", "append", "sync", "publish"} {
		t.Run(call, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *bed, s *script) {
				p := b.open(b.config())
				first := b.take(p, 1)[0]
				mishap{panics: true}.hit(s, call, 0)
				if panicked, err := flushed(t, first); panicked == nil {
					t.Errorf("no panic, error %v", err)
				}
				mishap{}.lift(s, call, 0)
				isDiscarded(t, b, first)
			})
		})
	}
}

// isDiscarded fails the test unless a sender is closed when it is returned, and
// the next borrower gets a fresh one that inherits nothing.
func isDiscarded(t *testing.T, b *bed, old *Sender) {
	t.Helper()
	p := old.pool
	old.Return()
	b.settled(p)
	b.census(p)
	b.holding()
	fresh := b.take(p, 1)[0]
	if fresh.Index() != 0 || fresh.member == old.member || fresh.member.broken || fresh.Mark() != (Mark{}) {
		t.Errorf("slot %s, opened %v", fresh.Name(), b.opens)
	}
	if b.pending[0] != 0 {
		t.Errorf("it inherits %d rows", b.pending[0])
	}
	put(t, p, fresh)
	fresh.Return()
	b.sound(p)
}

func TestARollbackThatFailsDiscardsTheSender(t *testing.T) {
	eachCall(t, []string{"append", "sync"}, func(t *testing.T, b *bed, s *script, m mishap, call string) {
		p := b.open(b.config())
		first := b.take(p, 1)[0]
		s.fail(callOf(call, 0), errTest)
		m.hit(s, "rollback", 0)
		if panicked, err := flushed(t, first); !errors.Is(err, errTest) || panicked != nil {
			t.Errorf("error %v, panic %v", err, panicked)
		}
		s.fail(callOf(call, 0), nil)
		m.lift(s, "rollback", 0)
		isDiscarded(t, b, first)
	})
}

func TestAPanicInOneShardDiscardsItsSenderAlone(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, s *script) {
		p := b.open(b.config())
		senders := b.take(p, 2)
		mishap{panics: true}.hit(s, "append", 1)
		shards := []Shard{{senders[0], oneRow(t, p)}, {senders[1], oneRow(t, p)}}
		if panicOf(func() { _ = p.Flush(context.Background(), shards...) }) == nil {
			t.Error("no panic")
		}
		mishap{}.lift(s, "append", 1)
		giveBack(senders...)
		b.holding(0)
		if b.pending[0] != 0 || b.pending[1] != 0 || s.count("rollback") != 2 {
			t.Errorf("rows %v, calls %v", b.pending, s.calls)
		}
		b.sound(p)
	})
}

// A failed sync of what is published is put right by a new segment; if that
// fails, too, the slot takes no more rows until it is opened again.
func TestASlotThatTakesNoMoreRowsIsOpenedAgainForTheNextBorrower(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		var broken atomic.Bool
		cfg := b.config()
		cfg.FS = failing(cfg.FS, mishap{}, func(op vfstest.Op) bool {
			return broken.Load() && (op.Kind == vfstest.OpSyncDir || op.Kind == vfstest.OpSync && strings.HasSuffix(op.Path, ".sfa"))
		})
		p := (&server{down: true}).open(t, cfg)
		s := b.take(p, 1)[0]
		put(t, p, s)
		broken.Store(true)
		time.Sleep(2 * p.cfg.SyncInterval)
		if _, err := flushed(t, s); err == nil {
			t.Error("stored on a disk that fails")
		}
		broken.Store(false)
		s.Return()
		time.Sleep(time.Minute)
		s = b.take(p, 1)[0]
		if _, err := flushed(t, s); err != nil {
			t.Errorf("the disk is back: %v", err)
		}
		if st := p.Stats(); st.Pending != 2 {
			t.Errorf("stats %+v", st)
		}
		s.Return()
	})
}

func TestAStoreKeptFullForAnHourNeverClosesTheSenderNorSendsTwice(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		srv, cfg := &server{down: true}, b.config()
		cfg.MaxSenders, cfg.MaxSegmentBytes, cfg.MaxTotalBytes = 1, 64<<10, 128<<10
		cfg.AppendDeadline = time.Second
		p := srv.open(t, cfg)
		var member *member
		stored, refused := int64(0), 0
		for began := time.Now(); time.Since(began) < time.Hour; {
			s := b.take(p, 1)[0]
			if member == nil {
				member = s.member
			}
			switch err := s.Flush(context.Background(), wideRow(t, p, stored)); {
			case err == nil:
				stored++
			case errors.Is(err, ErrStoreFull):
				refused++
			default:
				t.Fatal(err)
			}
			if s.member != member {
				t.Fatal("the sender was closed")
			}
			s.Return()
		}
		srv.is(false)
		if err := p.WaitAcked(context.Background()); err != nil {
			t.Error(err)
		}
		got := srv.took()
		if int64(len(got)) != stored || len(slices.Compact(got)) != int(stored) || refused < 3500 {
			t.Errorf("stored %d, refused %d, the server took %v", stored, refused, got)
		}
	})
}

// wideRow is a batch with one row of 8 KiB.
func wideRow(t testing.TB, p *Pool, id int64) *Batch {
	var r Row
	r.Reset("t")
	r.Long("id", id)
	r.Varchar("text", strings.Repeat("x", 8<<10))
	r.At(1)
	b := p.NewBatch()
	if err := b.Add(&r); err != nil {
		t.Fatal(err)
	}
	return b
}
