// SPDX-License-Identifier: MIT

package store

import (
	"context"
	"errors"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// heard is told by the pools how the server is.
func (s *shared) heard(err error) {
	if err != nil {
		s.trouble(fleet.Server, err.Error())
		return
	}
	s.over(fleet.Server)
}

// trouble is told that something keeps rows from QuestDB, or from the store. The
// caller must not hold mu.
func (s *shared) trouble(k fleet.Kind, reason string) {
	if s.set.Fleet.Events {
		s.outages.Begin(k, reason, s.figures)
	}
}

// over is told that this is not so any more. A row on the outage that ends with it is
// stored in the background: who tells may be a sender, which the store waits for.
func (s *shared) over(k fleet.Kind) {
	u, over := s.outages.End(k, s.figures)
	if !over {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.tasks.Go(func() { s.tellOutage(&u) })
	}
}

// figures are those that an outage is told with.
func (s *shared) figures() fleet.Figures {
	st := s.stats()
	return fleet.Figures{
		Rows:  st.Pending + st.RAMStats.Pending,
		Bytes: st.PendingBytes + st.RAMStats.PendingBytes,
		Lost:  s.lost(&st),
	}
}

// lost counts the rows that were dropped since the start, and the metrics that did not
// come so far.
func (s *shared) lost(st *Stats) int64 {
	n := st.Dropped + st.RAMStats.Dropped + st.LostRAM
	s.mu.Lock()
	defer s.mu.Unlock()
	n += s.gone
	for _, dropped := range s.before {
		n += dropped()
	}
	return n
}

const (
	// tellTimeout bounds a try to store a row.
	tellTimeout = 2 * time.Second
	// tellTries bounds how often that is tried for a row on an outage, from a second
	// to a minute apart: for an hour, which a full store may need to get room.
	tellTries = 66
)

// tellOutage stores the row on an outage.
func (s *shared) tellOutage(u *fleet.Outage) {
	wait := time.Second
	for try := 1; ; try++ {
		err := s.tell(func(b *sfpool.Batch) error { return u.Row(b, s.source()) })
		if err == nil {
			s.outages.Wrote()
			return
		}
		if try == tellTries || !s.sleep(wait) {
			s.set.Log.Warn("the row on an outage could not be stored; it is left out", "table", fleet.EventsTable,
				"from", u.From, "to", u.To, "error", err)
			return
		}
		wait = min(2*wait, time.Minute)
	}
}

func (s *shared) source() fleet.Source {
	return fleet.Source{Box: fleet.Box(), SenderID: s.set.Pool.SenderID, Nanos: s.set.Pool.TimestampNanos}
}

// sleep waits; false when the store is closed before.
func (s *shared) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.stop:
		return false
	}
}

// tell stores one row in the pool that takes rows now, if it has room: no other row
// gives way to it.
func (s *shared) tell(fill func(*sfpool.Batch) error) error {
	p, release := s.use()
	if p == nil {
		return errNoPool
	}
	defer release()
	b := p.NewBatch()
	if err := fill(b); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), tellTimeout)
	defer cancel()
	sender, err := p.Borrow(ctx)
	if err != nil {
		return err
	}
	defer sender.Return()
	return sender.FlushSpare(ctx, b)
}

// errNoPool says that nothing can be stored now.
var errNoPool = errors.New("the store is not open")

// startStatus starts the goroutine that writes rows of status, once.
func (s *shared) startStatus() {
	if s.set.Fleet.StatusEvery <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && !s.telling {
		s.telling = true
		s.tasks.Go(s.tellStatus)
	}
}

// tellStatus stores a row of status at each interval. One that cannot be stored is left
// out: why is told elsewhere, and the next one has newer figures.
func (s *shared) tellStatus() {
	last := s.status()
	last.Started = last.Now
	for s.sleep(s.set.Fleet.StatusEvery) {
		now := s.status()
		now.Started = last.Started
		if s.tell(func(b *sfpool.Batch) error { return now.Row(b, s.source(), &last) }) == nil {
			last = now
		}
	}
}

// status returns how the store is now. It asks the disk what is free.
func (s *shared) status() fleet.Status {
	st, set := s.stats(), &s.set
	u := fleet.Status{
		Now: time.Now(), Every: set.Fleet.StatusEvery, Version: set.Fleet.Version,
		Lost: s.lost(&st), Incidents: st.Incidents,
		DeadLetters: st.Letters.Final.Letters + st.Letters.Refused.Letters,
		StoreBytes:  st.StoreBytes, MaxBytes: st.MaxBytes, TimeToFull: st.TimeToFull,
		DiskFree: s.diskFree(), Server: st.Server,
	}
	if st.RAM {
		u.StoreBytes, u.MaxBytes, u.TimeToFull, u.Server = st.RAMStats.StoreBytes, st.RAMStats.MaxBytes, st.RAMStats.TimeToFull, st.RAMStats.Server
	}
	for _, one := range []*sfpool.Stats{&st.Stats, &st.RAMStats} {
		u.PendingRows += one.Pending
		u.PendingBytes += one.PendingBytes
		u.Appended += one.AppendedBytes
		u.Acked += one.AckedBytes
		if at := one.OldestPending; !at.IsZero() {
			u.OldestAge = max(u.OldestAge, u.Now.Sub(at))
		}
	}
	return u
}

// diskFree returns what is free of the filesystem of sf_dir; -1 if that is not known, as
// while the disk cannot be used: what is there then may be the filesystem below.
func (s *shared) diskFree() int64 {
	s.mu.Lock()
	p := s.disk
	s.mu.Unlock()
	if p == nil {
		return -1
	}
	_, free, err := p.Space()
	if err != nil {
		return -1
	}
	return free
}
