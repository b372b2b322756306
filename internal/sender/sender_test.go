// SPDX-License-Identifier: MIT

package sender_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bed is a slot in memory and a server that a test plays.
type bed struct {
	testing.TB
	slot *slot.Slot
	srv  *server
	loop *sender.Sender
	next int64

	begin func() // starts the loop, where that is left to the test
}

func newBed(t testing.TB, srv *server) *bed {
	t.Helper()
	return newBedOn(t, vfstest.NewMem(), srv, nil)
}

func newBedOn(t testing.TB, fsys vfs.FS, srv *server, log *slog.Logger) *bed {
	t.Helper()
	return startBed(t, fsys, srv, sender.Config{Log: log})
}

// startBed starts a sender with what cfg has of Tables, Voice and Log.
func startBed(t testing.TB, fsys vfs.FS, srv *server, cfg sender.Config) *bed {
	t.Helper()
	return startSlot(t, fsys, "/sf/default-0", srv, cfg)
}

func startSlot(t testing.TB, fsys vfs.FS, dir string, srv *server, cfg sender.Config) *bed {
	t.Helper()
	s, err := slot.Open(slot.Options{
		FS: fsys, Dir: dir, SegmentBytes: 1 << 16, MaxBytes: 16 << 20,
		Durability: slot.Memory, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{TB: t, slot: s, srv: srv}
	cfg.Slot, cfg.Link, cfg.Rand = s, srv, func() float64 { return 1 }
	cfg.InitialBackoff, cfg.MaxBackoff = 100*time.Millisecond, 5*time.Second
	b.loop = sender.Start(cfg)
	t.Cleanup(func() {
		b.loop.Stop()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// store publishes one frame of n rows whose ids go on from the last frame's.
func (b *bed) store(n int) {
	b.Helper()
	b.storeIn(slices.Repeat([]string{"t"}, n)...)
}

// storeIn publishes one frame with a row for each table.
func (b *bed) storeIn(tables ...string) {
	b.Helper()
	rows := make([]qwp.Row, len(tables))
	for i, table := range tables {
		rows[i].Reset(table)
		rows[i].Long("id", b.next)
		rows[i].At(1700000000000000 + b.next)
		b.next++
	}
	b.storeRows(rows...)
}

func (b *bed) storeRows(rows ...qwp.Row) {
	b.Helper()
	build := qwp.NewBuilder(1 << 15)
	for i := range rows {
		if err := build.Add(&rows[i]); err != nil {
			b.Fatal(err)
		}
	}
	b.storeFrame(build.AppendFrame(nil), len(rows))
}

func (b *bed) storeFrame(frame []byte, rows int) {
	b.Helper()
	tx, err := b.slot.Reserve(context.Background(), []int{len(frame)})
	if err != nil {
		b.Fatal(err)
	}
	if err := tx.Append(slot.Frame{Bytes: frame, Rows: rows}); err != nil {
		b.Fatal(err)
	}
	tx.Publish()
}

func (b *bed) drained() {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := b.loop.Drain(ctx); err != nil {
		b.Fatalf("%v; the server has %.200s, state %+v", err, fmt.Sprint(b.srv.ids()), b.loop.State())
	}
}

func (b *bed) has(want ...int64) {
	b.Helper()
	if got := b.srv.ids(); !slices.Equal(got, want) {
		b.Errorf("the server has %v, want %v", got, want)
	}
}

func TestFramesArriveInOrderAndLeaveTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{window: 4})
		b.store(2)
		b.store(1)
		b.drained()
		b.store(3)
		b.drained()
		b.has(0, 1, 2, 3, 4, 5)
		if st := b.slot.Stats(); st.Acked != 6 || st.Pending != 0 || len(b.srv.connectTimes()) != 1 {
			t.Errorf("stats %+v after %d connects", st, len(b.srv.connectTimes()))
		}
	})
}

func TestAnIdleSenderDoesNotConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{})
		time.Sleep(24 * time.Hour)
		if n := len(b.srv.connectTimes()); n != 0 {
			t.Errorf("%d connects", n)
		}
	})
}

func TestOneAckCoversAllRequestsBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{window: 8, answer: func(_ int, seq int64) *link.Outcome {
			if seq < 4 {
				return nil
			}
			return &link.Outcome{Seq: seq}
		}})
		for range 5 {
			b.store(1)
		}
		b.drained()
		b.has(0, 1, 2, 3, 4)
	})
}

// TestOneAckIsNotedOnceHoweverManyFramesItCovers counts the writes of an ack.
func TestOneAckIsNotedOnceHoweverManyFramesItCovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		writes := map[string]int{}
		fsys := vfstest.Wrap(vfstest.NewMem(), func(op vfstest.Op) error {
			mu.Lock()
			defer mu.Unlock()
			if op.Kind == vfstest.OpWrite {
				writes[filepath.Base(op.Path)]++
			}
			return nil
		})
		b := newBedOn(t, fsys, &server{window: 8, answer: func(int, int64) *link.Outcome { return nil }}, nil)
		for range 8 {
			b.store(2)
		}
		synctest.Wait()
		b.has(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
		clear(writes)
		b.srv.conns[0].out <- link.Outcome{Seq: 7}
		b.drained()
		if want := map[string]int{".qsf-state": 1, ".ack-watermark": 1}; !maps.Equal(writes, want) {
			t.Errorf("writes %v, want %v", writes, want)
		}
		if st := b.slot.Stats(); st.Acked != 16 || st.Watermark != 7 {
			t.Errorf("stats %+v", st)
		}
	})
}

// TestWhatCannotBeNotedIsSaidOnceUntilItCanBe fails the writes of the state: the
// frames count as taken all the same.
func TestWhatCannotBeNotedIsSaidOnceUntilItCanBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var broken atomic.Bool
		fsys := vfstest.Wrap(vfstest.NewMem(), func(op vfstest.Op) error {
			if broken.Load() && op.Kind == vfstest.OpWrite && filepath.Base(op.Path) == ".qsf-state" {
				return errors.New("broken")
			}
			return nil
		})
		b := newBedOn(t, fsys, &server{}, slog.New(slog.NewTextHandler(&log, nil)))
		for range 2 {
			broken.Store(true)
			b.store(1)
			b.drained()
			b.store(1)
			b.drained()
			broken.Store(false)
			b.store(1)
			b.drained()
		}
		b.loop.Stop()
		if n := strings.Count(log.String(), "cannot note progress"); n != 2 || !strings.Contains(log.String(), "fsn=3") {
			t.Errorf("said %d times: %s", n, log.String())
		}
		b.has(0, 1, 2, 3, 4, 5)
	})
}

func TestTheWindowBoundsWhatIsUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{window: 3, answer: func(int, int64) *link.Outcome { return nil }})
		for range 10 {
			b.store(1)
		}
		synctest.Wait()
		b.has(0, 1, 2)
	})
}

func TestARefusalDropsTheConnectionAndReplaysFromTheWatermark(t *testing.T) {
	refused := &link.Refusal{Host: "server", Status: qwp.StatusInternalError, Message: "disk full"}
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{window: 1, answer: func(conn int, seq int64) *link.Outcome {
			if conn < 4 && seq == 1 || conn > 1 && conn < 4 {
				return &link.Outcome{Seq: seq, Refusal: refused}
			}
			return &link.Outcome{Seq: seq}
		}})
		b.store(1)
		b.store(1)
		b.store(1)
		time.Sleep(time.Millisecond)
		if st := b.loop.State(); !errors.Is(st.LastError, refused) || st.Since.IsZero() {
			t.Errorf("state %+v", st)
		}
		b.drained()
		b.has(0, 1, 2)
		if st := b.loop.State(); st.Refusals != 3 || st.LastError != nil || !st.Since.IsZero() {
			t.Errorf("state %+v", st)
		}
	})
}

func TestWaitsDoubleUpToTheCapAndStartAfreshAfterAnAck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		b := newBed(t, &server{refuseConnect: func(int) error {
			if !up.Load() {
				return errors.New("connection refused")
			}
			return nil
		}})
		start := time.Now()
		b.store(1)
		time.Sleep(30 * time.Second)
		var waits []string
		last := start
		for _, at := range b.srv.connectTimes()[1:] {
			waits, last = append(waits, at.Sub(last).String()), at
		}
		if got, want := fmt.Sprint(waits), "[100ms 200ms 400ms 800ms 1.6s 3.2s 5s 5s 5s 5s]"; got != want {
			t.Errorf("waits %s, want %s", got, want)
		}
		up.Store(true)
		b.drained()
		b.has(0)
	})
}

func TestAFrameTooLargeForTheServerGoesInPiecesAndIsSettledOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{window: 4, maxRows: 3})
		b.store(10)
		b.store(2)
		b.drained()
		b.has(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
		if st := b.slot.Stats(); st.Acked != 12 {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestAcksThatArriveAfterAFailedSendStillCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{window: 4, sendErr: func(conn int, seq int64) error {
			if conn == 1 && seq == 2 {
				return errors.New("broken pipe")
			}
			return nil
		}})
		for range 3 {
			b.store(1)
		}
		b.drained()
		b.has(0, 1, 2, 2) // the last one was on its way when the connection broke
	})
}

func TestWhatStandsAroundARowThatCannotBeSentIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		letters := &letterBox{}
		srv := &server{frames: 100, add: func(_ int, ids []int64) error {
			if at := slices.Index(ids, 7); at >= 0 {
				return &link.UnsupportedError{Table: "t", Column: "ip", Type: qwp.TypeIPv4, Row: int(7 - ids[0]%2 - ids[0]&^1)}
			}
			return nil
		}}
		b := startBed(t, vfstest.NewMem(), srv, sender.Config{Letters: letters})
		for range 5 {
			b.store(2)
		}
		time.Sleep(time.Minute)
		b.has(0, 1, 2, 3, 4, 5, 6, 8, 9)
		if st := b.slot.Stats(); st.Acked != 9 || st.DeadLettered != 1 || st.Pending != 0 {
			t.Errorf("stats %+v", st)
		}
		letters.has(t, 7)
	})
}

func TestAConnectionThatIsUsedUpAtOnceIsNotAskedForWithoutPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{add: func(int, []int64) error { return link.ErrReconnect }})
		b.store(1)
		time.Sleep(time.Minute)
		if n := len(b.srv.connectTimes()); n > 30 {
			t.Errorf("%d connects in a minute", n)
		}
	})
}

func TestAConnectionThatServedItsTimeIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := newBed(t, &server{window: 4, add: func(conn int, ids []int64) error {
			if conn == 1 && ids[0] == 2 {
				return link.ErrReconnect
			}
			return nil
		}})
		for range 4 {
			b.store(1)
		}
		b.drained()
		b.has(0, 1, 2, 3)
		if took := time.Since(start); took > 0 || len(b.srv.connectTimes()) != 2 {
			t.Errorf("%s and %d connects", took, len(b.srv.connectTimes()))
		}
		if st := b.loop.State(); !st.Since.IsZero() || st.LastError != nil {
			t.Errorf("state %+v", st)
		}
	})
}

func TestStopLeavesInTheSlotWhatIsNotAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{window: 4, answer: func(int, int64) *link.Outcome { return nil }})
		b.store(2)
		synctest.Wait()
		b.loop.Stop()
		if st := b.slot.Stats(); st.Pending != 2 {
			t.Errorf("stats %+v", st)
		}
		if err := b.loop.Drain(context.Background()); err == nil {
			t.Error("a stopped sender claims to be drained")
		}
	})
}

func TestAFrameThatIsNoMessageIsQuarantinedAndOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{window: 4})
		b.store(3)
		b.storeFrame([]byte("QWP1 and then nothing of the kind"), 5)
		b.store(2)
		b.drained()
		b.has(0, 1, 2, 3, 4)
		st := b.slot.Stats()
		if st.Acked != 5 || st.Unknown != 5 || st.Pending != 0 || st.Incidents != 1 || b.loop.State().LastError != nil {
			t.Errorf("%+v, %+v", st, b.loop.State())
		}
	})
}
