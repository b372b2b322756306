// SPDX-License-Identifier: MIT

package slot_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
)

// BenchmarkAppend stores frames of 60 KB on the real disk, settling them so that
// the slot stays small.
func BenchmarkAppend(b *testing.B) {
	for _, d := range []slot.Durability{slot.Memory, slot.Periodic, slot.Flush} {
		b.Run(d.String(), func(b *testing.B) {
			s := benchSlot(b, d)
			f := frame(1, 100, 60_000)
			b.SetBytes(60_000)
			b.ReportAllocs()
			for n := slot.FSN(0); b.Loop(); n++ {
				mustStore(b, s, f)
				do(b, s.Settle(n, 100, slot.Acked))
			}
		})
	}
}

// BenchmarkRead reads a backlog of frames of a size.
func BenchmarkRead(b *testing.B) {
	for _, size := range []int{1_000, 60_000, 250_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := benchSlot(b, slot.Memory)
			n := 32_000_000 / size
			fill(b, s, 0, uint64(n), size)
			c := s.NewCursor()
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, ok, err := c.Next()
				do(b, err)
				if !ok {
					c.Rewind()
				}
			}
		})
	}
}

func BenchmarkStats(b *testing.B) {
	s := benchSlot(b, slot.Memory)
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Stats()
	}
}

func benchSlot(b *testing.B, d slot.Durability) *slot.Slot {
	b.Helper()
	return open(b, slot.Options{
		Dir: filepath.Join(b.TempDir(), "base-0"), MaxBytes: 64 << 20, Durability: d, Inspect: inspect,
	})
}
