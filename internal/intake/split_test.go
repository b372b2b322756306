// SPDX-License-Identifier: MIT

package intake_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/intake"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

func TestALargeBatchIsSplitOverSeveralSlots(t *testing.T) {
	b := newBed(t)
	b.in.Expect(intake.SplitRows)
	b.put(0, intake.SplitRows)
	b.commit()
	b.spread(4, intake.SplitRows)
	for i := range 4 {
		if n := b.pending()[fmt.Sprintf("default-%d", i)]; n == 0 {
			t.Errorf("default-%d has no rows", i)
		}
	}
	exactly(t, b.rows(), intake.SplitRows)
}

func TestASmallBatchGoesToOneSlot(t *testing.T) {
	for name, c := range map[string]struct{ expected, rows int }{
		"announced as it is":   {intake.SplitRows - 1, intake.SplitRows - 1},
		"smaller than it said": {intake.SplitRows, 1000},
		"not announced":        {0, intake.SplitRows + 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t)
			if c.expected > 0 {
				b.in.Expect(c.expected)
			}
			b.put(0, c.rows)
			b.commit()
			b.spread(1, int64(c.rows))
			exactly(t, b.rows(), c.rows)
		})
	}
}

func TestAPoolOfOneSlotIsNotSplit(t *testing.T) {
	b := newBed(t, func(c *sfpool.Config) { c.MaxSenders = 1 })
	b.in.Expect(intake.SplitRows)
	if n := b.in.Ways(); n != 0 {
		t.Errorf("%d shards for one slot", n)
	}
	b.put(0, intake.SplitRows)
	b.commit()
	exactly(t, b.rows(), intake.SplitRows)
}

// The decision stands until the batch is stored or forgotten.
func TestExpectDoesNothingWhileRowsWait(t *testing.T) {
	b := newBed(t)
	b.put(0, 1)
	b.in.Expect(intake.SplitRows)
	if n := b.in.Ways(); n != 0 {
		t.Errorf("%d shards in the middle of a batch", n)
	}
	b.in.Reset()
	b.in.Expect(intake.SplitRows)
	if n := b.in.Ways(); n != 4 {
		t.Errorf("%d shards", n)
	}
}

// A sender with so much to send gets help, however small the batch is.
func TestABatchIsSplitWhenItsSenderHasABacklog(t *testing.T) {
	b := newBed(t)
	pad := strings.Repeat("x", 100<<10)
	for id := 0; b.pool.LeastPending() <= intake.SplitPending; id++ {
		b.in.Expect(100)
		if n := b.in.Ways(); n != 0 {
			t.Fatalf("%d shards with %d bytes pending", n, b.pool.LeastPending())
		}
		for range 20 {
			b.in.Start("pad")
			b.in.String("text", pad)
			b.in.End(noon)
		}
		b.commit()
	}
	before := b.pending()
	if len(before) != 1 {
		t.Fatalf("rows %v before", before)
	}
	b.in.Expect(100)
	b.put(0, 100)
	b.commit()
	for i := range 4 {
		name := fmt.Sprintf("default-%d", i)
		if n := b.pending()[name] - before[name]; n == 0 {
			t.Errorf("%s got no rows: %v, before %v", name, b.pending(), before)
		}
	}
}

func TestRowsOfOneSeriesShareASlot(t *testing.T) {
	b := newBed(t)
	for range 3 {
		b.in.Expect(intake.SplitRows)
		b.put(0, intake.SplitRows)
		b.commit()
	}
	b.spread(4, 3*intake.SplitRows)
	in := map[string]string{}
	for name, rows := range b.rows() {
		last := map[string]int64{}
		for _, r := range rows {
			if was := in[r.host]; was != "" && was != name {
				t.Fatalf("%s is in %s and %s", r.host, was, name)
			}
			in[r.host] = name
			if r.id < last[r.host] && r.id >= 100 {
				t.Fatalf("%s: row %d stands behind %d", r.host, r.id, last[r.host])
			}
			last[r.host] = r.id
		}
	}
	if len(in) != 100 {
		t.Errorf("%d series", len(in))
	}
}

func TestABatchOfOneSeriesGoesToOneSlotHoweverLarge(t *testing.T) {
	b := newBed(t)
	b.in.Expect(intake.SplitRows)
	for id := range intake.SplitRows {
		putRow(b.in, "a", id)
	}
	b.commit()
	b.spread(1, intake.SplitRows)
}

func TestWhatWaitsIsCountedAlikeSplitOrNot(t *testing.T) {
	b := newBed(t)
	sizes := map[int]int{}
	for _, expected := range []int{1, intake.SplitRows} {
		b.in.Expect(expected)
		b.put(0, intake.SplitRows)
		if n := b.in.Rows(); n != intake.SplitRows {
			t.Errorf("%d rows wait", n)
		}
		sizes[expected] = b.in.Bytes()
		b.in.Reset()
		if n := b.in.Rows() + b.in.Bytes(); n > 64 {
			t.Errorf("%d rows and bytes after Reset", n)
		}
	}
	if whole, split := sizes[1], sizes[intake.SplitRows]; split < whole/2 || split > 2*whole {
		t.Errorf("%d bytes whole, %d split", whole, split)
	}
	if room := b.in.Room(); room != b.pool.BatchBytes() {
		t.Errorf("room for %d bytes", room)
	}
}

func TestWithoutAPoolABatchIsKeptAndTheReasonIsTheErrorOfCommit(t *testing.T) {
	b := newBed(t)
	b.none = errDisk
	if room := b.in.Room(); room <= 0 {
		t.Errorf("room for %d bytes", room)
	}
	b.in.Expect(intake.SplitRows)
	b.put(0, 10)
	if err := b.in.Commit(t.Context()); !errors.Is(err, errDisk) || len(b.failed) > 0 {
		t.Errorf("error %v, told of %v", err, b.failed)
	}
	b.none = nil
	b.commit()
	exactly(t, b.rows(), 10)
}
