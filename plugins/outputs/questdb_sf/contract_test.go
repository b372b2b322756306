// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"
	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// tiny is a store that is soon full, and an agent that does not wait for it.
var tiny = []string{
	`sf_full = "block"`, `sender_pool_max = 1`, `sf_max_segment_bytes = "64KiB"`, `sf_max_total_bytes = "128KiB"`,
	`sf_append_deadline = "1ms"`, `reconnect_initial_backoff = "1ms"`, `reconnect_max_backoff = "5ms"`, `close_flush_timeout = "0s"`,
}

// wide is a metric that fills a store fast.
func wide(id int) telegraf.Metric {
	return metric.New("m", nil, map[string]interface{}{"id": id, "text": strings.Repeat("x", 200)}, at.Add(time.Duration(id)*time.Second))
}

// fill writes until the store is full, and returns how many metrics were made.
func fill(t testing.TB, ro *models.RunningOutput) (made int) {
	t.Helper()
	var err error
	for err == nil && made < 10_000 {
		for range 100 {
			ro.AddMetric(wide(made))
			made++
		}
		err = ro.Write()
	}
	require.ErrorContains(t, err, "full")
	require.Equal(t, 100, ro.BufferLength(), "Telegraf keeps the whole batch")
	return made
}

func TestAFullStoreKeepsTheBatchInOrderWithEitherBuffer(t *testing.T) {
	for _, strategy := range []string{"memory", "disk_write_through"} {
		t.Run(strategy, func(t *testing.T) {
			srv := serve(t, qwpserver.Options{})
			srv.Stop()
			ro := running(t, output(t, block(srv.URL(), t.TempDir(), tiny...)), strategy)
			made := fill(t, ro)
			require.NoError(t, srv.Restart())
			require.Eventually(t, func() bool { return ro.Write() == nil && ro.BufferLength() == 0 }, time.Minute, time.Millisecond)
			for i, row := range waitRows(t, srv, int64(made)) {
				require.Equal(t, int64(i), row.Values["id"])
			}
			require.Equal(t, int64(made), srv.Total())
		})
	}
}

// output is the plugin as a configuration makes it.
func output(t testing.TB, text string) *questdb_sf.Output {
	t.Helper()
	ro, err := load(t, text)
	require.NoError(t, err)
	return ro.Output.(*questdb_sf.Output)
}

// running wraps a plugin as Telegraf does, connected.
func running(t testing.TB, o *questdb_sf.Output, strategy string) *models.RunningOutput {
	t.Helper()
	return wrapped(t, o, strategy, 100, 1000)
}

// wrapped is running for any output.
func wrapped(t testing.TB, o telegraf.Output, strategy string, batch, limit int) *models.RunningOutput {
	t.Helper()
	c := &models.OutputConfig{Name: "questdb_sf", ID: t.Name(), BufferStrategy: strategy, BufferDirectory: t.TempDir()}
	ro := models.NewRunningOutput(o, c, batch, limit)
	require.NoError(t, ro.Init())
	require.NoError(t, ro.Connect())
	t.Cleanup(ro.Close)
	return ro
}

func TestEveryValueOfAMetricIsStored(t *testing.T) {
	srv := serve(t, qwpserver.Options{})
	ro := start(t, block(srv.URL(), t.TempDir()))
	require.NoError(t, ro.Output.Write([]telegraf.Metric{odd()}))
	require.Equal(t, map[string]any{
		"z": qwpserver.Symbol("1"), "i": int64(math.MinInt64 + 1), "u": int64(math.MaxInt64), "f": 1.5, "b": true,
		"s": "x\uFFFDy", "timestamp_": int64(7),
	}, waitRows(t, srv, 1)[0].Values)
}

// odd is a metric with a value of each kind.
func odd() telegraf.Metric {
	m := metric.New("m", map[string]string{"z": "1", "a": ""}, map[string]interface{}{
		"i": int64(math.MinInt64), "u": uint64(math.MaxUint64), "f": 1.5, "nan": math.NaN(), "b": true, "s": "x\x00y", "timestamp": 7,
	}, at)
	m.AddField("nil", nil)
	return m
}

func TestMetricsAreNeitherChangedNorKept(t *testing.T) {
	srv := serve(t, qwpserver.Options{})
	srv.Stop()
	ro := start(t, block(srv.URL(), t.TempDir(), `table_tag = "table"`, `merge_rows = true`, `symbol_exclude = ["z"]`))
	batch := []telegraf.Metric{odd(), odd(), numbered(1)}
	batch[1].AddTag("table", "m")
	before := describe(batch)
	require.NoError(t, ro.Output.Write(batch))
	require.Equal(t, before, describe(batch))
	for _, m := range batch { // what Telegraf may do with metrics that were accepted
		m.SetName("other")
		m.SetTime(time.Unix(1, 0))
		for _, tag := range m.TagList() {
			tag.Key, tag.Value = "gone", "gone"
		}
		for _, f := range m.FieldList() {
			f.Key, f.Value = "gone", "gone"
		}
	}
	clear(batch)
	require.NoError(t, srv.Restart())
	for _, row := range waitRows(t, srv, 2) {
		require.NotContains(t, row.Values, "gone")
		require.Equal(t, at.UnixNano(), row.Time)
	}
	require.Equal(t, []string{"m"}, srv.Tables())
}

func describe(batch []telegraf.Metric) string {
	var b strings.Builder
	for _, m := range batch {
		fmt.Fprintln(&b, m.Name(), m.Time())
		for _, tag := range m.TagList() {
			fmt.Fprintln(&b, *tag)
		}
		for _, f := range m.FieldList() {
			fmt.Fprintf(&b, "%q %#v\n", f.Key, f.Value)
		}
	}
	return b.String()
}

func TestALargeBatchGoesToSeveralSlotsAndASmallOneToOne(t *testing.T) {
	o := output(t, block("http://127.0.0.1:1", t.TempDir(), `close_flush_timeout = "0s"`))
	running(t, o, "memory")
	require.NoError(t, o.Write(series(100)))
	require.Len(t, filled(o), 1)
	require.NoError(t, o.Write(series(20_000)))
	require.Len(t, filled(o), 4)
	require.Equal(t, int64(20_100), o.Stats().Pending)
}

func series(n int) []telegraf.Metric {
	batch := make([]telegraf.Metric, n)
	for i := range batch {
		batch[i] = metric.New("m", map[string]string{"host": fmt.Sprint("h", i%100)}, map[string]interface{}{"id": i}, at)
	}
	return batch
}

// filled returns the slots with rows.
func filled(o *questdb_sf.Output) (names []string) {
	for _, s := range o.Stats().Slots {
		if s.Pending > 0 {
			names = append(names, s.Name)
		}
	}
	return names
}

func TestAPanicInWriteIsAnErrorWithOneStackInTheLog(t *testing.T) {
	o := output(t, block("http://127.0.0.1:1", t.TempDir(), `close_flush_timeout = "0s"`))
	said := listen(o)
	ro := running(t, o, "memory")
	for range 3 {
		require.ErrorContains(t, ro.Output.Write([]telegraf.Metric{nil}), "bug: panic in Write")
	}
	require.Len(t, said.lines("goroutine"), 1)
	require.NoError(t, ro.Output.Write([]telegraf.Metric{numbered(1)}))
	require.Equal(t, int64(1), o.Stats().Pending)
}
