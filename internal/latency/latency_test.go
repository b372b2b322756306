// SPDX-License-Identifier: MIT

package latency_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/latency"
)

func TestEachObservationIsInTheBucketOfItsBound(t *testing.T) {
	for i, bound := range latency.Bounds {
		var h latency.Histogram
		h.Observe(bound)
		h.Observe(bound + 1)
		s := h.Snapshot()
		require.Equal(t, int64(1), s.Buckets[i], bound)
		require.Equal(t, int64(1), s.Buckets[i+1], bound)
		require.Equal(t, 2*bound+1, s.Sum)
		require.Equal(t, int64(2), s.Count())
	}
}

func TestObservationsFromManyGoroutinesAllCount(t *testing.T) {
	var h latency.Histogram
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 1000 {
				h.Observe(time.Millisecond)
			}
		})
	}
	all.Wait()
	s := h.Snapshot()
	require.Equal(t, int64(4000), s.Count())
	require.Equal(t, 4*time.Second, s.Sum)
}

func TestAQuantileIsABoundThatSoManyDoNotExceed(t *testing.T) {
	var h latency.Histogram
	s := h.Snapshot()
	require.Zero(t, s.Quantile(0.5))
	for range 99 {
		h.Observe(time.Millisecond)
	}
	h.Observe(time.Hour)
	s = h.Snapshot()
	require.Equal(t, time.Millisecond, s.Quantile(0.5))
	require.Equal(t, time.Millisecond, s.Quantile(0.99))
	require.Equal(t, time.Minute, s.Quantile(1))
}

func TestAnObservationTakesNoMemory(t *testing.T) {
	var h latency.Histogram
	require.Zero(t, testing.AllocsPerRun(100, func() { h.Observe(time.Second) }))
	(*latency.Histogram)(nil).Observe(time.Second)
	require.Zero(t, (*latency.Histogram)(nil).Snapshot())
}

func TestSumsOfSnapshotsAreThoseOfTheirNumbers(t *testing.T) {
	var a, b latency.Histogram
	a.Observe(time.Second)
	b.Observe(time.Hour)
	s := a.Snapshot().Plus(b.Snapshot())
	require.Equal(t, int64(2), s.Count())
	require.Equal(t, time.Hour+time.Second, s.Sum)
}
