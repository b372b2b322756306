// SPDX-License-Identifier: MIT

package questdb_sf_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/metric"
	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// badValues has for each option what cannot be meant, and what its error has to
// say besides the name of the option: the value, and what to write instead.
var badValues = []struct {
	line string
	says []string
}{
	{`urls = []`, []string{"http://127.0.0.1:9000"}},
	{"token = \"t\"\nusername = \"u\"", []string{"username", "one of them"}},
	{"password = \"p\"", []string{"username"}},
	{`urls = ["ftp://x"]`, []string{"ftp", "http"}},
	{`sf_dir = ""`, []string{"write where"}},
	{`sender_id = "a b"`, []string{`"a b"`, "letters"}},
	{`sf_unavailable = "tape"`, []string{`"tape"`, "ram", "wait"}},
	{`ram_max_bytes = "1MiB"`, []string{"1048576", "2097152"}},
	{`sf_durability = "always"`, []string{`"always"`, "flush", "periodic", "memory"}},
	{`sf_sync_interval = "0s"`, []string{"0s", "1ms"}},
	{`sf_max_total_bytes = "1MiB"`, []string{"1048576", "8388608"}},
	{`sf_min_free_space = "100%"`, []string{"100%", "below 100%"}},
	{`sf_min_free_space = "much"`, []string{`"much"`, "5%", "1GiB"}},
	{`sf_min_free_space = ""`, []string{`""`, "5%", "1GiB"}},
	{`sf_full = "panic"`, []string{`"panic"`, "drop_oldest", "drop_newest", "block"}},
	{`sf_max_age = "-1s"`, []string{"-1s", "0s"}},
	{`quarantine_max_bytes = -1`, []string{"-1", "0"}},
	{`orphans_max_bytes = -1`, []string{"-1", "0"}},
	{`sf_max_segment_bytes = "1KiB"`, []string{"1024", "65536"}},
	{`sf_append_deadline = "-1s"`, []string{"-1s", "0s"}},
	{`dead_letter_max_bytes = 0`, []string{"0", "524288"}},
	{`dead_letter_max_bytes = "100KiB"`, []string{"102400", "524288"}},
	{`lock_timeout = "-1s"`, []string{"-1s", "0s"}},
	{`sf_destination = "http://x"`, []string{`"http://x"`, "letters"}},
	{`transport = "tcp"`, []string{`"tcp"`, "auto", "qwp", "ilp"}},
	{`sender_pool_max = 0`, []string{"0", "1"}},
	{`max_frame_rejections = 0`, []string{"0", "1"}},
	{"request_durable_ack = true\ntransport = \"ilp\"", []string{"QWP", "ilp", "auto"}},
	{`type_conflict = "drop"`, []string{"drop", "suffix", "widen", "dead_letter"}},
	{`sender_pool_max = 5000`, []string{"5000", "1024"}},
	{`max_connections = 0`, []string{"0", "1"}},
	{`max_connections = 5000`, []string{"5000", "1024"}},
	{`idle_connection_timeout = "-1s"`, []string{"-1s", "0s"}},
	{`replay_order = "newest"`, []string{"newest", "live_first", "oldest_first"}},
	{`replay_rate = -1`, []string{"-1", "0"}},
	{`compression = "zstd"`, []string{`"zstd"`, "auto", "gzip", "none"}},
	{`connect_timeout = "0s"`, []string{"0s", "1ms"}},
	{`request_timeout = "0s"`, []string{"0s", "1ms"}},
	{`request_min_throughput = 0`, []string{"0", "1 byte"}},
	{`reconnect_initial_backoff = "0s"`, []string{"0s", "1ms"}},
	{`sf_retain_acked = "-1s"`, []string{"-1s", "0s"}},
	{`sf_retain_acked_bytes = -1`, []string{"-1", "0"}},
	{`reconnect_max_backoff = "1ms"`, []string{"1ms", "100ms"}},
	{`close_flush_timeout = "-1s"`, []string{"-1s", "0s"}},
	{`status_address = "host"`, []string{`"host"`, "8090"}},
	{`status_address = "127.0.0.1:99999"`, []string{"99999", "8090"}},
	{`status_address = "http://127.0.0.1:8090"`, []string{"host:port"}},
	{`timestamp_precision = "ms"`, []string{`"ms"`, "us", "ns"}},
	{`timestamp_column = "a.b"`, []string{`"a.b"`}},
	{`table_create = "maybe"`, []string{`"maybe"`, "server", "sql", "never"}},
	{`table_partition_by = "DECADE"`, []string{`"DECADE"`, "DAY"}},
	{`table_ttl = "a while"`, []string{`"a while"`}},
	{`dedup_lost = "ignore"`, []string{`"ignore"`, "hold", "restore"}},
	{`timestamp_column = ""`, []string{`""`, "timestamp"}},
	{`table_template = ""`, []string{`""`}},
	{`table_template = "{{ .Name"`, []string{"{{ .Name"}},
	{`table_template = "{{ .Nome }}"`, []string{"{{ .Nome }}"}},
	{`symbol_include = ["a", "[a"]`, []string{`"[a"`, "*"}},
	{`symbol_exclude = ["[a"]`, []string{`"[a"`, "*"}},
	{`integers_as = "short"`, []string{`"short"`, "long", "double"}},
	{`bool_type = "char"`, []string{`"char"`, "boolean", "long", "symbol"}},
	{`max_columns_per_table = -1`, []string{"-1", "1"}},
	{`time_out_of_range = "drop"`, []string{`"drop"`, "dead_letter", "keep", "now"}},
	{`time_min = "yesterday"`, []string{`"yesterday"`, "2020-01-01T00:00:00Z"}},
	{`time_min = "1969-12-31T23:59:59Z"`, []string{`"1969-12-31T23:59:59Z"`, "1970-01-01T00:00:00Z"}},
	{`time_max_future = "-1s"`, []string{"-1s", "0s"}},
	{`status_rows = "900ms"`, []string{"900ms", "1s", "0s"}},
	{`status_rows = "-1s"`, []string{"-1s", "1s", "0s"}},
	{`tls_min_version = "SSL3"`, []string{"SSL3"}},
	{`tls_cipher_suites = ["ROT13"]`, []string{"ROT13"}},
	{`tls_renegotiation_method = "daily"`, []string{`"daily"`, "never"}},
	{`tls_cert = "/c.pem"`, []string{"/c.pem", "tls_key"}},
	{`http_proxy_url = "proxy"`, []string{"http://host:port"}},
}

func TestEveryBadValueGivesOneClearErrorAndTouchesNothing(t *testing.T) {
	for _, bad := range badValues {
		t.Run(bad.line, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "sf")
			ro, err := load(t, with(block("http://127.0.0.1:9000", dir), bad.line))
			require.NoError(t, err)
			err = ro.Init()
			option, _, _ := strings.Cut(bad.line, " ")
			for _, says := range append(bad.says, inError(option)) {
				require.ErrorContains(t, err, says)
			}
			require.NotContains(t, err.Error(), "\n")
			require.NoDirExists(t, dir)
		})
	}
}

// inError is how an error calls an option: common/tls has words of its own.
func inError(option string) string {
	switch option {
	case "tls_min_version", "tls_cipher_suites", "tls_renegotiation_method":
		return "tls"
	}
	return option
}

// anything are the options that may have any value.
const anything = " username tls_ca tls_key tls_key_pwd tls_server_name insecure_skip_verify tls_enable " +
	"use_system_proxy drain_orphans exactly_once table_prefix table_tag merge_rows "

func TestEveryOptionHasABadValueOrMayBeAnything(t *testing.T) {
	tested := anything
	for _, bad := range badValues {
		option, _, _ := strings.Cut(bad.line, " ")
		tested += option + " "
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[questdb_sf.Options]()) {
		if option := f.Tag.Get("toml"); option != "" {
			require.Contains(t, tested, " "+option+" ")
		}
	}
}

// with puts a line into a block, in place of one that sets the same option.
func with(block, line string) string {
	option, _, _ := strings.Cut(line, "=")
	var lines []string
	for l := range strings.Lines(block) {
		if !strings.HasPrefix(strings.TrimSpace(l), option) {
			lines = append(lines, l)
		}
	}
	return strings.Join(append(lines, line, "\n"), "")
}

func TestInitMayBeCalledTwiceAndTouchesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sf")
	ro, err := load(t, block("http://127.0.0.1:9000", dir, `table_create = "never"`, `exactly_once = true`, `timestamp_column = "ts"`))
	require.NoError(t, err)
	require.NoError(t, ro.Init())
	require.NoError(t, ro.Init())
	require.NoDirExists(t, dir)
}

func TestThePasswordOfAProxyIsNotShown(t *testing.T) {
	for _, proxy := range []string{"http://me:sesame@ho st:1", "me:sesame@host"} {
		ro, err := load(t, block("http://127.0.0.1:9000", "/x", fmt.Sprintf("http_proxy_url = %q", proxy)))
		require.NoError(t, err)
		err = ro.Init()
		require.ErrorContains(t, err, "http_proxy_url")
		require.NotContains(t, err.Error(), "sesame")
	}
}

func TestRowOptionsChangeWhatIsStored(t *testing.T) {
	sym := func(s string) any { return qwpserver.Symbol(s) }
	for option, want := range map[string]map[string]any{
		`symbol_include = ["host"]`:         {"host": sym("a"), "id": "7", "n": int64(1), "b": true},
		`symbol_exclude = ["i*"]`:           {"host": sym("a"), "id": "7", "n": int64(1), "b": true},
		`symbol_include = ["{host,x}"]`:     {"host": sym("a"), "id": "7", "n": int64(1), "b": true},
		`symbol_include = []`:               {"host": sym("a"), "id": sym("7"), "n": int64(1), "b": true},
		`integers_as = "double"`:            {"host": sym("a"), "id": sym("7"), "n": 1.0, "b": true},
		`bool_type = "long"`:                {"host": sym("a"), "id": sym("7"), "n": int64(1), "b": int64(1)},
		`bool_type = "symbol"`:              {"host": sym("a"), "id": sym("7"), "n": int64(1), "b": sym("true")},
		`timestamp_column = "N"`:            {"host": sym("a"), "id": sym("7"), "n_": int64(1), "b": true},
		`table_tag = "id"`:                  {"host": sym("a"), "n": int64(1), "b": true},
		`table_prefix = "p_"`:               {"host": sym("a"), "id": sym("7"), "n": int64(1), "b": true},
		`table_template = "{{.Name}}_of_x"`: {"host": sym("a"), "id": sym("7"), "n": int64(1), "b": true},
		`max_columns_per_table = 3`:         {"host": sym("a"), "id": sym("7"), "b": true},
	} {
		t.Run(option, func(t *testing.T) {
			srv := serve(t, qwpserver.Options{})
			ro := start(t, block(srv.URL(), t.TempDir(), option))
			require.NoError(t, ro.Output.Write([]telegraf.Metric{mixed()}))
			waitRows(t, srv, 1)
			table := srv.Tables()[0]
			require.Equal(t, tableOf(option), table)
			require.Equal(t, want, srv.Rows(table)[0].Values)
		})
	}
}

func tableOf(option string) string {
	switch strings.Fields(option)[0] {
	case "table_tag":
		return "7"
	case "table_prefix":
		return "p_m"
	case "table_template":
		return "m_of_x"
	}
	return "m"
}

func mixed() telegraf.Metric {
	return metric.New("m", map[string]string{"host": "a", "id": "7"}, map[string]interface{}{"n": 1, "b": true}, at)
}

func TestRowsOfOneTimeAreMergedOnRequest(t *testing.T) {
	srv := serve(t, qwpserver.Options{})
	ro := start(t, block(srv.URL(), t.TempDir(), `merge_rows = true`))
	batch := []telegraf.Metric{
		metric.New("m", map[string]string{"host": "a"}, map[string]interface{}{"x": 1}, at),
		metric.New("m", map[string]string{"host": "a"}, map[string]interface{}{"y": 2}, at),
	}
	require.NoError(t, ro.Output.Write(batch))
	rows := waitRows(t, srv, 1)
	require.Equal(t, map[string]any{"host": qwpserver.Symbol("a"), "x": int64(1), "y": int64(2)}, rows[0].Values)
	require.Equal(t, int64(1), srv.Total())
}
