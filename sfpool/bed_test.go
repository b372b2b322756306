// SPDX-License-Identifier: MIT

package sfpool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// bed opens pools whose slots are fakes: what no real part can be told to do,
// such as to panic in its close or to keep its lock, they do.
type bed struct {
	t testing.TB
	// hook is asked at each call of a fake ("open", "reserve", "append", "sync",
	// "publish", "rollback", "view", "progress", "recycle", "close", "released");
	// it may fail it, panic, or block.
	hook func(call string, index int) error

	// sent, if it is set, is told what was published in a slot.
	sent func(index int, first slot.FSN, frames [][]byte)

	log logBuffer

	mu      sync.Mutex
	locked  map[int]*fake // whose lock is held, by index
	opens   []int         // indices in the order they were opened
	pending map[int]int64 // rows on the disk of a slot
	keep    map[int]bool  // slots that keep their lock at close
	acked   map[int]int64 // rows that the server took from a slot
	conns   map[int]sender.State
	bells   map[int]chan struct{} // of progress
}

func newBed(t testing.TB) *bed {
	return &bed{
		t: t, locked: map[int]*fake{}, pending: map[int]int64{}, keep: map[int]bool{},
		acked: map[int]int64{}, conns: map[int]sender.State{}, bells: map[int]chan struct{}{},
		hook: func(string, int) error { return nil },
	}
}

// config has no minimum and short waits; time may be that of synctest.
func (b *bed) config() Config {
	return Config{
		URLs: []string{"http://127.0.0.1:1"}, Dir: "/sf", FS: vfstest.NewMem(), MinSenders: -1, MaxSenders: 4,
		AcquireTimeout: 20 * time.Millisecond, CloseFlushTimeout: -1,
		Logger: slog.New(slog.NewTextHandler(&b.log, nil)),
	}
}

func (b *bed) open(cfg Config) *Pool {
	b.t.Helper()
	p, err := b.tryOpen(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		now, cancel := context.WithCancel(context.Background())
		cancel() // does not wait for senders that the test has not returned
		_ = p.Close(now)
	})
	return p
}

func (b *bed) tryOpen(cfg Config) (*Pool, error) {
	return open(context.Background(), cfg, parts{
		open:  func(_ *Pool, index int) (delegate, error) { return b.openFake(index) },
		adopt: adoptSlot,
	})
}

func (b *bed) openFake(index int) (delegate, error) {
	if err := b.hook("open", index); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.locked[index] != nil {
		b.t.Errorf("slot %d was opened while its lock is held", index)
		return nil, &LockedError{Dir: fmt.Sprint(index)}
	}
	f := &fake{bed: b, index: index}
	b.locked[index] = f
	b.opens = append(b.opens, index)
	return f, nil
}

// unlock lets the lock of a slot drop that was kept.
func (b *bed) unlock(index int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.keep, index)
	delete(b.locked, index)
}

// holds returns the indices whose locks are held.
func (b *bed) holds() []int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []int
	for index := range b.locked {
		list = append(list, index)
	}
	slices.Sort(list)
	return list
}

// fake is an open slot in memory.
type fake struct {
	bed   *bed
	index int
}

func (f *fake) reserve(context.Context, []int, bool) (tx, error) {
	if err := f.bed.hook("reserve", f.index); err != nil {
		return nil, err
	}
	return &fakeTx{f: f}, nil
}

func (f *fake) view() slotView {
	if err := f.bed.hook("view", f.index); err != nil {
		panic(err)
	}
	f.bed.mu.Lock()
	defer f.bed.mu.Unlock()
	rows, acked := f.bed.pending[f.index], f.bed.acked[f.index]
	return slotView{conn: f.bed.conns[f.index], Stats: slot.Stats{
		Pending: rows, PendingFrames: rows, PendingBytes: rows, Published: slot.FSN(acked+rows) - 1, Watermark: slot.FSN(acked) - 1,
		AckedBytes: acked,
	}}
}

func (f *fake) progress() <-chan struct{} {
	if err := f.bed.hook("progress", f.index); err != nil {
		panic(err)
	}
	return f.bed.bell(f.index)
}

func (f *fake) recycle() {
	if err := f.bed.hook("recycle", f.index); err != nil {
		panic(err)
	}
}

func (f *fake) close() error {
	err := f.bed.hook("close", f.index)
	f.bed.mu.Lock()
	defer f.bed.mu.Unlock()
	if f.bed.locked[f.index] == f && !f.bed.keep[f.index] {
		delete(f.bed.locked, f.index)
	}
	return err
}

func (f *fake) unsound() error { return f.bed.hook("unsound", f.index) }

func (f *fake) released() bool {
	if err := f.bed.hook("released", f.index); err != nil {
		panic(err)
	}
	f.bed.mu.Lock()
	defer f.bed.mu.Unlock()
	return f.bed.locked[f.index] != f
}

// fakeTx counts the frames that are published as rows.
type fakeTx struct {
	f      *fake
	frames [][]byte
}

func (x *fakeTx) Append(frames ...slot.Frame) error {
	for _, f := range frames {
		x.frames = append(x.frames, slices.Clone(f.Bytes))
	}
	return x.f.bed.hook("append", x.f.index)
}

func (x *fakeTx) Sync() error { return x.f.bed.hook("sync", x.f.index) }

func (x *fakeTx) Publish() (first, last slot.FSN) {
	if err := x.f.bed.hook("publish", x.f.index); err != nil {
		panic(err)
	}
	b, n := x.f.bed, int64(len(x.frames))
	b.mu.Lock()
	b.pending[x.f.index] += n
	last = slot.FSN(b.acked[x.f.index]+b.pending[x.f.index]) - 1
	b.mu.Unlock()
	if b.sent != nil {
		b.sent(x.f.index, last-slot.FSN(n)+1, x.frames)
	}
	return 0, last
}

func (x *fakeTx) Rollback() error { return x.f.bed.hook("rollback", x.f.index) }

// census fails the test unless every index is in one state, and those states
// agree with the senders and the locks that there are.
func (b *bed) census(p *Pool) {
	b.t.Helper()
	st := p.Stats()
	if sum := st.Free + st.Building + st.Live + st.Closing + st.Leaked; sum != p.cfg.MaxSenders {
		b.t.Errorf("%d indices in %+v, want %d", sum, st, p.cfg.MaxSenders)
	}
	held := b.holds()
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.places {
		pl := &p.places[i]
		locked := slices.Contains(held, i)
		if pl.state == free && (locked || pl.member != nil) {
			b.t.Errorf("slot %d is free, but locked: %t, member: %v", i, locked, pl.member)
		}
		if (pl.state == live || pl.state == leaked) && (!locked || pl.member == nil) {
			b.t.Errorf("slot %d is %s, but locked: %t, member: %v", i, pl.state, locked, pl.member)
		}
	}
	for _, m := range p.idle {
		if p.places[m.index].state != live || m.lent != nil {
			b.t.Errorf("slot %d is idle and %s, lent: %t", m.index, p.places[m.index].state, m.lent != nil)
		}
	}
}

// settled waits until nothing of the pool's own is under way.
func (b *bed) settled(p *Pool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if !p.until(ctx, func() bool { return p.count(building)+p.count(closing) == 0 }) {
		b.t.Fatalf("not settled: %+v", p.Stats())
	}
}

// take borrows n senders.
func (b *bed) take(p *Pool, n int) []*Sender {
	b.t.Helper()
	list := make([]*Sender, n)
	for i := range list {
		var err error
		if list[i], err = p.Borrow(context.Background()); err != nil {
			b.t.Fatal(err)
		}
	}
	return list
}

func indices(list []*Sender) []int {
	var out []int
	for _, s := range list {
		out = append(out, s.Index())
	}
	return out
}

// oneRow is a batch with a row.
func oneRow(t testing.TB, p *Pool) *Batch {
	t.Helper()
	b := p.NewBatch()
	var r Row
	r.Reset("t")
	r.Long("id", 1)
	r.At(1)
	if err := b.Add(&r); err != nil {
		t.Fatal(err)
	}
	return b
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logBuffer) count(text string) int { return strings.Count(l.String(), text) }

var errTest = errors.New("a fault of the test")

// bell returns what is closed at the next ack of a slot.
func (b *bed) bell(index int) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bells[index] == nil {
		b.bells[index] = make(chan struct{})
	}
	return b.bells[index]
}

// ack lets the server take the next rows of a slot.
func (b *bed) ack(index int, rows int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending[index] -= rows
	b.acked[index] += rows
	if bell := b.bells[index]; bell != nil {
		close(bell)
		delete(b.bells, index)
	}
}

// connect says how the connection of a slot is doing.
func (b *bed) connect(index int, s sender.State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns[index] = s
}

func (f *fake) oldest() (slot.Candidate, bool) { return slot.Candidate{}, false }

func (f *fake) age(time.Time) (time.Duration, slot.FSN, bool) { return 0, 0, false }

func (f *fake) giveUp(context.Context, slot.FSN) (slot.Eviction, error) {
	return slot.Eviction{}, f.bed.hook("giveUp", f.index)
}

func (f *fake) book(...slot.Share) error { return f.bed.hook("book", f.index) }

func (f *fake) audit() (slot.Audit, bool) { return slot.Audit{}, false }
