// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/ramfs"
)

// probe finds out at once what would otherwise fail at the first Borrow.
func (p *Pool) probe(ctx context.Context) error {
	l, err := link.New(p.cfg.link())
	if err != nil {
		return err
	}
	p.connections = link.NewBudget(link.BudgetConfig{
		Connect: l.Connect, Avoid: l.Avoid, Max: p.cfg.MaxConnections, Idle: p.cfg.IdleConnectionTimeout, Life: p.cfg.MaxLifetime,
		InitialBackoff: p.cfg.InitialBackoff, MaxBackoff: p.cfg.MaxBackoff, Rand: p.cfg.Rand,
	})
	p.network, p.link = l, p.connections
	if err := p.keep(l); err != nil {
		return err
	}
	if p.cfg.inRAM() {
		p.cfg.FS, p.cfg.Durability = ramfs.New(math.MaxInt64), DurabilityMemory
	} else if err := p.takeDir(ctx); err != nil {
		return err
	}
	p.retention = p.newRetention()
	p.verdicts = p.learn()
	total, err := p.cfg.maxTotal()
	p.budget = slot.NewBudget(total)
	p.keepFree()
	return err
}

// keepFree has the budget heed the filesystem.
func (p *Pool) keepFree() {
	if p.cfg.inRAM() {
		return
	}
	keep := p.cfg.MinFreeSpace.Of
	if p.cfg.MinFreeSpace == (FreeSpace{}) {
		keep = nil
	}
	p.budget.KeepFree(func() (total, free int64, err error) { return p.cfg.FS.Space(p.cfg.Dir) }, keep)
}

// takeDir creates sf_dir and takes the pool's place in it.
func (p *Pool) takeDir(ctx context.Context) error {
	if err := p.takeMount(); err != nil {
		return err
	}
	p.letters = deadletter.Open(deadletter.Options{
		FS: p.cfg.FS, Dir: p.cfg.Dir, SenderID: p.cfg.SenderID, MaxBytes: p.cfg.DeadLetterMaxBytes, Log: p.cfg.Logger,
		Added: p.feeder.noteAdded,
	})
	return p.lockPool(ctx)
}

// makeDir creates sf_dir and makes its name durable. One that another pool
// creates at the same time is as good.
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

// lockPool takes the lock of all slots of the pool, those to come included. It is
// tried again for a moment: a pool that looks for orphans takes it for an
// instant, to see whether anybody holds it.
func (p *Pool) lockPool(ctx context.Context) error {
	for try := 0; ; try++ {
		unlock, err := slot.LockName(p.cfg.FS, p.cfg.Dir, lockName(p.cfg.SenderID))
		var locked *LockedError
		if err == nil {
			p.unlockPool = unlock
			writeCount(p.cfg.FS, countFile(p.cfg.Dir, p.cfg.SenderID), p.cfg.MaxSenders)
			return nil
		}
		if !errors.As(err, &locked) {
			return fmt.Errorf("lock the slots of sender_id %s in %s: %w", p.cfg.SenderID, p.cfg.Dir, err)
		}
		if try == lockTries || ctx.Err() != nil {
			return &LockedError{Dir: p.path(p.slotName(0)), PID: locked.PID}
		}
		time.Sleep(lockPause)
	}
}

const (
	lockTries = 10
	lockPause = 20 * time.Millisecond
)

// openMember opens the slot of an index and starts to forward it.
func (p *Pool) openMember(index int) (*member, error) {
	m := &member{index: index, name: p.slotName(index)}
	err := safely("open of slot "+m.name, func() error {
		var err error
		m.d, err = p.parts.open(p, index)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

// openSlot is the real way to open a slot of ours.
func openSlot(p *Pool, index int) (delegate, error) {
	name := p.slotName(index)
	if err := p.holdsOthersRows(name); err != nil {
		return nil, err
	}
	o := p.slotOptions(name)
	o.Target, o.Budget = p.target(), p.budget
	s, err := slot.Open(o)
	var foreign *slot.ForeignError
	if errors.As(err, &foreign) {
		if err := p.setAside(name, foreign); err != nil {
			return nil, err
		}
		s, err = slot.Open(o)
	}
	if err != nil {
		return nil, err
	}
	return p.takeOn(s, func() error {
		p.sayRecovered(s, name)
		p.heedSetAside(s)
		return p.retarget(s, name)
	})
}

// takeOn starts to forward a slot, or closes it if it turns out not to be ours.
func (p *Pool) takeOn(s store, check func() error) (d delegate, err error) {
	defer func() {
		if d == nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := check(); err != nil {
		return nil, err
	}
	return p.startWorker(s), nil
}

// holdsOthersRows refuses a slot of ours with rows for another label before a
// byte of it changes.
func (p *Pool) holdsOthersRows(name string) error {
	target, err := p.targetOf(name, true)
	if err != nil || p.belongs(target, true) {
		return err
	}
	has, err := holdsSegments(p.cfg.FS, p.path(name))
	if err != nil || !has {
		return err
	}
	return &TargetError{Dir: p.path(name), Has: target, Want: p.target()}
}

func (p *Pool) slotOptions(name string) slot.Options {
	o := slot.Options{
		FS: p.cfg.FS, Dir: p.path(name), SegmentBytes: p.cfg.MaxSegmentBytes,
		Durability: p.cfg.Durability, SyncInterval: p.cfg.SyncInterval, Now: p.cfg.Now, OnIncident: p.onIncident(name),
	}
	if p.retains(name) {
		o.Retain = p.retention
	}
	return o
}

// setAside makes room for a slot of ours where another client left one of a
// later generation, which is drained beside it.
func (p *Pool) setAside(name string, foreign *slot.ForeignError) error {
	to, err := slot.Import(p.cfg.FS, p.cfg.Dir, name, p.target())
	if err != nil {
		return fmt.Errorf("set aside slot %s of another client: %w", name, err)
	}
	p.cfg.Logger.Info("a slot of another client was renamed and is drained from there",
		"slot", name, "to", to, "seen_in", foreign.File)
	p.mu.Lock()
	defer p.unlock()
	p.orphans.look = true
	p.nudge()
	return nil
}

// TargetError says that a slot holds rows for another destination.
type TargetError struct {
	Dir       string
	Has, Want string // what .target says, and what it should say
}

func (e *TargetError) Error() string {
	return fmt.Sprintf("slot %s holds rows for %s, not for %s: they are kept until a pool with that destination drains them; "+
		"with another sender_id this one has slots of its own",
		e.Dir, inline(e.Has), inline(e.Want))
}

func inline(target string) string { return strings.Join(strings.Fields(target), ",") }

// retarget compares where the slot's rows belong with where this pool sends.
func (p *Pool) retarget(s *slot.Slot, name string) error {
	has, want := s.Target(), p.target()
	if has == want {
		return nil
	}
	pending := s.Stats().Pending
	if pending > 0 && !p.belongs(has, true) {
		return &TargetError{Dir: s.Dir(), Has: has, Want: want}
	}
	if pending > 0 {
		p.cfg.Logger.Warn("the destination of a slot has changed; its pending rows go to the new one",
			"slot", name, "pending_rows", pending, "from", inline(has), "to", inline(want))
	}
	return s.SetTarget(want)
}

func (p *Pool) sayRecovered(s *slot.Slot, name string) {
	r := s.Stats().Recovered
	if r.TornBytes == 0 && r.MissingFrames == 0 && len(r.Quarantined) == 0 {
		return
	}
	p.cfg.Logger.Log(context.Background(), slog.LevelWarn, "a slot was not closed in order; what was whole is kept",
		"slot", name, "frames", r.Frames, "torn_bytes_cut", r.TornBytes, "missing_frames", r.MissingFrames,
		"set_aside", strings.Join(r.Quarantined, " "))
}
