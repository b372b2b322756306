// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/selfstat"
	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// shown returns what inputs.internal would show of the block of a test, with or
// without the tag slot.
func shown(t testing.TB, slot string) map[string]any {
	for _, m := range selfstat.Metrics() {
		tags := m.Tags()
		if m.Name() == "internal_questdb_sf" && tags["_id"] == t.Name() && tags["slot"] == slot {
			return m.Fields()
		}
	}
	return nil
}

func stat(t testing.TB, field string) int64 {
	t.Helper()
	v, ok := shown(t, "")[field].(int64)
	require.True(t, ok, field)
	return v
}

func TestStatisticsAreTheLedger(t *testing.T) {
	srv := serve(t, qwpserver.Options{})
	srv.Stop()
	o := output(t, block(srv.URL(), t.TempDir(), `reconnect_max_backoff = "5ms"`, `reconnect_initial_backoff = "1ms"`))
	ro := running(t, o, "memory")
	require.Equal(t, int64(0), stat(t, "rows_appended"), "shown from the start")
	require.NoError(t, ro.Output.Write(series(10)))
	st, all := o.Stats(), shown(t, "")
	for field, want := range map[string]int64{
		"rows_appended": 10, "rows_acked": 0, "rows_pending": 10, "rows_held": 0, "rows_dead_lettered": 0,
		"bytes_appended": st.PendingBytes, "bytes_acked": 0, "bytes_pending": st.PendingBytes,
		"store_bytes": st.StoreBytes, "store_max_bytes": st.MaxBytes, "store_full_ns": 0, "connects": 0, "reconnects": 0,
		"slots_live": 1, "slots_leaked": 0, "orphans": 0, "in_ram": 0, "rows_in_ram": 0, "metrics_dropped_before_store": 0,
	} {
		require.Equal(t, want, all[field], field)
	}
	require.Positive(t, all["oldest_pending_age_ns"])
	require.Equal(t, map[string]any{"rows_pending": int64(10), "bytes_pending": st.PendingBytes, "connected": int64(0)}, shown(t, "default-0"))
	require.NoError(t, srv.Restart())
	waitRows(t, srv, 10)
	require.Eventually(t, func() bool { return o.Stats().Acked == 10 }, waitLong, pollOften)
	require.NoError(t, ro.Output.Write([]telegraf.Metric{numbered(1)}))
	require.GreaterOrEqual(t, stat(t, "rows_acked"), int64(10))
	require.Equal(t, int64(11), stat(t, "rows_appended"))
	require.Equal(t, int64(1), stat(t, "connects"))
	require.Positive(t, stat(t, "bytes_acked"))
	require.Greater(t, stat(t, "wire_bytes_sent"), stat(t, "bytes_acked")/2)
	require.Positive(t, stat(t, "wire_bytes_received"))
	require.Equal(t, int64(1), shown(t, "default-0")["connected"])
}

func TestRowsInRAMAreShown(t *testing.T) {
	o := output(t, dead("/dev/null/sf"))
	ro := running(t, o, "memory")
	require.NoError(t, ro.Output.Write(series(10)))
	require.Equal(t, int64(1), stat(t, "in_ram"))
	require.Equal(t, int64(10), stat(t, "rows_in_ram"))
	require.Equal(t, int64(10), stat(t, "rows_pending"))
	require.Equal(t, int64(10), stat(t, "rows_appended"))
}

func TestWhatTheMappingHadToAlterIsShownOncePerBatch(t *testing.T) {
	o := output(t, dead(t.TempDir(), `merge_rows = true`, `max_columns_per_table = 3`))
	ro := running(t, o, "memory")
	batch := []telegraf.Metric{
		metric.New("m", map[string]string{"host": "a"}, map[string]interface{}{"a": uint64(math.MaxUint64), "b": "nul \x00"}, at),
		metric.New("m", map[string]string{"host": "a"}, map[string]interface{}{"c": 1}, at),
		metric.New("n", map[string]string{"host": "a"}, map[string]interface{}{"a": int64(math.MinInt64)}, at),
		metric.New("n", map[string]string{"host": "a"}, map[string]interface{}{"b": 1}, at),
	}
	require.NoError(t, ro.Output.Write(batch))
	for field, want := range map[string]int64{"values_altered": 3, "values_left_out": 1, "rows_merged": 2} {
		require.Equal(t, want, stat(t, field), field)
	}
}

func TestMetricsOutOfTimeAreCountedAndSaidByPolicy(t *testing.T) {
	for policy, want := range map[string]struct{ dead, retimed int64 }{"dead_letter": {3, 0}, "keep": {0, 0}, "now": {0, 3}} {
		t.Run(policy, func(t *testing.T) {
			o := output(t, dead(t.TempDir(), fmt.Sprintf("time_out_of_range = %q", policy)))
			log := listen(o)
			ro := running(t, o, "memory")
			var batch []telegraf.Metric
			for _, when := range []time.Time{at, time.Unix(12, 0), time.Unix(13, 0), time.Now().Add(48 * time.Hour), time.Now()} {
				batch = append(batch, metric.New("m", nil, map[string]interface{}{"v": 1}, when))
			}
			require.NoError(t, ro.Output.Write(batch))
			require.NoError(t, ro.Output.Write(batch[1:2]), "within the minute nothing more is said")
			require.Equal(t, int64(4), stat(t, "rows_out_of_time"))
			require.Equal(t, want.dead+min(want.dead, 1), stat(t, "rows_dead_lettered"))
			require.Equal(t, want.retimed+min(want.retimed, 1), stat(t, "rows_retimed"))
			require.Len(t, log.lines("rows are from before time_min"), 1)
			require.Len(t, log.lines("rows are too far in the future"), 1)
			require.NoError(t, o.Close())
			require.Len(t, log.lines("rows are from before time_min"), 2, "what was not said yet is said at the end")
		})
	}
}

func TestABatchThatIsTriedAgainCountsOnce(t *testing.T) {
	o := output(t, dead(t.TempDir(), tiny[:7]...))
	ro := running(t, o, "memory")
	m := wide(1)
	m.AddField("u", uint64(math.MaxUint64))
	stored := int64(0)
	for full := 0; full < 3; {
		if err := ro.Output.Write([]telegraf.Metric{m}); err != nil {
			require.ErrorIs(t, err, sfpool.ErrStoreFull)
			full++
			continue
		}
		stored++
	}
	require.Equal(t, stored, stat(t, "values_altered"))
}

func TestStatisticsAreGoneAfterCloseButTelegrafsOwnStay(t *testing.T) {
	o := output(t, dead(t.TempDir()))
	ro := running(t, o, "memory")
	require.NoError(t, ro.Output.Write(series(10)))
	require.NotNil(t, shown(t, ""))
	require.NoError(t, o.Close())
	require.Nil(t, shown(t, ""))
	require.Nil(t, shown(t, "default-0"))
	for _, m := range selfstat.Metrics() {
		if m.Name() == "internal_write" && m.Tags()["_id"] == t.Name() {
			require.Contains(t, m.Fields(), "metrics_dropped")
			return
		}
	}
	t.Fatal("internal_write is gone")
}

func TestStatisticsGoOnWhileRowsArePending(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := output(t, dead(dir, `time_out_of_range = "keep"`))
		o.Statistics = selfstat.NewCollector(map[string]string{"_id": t.Name()})
		require.NoError(t, o.Init())
		require.NoError(t, o.Connect())
		t.Cleanup(func() { _ = o.Close() })
		require.NoError(t, o.Write([]telegraf.Metric{metric.New("m", nil, map[string]interface{}{"id": 1}, time.Now().AddDate(-2, 0, 0))}))
		before := stat(t, "oldest_pending_age_ns")
		require.Less(t, before, int64(time.Second), "since it was stored, whatever its own time")
		time.Sleep(time.Minute + time.Millisecond)
		synctest.Wait()
		require.GreaterOrEqual(t, stat(t, "oldest_pending_age_ns")-before, int64(time.Minute))
		require.NoError(t, o.Close())
		time.Sleep(time.Minute)
		require.Nil(t, shown(t, ""))
	})
}

func TestNoCollectorIsNoTrouble(t *testing.T) {
	o := questdb_sf.New()
	o.URLs, o.SFDir, o.CloseFlushTimeout = []string{"http://127.0.0.1:1"}, t.TempDir(), 0
	require.NoError(t, o.Init())
	require.NoError(t, o.Connect())
	require.NoError(t, o.Write(series(10)))
	require.NoError(t, o.Close())
}
