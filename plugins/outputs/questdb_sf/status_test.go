// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

const anyPort = `status_address = "127.0.0.1:0"`

// statusURL returns where the page of a block is, by its log.
func statusURL(t testing.TB, log *heard) string {
	t.Helper()
	require.Eventually(t, func() bool { return len(log.lines("status page")) > 0 }, waitLong, pollOften)
	url := regexp.MustCompile(`url=(\S+)`).FindStringSubmatch(log.lines("status page")[0])
	require.NotNil(t, url, log.lines("status page"))
	return url[1]
}

func get(t testing.TB, url string) string {
	t.Helper()
	c := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := c.Get(url)
	require.NoError(t, err)
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(body)
}

// told is what the tests read of /api/status.
type told struct {
	Stores []struct {
		Dir     string           `json:"sf_dir"`
		Healthy bool             `json:"healthy"`
		Figures map[string]int64 `json:"figures"`
		Slots   []struct {
			Segments []struct{ Rows, Frames, Settled int64 }
		} `json:"slots"`
	} `json:"stores"`
}

func status(t testing.TB, url string) (d told) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(get(t, url+"api/status")), &d))
	return d
}

func TestTheStatusIsTheLedgerDuringAndAfterAnOutage(t *testing.T) {
	srv := serve(t, qwpserver.Options{})
	srv.Stop()
	o := output(t, block(srv.URL(), t.TempDir(), append(quick, anyPort)...))
	log := listen(o)
	ro := running(t, o, "memory")
	url := statusURL(t, log)
	require.NoError(t, ro.Output.Write(series(50)))
	d, rows := status(t, url), int64(0)
	require.Len(t, d.Stores, 1)
	for _, s := range d.Stores[0].Slots {
		for _, g := range s.Segments {
			rows += g.Rows
			require.Zero(t, g.Settled)
		}
	}
	require.Equal(t, int64(50), rows, "in the segments")
	require.Equal(t, int64(50), d.Stores[0].Figures["rows_pending"])
	require.Equal(t, int64(3), d.Stores[0].Figures["durability"])
	require.Positive(t, d.Stores[0].Figures["disk_free_bytes"])
	require.Positive(t, d.Stores[0].Figures["device_syncs"])
	require.Equal(t, stat(t, "rows_pending"), d.Stores[0].Figures["rows_pending"])
	require.NoError(t, srv.Restart())
	require.Eventually(t, func() bool { return o.Stats().Acked == 50 }, waitLong, pollOften)
	d = status(t, url)
	require.Equal(t, int64(50), d.Stores[0].Figures["rows_acked"])
	require.Zero(t, d.Stores[0].Figures["rows_pending"])
	require.Contains(t, get(t, url+"healthz"), "ok, 0 rows pending")
	require.Contains(t, get(t, url+"metrics"), "questdb_sf_ack_latency_seconds_count")
}

func TestAStatusAddressThatIsTakenDisturbsNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	o := output(t, dead(t.TempDir(), `status_address = "`+l.Addr().String()+`"`))
	log := listen(o)
	ro := running(t, o, "memory")
	require.NoError(t, ro.Output.Write(series(5)))
	require.Eventually(t, func() bool { return len(log.lines("cannot listen at status_address")) == 1 }, waitLong, pollOften)
	require.Len(t, log.lines("level=ERROR"), 1)
	require.Equal(t, int64(5), o.Stats().Pending)
}

func TestBlocksOfOneStoreNeedNotAgreeOnTheirStatusAddress(t *testing.T) {
	dir := t.TempDir()
	connected(t, dead(dir))
	o := output(t, dead(dir, anyPort))
	log := listen(o)
	require.NoError(t, o.Init())
	require.NoError(t, o.Connect())
	require.Len(t, status(t, statusURL(t, log)).Stores, 1)
	require.NoError(t, o.Close())
	require.NoError(t, o.Close())
}

// showsNoSecretInStatus looks at everything that status_address shows.
func showsNoSecretInStatus(t testing.TB, log *heard) {
	t.Helper()
	url := statusURL(t, log)
	for _, path := range []string{"", "metrics", "healthz", "api/status"} {
		shows(t, "/"+path, get(t, url+path))
	}
}
