// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// feed makes metrics that fill a store, and writes them.
func feed(t testing.TB, write func() error, add func(id int), metrics int) {
	t.Helper()
	for made := range metrics {
		add(made)
		if made%100 == 99 {
			require.NoError(t, write())
		}
	}
}

func TestAFullStoreThatLosesRowsByDefaultIsNotWell(t *testing.T) {
	text := block("http://127.0.0.1:1", t.TempDir(), append(tiny[1:], anyPort)...)
	// What gives way has the time that it needs.
	o := output(t, with(with(text, `sf_max_total_bytes = "1MiB"`), `sf_append_deadline = "1m"`))
	log := listen(o)
	ro := running(t, o, "memory")
	url := statusURL(t, log)
	feed(t, ro.Write, func(id int) { ro.AddMetric(wide(id)) }, 1000)
	require.Contains(t, get(t, url+"healthz"), "ok, 1000 rows pending", "an outage has just begun")
	feed(t, ro.Write, func(id int) { ro.AddMetric(wide(id)) }, 12_000)
	require.Positive(t, stat(t, "rows_evicted"))
	says := get(t, url+"healthz")
	require.Regexp(t, `the store is full: \d+ of 1048576 bytes, see sf_max_total_bytes: `, says)
	require.Contains(t, says, " rows were dropped since ")
	require.Regexp(t, `\nquestdb_sf_healthy\{.*\} 0\n`, get(t, url+"metrics"))
	require.False(t, status(t, url).Stores[0].Healthy)
	page := get(t, url)
	require.Contains(t, page, "not well")
	require.Regexp(t, `data-card="time_to_full_ns" data-value="0">full<`, page)
}

func TestAFullRAMSaysItsOwnFigures(t *testing.T) {
	o := output(t, dead("/dev/null/sf", `ram_max_bytes = "128KiB"`, `sender_pool_max = 1`, `sf_max_segment_bytes = "64KiB"`, anyPort))
	log := listen(o)
	ro := running(t, o, "memory")
	url := statusURL(t, log)
	feed(t, ro.Write, func(id int) { ro.AddMetric(wide(id)) }, 100)
	require.NotContains(t, get(t, url+"healthz"), "full")
	feed(t, ro.Write, func(id int) { ro.AddMetric(wide(id)) }, 2000)
	require.Regexp(t, `rows go to RAM, .*RAM is full: 131072 of 131072 bytes, see ram_max_bytes: \d+ rows were dropped`, get(t, url+"healthz"))
	figures := status(t, url).Stores[0].Figures
	require.Equal(t, int64(131072), figures["store_bytes"])
	require.Equal(t, int64(131072), figures["store_max_bytes"])
}

func TestADiskThatIsShortOfSpaceIsNotCalledAFullStore(t *testing.T) {
	o := output(t, with(block("http://127.0.0.1:1", t.TempDir(), append(tiny, `sf_min_free_space = "1000TiB"`, anyPort)...), `sf_max_total_bytes = "1GiB"`))
	log := listen(o)
	ro := running(t, o, "memory")
	url := statusURL(t, log)
	fill(t, ro)
	require.Regexp(t, `^the disk is short of space: \d+ bytes are free, of which sf_min_free_space is kept, and new rows wait before it`, get(t, url+"healthz"))
	require.Regexp(t, `data-card="time_to_full_ns" data-value="0">full<`, get(t, url))
}

func TestASlotOfNobodyThatIsDamagedIsNotWellAndOneOfAnotherDestinationIs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"old", "strange", "broken"} {
		o := connected(t, dead(dir, `sender_id = "`+name+`"`))
		require.NoError(t, o.Write(series(50)))
		require.NoError(t, o.Close())
	}
	for file, text := range map[string]string{"strange-0/.target": "http://elsewhere:9000\n", "broken-0/.failed": "frame 3\nis damaged"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
	}
	o := output(t, dead(dir, `lock_timeout = "1ms"`, anyPort))
	log := listen(o)
	ro := running(t, o, "memory")
	url := statusURL(t, log)
	time.Sleep(10 * time.Millisecond) // lock_timeout, before which nobody looks
	require.NoError(t, ro.Output.Write(series(1)))
	require.Eventually(t, func() bool {
		return slices.ContainsFunc(o.Stats().Orphans, func(s sfpool.OrphanStats) bool { return s.State == "other destination" }) &&
			status(t, url).Stores[0].Figures["orphans_rows_pending"] == 50
	}, waitLong, pollOften)
	require.Equal(t, "1 slots of nobody are damaged, and their rows are not sent: broken-0: frame 3 is damaged; see the repair command\n", get(t, url+"healthz"))
	require.Equal(t, int64(3), status(t, url).Stores[0].Figures["orphans"])
}

// Telegraf's own count outlives a reload.
func TestWhatWasLostBeforeAReloadIsNotLostAgain(t *testing.T) {
	srv, dir := serve(t, qwpserver.Options{}), t.TempDir()
	srv.Stop()
	o := output(t, block(srv.URL(), dir, tiny...))
	ro := running(t, o, "memory")
	made := fill(t, ro)
	for range 1200 { // of which the buffer has room for 900
		ro.AddMetric(numbered(made))
	}
	before := stat(t, "metrics_dropped_before_store")
	require.Error(t, ro.Write())
	require.Equal(t, before+300, stat(t, "metrics_dropped_before_store"))
	require.NoError(t, o.Close())
	require.NoError(t, srv.Restart())

	again := output(t, block(srv.URL(), dir, append(tiny, `status_rows = "1s"`)...))
	ro = running(t, again, "memory")
	require.Equal(t, before+300, stat(t, "metrics_dropped_before_store"))
	lost := func() int64 {
		have := len(srv.Rows("questdb_sf_status"))
		require.Eventually(t, func() bool { return len(srv.Rows("questdb_sf_status")) > have+1 }, waitLong, pollOften)
		rows := srv.Rows("questdb_sf_status")
		return rows[len(rows)-1].Values["lost"].(int64)
	}
	require.Zero(t, lost())
	for range 1100 { // of which the buffer has room for 1000
		ro.AddMetric(numbered(made))
	}
	require.Equal(t, int64(100), lost())
}
