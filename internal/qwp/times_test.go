// SPDX-License-Identifier: MIT

package qwp_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// TestRowsBeforeATimeAreCountedAsTheyAreRead compares with reading the rows one by one.
func TestRowsBeforeATimeAreCountedAsTheyAreRead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.Int64Range(-3, 5_000), 1, 60).Draw(t, "times")
		nanos := rapid.Bool().Draw(t, "nanos")
		b, row := qwp.NewBuilder(1<<20), new(qwp.Row)
		for i, at := range times {
			row.Reset("t")
			row.Long("id", int64(i))
			switch {
			case at < 0: // the server's time
			case nanos:
				row.AtNanos(at)
			default:
				row.At(at)
			}
			if err := b.Add(row); err != nil {
				t.Fatal(err)
			}
		}
		var v qwp.View
		if err := v.Parse(b.AppendFrame(nil), nil); err != nil {
			t.Fatal(err)
		}
		limit := rapid.Int64Range(0, 5_000).Draw(t, "limit")
		for i := range v.Tables() {
			block := &v.Tables()[i]
			first := rapid.IntRange(0, block.Rows).Draw(t, "first")
			last := rapid.IntRange(first, block.Rows).Draw(t, "last")
			n, earliest := block.Before(first, last, limit)
			wantN, want := 0, int64(0)
			for r := range block.All(first, last, row) {
				at := r.Time
				if r.TimeType == qwp.TypeTimestampNanos {
					at /= 1000
				}
				if r.TimeType == 0 || at >= limit {
					continue
				}
				if wantN++; wantN == 1 || at < want {
					want = at
				}
			}
			if n != wantN || earliest != want {
				t.Fatalf("%d rows from %d on, want %d from %d on", n, earliest, wantN, want)
			}
		}
	})
}
