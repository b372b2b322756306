// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// However many slots hold on to their last segment, a batch of BatchBytes fits
// once everything is acked.
func TestABatchOfBatchBytesFitsIntoEverySlotOfADrainedPool(t *testing.T) {
	srv := serve(t)
	cfg := config(t, srv.URL())
	cfg.MinSenders, cfg.MaxSenders = 8, 8
	cfg.MaxSegmentBytes, cfg.MaxTotalBytes = 64<<10, 1<<20
	p := open(t, cfg)
	senders := borrowed(t, p, 8)
	defer giveBack(senders)
	rows := 0
	for range 2 {
		for _, s := range senders {
			b := batch(t, p, rows, 100)
			for rows += 100; b.Bytes() < p.BatchBytes()-4096; rows += 100 {
				add(t, b, rows, 100)
			}
			if err := s.Flush(t.Context(), b); err != nil {
				t.Fatalf("a batch of %d bytes, limit %d: %v", b.Bytes(), p.BatchBytes(), err)
			}
			if err := p.WaitAcked(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Two writers over the same two slots' room, each in need of both halves: neither
// may keep what the other waits for.
func TestWritersThatNeedRoomInSeveralSlotsDoNotBlockEachOther(t *testing.T) {
	srv := serve(t)
	cfg := config(t, srv.URL())
	cfg.MaxSegmentBytes, cfg.MaxTotalBytes = 64<<10, 640<<10
	cfg.AppendDeadline = time.Minute
	p := open(t, cfg)
	senders := borrowed(t, p, 4)
	defer giveBack(senders)
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for n := range 10 {
				first := 1_000_000*w + 10_000*n
				err := p.Flush(t.Context(),
					sfpool.Shard{Sender: senders[2*w], Batch: batch(t, p, first, 3000)},
					sfpool.Shard{Sender: senders[2*w+1], Batch: batch(t, p, first+5000, 3000)})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	arrived(t, srv, 2*10*6000)
}

func TestSeveralShardsWithoutRoomAreRefusedWholeWhenTheDeadlineEnds(t *testing.T) {
	cfg := config(t, nowhere)
	cfg.MaxSenders, cfg.MaxSegmentBytes, cfg.MaxTotalBytes = 2, 64<<10, 256<<10
	cfg.AppendDeadline = 10 * time.Millisecond
	p := open(t, cfg)
	senders := borrowed(t, p, 2)
	defer giveBack(senders)
	for stored := 0; ; stored += 4000 {
		err := p.Flush(context.Background(),
			sfpool.Shard{Sender: senders[0], Batch: batch(t, p, stored, 2000)},
			sfpool.Shard{Sender: senders[1], Batch: batch(t, p, stored+2000, 2000)})
		if err == nil {
			continue
		}
		if !errors.Is(err, sfpool.ErrStoreFull) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if st := p.Stats(); st.Pending != int64(stored) || st.StoreBytes > st.MaxBytes {
			t.Errorf("stats %+v, stored %d", st, stored)
		}
		return
	}
}
