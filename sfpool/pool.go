// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
)

var (
	// ErrClosed is returned by what is asked of a closed pool.
	ErrClosed = errors.New("the pool is closed")
	// ErrStoreFull says that the slots hold sf_max_total_bytes and nothing was
	// acked in time. Nothing was stored.
	ErrStoreFull = slot.ErrFull
)

// LockedError says which slot another owner holds, and its process.
type LockedError = slot.LockedError

// Pool is a set of store-and-forward senders in one directory. Its methods are
// safe for concurrent use.
type Pool struct {
	cfg          Config
	senders      []*Sender
	idle         chan *Sender
	letters      *deadletter.File
	deadLettered atomic.Int64

	closing   chan struct{}
	closeOnce sync.Once
	closeErr  error
}

// Open locks the slots, recovers what they hold and begins to send it. The
// server need not be there. A slot that somebody else holds is a *LockedError.
func Open(ctx context.Context, cfg Config) (*Pool, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("questdb_sf configuration: %w", err)
	}
	cfg = cfg.withDefaults()
	l, err := link.New(cfg.link())
	if err != nil {
		return nil, err
	}
	p := &Pool{
		cfg:     cfg,
		letters: deadletter.New(cfg.FS, filepath.Join(cfg.Dir, cfg.SenderID+".dead-letter.lp")),
		idle:    make(chan *Sender, 1),
		closing: make(chan struct{}),
	}
	s, err := p.build(0, l)
	if err != nil {
		return nil, err
	}
	p.senders = []*Sender{s}
	p.idle <- s
	p.announce(s.slot.Stats())
	return p, nil
}

// build opens the slot with an index and starts to forward it.
func (p *Pool) build(index int, l *link.Link) (*Sender, error) {
	name := fmt.Sprintf("%s-%d", p.cfg.SenderID, index)
	if err := p.makeDir(); err != nil {
		return nil, fmt.Errorf("create sf_dir %s: %w", p.cfg.Dir, err)
	}
	budget, err := p.cfg.budget()
	if err != nil {
		return nil, err
	}
	store, err := slot.Open(slot.Options{
		FS: p.cfg.FS, Dir: filepath.Join(p.cfg.Dir, name), Target: p.target(),
		SegmentBytes: p.cfg.MaxSegmentBytes, MaxBytes: budget,
		Durability: p.cfg.Durability, SyncInterval: p.cfg.SyncInterval,
	})
	if err != nil {
		return nil, err
	}
	loop := sender.Start(sender.Config{
		Slot: store, Link: l, Rand: p.cfg.Rand, Log: p.cfg.Logger,
		InitialBackoff: p.cfg.InitialBackoff, MaxBackoff: p.cfg.MaxBackoff,
	})
	return &Sender{pool: p, name: name, slot: store, loop: loop}, nil
}

// makeDir creates sf_dir and makes its name durable.
func (p *Pool) makeDir() error {
	_, missing := p.cfg.FS.Stat(p.cfg.Dir)
	if err := p.cfg.FS.MkdirAll(p.cfg.Dir, 0o750); err != nil {
		return err
	}
	if missing == nil || p.cfg.Durability == DurabilityMemory {
		return nil
	}
	return p.cfg.FS.SyncDir(filepath.Dir(p.cfg.Dir))
}

// target is what .target says: where this slot's rows belong, without secrets.
func (p *Pool) target() string {
	urls := slices.Clone(p.cfg.URLs)
	slices.Sort(urls)
	return strings.Join(urls, "\n") + "\n"
}

var promises = map[Durability]string{
	DurabilityFlush:  "rows are synced before they are accepted: a power cut loses none",
	DurabilityMemory: "rows are never synced: a killed process loses none, a power cut those of the last seconds",
}

func (p *Pool) announce(st slot.Stats) {
	promise, ok := promises[p.cfg.Durability]
	if !ok {
		promise = fmt.Sprintf("rows are synced every %s or 4 MiB: a power cut loses at most that", p.cfg.SyncInterval)
	}
	p.cfg.Logger.Info("store open", "sf_dir", p.cfg.Dir, "sender_id", p.cfg.SenderID,
		"durability", p.cfg.Durability.String(), "promise", promise,
		"sf_max_total_bytes", st.MaxBytes, "pending_rows", st.Pending)
	if r := st.Recovered; r.TornBytes > 0 || r.MissingFrames > 0 || len(r.Quarantined) > 0 {
		p.cfg.Logger.Warn("the store was not closed in order; what was whole is kept", "frames", r.Frames,
			"torn_bytes_cut", r.TornBytes, "missing_frames", r.MissingFrames, "set_aside", strings.Join(r.Quarantined, " "))
	}
}

// Borrow returns an idle sender, waiting for one until ctx ends.
func (p *Pool) Borrow(ctx context.Context) (*Sender, error) {
	if p.closed() {
		return nil, ErrClosed
	}
	s := p.next(ctx, p.closing)
	switch {
	case s != nil:
		s.borrowed.Store(true)
		return s, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("all %d senders are borrowed: %w", len(p.senders), ctx.Err())
	}
	return nil, ErrClosed
}

// next takes an idle sender, waiting until ctx ends or stop closes; nil then. One
// that is there is taken even when ctx has ended: there is nothing to wait for.
func (p *Pool) next(ctx context.Context, stop <-chan struct{}) *Sender {
	select {
	case s := <-p.idle:
		return s
	default:
	}
	select {
	case s := <-p.idle:
		return s
	case <-stop:
	case <-ctx.Done():
	}
	return nil
}

func (p *Pool) closed() bool {
	select {
	case <-p.closing:
		return true
	default:
		return false
	}
}

// Close waits for borrowed senders until ctx ends, at most returnTimeout, then up
// to CloseFlushTimeout for acks; it ends the sending and releases the slots. What
// is not acked stays on disk for the next Open. The slot of a sender that was not
// returned stays locked, which is an error. Close may be called again, and
// returns what the first call returned.
func (p *Pool) Close(ctx context.Context) error {
	p.closeOnce.Do(func() {
		close(p.closing)
		p.closeErr = p.close(ctx)
	})
	return p.closeErr
}

func (p *Pool) close(ctx context.Context) error {
	home := p.gather(ctx)
	flush, cancel := context.WithTimeout(ctx, max(0, p.cfg.CloseFlushTimeout))
	defer cancel()
	var errs []error
	for _, s := range p.senders {
		_ = s.loop.Drain(flush) // what did not get through is kept and said below
		s.loop.Stop()
		if st := s.slot.Stats(); st.Pending > 0 {
			p.cfg.Logger.Info("rows stay on disk until the next start", "slot", s.name, "pending_rows", st.Pending)
		}
		if !home[s] {
			errs = append(errs, fmt.Errorf("slot %s stays locked: its sender was not returned", s.name))
			continue
		}
		errs = append(errs, s.slot.Close())
	}
	return errors.Join(append(errs, p.letters.Close())...)
}

// returnTimeout bounds the wait for senders that are still borrowed at Close.
const returnTimeout = 5 * time.Second

// gather collects the senders that are, or come, home.
func (p *Pool) gather(ctx context.Context) map[*Sender]bool {
	ctx, cancel := context.WithTimeout(ctx, returnTimeout)
	defer cancel()
	home := map[*Sender]bool{}
	for range p.senders {
		s := p.next(ctx, nil)
		if s == nil {
			break
		}
		home[s] = true
	}
	return home
}

// Stats is a snapshot of a pool, counted in rows unless it says otherwise.
type Stats struct {
	// Accepted = Acked + Pending + DeadLettered + Gone. Gone are rows that left
	// otherwise: evicted, quarantined, or lost in a wound.
	Accepted, Acked, Pending, DeadLettered, Gone int64
	// PendingBytes are the bytes of frames not acked, StoreBytes the files.
	PendingBytes, StoreBytes int64
	Slots                    []SlotStats
}

// SlotStats is a snapshot of one slot and its connection.
type SlotStats struct {
	Name               string
	Pending            int64
	Connected          bool
	Transport          Transport
	Host               string
	Connects, Refusals int64
	// LastError is why the present outage goes on; nil in health.
	LastError error
	// OutageSince is zero in health.
	OutageSince time.Time
}

// Stats returns a snapshot. It does no I/O.
func (p *Pool) Stats() Stats {
	dead := p.deadLettered.Load()
	st := Stats{Accepted: dead, DeadLettered: dead}
	for _, s := range p.senders {
		ss, ls := s.slot.Stats(), s.loop.State()
		st.Accepted += ss.Accepted
		st.Acked += ss.Acked
		st.Pending += ss.Pending
		st.DeadLettered += ss.DeadLettered
		st.Gone += ss.Evicted + ss.Quarantined + ss.Unknown
		st.PendingBytes += ss.PendingBytes
		st.StoreBytes += ss.SegmentBytes
		st.Slots = append(st.Slots, SlotStats{
			Name: s.name, Pending: ss.Pending, Connected: ls.Connected, Transport: ls.Transport, Host: ls.Host,
			Connects: ls.Connects, Refusals: ls.Refusals, LastError: ls.LastError, OutageSince: ls.Since,
		})
	}
	return st
}

// BatchBytes is how large a batch may be, by Batch.Bytes, to find room in the
// slots whenever they are drained.
func (p *Pool) BatchBytes() int { return int(min(p.senders[0].slot.Stats().MaxBytes/4, 1<<30)) }

// DeadLetterPath returns the file that keeps rows which can never be stored.
func (p *Pool) DeadLetterPath() string { return p.letters.Path() }
