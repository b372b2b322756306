// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestAFullStoreIsSaidWhenItBeginsAndWhenItEnds(t *testing.T) {
	srv := serve(t, qwpserver.Options{})
	srv.Stop()
	o := output(t, with(block(srv.URL(), t.TempDir(), tiny...), `sf_max_total_bytes = "1MiB"`))
	said := listen(o)
	ro := running(t, o, "memory")
	before := stat(t, "metrics_dropped_before_store") // Telegraf's counter outlives a block
	made := fill(t, ro)
	for range 3 {
		require.ErrorIs(t, ro.Write(), sfpool.ErrStoreFull)
	}
	begin := said.lines("the store is full")
	require.Len(t, begin, 1)
	for _, says := range []string{"pending_rows=", "pending_bytes=", "max_bytes=1048576", "sf_max_total_bytes"} {
		require.Contains(t, begin[0], says)
	}
	for range 1200 { // of which the buffer has room for 900
		ro.AddMetric(numbered(made))
	}
	require.Error(t, ro.Write())
	require.Equal(t, before+300, stat(t, "metrics_dropped_before_store"))
	require.NoError(t, srv.Restart())
	require.Eventually(t, func() bool {
		if ro.BufferLength() == 0 {
			ro.AddMetric(numbered(made))
		}
		return ro.Write() == nil && len(said.lines("has room again")) > 0
	}, waitLong, pollOften)
	end := said.lines("has room again")
	require.Len(t, end, 1)
	require.Contains(t, end[0], "dropped_by_telegraf=300")
	require.Len(t, said.lines("the store is full"), 1)
	require.Positive(t, stat(t, "store_full_ns"))
}

// Telegraf writes nothing more once its last batch is in, or has been dropped.
func TestAFullStoreThatEmptiesIsFullNoMoreWithoutAnotherWrite(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(at.Add(24 * time.Hour))) // a clock that stands at 2000 is not believed
		o := output(t, with(dead(dir, append(tiny[:5:5], `sf_max_age = "5m"`)...), `sf_max_total_bytes = "1MiB"`))
		said := listen(o)
		ro := running(t, o, "memory")
		fill(t, ro)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, said.lines("the store is full"), 1)
		require.Empty(t, said.lines("has room again"))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.Less(t, o.Stats().Pending, int64(1000), "all but the last file is too old")
		require.Len(t, said.lines("has room again"), 1)
		full := stat(t, "store_full_ns")
		require.Positive(t, full)
		time.Sleep(time.Hour)
		require.Equal(t, full, stat(t, "store_full_ns"))
		require.Len(t, said.lines("the store is full"), 1)
		require.NoError(t, o.Close())
	})
}

func TestClosingWhileTheStoreIsFullSaysWhatTelegrafStillHolds(t *testing.T) {
	o := output(t, dead(t.TempDir(), tiny[:7]...))
	said := listen(o)
	ro := running(t, o, "memory")
	fill(t, ro)
	require.NoError(t, o.Close())
	lines := said.lines("closing while the store is full")
	require.Len(t, lines, 1)
	require.Contains(t, lines[0], "in_telegraf=100")
	require.Contains(t, lines[0], "dropped_by_telegraf=0")
}

func TestWriteAndCloseWithAFullStoreAndNoServerAreBounded(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		o := connected(t, block("http://127.0.0.1:1", dir, tiny[:4]...))
		batch := make([]telegraf.Metric, 100)
		for i := range batch {
			batch[i] = wide(i)
		}
		var began time.Time
		var err error
		for !errors.Is(err, sfpool.ErrStoreFull) {
			began = time.Now()
			err = o.Write(batch)
		}
		wrote := time.Since(began)
		require.GreaterOrEqual(t, wrote, 2*time.Second, "sf_append_deadline")
		require.NoError(t, o.Close())
		require.LessOrEqual(t, time.Since(began), 8*time.Second)
		t.Logf("write %s, close %s", wrote, time.Since(began)-wrote)
	})
}

func TestAFullStoreDropsWhatItsPolicySaysAndTheAgentGoesOn(t *testing.T) {
	for policy, says := range map[string]string{
		"drop_oldest": "its oldest rows were dropped", "drop_newest": "new rows were dropped",
	} {
		t.Run(policy, func(t *testing.T) {
			srv := serve(t, qwpserver.Options{})
			srv.Stop()
			o := output(t, with(block(srv.URL(), t.TempDir(), tiny...), `sf_full = "`+policy+`"`))
			said := listen(o)
			ro := running(t, o, "memory")
			for made := range 3000 {
				ro.AddMetric(wide(made))
				if made%100 == 99 {
					require.NoError(t, ro.Write())
				}
			}
			require.Equal(t, int64(3000), stat(t, "rows_appended"))
			dropped := stat(t, "rows_evicted")
			require.Positive(t, dropped)
			require.Equal(t, 3000-dropped, stat(t, "rows_pending"))
			require.Zero(t, stat(t, "ledger_violations"))
			lines := said.lines(says)
			require.Len(t, lines, 1, "at once, then in sums")
			for _, part := range []string{"rows=", "bytes=", "from=2023-11-14T22:", "to=2023-11-14T", "limit=sf_max_total_bytes"} {
				require.Contains(t, lines[0], part)
			}
			require.Empty(t, said.lines("metrics stay in Telegraf"))
			require.NoError(t, srv.Restart())
			rows := waitRows(t, srv, 3000-dropped)
			if policy == "drop_oldest" {
				require.Equal(t, int64(2999), rows[len(rows)-1].Values["id"])
			} else {
				require.Equal(t, int64(0), rows[0].Values["id"])
			}
		})
	}
}

func TestTheDefaultIsToDropTheOldestAndToKeepSomeSpaceFree(t *testing.T) {
	o := questdb_sf.New()
	require.Equal(t, "drop_oldest", o.SFFull)
	require.Equal(t, "5%", o.SFMinFreeSpace)
}
