// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// TestThePoolBehavesAsItsModelOnRealSlots runs the machine on real directories,
// real locks, and a link that finds no server.
func TestThePoolBehavesAsItsModelOnRealSlots(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "sf")
		if err != nil {
			rt.Fatal(err)
		}
		inBubble(t, func() { runMachine(rt, realGround(tbOf(t, rt), dir)) })
		if err := os.RemoveAll(dir); err != nil {
			rt.Fatal(err)
		}
	})
}

// ground is what the machine stands on.
type ground struct {
	cfg      Config
	bed      *faultyBed
	open     func(p *Pool, index int) (delegate, error)
	held     func(index int) bool // says whether a lock is held
	unlock   func(index int)      // lets one drop that was kept
	ack      func(index int)      // lets the server take what a slot holds
	recovers bool                 // slots with rows are recovered
}

// faultyBed is a bed that fails one call when it is told to.
type faultyBed struct {
	*bed
	mu     sync.Mutex
	call   string // "" for none
	index  int    // -1 for any
	panics bool
	hit    bool
}

func newFaultyBed(t testing.TB) *faultyBed {
	b := &faultyBed{bed: newBed(t)}
	b.hook = b.fault
	return b
}

// arm lets the next call of that name fail, once, or panic; index -1 is any
// slot, call "" disarms. It says whether what was armed before has happened.
func (b *faultyBed) arm(call string, index int, panics bool) (hit bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	hit = b.hit
	b.call, b.index, b.panics, b.hit = call, index, panics, false
	return hit
}

func (b *faultyBed) disarm() (hit bool) { return b.arm("", 0, false) }

func (b *faultyBed) fault(call string, index int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.index >= 0 && b.index != index:
		return nil
	case b.call == "rollback" && call == "append":
		return errTest // so that there is something to roll back
	case b.call != call:
		return nil
	}
	b.call, b.hit = "", true
	if b.panics {
		panic(errTest)
	}
	return errTest
}

func (b *faultyBed) keeps(index int) {
	b.bed.mu.Lock()
	defer b.bed.mu.Unlock()
	b.keep[index] = true
}

func (b *faultyBed) locks(index int) bool {
	b.bed.mu.Lock()
	defer b.bed.mu.Unlock()
	return b.locked[index] != nil
}

func fakeGround(t testing.TB) *ground {
	b := newFaultyBed(t)
	return &ground{
		cfg: b.config(), bed: b,
		open: func(_ *Pool, index int) (delegate, error) { return b.openFake(index) },
		held: b.locks, unlock: b.unlock,
		ack: func(index int) {
			b.bed.mu.Lock()
			defer b.bed.mu.Unlock()
			b.pending[index] = 0
		},
	}
}

// realSlots are open slots in a real directory, each with a fake that decides
// when it fails and when it lets go of its lock.
type realSlots struct {
	bed  *faultyBed
	dir  string
	mu   sync.Mutex
	open map[int]*stubborn
}

func realGround(t testing.TB, dir string) *ground {
	r := &realSlots{bed: newFaultyBed(t), dir: dir, open: map[int]*stubborn{}}
	cfg := r.bed.config()
	cfg.FS, cfg.Dir, cfg.Durability, cfg.MaxSegmentBytes = nil, dir, DurabilityMemory, minSegmentBytes
	cfg.InitialBackoff, cfg.MaxBackoff, cfg.Rand = 1e6*time.Hour, 1e6*time.Hour, func() float64 { return 0.9 }
	return &ground{cfg: cfg, bed: r.bed, open: r.openSlot, held: r.held, unlock: r.unlock, ack: r.ack, recovers: true}
}

func (r *realSlots) openSlot(p *Pool, index int) (delegate, error) {
	fakes, err := r.bed.openFake(index)
	if err != nil {
		return nil, err
	}
	d, err := openSlot(p, index)
	if err != nil {
		r.bed.unlock(index)
		return nil, err
	}
	s := &stubborn{delegate: d, fake: fakes.(*fake)}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[index] = s
	return s, nil
}

// held tries to take the lock as another process would.
func (r *realSlots) held(index int) bool {
	f, err := vfs.OS.OpenFile(filepath.Join(r.dir, fmt.Sprintf("default-%d", index), ".lock"), os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false
	}
	if err != nil {
		r.bed.t.Fatal(err)
	}
	err = f.Lock()
	if closed := f.Close(); closed != nil || err != nil && !errors.Is(err, vfs.ErrLocked) {
		r.bed.t.Fatal(err, closed)
	}
	return err != nil
}

// unlock ends what a sender did that would not stop.
func (r *realSlots) unlock(index int) {
	r.mu.Lock()
	s := r.open[index]
	r.mu.Unlock()
	if s != nil {
		if err := s.delegate.close(); err != nil {
			r.bed.t.Fatal(err)
		}
	}
	r.bed.unlock(index)
}

func (r *realSlots) ack(index int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.open[index].delegate.(*worker).slot
	for st := s.Stats(); st.Watermark < st.Published; st = s.Stats() {
		if err := s.Settle(st.Watermark+1, 1, slot.Acked); err != nil {
			r.bed.t.Fatal(err)
		}
	}
}

// stubborn is a real slot that does not stop, or panics, when its fake does.
type stubborn struct {
	delegate
	fake *fake
}

func (s *stubborn) reserve(ctx context.Context, sizes []int, wait bool) (tx, error) {
	if err := s.fake.bed.hook("reserve", s.fake.index); err != nil {
		return nil, err
	}
	t, err := s.delegate.reserve(ctx, sizes, wait)
	if err != nil {
		return nil, err
	}
	return &stubbornTx{tx: t, fake: s.fake}, nil
}

func (s *stubborn) close() error {
	err := s.fake.close()
	if !s.fake.released() {
		return err
	}
	return errors.Join(err, s.delegate.close())
}

func (s *stubborn) released() bool { return s.fake.released() && s.delegate.released() }

// stubbornTx fails when the work is done, so that there is something to undo.
type stubbornTx struct {
	tx
	fake *fake
}

func (x *stubbornTx) Append(frames ...slot.Frame) error {
	return errors.Join(x.tx.Append(frames...), x.fake.bed.hook("append", x.fake.index))
}

func (x *stubbornTx) Sync() error {
	return errors.Join(x.tx.Sync(), x.fake.bed.hook("sync", x.fake.index))
}

func (x *stubbornTx) Publish() (first, last slot.FSN) {
	if err := x.fake.bed.hook("publish", x.fake.index); err != nil {
		panic(err)
	}
	return x.tx.Publish()
}

func (x *stubbornTx) Rollback() error {
	return errors.Join(x.tx.Rollback(), x.fake.bed.hook("rollback", x.fake.index))
}
