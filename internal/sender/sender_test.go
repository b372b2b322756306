// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
}

func newBed(t testing.TB, srv *server) *bed {
	t.Helper()
	s, err := slot.Open(slot.Options{
		FS: vfstest.NewMem(), Dir: "/sf/default-0", SegmentBytes: 1 << 16, MaxBytes: 1 << 20,
		Durability: slot.Memory, Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{TB: t, slot: s, srv: srv}
	b.loop = sender.Start(sender.Config{
		Slot: s, Link: srv, InitialBackoff: 100 * time.Millisecond, MaxBackoff: 5 * time.Second,
		Rand: func() float64 { return 1 },
	})
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
	build := qwp.NewBuilder(1 << 15)
	for range n {
		var r qwp.Row
		r.Reset("t")
		r.Long("id", b.next)
		r.At(1700000000000000 + b.next)
		b.next++
		if err := build.Add(&r); err != nil {
			b.Fatal(err)
		}
	}
	frame := build.AppendFrame(nil)
	tx, err := b.slot.Reserve(context.Background(), []int{len(frame)})
	if err != nil {
		b.Fatal(err)
	}
	if err := tx.Append(slot.Frame{Bytes: frame, Rows: n}); err != nil {
		b.Fatal(err)
	}
	tx.Publish()
}

func (b *bed) drained() {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := b.loop.Drain(ctx); err != nil {
		b.Fatalf("%v; the server has %v, state %+v", err, b.srv.ids(), b.loop.State())
	}
}

func (b *bed) has(want ...int64) {
	b.Helper()
	if got := b.srv.ids(); !slices.Equal(got, want) {
		b.Errorf("the server has %v, want %v", got, want)
	}
}

// server is a link and the server behind it. Its hooks run before the default,
// which takes everything and acks it at once.
type server struct {
	mu       sync.Mutex
	rows     []int64
	connects []time.Time
	conns    []*conn
	window   int
	maxRows  int // of a request; more is too large
	frames   int // of a request; default 1

	add  func(conn int, ids []int64) error // refuses a part
	recv func(conn int)                    // is told of each Recv

	refuseConnect func(n int) error                       // n counts from 1
	answer        func(conn int, seq int64) *link.Outcome // nil: no answer
	sendErr       func(conn int, seq int64) error         // after the rows were taken
}

func (s *server) ids() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows)
}

func (s *server) connectTimes() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.connects)
}

func (s *server) Connect(context.Context) (link.Conn, error) {
	s.mu.Lock()
	s.connects = append(s.connects, time.Now())
	n := len(s.connects)
	s.mu.Unlock()
	if s.refuseConnect != nil {
		if err := s.refuseConnect(n); err != nil {
			return nil, err
		}
	}
	c := &conn{srv: s, n: n, out: make(chan link.Outcome, 100), closed: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	return c, nil
}

type conn struct {
	srv    *server
	n      int
	rows   []int64
	added  int
	seq    int64
	out    chan link.Outcome
	once   sync.Once
	closed chan struct{}
}

func (c *conn) Transport() link.Transport { return link.QWP }
func (c *conn) Host() string              { return "server" }
func (c *conn) Window() int               { return max(1, c.srv.window) }

func (c *conn) Add(v *qwp.View, p qwp.Part) error {
	if c.added >= max(1, c.srv.frames) {
		return link.ErrRequestFull
	}
	first, last := p.First, p.Last
	t := &v.Tables()[max(0, p.Table)]
	if p == qwp.WholeMessage {
		first, last = 0, t.Rows
	}
	if c.srv.maxRows > 0 && last-first > c.srv.maxRows {
		return &link.TooLargeError{Host: "server", Size: last - first, Limit: c.srv.maxRows}
	}
	var row qwp.Row
	var ids []int64
	for r := range t.All(first, last, &row) {
		ids = append(ids, r.Cells[len(r.Cells)-1].Int())
	}
	if c.srv.add != nil {
		if err := c.srv.add(c.n, ids); err != nil {
			return err
		}
	}
	c.rows, c.added = append(c.rows, ids...), c.added+1
	return nil
}

func (c *conn) AddWith(v *qwp.View, p qwp.Part, _ qwp.AddLong) error { return c.Add(v, p) }

func (c *conn) Send(context.Context) (int64, error) {
	seq := c.seq
	c.seq++
	out := &link.Outcome{Seq: seq}
	if c.srv.answer != nil {
		out = c.srv.answer(c.n, seq)
	}
	if out == nil || out.Refusal == nil {
		c.srv.mu.Lock()
		c.srv.rows = append(c.srv.rows, c.rows...)
		c.srv.mu.Unlock()
	}
	c.rows, c.added = nil, 0
	if out != nil {
		c.out <- *out
	}
	if c.srv.sendErr != nil {
		if err := c.srv.sendErr(c.n, seq); err != nil {
			return 0, err
		}
	}
	return seq, nil
}

func (c *conn) Recv(ctx context.Context) (link.Outcome, error) {
	if c.srv.recv != nil {
		c.srv.recv(c.n)
	}
	select {
	case o := <-c.out:
		return o, nil
	default:
	}
	select {
	case o := <-c.out:
		return o, nil
	case <-c.closed:
		return link.Outcome{}, link.ErrClosed
	case <-ctx.Done():
		return link.Outcome{}, ctx.Err()
	}
}

func (c *conn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return nil
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

func TestWhatStandsBeforeARowThatCannotBeSentIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t, &server{frames: 100, add: func(_ int, ids []int64) error {
			if slices.Contains(ids, 7) {
				return &link.UnsupportedError{Table: "t", Column: "ip", Type: qwp.TypeIPv4}
			}
			return nil
		}})
		for range 5 {
			b.store(2)
		}
		time.Sleep(time.Minute)
		b.has(0, 1, 2, 3, 4, 5)
		if st := b.slot.Stats(); st.Acked != 6 || st.Pending != 4 {
			t.Errorf("stats %+v", st)
		}
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
