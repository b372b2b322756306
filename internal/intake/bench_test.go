// SPDX-License-Identifier: MIT

package intake_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/intake"
	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// BenchmarkWrite maps, encodes and stores batches on the disk of the temporary
// directory, with nobody to send to.
func BenchmarkWrite(b *testing.B) {
	for _, durability := range []sfpool.Durability{sfpool.DurabilityFlush, sfpool.DurabilityPeriodic, sfpool.DurabilityMemory} {
		for _, rows := range []int{intake.SplitRows, 20_000} {
			for _, split := range []bool{false, true} {
				name := fmt.Sprintf("durability=%s/rows=%d/split=%t", durability, rows, split)
				b.Run(name, func(b *testing.B) { benchWrite(b, durability, rows, split) })
			}
		}
	}
}

func benchWrite(b *testing.B, durability sfpool.Durability, rows int, split bool) {
	expected := 1
	if split {
		expected = rows
	}
	var store *diskStore
	b.SetBytes(int64(rows)) // MB/s are Mrows/s
	for n := 0; b.Loop(); n++ {
		if n%100 == 0 {
			b.StopTimer()
			store = newDiskStore(b, durability)
			store.write(expected, 1) // opens the slots, if need be
			b.StartTimer()
		}
		store.write(expected, rows)
	}
}

// diskStore is a Store of one pool.
type diskStore struct {
	testing.TB
	pool  *sfpool.Pool
	in    *intake.Intake
	hosts []string
}

func newDiskStore(t testing.TB, durability sfpool.Durability) *diskStore {
	t.Helper()
	p, err := sfpool.Open(context.Background(), sfpool.Config{
		URLs: []string{"http://127.0.0.1:1"}, Dir: filepath.Join(t.TempDir(), "sf"), Durability: durability,
		CloseFlushTimeout: -1, InitialBackoff: time.Hour, MaxBackoff: time.Hour, MaxTotalBytes: 1 << 30, MinSenders: 4,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close(context.Background()) })
	s := &diskStore{TB: t, pool: p, hosts: make([]string, 500)}
	for i := range s.hosts {
		s.hosts[i] = fmt.Sprintf("host-%03d", i)
	}
	s.in = intake.New(s.source(), 0, mapping.Options{}, slog.New(slog.DiscardHandler))
	return s
}

type poolOnly struct{ pool *sfpool.Pool }

func (s poolOnly) Pool() (*sfpool.Pool, func(), error) { return s.pool, release, nil }
func (s poolOnly) Failed(*sfpool.Pool, error) bool     { return false }

func release() {}

func (s *diskStore) source() intake.Store { return poolOnly{s.pool} }

// write stores rows as inputs.cpu makes them.
func (s *diskStore) write(expected, rows int) {
	s.in.Expect(expected)
	for n := range rows {
		s.in.Start("cpu")
		s.in.Tag("cpu", "cpu-total")
		s.in.Tag("dc", "fra1")
		s.in.Tag("host", s.hosts[n%len(s.hosts)])
		for i, f := range fields {
			s.in.Float(f, float64(n*i)/7)
		}
		s.in.End(noon.Add(time.Duration(n) * time.Millisecond))
	}
	if err := s.in.Commit(context.Background()); err != nil {
		s.Fatal(err)
	}
}

var fields = []string{
	"usage_guest", "usage_idle", "usage_iowait", "usage_irq", "usage_nice",
	"usage_softirq", "usage_steal", "usage_system", "usage_user", "usage_active",
}
