// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/metric"
	"github.com/influxdata/telegraf/models"
	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

var at = time.Unix(1700000000, 0)

// load reads a configuration as Telegraf does.
func load(t testing.TB, text string) (*models.RunningOutput, error) {
	t.Helper()
	c := config.NewConfig()
	if err := c.LoadConfigData([]byte(text), "test.conf"); err != nil {
		return nil, err
	}
	if err := c.LinkSecrets(); err != nil {
		return nil, err
	}
	require.Len(t, c.Outputs, 1)
	return c.Outputs[0], nil
}

// block is the shortest configuration, and what a test adds to it.
func block(url, dir string, more ...string) string {
	return fmt.Sprintf("[[outputs.questdb_sf]]\n  urls = [%q]\n  sf_dir = %q\n%s\n", url, dir, strings.Join(more, "\n"))
}

func start(t testing.TB, text string) *models.RunningOutput {
	t.Helper()
	ro, err := load(t, text)
	require.NoError(t, err)
	require.NoError(t, ro.Init())
	require.NoError(t, ro.Connect())
	t.Cleanup(ro.Close)
	return ro
}

func serve(t testing.TB, o qwpserver.Options) *qwpserver.Server {
	t.Helper()
	s, err := qwpserver.Start(o)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func waitRows(t testing.TB, s *qwpserver.Server, n int64) []qwpserver.Row {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	require.NoError(t, s.Wait(ctx, func(st *qwpserver.State) bool { return st.Rows >= n }))
	return s.Rows("m")
}

func numbered(n int) telegraf.Metric {
	return metric.New("m", map[string]string{"host": "a"}, map[string]interface{}{"id": n}, at)
}

func TestThreeLinesAreEnough(t *testing.T) {
	srv := serve(t, qwpserver.Options{})
	ro := start(t, block(srv.URL(), t.TempDir()))
	ro.AddMetric(numbered(1))
	require.NoError(t, ro.Write())
	rows := waitRows(t, srv, 1)
	require.Equal(t, map[string]any{"host": qwpserver.Symbol("a"), "id": int64(1)}, rows[0].Values)
	require.Equal(t, at.UnixNano(), rows[0].Time)
}

func TestAnUnknownOptionIsNamed(t *testing.T) {
	_, err := load(t, block("http://x", "/x", `sf_dirr = "y"`))
	require.ErrorContains(t, err, "sf_dirr")
}

func TestAMissingCertificateDoesNotKeepTheAgentFromStarting(t *testing.T) {
	ro := start(t, block("https://127.0.0.1:1", t.TempDir(), `tls_ca = "/does/not/exist.pem"`))
	ro.AddMetric(numbered(1))
	require.NoError(t, ro.Write())
}

func TestCredentialsReachTheServerAndNeverTheLog(t *testing.T) {
	srv := serve(t, qwpserver.Options{User: "box", Password: "open-sesame"})
	var said bytes.Buffer
	for _, password := range []string{"wrong-sesame", "open-sesame"} {
		ro, err := load(t, block(srv.URL(), t.TempDir(), `username = "box"`, fmt.Sprintf("password = %q", password),
			`close_flush_timeout = "100ms"`))
		require.NoError(t, err)
		ro.Output.(*questdb_sf.Output).Logger = slog.New(slog.NewTextHandler(&said, nil))
		require.NoError(t, ro.Init())
		require.NoError(t, ro.Connect())
		require.NoError(t, ro.Output.Write([]telegraf.Metric{numbered(1)}))
		ro.Close()
	}
	waitRows(t, srv, 1)
	require.Contains(t, said.String(), "refused the credentials")
	require.NotContains(t, said.String(), "sesame")
}

func BenchmarkWrite(b *testing.B) {
	srv := serve(b, qwpserver.Options{KeepRows: -1})
	ro := start(b, block(srv.URL(), b.TempDir()))
	batch := make([]telegraf.Metric, 1000)
	for i := range batch {
		batch[i] = numbered(i)
	}
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, ro.Output.Write(batch))
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "rows/s")
}
