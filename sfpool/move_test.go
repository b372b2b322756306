// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// moving is a pool in RAM with a row in each of four slots, ids 0 to 3, whose
// server is down, and a pool on disk with the same server.
type moving struct {
	srv       *server
	ram, disk *Pool
	fault     atomic.Pointer[error] // of writes to the disk
}

func newMoving(t testing.TB, b *bed) *moving {
	mv := &moving{srv: &server{down: true}}
	cfg := b.config()
	cfg.FS = vfstest.Wrap(vfstest.NewMem(), func(op vfstest.Op) error {
		if err := mv.fault.Load(); err != nil && op.Kind == vfstest.OpWrite && strings.HasSuffix(op.Path, ".sfa") {
			return *err
		}
		return nil
	})
	mv.disk = mv.srv.open(t, cfg)
	cfg.Dir = ""
	mv.ram = mv.srv.open(t, cfg)
	senders := b.take(mv.ram, 4)
	for i, s := range senders {
		storeID(t, mv.ram, s, int64(i))
	}
	giveBack(senders...)
	return mv
}

// pending compares what the two pools hold.
func (mv *moving) pending(t testing.TB, inRAM, onDisk int64) {
	t.Helper()
	if r, d := mv.ram.Stats(), mv.disk.Stats(); r.Pending != inRAM || d.Pending != onDisk ||
		r.Accepted != r.Acked+r.Pending+r.Gone || d.Accepted != d.Acked+d.Pending {
		t.Errorf("in RAM %+v\non disk %+v, want pending %d and %d", r, d, inRAM, onDisk)
	}
}

func TestRowsInRAMMoveToDiskAndFromThereToTheServerOnce(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		mv := newMoving(t, b)
		rows, err := mv.ram.MoveTo(context.Background(), mv.disk)
		if err != nil || rows != 4 {
			t.Fatalf("%d rows moved, %v", rows, err)
		}
		mv.pending(t, 0, 4)
		if gone := mv.ram.Stats().Gone; gone != 4 {
			t.Errorf("%d rows have gone, want 4", gone)
		}
		do(t, mv.ram.Close(context.Background())) // nothing is lost with it
		mv.srv.is(false)
		do(t, mv.disk.WaitAcked(context.Background()))
		if got := mv.srv.took(); !slices.Equal(got, []int64{0, 1, 2, 3}) {
			t.Errorf("the server has %v", got)
		}
	})
}

func TestAMoveThatFailsLeavesTheRestInRAMWhichIsSentFromThere(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		mv := newMoving(t, b)
		eio := error(syscall.EIO)
		mv.fault.Store(&eio)
		if rows, err := mv.ram.MoveTo(context.Background(), mv.disk); rows != 0 || !errors.Is(err, syscall.EIO) {
			t.Fatalf("%d rows moved, %v", rows, err)
		}
		mv.pending(t, 4, 0)
		if st := mv.ram.Stats(); st.Live != 4 {
			t.Errorf("not all senders go on: %+v", st)
		}
		mv.srv.is(false)
		do(t, mv.ram.WaitAcked(context.Background()))
		if got := mv.srv.took(); !slices.Equal(got, []int64{0, 1, 2, 3}) {
			t.Errorf("the server has %v", got)
		}
	})
}

func TestAMoveThatFailedIsMadeUpForByTheNext(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		mv := newMoving(t, b)
		eio := error(syscall.EIO)
		mv.fault.Store(&eio)
		_, _ = mv.ram.MoveTo(context.Background(), mv.disk)
		mv.fault.Store(nil)
		if rows, err := mv.ram.MoveTo(context.Background(), mv.disk); rows != 4 || err != nil {
			t.Errorf("%d rows moved, %v", rows, err)
		}
		mv.pending(t, 0, 4)
	})
}

func TestASlotWhoseSenderIsBorrowedIsPassedOverAfterAWhile(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		mv := newMoving(t, b)
		s := b.take(mv.ram, 1)[0]
		rows, err := mv.ram.MoveTo(context.Background(), mv.disk)
		if rows != 3 || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), s.Name()) {
			t.Errorf("%d rows moved, %v", rows, err)
		}
		mv.pending(t, 1, 3)
		storeID(t, mv.ram, s, 4)
		s.Return()
		if rows, err := mv.ram.MoveTo(context.Background(), mv.disk); rows != 2 || err != nil {
			t.Errorf("%d rows moved, %v", rows, err)
		}
	})
}

func TestRowsThatTheServerTakesMeanwhileAreNotMoved(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		mv := newMoving(t, b)
		mv.srv.is(false)
		time.Sleep(time.Minute) // past the backoff
		if rows, err := mv.ram.MoveTo(context.Background(), mv.disk); rows != 0 || err != nil {
			t.Errorf("%d rows moved, %v", rows, err)
		}
		mv.pending(t, 0, 0)
	})
}

// Who is in a hurry, as at the end of the process, has the rows on disk in time
// though a server keeps him waiting.
func TestAServerThatDoesNotAnswerDoesNotUseUpTheTimeForAMove(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		mv := newMoving(t, b)
		mv.srv.mu.Lock()
		mv.srv.down, mv.srv.mute = false, true
		mv.srv.mu.Unlock()
		time.Sleep(time.Minute) // past the backoff
		ctx, cancel := context.WithTimeout(context.Background(), leaveGrace)
		defer cancel()
		if rows, err := mv.ram.MoveTo(ctx, mv.disk); rows != 4 || err != nil || ctx.Err() != nil {
			t.Errorf("%d rows moved, %v, %v", rows, err, ctx.Err())
		}
		mv.pending(t, 0, 4)
	})
}

func TestFramesLargerThanOneMoveArriveWhole(t *testing.T) {
	inTime(t, func(t *testing.T, b *bed, _ *script) {
		mv := newMoving(t, b)
		s := b.take(mv.ram, 1)[0]
		batch := mv.ram.NewBatch()
		const rows = 60_000
		for i := range int64(rows) {
			var r Row
			r.Reset("t")
			r.Long("id", 100+i)
			r.Varchar("text", "some text that makes the frames many, and more than one move")
			r.At(1700000000000000 + i)
			do(t, batch.Add(&r))
		}
		do(t, s.Flush(context.Background(), batch))
		s.Return()
		if n, err := mv.ram.MoveTo(context.Background(), mv.disk); n != rows+4 || err != nil {
			t.Errorf("%d rows moved, %v", n, err)
		}
		mv.pending(t, 0, rows+4)
	})
}

func TestOnlyAPoolInRAMIsMovedAndNotIntoItself(t *testing.T) {
	b := newBed(t)
	mv := newMoving(t, b)
	for _, pair := range [][2]*Pool{{mv.disk, mv.ram}, {mv.ram, mv.ram}} {
		if _, err := pair[0].MoveTo(context.Background(), pair[1]); err == nil {
			t.Error("moved")
		}
	}
}
