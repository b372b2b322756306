// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"errors"
	"reflect"
	"testing"

	"github.com/influxdata/telegraf"
	"github.com/stretchr/testify/require"
)

// What docs/delivery.md says of Telegraf's disk buffer. A Telegraf in which this
// test fails is a better one: change the page.

// picky is an output that takes some metrics of its first batch and all of the
// others.
type picky struct{ batches [][]int64 }

func (*picky) SampleConfig() string { return "" }
func (*picky) Connect() error       { return nil }
func (*picky) Close() error         { return nil }

func (p *picky) Write(batch []telegraf.Metric) error {
	var ids []int64
	for _, m := range batch {
		id, _ := m.GetField("id")
		ids = append(ids, id.(int64))
	}
	p.batches = append(p.batches, ids)
	if len(p.batches) == 1 {
		return taken{0, 1, 3}
	}
	return nil
}

// taken turns into Telegraf's PartialWriteError, which cannot be imported. It has
// the indices of what was taken.
type taken []int

func (taken) Error() string { return "some were taken" }

func (t taken) As(target any) bool {
	v := reflect.ValueOf(target).Elem()
	if v.Kind() != reflect.Pointer || v.Type().Elem().Name() != "PartialWriteError" {
		return false
	}
	e := reflect.New(v.Type().Elem())
	e.Elem().FieldByName("Err").Set(reflect.ValueOf(errors.New("some were taken")))
	e.Elem().FieldByName("MetricsAccept").Set(reflect.ValueOf([]int(t)))
	v.Set(e)
	return true
}

func TestTelegrafsDiskBufferMixesUpWhatAnOutputTook(t *testing.T) {
	for strategy, rest := range map[string][]int64{"memory": {3, 5, 6}, "disk_write_through": {3, 4, 6}} {
		p := &picky{}
		ro := wrapped(t, p, strategy, 5, 1_000_000)
		for id := range 6 {
			ro.AddMetric(numbered(id + 1))
		}
		require.Error(t, ro.WriteBatch())
		require.NoError(t, ro.WriteBatch())
		require.Equal(t, [][]int64{{1, 2, 3, 4, 5}, rest}, p.batches, strategy)
	}
}

func BenchmarkBuffersOfTelegraf(b *testing.B) {
	for _, strategy := range []string{"memory", "disk_write_through"} {
		b.Run(strategy, func(b *testing.B) {
			ro := wrapped(b, &picky{}, strategy, 5, 1_000_000)
			m := numbered(1)
			for b.Loop() {
				ro.AddMetric(m)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "metrics/s")
		})
	}
}
