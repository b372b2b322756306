// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"regexp"
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

func TestEveryOptionOfTheSampleIsKnownAndItsDefault(t *testing.T) {
	sample, err := os.ReadFile("sample.conf")
	require.NoError(t, err)
	require.Equal(t, string(sample), questdb_sf.New().SampleConfig())
	all := regexp.MustCompile(`(?m)^  # ([a-z_]+ = )`).ReplaceAllString(string(sample), "  $1")
	all = regexp.MustCompile(`(?m)^  (tls_\w+) = .*$`).ReplaceAllString(all, "  $1 = \"\"")
	ro, err := load(t, all)
	require.NoError(t, err)
	got, want := ro.Output.(*questdb_sf.Output).Options, questdb_sf.New().Options
	for _, o := range []*questdb_sf.Options{&got, &want} { // what the sample sets as an example
		o.URLs, o.Token, o.Username, o.Password = nil, config.Secret{}, config.Secret{}, config.Secret{}
	}
	require.Equal(t, want, got)
}

func TestAnUnknownOptionIsNamed(t *testing.T) {
	_, err := load(t, block("http://x", "/x", `sf_dirr = "y"`))
	require.ErrorContains(t, err, "sf_dirr")
}

func TestInitRefusesBadOptionsAndTouchesNothing(t *testing.T) {
	for option, says := range map[string]string{
		`sender_id = "a b"`:            "sender_id",
		`sf_durability = "always"`:     "sf_durability",
		`transport = "tcp"`:            "transport",
		`compression = "zstd"`:         "compression",
		`timestamp_precision = "ms"`:   "timestamp_precision",
		`sf_max_segment_bytes = "1KB"`: "sf_max_segment_bytes",
	} {
		dir := filepath.Join(t.TempDir(), "sf")
		ro, err := load(t, block("http://127.0.0.1:9000", dir, option))
		require.NoError(t, err)
		require.ErrorContains(t, ro.Init(), says)
		require.NoDirExists(t, dir)
	}
}

func TestAMissingCertificateDoesNotKeepTheAgentFromStarting(t *testing.T) {
	ro := start(t, block("https://127.0.0.1:1", t.TempDir(), `tls_ca = "/does/not/exist.pem"`))
	ro.AddMetric(numbered(1))
	require.NoError(t, ro.Write())
}

func TestEveryValueOfAMetricIsStoredAndTheMetricLeftAlone(t *testing.T) {
	srv := serve(t, qwpserver.Options{})
	ro := start(t, block(srv.URL(), t.TempDir()))
	m := metric.New("m", map[string]string{"z": "1", "a": ""}, map[string]interface{}{
		"i": int64(math.MinInt64), "u": uint64(math.MaxUint64), "f": 1.5, "nan": math.NaN(), "b": true, "s": "x\x00y", "timestamp": 7,
	}, at)
	m.AddField("nil", nil)
	before := describe(m)
	require.NoError(t, ro.Output.Write([]telegraf.Metric{m}))
	require.Equal(t, before, describe(m))
	require.Equal(t, map[string]any{
		"z": qwpserver.Symbol("1"), "i": int64(math.MinInt64 + 1), "u": int64(math.MaxInt64), "f": 1.5, "b": true,
		"s": "x\uFFFDy", "timestamp_": int64(7),
	}, waitRows(t, srv, 1)[0].Values)
}

func describe(m telegraf.Metric) string {
	var b strings.Builder
	fmt.Fprintln(&b, m.Name(), m.Time())
	for _, tag := range m.TagList() {
		fmt.Fprintln(&b, *tag)
	}
	for _, f := range m.FieldList() {
		fmt.Fprintf(&b, "%q %#v\n", f.Key, f.Value)
	}
	return b.String()
}

func TestAHeldStoreKeepsMetricsInTelegrafUntilItIsFree(t *testing.T) {
	srv := serve(t, qwpserver.Options{})
	dir := t.TempDir()
	owner := start(t, block(srv.URL(), dir))
	ro := start(t, block(srv.URL(), dir, `lock_timeout = "1ms"`))
	ro.AddMetric(numbered(1))
	require.ErrorContains(t, ro.Write(), "slot already in use by another process")
	require.Equal(t, 1, ro.BufferLength())
	owner.Close()
	require.NoError(t, ro.Write())
	waitRows(t, srv, 1)
}

func TestAFullStoreReturnsAnErrorAndTelegrafKeepsTheBatch(t *testing.T) {
	ro := start(t, block("http://127.0.0.1:1", t.TempDir(),
		`sf_max_segment_bytes = "64KiB"`, `sf_max_total_bytes = "128KiB"`, `sf_append_deadline = "1ms"`, `close_flush_timeout = "0s"`))
	var err error
	for n := 0; err == nil && n < 100_000; n += 1000 {
		for i := range 1000 {
			ro.AddMetric(numbered(n + i))
		}
		err = ro.Write()
	}
	require.ErrorContains(t, err, "full")
	require.GreaterOrEqual(t, ro.BufferLength(), 1000)
}

func TestAPanicInWriteIsAnError(t *testing.T) {
	ro := start(t, block("http://127.0.0.1:1", t.TempDir(), `close_flush_timeout = "0s"`))
	err := ro.Output.Write([]telegraf.Metric{nil})
	require.ErrorContains(t, err, "bug: panic in Write")
	require.NoError(t, ro.Output.Write([]telegraf.Metric{numbered(1)}))
}

func TestCloseWithoutConnectAndTwiceIsQuiet(t *testing.T) {
	o := questdb_sf.New()
	require.NoError(t, o.Close())
	o.URLs, o.SFDir = []string{"http://127.0.0.1:1"}, t.TempDir()
	require.NoError(t, o.Init())
	require.NoError(t, o.Connect())
	require.NoError(t, o.Close())
	require.NoError(t, o.Close())
	require.NoError(t, o.Connect(), "a plugin that was closed connects again")
	require.NoError(t, o.Close())
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

func TestTheAgentConfigurationAtTheTopRunsAsItIs(t *testing.T) {
	text, err := os.ReadFile("../../../sample.conf")
	require.NoError(t, err)
	c := config.NewConfig()
	c.InputFilters = []string{"-"} // the inputs are Telegraf's own
	require.NoError(t, c.LoadConfigData(text, "sample.conf"))
	require.Len(t, c.Outputs, 1)
	require.NoError(t, c.Outputs[0].Init())
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
