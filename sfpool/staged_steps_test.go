// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// steps is the hook of a bed that keeps what a flush did, in order, as "call
// index", and fails what it is told to.
type steps struct {
	mu    sync.Mutex
	list  []string
	fails func(call string, index int) error // nil while it does not listen
}

func (s *steps) note(call string, index int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, fmt.Sprintf("%s %d", call, index))
}

// of returns at which places a call was made.
func (s *steps) of(call string) (at []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, step := range s.list {
		if strings.HasPrefix(step, call+" ") {
			at = append(at, i)
		}
	}
	return at
}

// stepsOf must be called before the pool is opened.
func stepsOf(b *bed) *steps {
	s := &steps{}
	b.hook = func(call string, index int) error {
		s.mu.Lock()
		fails := s.fails
		s.mu.Unlock()
		if fails == nil || call == "view" { // which anybody may call at any time
			return nil
		}
		s.note(call, index)
		return fails(call, index)
	}
	return s
}

func (s *steps) listen(fails func(call string, index int) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails = fails
}

func nothing(string, int) error { return nil }

// patient waits for a sender however busy the machine is.
func patient(b *bed) Config {
	cfg := b.config()
	cfg.AcquireTimeout = time.Minute
	return cfg
}

// rowEach makes a batch with a row for each sender.
func rowEach(t testing.TB, p *Pool, senders []*Sender) (shards []Shard) {
	for _, s := range senders {
		shards = append(shards, Shard{s, oneRow(t, p)})
	}
	return shards
}

func (b *bed) stored() (rows int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, n := range b.pending {
		rows += n
	}
	return rows
}

func TestAFlushReservesInTheOrderOfItsShards(t *testing.T) {
	b := newBed(t)
	did := stepsOf(b)
	p := b.open(patient(b))
	senders := b.take(p, 4)
	slices.Reverse(senders)
	did.listen(nothing)
	do(t, p.Flush(context.Background(), rowEach(t, p, senders)...))
	if got := did.list[:4]; !slices.Equal(got, []string{"reserve 3", "reserve 2", "reserve 1", "reserve 0"}) {
		t.Errorf("it began with %v", got)
	}
}

func TestEachStepOfAFlushEndsInAllShardsBeforeTheNextBegins(t *testing.T) {
	b := newBed(t)
	did := stepsOf(b)
	cfg := patient(b)
	cfg.FS = vfstest.Wrap(vfstest.NewMem(), func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync && strings.Contains(op.Path, "dead-letter") {
			did.note("letters", 0)
		}
		return nil
	})
	p := b.open(cfg)
	shards := rowEach(t, p, b.take(p, 4))
	shards[3].Batch.Reject(rowOf(0), "unfit")
	did.listen(nothing)
	do(t, p.Flush(context.Background(), shards...))
	before := -1
	for step, want := range map[string]int{"reserve": 4, "append": 4, "sync": 4, "letters": 1, "publish": 4} {
		if n := len(did.of(step)); n != want {
			t.Fatalf("%d times %s, want %d", n, step, want)
		}
	}
	for _, step := range []string{"reserve", "append", "sync", "letters", "publish"} {
		at := did.of(step)
		if at[0] < before {
			t.Errorf("%s began before the last step had ended: %v", step, did.list)
		}
		before = at[len(at)-1]
	}
}

// Four disks, or four queues of one, work at the same time.
func TestShardsAreAppendedAndSyncedAtTheSameTime(t *testing.T) {
	for _, step := range []string{"append", "sync"} {
		t.Run(step, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				did := stepsOf(b)
				p := b.open(patient(b))
				shards := rowEach(t, p, b.take(p, 4))
				meet := meeting(4)
				did.listen(func(call string, _ int) error {
					if call != step {
						return nil
					}
					return meet()
				})
				do(t, p.Flush(context.Background(), shards...))
			})
		})
	}
}

// meeting returns a function that waits until n callers are in it.
func meeting(n int) func() error {
	var mu sync.Mutex
	all := make(chan struct{})
	return func() error {
		mu.Lock()
		n--
		if n == 0 {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
			return nil
		case <-time.After(time.Minute):
			return errors.New("the others did not come")
		}
	}
}

func TestTheSameSenderOrBatchTwiceInOneFlushIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		did := stepsOf(b)
		p := b.open(patient(b))
		two := rowEach(t, p, b.take(p, 2))
		did.listen(nothing)
		began := time.Now()
		for name, shards := range map[string][]Shard{
			"sender": {two[0], two[1], {two[0].Sender, oneRow(t, p)}},
			"batch":  {two[0], {two[1].Sender, two[0].Batch}},
		} {
			if err := safely("flush", func() error { return p.Flush(context.Background(), shards...) }); err == nil {
				t.Errorf("the same %s twice was taken", name)
			}
		}
		if waited := time.Since(began); waited > 0 || len(did.list) > 0 || b.stored() > 0 {
			t.Errorf("after %s, and: %v", waited, did.list)
		}
		do(t, p.Flush(context.Background(), two...))
	})
}

// whicheverFails runs a flush of three shards for each step and shard that can
// fail, and looks that the others are rolled back and go on.
func whicheverFails(t *testing.T, steps []string, fail func() error, check func(t *testing.T, err error, broken bool)) {
	for _, step := range steps {
		for victim := range 3 {
			t.Run(fmt.Sprintf("%s %d", step, victim), func(t *testing.T) {
				b := newBed(t)
				did := stepsOf(b)
				p := b.open(patient(b))
				senders := b.take(p, 3)
				shards := rowEach(t, p, senders)
				did.listen(func(call string, index int) error {
					if call == step && index == victim {
						return fail()
					}
					return nil
				})
				err := safely("flush", func() error { return p.Flush(context.Background(), shards...) })
				check(t, err, senders[victim].member.broken)
				begun := len(did.of("reserve"))
				if step == "reserve" {
					begun-- // the victim itself has nothing to undo
				}
				if undone := len(did.of("rollback")); undone != begun || b.stored() > 0 {
					t.Errorf("%d of %d undone, %d rows stored: %v", undone, begun, b.stored(), did.list)
				}
				for i, s := range senders {
					if i != victim && s.member.broken {
						t.Errorf("sender %d suffers too", i)
					}
				}
				did.listen(nothing)
				do(t, p.Flush(context.Background(), shards...)) // the caller has it all still
				if b.stored() != 3 {
					t.Errorf("%d rows stored by the second flush, want 3", b.stored())
				}
			})
		}
	}
}

func TestAPanicInOneShardRollsTheOthersBackAndGoesOnInTheCaller(t *testing.T) {
	whicheverFails(t, []string{"reserve", "append", "sync"}, func() error { panic(errTest) },
		func(t *testing.T, err error, broken bool) {
			if !isPanic(err) || !errors.Is(err, errTest) || !broken {
				t.Errorf("error %v, broken: %t", err, broken)
			}
		})
}

func TestAFaultOfOneShardRollsTheOthersBackAndBreaksNone(t *testing.T) {
	whicheverFails(t, []string{"reserve", "append", "sync"}, func() error { return errTest },
		func(t *testing.T, err error, broken bool) {
			if isPanic(err) || !errors.Is(err, errTest) || broken {
				t.Errorf("error %v, broken: %t", err, broken)
			}
		})
}

func TestAFullShardRollsTheOthersBackAndBreaksNone(t *testing.T) {
	whicheverFails(t, []string{"reserve"}, func() error { return fmt.Errorf("slot: %w", ErrStoreFull) },
		func(t *testing.T, err error, broken bool) {
			if !errors.Is(err, ErrStoreFull) || broken {
				t.Errorf("error %v, broken: %t", err, broken)
			}
		})
}

// The batch is durable by then: what can be shown is shown.
func TestAPanicInThePublishOfOneShardDoesNotKeepTheOthersBack(t *testing.T) {
	for victim := range 3 {
		b := newBed(t)
		did := stepsOf(b)
		p := b.open(patient(b))
		senders := b.take(p, 3)
		did.listen(func(call string, index int) error {
			if call == "publish" && index == victim {
				return errTest
			}
			return nil
		})
		err := safely("flush", func() error { return p.Flush(context.Background(), rowEach(t, p, senders)...) })
		if !isPanic(err) || b.stored() != 2 || !senders[victim].member.broken {
			t.Errorf("shard %d: error %v, %d rows stored, want 2", victim, err, b.stored())
		}
	}
}

func TestASenderThatCannotRollBackIsClosedWhenItIsReturned(t *testing.T) {
	b := newBed(t)
	did := stepsOf(b)
	p := b.open(patient(b))
	senders := b.take(p, 2)
	did.listen(func(call string, index int) error {
		if call == "sync" || call == "rollback" && index == 0 {
			return errTest
		}
		return nil
	})
	if err := p.Flush(context.Background(), rowEach(t, p, senders)...); !errors.Is(err, errTest) {
		t.Errorf("error %v", err)
	}
	for _, s := range senders {
		s.Return()
	}
	b.settled(p)
	if held := b.holds(); !slices.Equal(held, []int{1}) || b.log.count("cannot undo") != 1 {
		t.Errorf("slots %v are open, logged was %s", held, b.log.String())
	}
	b.census(p)
}

// A refusal says nothing about the slot, unless the slot says so itself.
func TestASenderWhoseSlotTakesNoMoreRowsIsClosedWhenItIsReturned(t *testing.T) {
	for _, unsound := range []error{nil, errTest} {
		inTime(t, func(t *testing.T, b *bed, script *script) {
			p := b.open(b.config())
			s := b.take(p, 1)[0]
			script.fail("reserve 0", errTest)
			script.fail("unsound 0", unsound)
			if err := s.Flush(context.Background(), oneRow(t, p)); !errors.Is(err, errTest) {
				t.Errorf("error %v", err)
			}
			script.fail("reserve 0", nil)
			script.fail("unsound 0", nil)
			s.Return()
			synctest.Wait()
			if closed := script.count("close 0") == 1; closed != (unsound != nil) {
				t.Errorf("unsound: %v, closed: %t", unsound, closed)
			}
			put(t, p, b.take(p, 1)[0])
			b.census(p)
		})
	}
}

// Each try is made with a context that has ended, so as not to wait; that is no
// business of the caller.
func TestNoRoomInSeveralSlotsIsNotTheCancellingOfTheCaller(t *testing.T) {
	for name, refusal := range map[string]error{
		"full": &slot.FullError{Dir: "/sf/default-1", Cause: context.Canceled},
		"busy": context.Canceled, // giving up a spare
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, func(t *testing.T, b *bed, script *script) {
				cfg := b.config()
				cfg.AppendDeadline = time.Second
				p := b.open(cfg)
				senders := b.take(p, 2)
				script.fail("reserve 1", refusal)
				err := p.Flush(context.Background(), rowEach(t, p, senders)...)
				if !errors.Is(err, ErrStoreFull) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
					t.Errorf("error %v", err)
				}
				if rows := b.stored(); rows != 0 {
					t.Errorf("%d rows are stored", rows)
				}
			})
		})
	}
}
