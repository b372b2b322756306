// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// TestThePoolBehavesAsItsModelWhateverFails runs the machine on fakes, which
// fail and panic wherever they are asked to.
func TestThePoolBehavesAsItsModelWhateverFails(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		inBubble(t, func() { runMachine(rt, fakeGround(tbOf(t, rt))) })
	})
}

// inBubble runs f under the time of synctest and hands on how it ended: rapid
// ends a property by a panic of its own, and tells failures apart by their lines.
func inBubble(t *testing.T, f func()) {
	var end any
	synctest.Test(t, func(*testing.T) {
		defer func() { end = recover() }()
		f()
	})
	switch {
	case end == nil:
	case fmt.Sprintf("%T", end) == "rapid.invalidData":
		panic(end) // what it tried to draw is not there: no failure
	default:
		panic(end)
	}
}

// tb lets helpers that want a testing.TB fail a run of rapid.
type tb struct {
	testing.TB
	rt *rapid.T
}

func tbOf(t testing.TB, rt *rapid.T) testing.TB { return &tb{t, rt} }

func (t *tb) Helper()                      {}
func (t *tb) Error(args ...any)            { t.rt.Error(args...) }
func (t *tb) Errorf(f string, args ...any) { t.rt.Errorf(f, args...) }
func (t *tb) Fatal(args ...any)            { t.rt.Fatal(args...) }
func (t *tb) Fatalf(f string, args ...any) { t.rt.Fatalf(f, args...) }

// machine is a pool beside the plainest thing that could be one.
type machine struct {
	*rapid.T
	g      *ground
	p      *Pool
	closed bool
	all    []spot      // one for each index
	queue  []*borrower // who waits, the longest first

	leaks, unleaks int // of all pools so far
}

// spot is what the model knows of one index.
type spot struct {
	state   state
	sender  *Sender // of the borrower; nil while idle
	broken  bool
	keeps   bool // its lock stays at the next close
	dropped bool // leaked, but the lock is gone meanwhile
	pending int  // rows
}

// borrower is a Borrow that was started.
type borrower struct {
	cancel context.CancelFunc
	done   chan struct{}
	sender *Sender
	err    error
}

func runMachine(t *rapid.T, g *ground) {
	m := &machine{T: t, g: g, all: make([]spot, rapid.IntRange(1, 4).Draw(t, "max"))}
	g.cfg.MaxSenders = len(m.all)
	g.cfg.MinSenders = rapid.IntRange(-1, min(2, len(m.all))).Filter(func(n int) bool { return n != 0 }).Draw(t, "min")
	g.cfg.HousekeeperInterval, g.cfg.IdleTimeout, g.cfg.AcquireTimeout = time.Hour, time.Nanosecond, 1e6*time.Hour
	for i := range m.all {
		m.all[i].state = free
	}
	m.open()
	defer m.end()
	t.Repeat(map[string]func(*rapid.T){
		"":        m.check,
		"borrow":  m.borrow,
		"try":     m.tryBorrow,
		"give up": m.giveUp,
		"flush":   m.flush,
		"return":  func(t *rapid.T) { m.giveBack(t, false) },
		"discard": func(t *rapid.T) { m.giveBack(t, true) },
		"keep":    m.keep,
		"unlock":  m.unlock,
		"ack":     m.ack,
		"tick":    m.tick,
		"close":   m.close,
		"reopen":  m.reopen,
	})
}

func (m *machine) open() {
	p, err := open(context.Background(), m.g.cfg, parts{open: m.g.open, adopt: adoptSlot})
	if err != nil {
		m.Fatal(err)
	}
	m.p, m.closed = p, false
	m.refill()
	m.recover()
	synctest.Wait()
}

// end leaves nothing behind, however far the run came, and looks whether the
// locks have dropped.
func (m *machine) end() {
	m.g.bed.disarm()
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.p.Close(now)
	for _, member := range m.p.membersIn(live) {
		member.lent.Discard()
	}
	synctest.Wait()
	for i := range m.all {
		m.g.unlock(i)
		if m.g.held(i) {
			m.Errorf("the lock of slot %d is held at the end", i)
		}
	}
}

// check compares the pool with the model.
func (m *machine) check(t *rapid.T) {
	synctest.Wait()
	st := m.p.Stats()
	if sum := st.Free + st.Building + st.Live + st.Closing + st.Leaked; sum != len(m.all) {
		t.Fatalf("%d indices in %+v, want %d", sum, st, len(m.all))
	}
	if st.Leaked != m.count(leaked) || m.p.LeakedSlots() != st.Leaked || st.Idle != len(m.idle()) {
		t.Fatalf("stats %+v, model %+v", st, m.all)
	}
	for i := range m.all {
		if got := st.Slots[i].State; got != m.all[i].state.String() {
			t.Fatalf("slot %d is %s, should be %s; model %+v", i, got, m.all[i].state, m.all)
		}
		if held, want := m.g.held(i), m.all[i].state != free && !m.all[i].dropped; held != want {
			t.Fatalf("the lock of slot %d held: %t, want %t; model %+v", i, held, want, m.all)
		}
	}
	if log := &m.g.bed.log; log.count("a slot is retired") != m.leaks || log.count("a retired slot has dropped") != m.unleaks {
		t.Fatalf("%d leaks and %d recoveries of them, but logged was %s", m.leaks, m.unleaks, log)
	}
	if !slices.ContainsFunc(m.all, func(s spot) bool { return s.dropped }) {
		m.g.bed.census(m.p)
	}
}

func (m *machine) count(s state) (n int) {
	for i := range m.all {
		if m.all[i].state == s {
			n++
		}
	}
	return n
}

// where returns the indices for which a condition holds.
func (m *machine) where(cond func(*spot) bool) (list []int) {
	for i := range m.all {
		if cond(&m.all[i]) {
			list = append(list, i)
		}
	}
	return list
}

func (m *machine) idle() []int {
	return m.where(func(s *spot) bool { return s.state == live && s.sender == nil })
}

// pickOne draws an index for which a condition holds, or skips the action.
func (m *machine) pickOne(t *rapid.T, cond func(*spot) bool) int {
	list := m.where(cond)
	if len(list) == 0 {
		t.Skip("there is none")
	}
	return rapid.SampledFrom(list).Draw(t, "index")
}

func isLent(s *spot) bool   { return s.sender != nil }
func isFree(s *spot) bool   { return s.state == free }
func isBuilt(s *spot) bool  { return s.state == building } // by the recovery
func isLeaked(s *spot) bool { return s.state == leaked }

// borrow starts a Borrow. If it should get a sender, it has got it, and the
// right one; else it waits behind the others.
func (m *machine) borrow(t *rapid.T) {
	ctx, cancel := context.WithCancel(context.Background())
	b := &borrower{cancel: cancel, done: make(chan struct{})}
	m.g.bed.arm(rapid.SampledFrom([]string{"", "open"}).Draw(t, "fails"), -1, rapid.Bool().Draw(t, "panics"))
	go func() {
		defer close(b.done)
		b.sender, b.err = m.p.Borrow(ctx)
	}()
	synctest.Wait()
	idle := m.idle()
	switch {
	case m.closed:
		m.ended(t, b, ErrClosed)
	case len(idle) > 0:
		m.lent(t, b, slices.MinFunc(idle, func(i, k int) int { return m.all[i].pending - m.all[k].pending }))
	default:
		m.queue = append(m.queue, b)
		if m.g.bed.disarm() {
			m.buildFailed(t)
		}
		if len(m.where(isFree)) == 0 {
			m.reprobe() // or else nobody has to wait for a lock to drop
		}
		m.serve(t, 0)
		m.reprobe()
	}
	m.g.bed.disarm()
}

// buildFailed says that one of those who wait, whoever it is, got the error.
func (m *machine) buildFailed(t *rapid.T) {
	at := slices.IndexFunc(m.queue, func(b *borrower) bool { return b.err != nil })
	if at < 0 {
		t.Fatal("a build failed, and nobody was told")
	}
	m.ended(t, m.queue[at], errTest)
	m.queue = slices.Delete(m.queue, at, at+1)
}

// ended says that a Borrow has ended with an error.
func (m *machine) ended(t *rapid.T, b *borrower, want error) {
	select {
	case <-b.done:
	default:
		t.Fatalf("a borrow still waits instead of failing with: %v", want)
	}
	b.cancel()
	if b.sender != nil || !errors.Is(b.err, want) {
		t.Fatalf("sender %v, error %v, want %v", b.sender, b.err, want)
	}
}

// lent says that a Borrow has ended with the sender of a slot.
func (m *machine) lent(t *rapid.T, b *borrower, index int) {
	m.ended(t, &borrower{cancel: b.cancel, done: b.done, err: b.err}, nil)
	if b.err != nil || b.sender.Index() != index {
		t.Fatalf("sender %+v, error %v, want slot %d; model %+v", b.sender, b.err, index, m.all)
	}
	s := &m.all[index]
	s.state, s.sender = live, b.sender
}

// serve says that those who wait have got what there is: the lowest free
// slots, and the one that is being recovered. Who waited longest is served, but
// which of several slots he gets is not said; refill are opened in any case.
func (m *machine) serve(t *rapid.T, refill int) {
	spare, built := m.where(isFree), m.where(isBuilt)
	n := min(len(m.queue), len(spare)+len(built))
	var got []int
	for _, b := range m.queue[:n] {
		if b.sender == nil {
			t.Fatalf("a borrow waits, error %v; model %+v", b.err, m.all)
		}
		got = append(got, b.sender.Index())
		m.lent(t, b, b.sender.Index())
	}
	m.queue = m.queue[n:]
	got = slices.DeleteFunc(got, func(i int) bool { return slices.Contains(built, i) })
	lowest := spare[:min(len(spare), max(len(got), refill))]
	for _, index := range got {
		if !slices.Contains(lowest, index) {
			t.Fatalf("slots %v were opened, free were %v", got, spare)
		}
	}
}

// reprobe says that locks which have dropped were seen.
func (m *machine) reprobe() {
	for i := range m.all {
		if s := &m.all[i]; s.state == leaked && s.dropped {
			s.state, s.dropped = free, false
			m.unleaks++
		}
	}
}

// giveUp ends the wait of a borrower.
func (m *machine) giveUp(t *rapid.T) {
	if len(m.queue) == 0 {
		t.Skip("nobody waits")
	}
	at := rapid.IntRange(0, len(m.queue)-1).Draw(t, "at")
	b := m.queue[at]
	b.cancel()
	synctest.Wait()
	m.ended(t, b, context.Canceled)
	var late *AcquireError
	if !errors.As(b.err, &late) || late.Live != m.count(live) || late.Leaked != m.count(leaked) || late.Max != len(m.all) {
		t.Fatalf("error %v, model %+v", b.err, m.all)
	}
	m.queue = slices.Delete(m.queue, at, at+1)
}

// flush stores a row, or fails to, or panics.
func (m *machine) flush(t *rapid.T) {
	s := &m.all[m.pickOne(t, isLent)]
	call := rapid.SampledFrom([]string{"", "reserve", "append", "sync", "publish", "rollback"}).Draw(t, "fails")
	panics := rapid.Bool().Draw(t, "panics") || call == "publish"
	m.g.bed.arm(call, s.sender.Index(), panics)
	err := safely("flush", func() error { return m.p.Flush(context.Background(), Shard{s.sender, oneRow(m.g.bed.t, m.p)}) })
	m.g.bed.disarm()
	switch {
	case m.closed:
		if !errors.Is(err, ErrClosed) {
			t.Fatalf("error %v", err)
		}
	case call == "":
		if err != nil {
			t.Fatal(err)
		}
		s.pending++
	default:
		s.broken = s.broken || panics || call == "rollback"
		if !errors.Is(err, errTest) || isPanic(err) != (panics && call != "rollback") {
			t.Fatalf("error %v after a fault in %s", err, call)
		}
	}
}

// giveBack returns or discards a sender, whose close may fail or panic.
func (m *machine) giveBack(t *rapid.T, discard bool) {
	index := m.pickOne(t, isLent)
	s := &m.all[index]
	sender := s.sender
	panics := rapid.Bool().Draw(t, "close panics")
	m.g.bed.arm(rapid.SampledFrom([]string{"", "close"}).Draw(t, "fails"), index, panics)
	if discard {
		sender.Discard()
	} else {
		sender.Return()
	}
	synctest.Wait()
	fell := m.g.bed.disarm()
	s.sender = nil
	switch {
	case discard || s.broken || m.closed:
		m.shutOne(index, panics && fell)
	case len(m.queue) > 0:
		m.lent(t, m.queue[0], index)
		m.queue = m.queue[1:]
	}
	m.serve(t, 0)
}

// shutOne says that a sender was closed.
func (m *machine) shutOne(index int, panicked bool) {
	s := &m.all[index]
	s.state, s.broken = free, false
	if s.keeps || panicked {
		s.state = leaked
		m.leaks++
	}
}
