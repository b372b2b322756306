// SPDX-License-Identifier: MIT

package intake_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/intake"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// in says whether an operation is on a segment of a slot.
func in(op vfstest.Op, slot string) bool {
	return strings.HasPrefix(op.Path, "/sf/"+slot+"/") && strings.Contains(op.Path, ".sfa")
}

// A disk that fails for one slot fails for the whole batch.
func TestASplitBatchIsStoredWholeOrNotAtAll(t *testing.T) {
	for _, kind := range []vfstest.Kind{vfstest.OpWrite, vfstest.OpSync, vfstest.OpAllocate, vfstest.OpOpen} {
		t.Run(kind.String(), func(t *testing.T) {
			b := newBed(t, func(c *sfpool.Config) { c.MaxSegmentBytes = 64 << 10 }) // a new one every few batches
			b.in.Expect(intake.SplitRows)
			b.put(0, intake.SplitRows)
			b.commit()
			b.fails(func(op vfstest.Op) error {
				if op.Kind == kind && in(op, "default-2") {
					return errDisk
				}
				return nil
			})
			stored := intake.SplitRows
			for b.Helper(); !b.commitMore(&stored); {
			}
			b.spread(4, int64(stored))
			b.fails(nil)
			b.commit()
			exactly(t, b.rows(), stored+intake.SplitRows)
		})
	}
}

// commitMore stores one more batch, or says that it failed with the fault and
// still waits.
func (b *bed) commitMore(stored *int) (failed bool) {
	b.Helper()
	b.in.Expect(intake.SplitRows)
	b.put(*stored, intake.SplitRows)
	err := b.in.Commit(b.Context())
	if err == nil {
		*stored += intake.SplitRows
		return false
	}
	if n := b.in.Rows(); !errors.Is(err, errDisk) || n != intake.SplitRows {
		b.Fatalf("%d rows wait after %v", n, err)
	}
	return true
}

func TestABatchThatFailedIsStoredWithTheSendersThatAreLeft(t *testing.T) {
	b := newBed(t)
	b.in.Expect(intake.SplitRows)
	b.put(0, intake.SplitRows)
	b.commit()
	before := b.pending()
	b.in.Expect(intake.SplitRows)
	b.put(intake.SplitRows, intake.SplitRows)
	b.fails(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync && in(op, "default-3") {
			return errDisk
		}
		return nil
	})
	if err := b.in.Commit(t.Context()); !errors.Is(err, errDisk) {
		t.Fatal(err)
	}
	b.fails(nil)
	var lent []*sfpool.Sender
	for range 2 {
		s, err := b.pool.Borrow(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lent = append(lent, s)
	}
	b.commit()
	for _, s := range lent {
		s.Return()
	}
	b.spread(4, 2*intake.SplitRows)
	more := 0
	for name, n := range b.pending() {
		if n > before[name] {
			more++
		}
	}
	if more == 0 || more > 2 { // the one whose disk failed may still be closing
		t.Errorf("%d slots got rows, two senders were left: %v, before %v", more, b.pending(), before)
	}
	exactly(t, b.rows(), 2*intake.SplitRows)
}

func TestWithNoSenderToBorrowTheBatchWaits(t *testing.T) {
	b := newBed(t, func(c *sfpool.Config) { c.AcquireTimeout = 10 * time.Millisecond })
	var lent []*sfpool.Sender
	for len(lent) < 4 {
		if s, ok := b.pool.TryBorrow(t.Context()); ok {
			lent = append(lent, s)
		}
	}
	b.in.Expect(intake.SplitRows)
	b.put(0, intake.SplitRows)
	if err := b.in.Commit(t.Context()); !errors.As(err, new(*sfpool.AcquireError)) || b.in.Rows() != intake.SplitRows {
		t.Errorf("%d rows wait after %v", b.in.Rows(), err)
	}
	for _, s := range lent {
		s.Return()
	}
	b.commit()
	b.spread(4, intake.SplitRows)
}

// Rows are rejected by the mapping, before they have a shard, and by the batches
// of the shards.
func TestDeadLettersOfASplitBatchAreWrittenOnce(t *testing.T) {
	b := newBed(t)
	b.in.Expect(intake.SplitRows)
	huge := strings.Repeat("x", 2<<20)
	for id := range 10 {
		b.in.Start("cpu")
		b.in.Tag("host", "a")
		b.in.Int("id", int64(id))
		b.in.End(time.Unix(-1, 0))
		b.in.Start("cpu")
		b.in.Tag("host", string(rune('a'+id)))
		b.in.String("text", huge)
		b.in.End(noon)
	}
	b.put(0, intake.SplitRows)
	b.fails(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync && strings.HasSuffix(op.Path, ".lp") {
			return errDisk
		}
		return nil
	})
	for range 2 {
		if err := b.in.Commit(t.Context()); !errors.Is(err, errDisk) {
			t.Fatal(err)
		}
	}
	b.spread(0, 0)
	b.fails(nil)
	b.commit()
	if n := len(b.letters()); n != 20 {
		t.Errorf("%d dead letters, want 20", n)
	}
	if st := b.pool.Stats(); st.DeadLettered != 20 || st.Pending != intake.SplitRows {
		t.Errorf("stats %+v", st)
	}
	if log := b.log.String(); !strings.Contains(log, "rows=20") || !strings.Contains(log, "between 1970 and 9999") {
		t.Errorf("log %s", log)
	}
}

func TestDeadLettersGoToTheStoreWithoutAnyRow(t *testing.T) {
	b := newBed(t)
	b.in.Expect(intake.SplitRows)
	b.in.Start("cpu")
	b.in.Int("id", 1)
	b.in.End(time.Unix(-1, 0))
	b.commit()
	if n := len(b.letters()); n != 1 {
		t.Errorf("%d dead letters", n)
	}
}

// A panic beside the caller does not kill the process, and nothing is stored.
func TestAPanicInAShardGoesOnInCommit(t *testing.T) {
	b := newBed(t)
	b.in.Expect(intake.SplitRows)
	b.in.Break()
	b.put(0, 3000)
	for range 2 {
		v := panicOf(func() { _ = b.in.Commit(t.Context()) })
		if err, ok := v.(error); !ok || !errors.As(err, new(*sfpool.PanicError)) || !strings.Contains(err.Error(), "nil pointer") {
			t.Errorf("panic %v", v)
		}
	}
	b.spread(0, 0)
	b.in.Reset()
	b.in.Expect(intake.SplitRows)
	b.put(0, intake.SplitRows)
	b.commit()
	b.spread(4, intake.SplitRows)
	exactly(t, b.rows(), intake.SplitRows)
}

func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

// A panic below the pool leaves no sender borrowed.
func TestAPanicOfTheStoreGivesTheSendersBack(t *testing.T) {
	b := newBed(t)
	b.in.Expect(intake.SplitRows)
	b.put(0, intake.SplitRows)
	b.commit()
	b.fails(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync && in(op, "default-1") {
			panic(errDisk)
		}
		return nil
	})
	b.put(intake.SplitRows, 0)
	b.in.Expect(intake.SplitRows)
	b.put(intake.SplitRows, intake.SplitRows)
	if v := panicOf(func() { _ = b.in.Commit(t.Context()) }); v == nil {
		t.Fatal("no panic")
	}
	b.fails(nil)
	b.commit()
	exactly(t, b.rows(), 2*intake.SplitRows)
}

func TestWhatOnePoolCannotTakeGoesToTheOneThatTheStoreHasInstead(t *testing.T) {
	b := newBed(t)
	ram := b.cfg
	ram.Dir, ram.FS, ram.Durability = "", nil, 0
	b.spare = b.open(ram)
	broken := b.pool
	b.in.Expect(intake.SplitRows)
	b.put(0, intake.SplitRows)
	b.commit()
	b.fails(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync {
			return errDisk
		}
		return nil
	})
	b.in.Expect(intake.SplitRows)
	b.put(0, intake.SplitRows)
	b.commit()
	b.spread(4, intake.SplitRows)
	if len(b.failed) != 1 || !errors.Is(b.failed[0], errDisk) || broken.Stats().Pending != intake.SplitRows {
		t.Errorf("told of %v, stats of the broken one %+v", b.failed, broken.Stats())
	}
}

func TestARefusalIsTriedOnceMoreAndNoMore(t *testing.T) {
	b := newBed(t)
	b.spare = b.pool // which is as bad
	b.fails(func(op vfstest.Op) error {
		if op.Kind == vfstest.OpSync {
			return errDisk
		}
		return nil
	})
	b.put(0, 10)
	if err := b.in.Commit(t.Context()); !errors.Is(err, errDisk) || len(b.failed) != 1 {
		t.Errorf("error %v, told of %v", err, b.failed)
	}
}

// goleak in TestMain fails this test if anything stays.
func TestAnIntakeThatNobodyEndsLeavesNoGoroutine(t *testing.T) {
	b := newBed(t)
	b.in.Expect(intake.SplitRows)
	b.put(0, 5000)
}

// TestWhateverFailsCommittedRowsAreThereOnce puts, commits, resets and borrows in
// any order, while the disk fails now and then.
func TestWhateverFailsCommittedRowsAreThereOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := newBed(t, func(c *sfpool.Config) {
			c.MaxSenders, c.AcquireTimeout = rapid.IntRange(1, 4).Draw(rt, "slots"), 5*time.Millisecond
		})
		next, stored := 0, 0
		var lent []*sfpool.Sender
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				b.in.Expect(rapid.SampledFrom([]int{1, intake.SplitRows}).Draw(rt, "expected"))
				n := rapid.SampledFrom([]int{1, 10, 100, 300, 500, 700, intake.SplitRows}).Draw(rt, "rows")
				b.put(next, n)
				next += n
			},
			"reset": func(*rapid.T) {
				b.in.Reset()
				next = stored
			},
			"commit": func(rt *rapid.T) {
				kind := rapid.SampledFrom([]vfstest.Kind{0, vfstest.OpWrite, vfstest.OpSync, vfstest.OpOpen, vfstest.OpLock}).Draw(rt, "fails")
				after := rapid.IntRange(0, 6).Draw(rt, "after")
				b.fails(func(op vfstest.Op) error {
					if op.Kind == kind && strings.Contains(op.Path, ".sfa") {
						if after--; after < 0 {
							return errDisk
						}
					}
					return nil
				})
				err := b.in.Commit(context.Background())
				b.fails(nil)
				if err == nil {
					stored = next
				}
				if st := b.pool.Stats(); st.Pending != int64(stored) || b.in.Rows() != next-stored {
					rt.Fatalf("error %v: %d rows pending, %d wait; want %d and %d", err, st.Pending, b.in.Rows(), stored, next-stored)
				}
			},
			"borrow": func(rt *rapid.T) {
				if s, ok := b.pool.TryBorrow(context.Background()); ok {
					lent = append(lent, s)
				}
			},
			"return": func(*rapid.T) {
				for _, s := range lent {
					s.Return()
				}
				lent = nil
			},
		})
		for _, s := range lent {
			s.Return()
		}
		b.in.Reset()
		exactly(t, b.rows(), stored)
	})
}
