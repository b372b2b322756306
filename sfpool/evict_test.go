// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// tight is a pool with room for four segments of 64 KiB, seven wideRows each.
func tight(b *bed, full Full) Config {
	cfg := b.config()
	cfg.MaxSenders, cfg.MaxSegmentBytes, cfg.MaxTotalBytes = 2, 64<<10, 4*64<<10
	cfg.AppendDeadline, cfg.AcquireTimeout, cfg.Full = time.Second, time.Minute, full
	cfg.InitialBackoff, cfg.MaxBackoff = time.Millisecond, time.Second
	return cfg
}

// timedRow is a wideRow whose time is its id, in seconds.
func timedRow(t testing.TB, p *Pool, id int64) *Batch {
	t.Helper()
	var r Row
	r.Reset("t")
	r.Long("id", id)
	r.Varchar("text", strings.Repeat("x", 8<<10))
	r.At(id * 1_000_000)
	b := p.NewBatch()
	if err := b.Add(&r); err != nil {
		t.Fatal(err)
	}
	return b
}

// flushRows flushes rows with ids from first on, each through the next sender.
func flushRows(t testing.TB, p *Pool, first, n int64, senders ...*Sender) {
	t.Helper()
	for id := first; id < first+n; id++ {
		if err := senders[id%int64(len(senders))].Flush(context.Background(), timedRow(t, p, id)); err != nil {
			t.Fatalf("row %d: %v", id, err)
		}
	}
}

// adds fails the test unless the ledger adds up, in every slot, and agrees with the
// segments.
func adds(t testing.TB, p *Pool) Stats {
	t.Helper()
	p.auditSlots()
	st := p.Stats()
	if !st.Balanced() || st.LedgerViolations != 0 {
		t.Errorf("the ledger does not add up: %+v", st)
	}
	for i := range st.Slots {
		if !st.Slots[i].Balanced() {
			t.Errorf("the ledger of a slot does not add up: %+v", st.Slots[i])
		}
	}
	return st
}

func TestAFullStoreDropsItsOldestRowsAndKeepsTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		srv := &server{down: true}
		p := srv.open(t, tight(b, FullDropOldest))
		two := b.take(p, 2)
		began := time.Now()
		flushRows(t, p, 0, 200, two...)
		if waited := time.Since(began); waited > 0 {
			t.Errorf("%s were waited for room that could be made", waited)
		}
		st := adds(t, p)
		if st.Accepted != 200 || st.Evicted == 0 || st.Pending+st.Evicted != 200 || st.StoreBytes > st.MaxBytes {
			t.Errorf("%+v", st)
		}
		if n := b.log.count("its oldest rows were dropped"); n != 1 {
			t.Errorf("said %d times at once:\n%s", n, b.log.String())
		}
		if !strings.Contains(b.log.String(), "from=1970-01-01T00:00:00Z to=1970-01-01T00:00:1") {
			t.Errorf("without a range of time:\n%s", b.log.String())
		}
		time.Sleep(2 * time.Minute) // the sum, from the housekeeper
		synctest.Wait()
		if n := b.log.count("its oldest rows were dropped"); n != 2 {
			t.Errorf("said %d times:\n%s", n, b.log.String())
		}
		srv.is(false)
		if err := p.WaitAcked(context.Background()); err != nil {
			t.Error(err)
		}
		got := srv.took()
		if want := 200 - int(st.Evicted); len(got) != want || got[len(got)-1] != 199 {
			t.Errorf("%d rows arrived, want the last %d: %v", len(got), want, got)
		}
		if st := adds(t, p); st.Acked != int64(len(got)) {
			t.Errorf("%+v", st)
		}
		giveBack(two...)
	})
}

// The oldest of the whole pool goes, not that of the slot that needs room.
func TestTheOldestSegmentOfAllSlotsIsDroppedFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		p := (&server{down: true}).open(t, tight(b, FullDropOldest))
		two := b.take(p, 2)
		flushRows(t, p, 0, 8, two[1]) // a segment and a bit
		time.Sleep(time.Second)
		flushRows(t, p, 8, 21, two[0])
		st := adds(t, p)
		if st.Slots[1].Evicted != 7 || st.Slots[0].Evicted != 0 {
			t.Errorf("%+v", st.Slots)
		}
		giveBack(two...)
	})
}

func TestAFullStoreDropsTheNewestRowsAndKeepsTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		cfg := tight(b, FullDropNewest)
		srv := &server{down: true}
		p := srv.open(t, cfg)
		s := b.take(p, 1)[0]
		began := time.Now()
		flushRows(t, p, 0, 100, s)
		if time.Since(began) > 0 {
			t.Errorf("waited for %s", time.Since(began))
		}
		st := adds(t, p)
		if st.Accepted != 100 || st.Evicted == 0 || st.DroppedFor != "sf_max_total_bytes" || st.Pending+st.Evicted != 100 {
			t.Errorf("%+v", st)
		}
		if n := b.log.count("new rows were dropped"); n != 1 {
			t.Errorf("said %d times:\n%s", n, b.log.String())
		}
		s.Return()
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(b.log.String(), "to=1970-01-01T00:01:39Z") {
			t.Errorf("the rest was never told:\n%s", b.log.String())
		}
		srv.is(false)
		p = srv.open(t, cfg)
		synctest.Wait() // for the recovery, which opens what a borrower does not
		s = b.take(p, 1)[0]
		if err := p.WaitAcked(context.Background()); err != nil {
			t.Error(err)
		}
		again := adds(t, p)
		if again.Evicted != st.Evicted || again.Accepted != 100 {
			t.Errorf("after a restart %+v, before %+v", again, st)
		}
		if got := srv.took(); int64(len(got)) != 100-st.Evicted || got[len(got)-1] != int64(len(got))-1 {
			t.Errorf("arrived: %v", got)
		}
		s.Return()
	})
}

func TestABatchThatCanNeverFitIsDroppedSoThatNothingIsStuck(t *testing.T) {
	for _, full := range []Full{FullBlock, FullDropOldest, FullDropNewest} {
		t.Run(full.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBed(t)
				p := (&server{down: true}).open(t, tight(b, full))
				s := b.take(p, 1)[0]
				large := p.NewBatch()
				for id := range int64(100) {
					large.Merge(timedRow(t, p, id))
				}
				err := s.Flush(context.Background(), large)
				if full == FullBlock {
					if !errors.Is(err, ErrStoreFull) {
						t.Errorf("%v", err)
					}
				} else if st := adds(t, p); err != nil || st.Accepted != 100 || st.Evicted != 100 || b.log.count("can never fit") != 1 {
					t.Errorf("%v, %+v\n%s", err, st, b.log.String())
				}
				flushRows(t, p, 0, 1, s)
				s.Return()
			})
		})
	}
}

// Several shards, several writers: nothing is waited for that could be made.
func TestWritersThatMakeRoomForEachOtherLoseNoCount(t *testing.T) {
	b := newBed(t)
	cfg := tight(b, FullDropOldest)
	cfg.MaxSenders, cfg.MaxTotalBytes, cfg.AppendDeadline = 4, 8*64<<10, 30*time.Second
	srv := &server{mute: true}
	p := srv.open(t, cfg)
	senders := b.take(p, 4)
	var writers sync.WaitGroup
	const rounds = 40
	for w := range 2 {
		writers.Go(func() {
			for n := range int64(rounds) {
				err := p.Flush(context.Background(),
					Shard{Sender: senders[2*w], Batch: timedRow(t, p, n)},
					Shard{Sender: senders[2*w+1], Batch: timedRow(t, p, n)})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	st := adds(t, p)
	if st.Accepted != 4*rounds || st.Evicted == 0 || st.Pending+st.Evicted+st.Acked != 4*rounds {
		t.Errorf("%+v", st)
	}
	giveBack(senders...)
}

func TestRejectedRowsAreKeptInTheLedgerOfTheirSlot(t *testing.T) {
	b := newBed(t)
	cfg := tight(b, FullDropNewest)
	srv := &server{down: true}
	p := srv.open(t, cfg)
	s := b.take(p, 1)[0]
	batch := timedRow(t, p, 1)
	var bad Row
	bad.Reset("t")
	batch.Reject(&bad, "it is empty")
	batch.Reject(&bad, "so is it")
	if err := s.Flush(context.Background(), batch); err != nil {
		t.Fatal(err)
	}
	s.Return()
	for open := range 2 {
		st := adds(t, p)
		if st.Accepted != 3 || st.DeadLettered != 2 || st.Slots[0].DeadLettered != 2 || st.Rejected != 2*int64(1-open) {
			t.Errorf("open %d: %+v", open, st)
		}
		if err := p.Close(context.Background()); err != nil {
			t.Fatal(err)
		}
		p = srv.open(t, cfg)
		b.take(p, 1)[0].Return()
		for tries := 0; tries < 10_000 && p.Stats().Slots[0].Accepted == 0; tries++ {
			time.Sleep(time.Millisecond) // the recovery was quicker, and is still opening it
		}
	}
}

func TestTheFloorOfTheBudgetIsTwoSegmentsASlot(t *testing.T) {
	cfg := newBed(t).config().withDefaults()
	cfg.MaxTotalBytes = 8<<20 - 1
	if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "8388608") {
		t.Errorf("%v", err)
	}
	cfg.MaxTotalBytes = 8 << 20
	if err := cfg.Validate(); err != nil {
		t.Error(err)
	}
	cfg.MaxTotalBytes, cfg.MaxSenders = 0, 1000
	if got, err := cfg.maxTotal(); err != nil || got != 2000<<20 {
		t.Errorf("%d, %v", got, err)
	}
}

func TestAFilesystemThatFillsUpCountsAsAFullStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		cfg := tight(b, FullDropOldest)
		mem := cfg.FS.(interface{ SetCapacity(int64) })
		mem.SetCapacity(2 << 20)
		cfg.MinFreeSpace = FreeSpace{Percent: 85} // leaves 300 KiB, four segments
		cfg.MaxTotalBytes = 64 << 20
		p := (&server{down: true}).open(t, cfg)
		s := b.take(p, 1)[0]
		flushRows(t, p, 0, 100, s)
		st := adds(t, p)
		if st.StoreBytes > 5*64<<10 || st.Evicted == 0 {
			t.Errorf("%+v", st)
		}
		if !strings.Contains(b.log.String(), "limit=sf_min_free_space") {
			t.Errorf("said:\n%s", b.log.String())
		}
		s.Return()
	})
}

func TestSpacesAndWordsAreReadAndRefused(t *testing.T) {
	for value, want := range map[string]FreeSpace{
		"5%": {Percent: 5}, "0": {}, "0%": {}, "99.5%": {Percent: 99.5}, "3g": {Bytes: 3 << 30},
	} {
		if got, err := ParseFreeSpace(value); err != nil || got != want {
			t.Errorf("%s: %+v, %v", value, got, err)
		}
	}
	for _, bad := range []string{"", "%", "100%", "-1%", "NaN%", "5 %", "-5", "5x"} {
		if got, err := ParseFreeSpace(bad); err == nil {
			t.Errorf("%q is %+v", bad, got)
		}
	}
	if of := (FreeSpace{Percent: 5, Bytes: 7}).Of(1000); of != 50 {
		t.Errorf("%d", of)
	}
	for _, full := range []Full{FullBlock, FullDropOldest, FullDropNewest} {
		if got, err := ParseFull(full.String()); err != nil || got != full {
			t.Errorf("%s is %s, %v", full, got, err)
		}
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.Full = 9 },
		func(c *Config) { c.MaxAge = -1 },
		func(c *Config) { c.OrphansMaxBytes = -1 },
		func(c *Config) { c.MinFreeSpace.Percent = 100 },
	} {
		cfg := newBed(t).config()
		change(&cfg)
		if err := cfg.Validate(); err == nil {
			t.Errorf("%+v passes", cfg)
		}
	}
}

func TestADifferenceBetweenLedgerAndSegmentsIsAnErrorOnce(t *testing.T) {
	b := newBed(t)
	p := (&server{down: true}).open(t, tight(b, FullBlock))
	s := b.take(p, 1)[0]
	flushRows(t, p, 0, 9, s)
	w := s.member.d.(*worker)
	for fsn := range 7 { // with a wrong number of rows
		if err := w.slot.Settle(slot.FSN(fsn), 2, slot.Acked); err != nil {
			t.Fatal(err)
		}
	}
	p.auditSlots()
	p.auditSlots()
	st := p.Stats()
	if st.LedgerViolations != 1 || b.log.count("the ledger of a slot does not agree") != 1 {
		t.Errorf("%+v\n%s", st, b.log.String())
	}
	for _, says := range []string{"level=ERROR", "pending_by_ledger=0", "pending_by_segments=2", "accepted=14", "acked=14"} {
		if !strings.Contains(b.log.String(), says) {
			t.Errorf("%s is missing in\n%s", says, b.log.String())
		}
	}
	s.Return()
}

func TestRowsThatWereMovedAreNoRowsThatWereDropped(t *testing.T) {
	b := newBed(t)
	disk := tight(b, FullDropOldest)
	disk.MaxTotalBytes = 64 << 20
	ram := disk
	ram.Dir, ram.FS, ram.MaxTotalBytes = "", nil, 3*64<<10
	srv := &server{down: true}
	from, to := srv.open(t, ram), srv.open(t, disk)
	s := b.take(from, 1)[0]
	flushRows(t, from, 0, 50, s)
	s.Return()
	before := adds(t, from)
	moved, err := from.MoveTo(context.Background(), to)
	if err != nil {
		t.Fatal(err)
	}
	after := adds(t, from)
	if moved != before.Pending || after.Moved != moved || after.Evicted != before.Evicted+moved || before.Evicted == 0 {
		t.Errorf("moved %d, before %+v, after %+v", moved, before, after)
	}
	if st := adds(t, to); st.Accepted != moved {
		t.Errorf("%+v", st)
	}
}
