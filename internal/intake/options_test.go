// SPDX-License-Identifier: MIT

package intake_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/intake"
	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Rows to be joined wait until Commit, or until there are too many.
func TestJoinedRowsAreStoredOnceSplitOrNot(t *testing.T) {
	for _, expected := range []int{1, 2 * intake.SplitRows} {
		b := newBed(t)
		b.maps(mapping.Options{MergeRows: true})
		b.in.Expect(expected)
		for id := range intake.SplitRows {
			for _, field := range []string{"a", "b"} {
				b.in.Start("cpu")
				b.in.Tag("host", fmt.Sprint(id%100))
				b.in.Int(field, int64(id))
				b.in.End(noon.Add(time.Duration(id) * time.Millisecond))
			}
		}
		if n := b.in.Rows(); n != intake.SplitRows || b.in.Bytes() == 0 {
			t.Errorf("%d rows wait, in %d bytes", n, b.in.Bytes())
		}
		b.commit()
		b.spread(min(expected, 4), intake.SplitRows)
		exactly(t, b.rows(), intake.SplitRows)
	}
}

func TestRowsToBeJoinedAreForgottenByReset(t *testing.T) {
	b := newBed(t)
	b.maps(mapping.Options{MergeRows: true})
	b.put(0, 10)
	b.in.Reset()
	b.commit()
	if n := b.in.Rows(); n > 0 {
		t.Errorf("%d rows wait", n)
	}
	b.spread(0, 0)
}

func TestValuesBeyondTheColumnLimitAreDeadLettersAndTheRestIsStored(t *testing.T) {
	for _, merge := range []bool{false, true} {
		b := newBed(t)
		b.maps(mapping.Options{MaxColumns: 3, MergeRows: merge})
		b.in.Expect(intake.SplitRows)
		b.put(0, 1)
		b.in.Start("cpu")
		b.in.Tag("host", "a")
		b.in.Int("id", 1)
		b.in.Int("more", 1)
		b.in.End(noon)
		b.commit()
		if letters := b.letters(); len(letters) != 1 || !strings.Contains(letters[0], "more=1") {
			t.Errorf("letters %q", letters)
		}
		exactly(t, b.rows(), 2)
	}
}

func TestARenamedColumnIsSaidOnce(t *testing.T) {
	b := newBed(t)
	for range 3 {
		b.in.Start("cpu")
		b.in.Int("a.b", 1)
		b.in.End(noon)
	}
	if n := strings.Count(b.log.String(), "from=a.b to=a_b"); n != 1 {
		t.Errorf("log %s", &b.log)
	}
}

// In RAM there is no file, and the log must not name one.
func TestDeadLettersWithoutAFileAreSaidToBeDroppedOnce(t *testing.T) {
	b := newBed(t, func(c *sfpool.Config) { c.Dir, c.FS, c.Durability = "", nil, 0 })
	for range 3 {
		b.in.Start("cpu")
		b.in.Int("id", 1)
		b.in.End(time.Unix(-1, 0))
		b.commit()
	}
	b.in.SayRejected()
	if n := b.pool.Stats().DeadLettered; n != 3 || strings.Contains(b.log.String(), "went to") {
		t.Errorf("%d dead letters, log %s", n, &b.log)
	}
}

// A steady stream of batches costs no allocation for each row.
func TestAddingRowsAllocatesNothingSplitOrNot(t *testing.T) {
	for _, expected := range []int{1, intake.SplitRows} {
		s := newDiskStore(t, sfpool.DurabilityMemory)
		for range 3 {
			s.write(expected, intake.SplitRows)
		}
		perRow := testing.AllocsPerRun(10, func() { s.write(expected, intake.SplitRows) }) / intake.SplitRows
		t.Logf("expected %d: %.4f allocations a row", expected, perRow)
		if perRow > 0.1 {
			t.Errorf("expected %d: %.4f allocations a row", expected, perRow)
		}
	}
}
