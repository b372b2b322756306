// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// keyCases has each key that a Config can be made from, with what it changes.
var keyCases = []struct {
	in   string // behind ws::addr=h;
	want sfpool.Config
}{
	{"", sfpool.Config{}},
	{"auth_timeout_ms=15000", sfpool.Config{ConnectTimeout: 15 * time.Second}},
	{"connect_timeout=500", sfpool.Config{ConnectTimeout: 500 * time.Millisecond}},
	{"connect_timeout=500;auth_timeout_ms=1", sfpool.Config{ConnectTimeout: 501 * time.Millisecond}},
	{"sf_dir=~/a=b", sfpool.Config{Dir: "~/a=b"}},
	{"sf_dir=/x;sender_id=a-B_1", sfpool.Config{Dir: "/x", SenderID: "a-B_1"}},
	{"sf_dir=/x;sf_durability=memory", sfpool.Config{Dir: "/x", Durability: sfpool.DurabilityMemory}},
	{"sf_dir=/x;sf_durability=periodic", sfpool.Config{Dir: "/x", Durability: sfpool.DurabilityPeriodic}},
	{"sf_durability=flush;sf_dir=/x", sfpool.Config{Dir: "/x", Durability: sfpool.DurabilityFlush}},
	{"sf_dir=/x;sf_sync_interval_millis=20", sfpool.Config{Dir: "/x", SyncInterval: 20 * time.Millisecond}},
	{
		"sf_dir=/x;sf_sync_interval_millis=20;sf_durability=periodic",
		sfpool.Config{Dir: "/x", SyncInterval: 20 * time.Millisecond, Durability: sfpool.DurabilityPeriodic},
	},
	{"sf_max_segment_bytes=4m", sfpool.Config{MaxSegmentBytes: 4 << 20}},
	{"sf_max_segment_bytes=0", sfpool.Config{}},
	{"sf_max_bytes=64KB", sfpool.Config{MaxSegmentBytes: 64 << 10}},
	{"sf_max_total_bytes=10g", sfpool.Config{MaxTotalBytes: 10 << 30}},
	{"sf_dir=/x;dead_letter_max_bytes=1m", sfpool.Config{Dir: "/x", DeadLetterMaxBytes: 1 << 20}},
	{"sf_full=block", sfpool.Config{Full: sfpool.FullBlock}},
	{"sf_full=drop_oldest", sfpool.Config{Full: sfpool.FullDropOldest}},
	{"sf_full=drop_newest", sfpool.Config{Full: sfpool.FullDropNewest}},
	{"sf_min_free_space=5%", sfpool.Config{MinFreeSpace: sfpool.FreeSpace{Percent: 5}}},
	{"sf_min_free_space=0.5%", sfpool.Config{MinFreeSpace: sfpool.FreeSpace{Percent: 0.5}}},
	{"sf_min_free_space=2g", sfpool.Config{MinFreeSpace: sfpool.FreeSpace{Bytes: 2 << 30}}},
	{"sf_min_free_space=0", sfpool.Config{}},
	{"sf_max_age_millis=60000", sfpool.Config{MaxAge: time.Minute}},
	{"sf_max_age_millis=0", sfpool.Config{}},
	{"sf_retain_acked_millis=60000", sfpool.Config{RetainAcked: time.Minute}},
	{"sf_retain_acked_bytes=1g", sfpool.Config{RetainAckedBytes: 1 << 30}},
	{"quarantine_max_bytes=1m", sfpool.Config{QuarantineMaxBytes: 1 << 20}},
	{"quarantine_max_bytes=0", sfpool.Config{QuarantineMaxBytes: -1}},
	{"orphans_max_bytes=1g", sfpool.Config{OrphansMaxBytes: 1 << 30}},
	{"orphans_max_bytes=0", sfpool.Config{}},
	{"sf_append_deadline_millis=7", sfpool.Config{AppendDeadline: 7 * time.Millisecond}},
	{"sf_dir=/x;drain_orphans=on", sfpool.Config{Dir: "/x", DrainOrphans: true}},
	{"sf_dir=/x;drain_orphans=true", sfpool.Config{Dir: "/x", DrainOrphans: true}},
	{"sf_dir=/x;drain_orphans=off", sfpool.Config{Dir: "/x"}},
	{"max_background_drainers=2", sfpool.Config{MaxBackgroundDrainers: 2}},
	{"max_background_drainers=0", sfpool.Config{}},
	{"reconnect_initial_backoff_millis=50", sfpool.Config{InitialBackoff: 50 * time.Millisecond}},
	{"reconnect_max_backoff_millis=900", sfpool.Config{MaxBackoff: 900 * time.Millisecond}},
	{"close_flush_timeout_millis=60000", sfpool.Config{CloseFlushTimeout: time.Minute}},
	{"close_flush_timeout_millis=0", sfpool.Config{CloseFlushTimeout: -1}},
	{"close_flush_timeout_millis=-9", sfpool.Config{CloseFlushTimeout: -1}},
	{"sender_pool_min=2", sfpool.Config{MinSenders: 2}},
	{"sender_pool_min=0", sfpool.Config{MinSenders: -1}},
	{"sender_pool_max=1024", sfpool.Config{MaxSenders: 1024}},
	{"acquire_timeout_ms=10", sfpool.Config{AcquireTimeout: 10 * time.Millisecond}},
	{"acquire_timeout_ms=0", sfpool.Config{AcquireTimeout: time.Millisecond}},
	{"idle_timeout_ms=10", sfpool.Config{IdleTimeout: 10 * time.Millisecond}},
	{"idle_timeout_ms=0", sfpool.Config{IdleTimeout: -1}},
	{"max_lifetime_ms=10", sfpool.Config{MaxLifetime: 10 * time.Millisecond}},
	{"max_lifetime_ms=0", sfpool.Config{MaxLifetime: -1}},
	{"request_durable_ack=on", sfpool.Config{RequestDurableAck: true}},
	{"request_durable_ack=true", sfpool.Config{RequestDurableAck: true}},
	{"request_durable_ack=off", sfpool.Config{}},
	{"max_frame_rejections=7", sfpool.Config{MaxFrameRejections: 7}},
	{"max_connections=2", sfpool.Config{MaxConnections: 2}},
	{"idle_connection_timeout_ms=250", sfpool.Config{IdleConnectionTimeout: 250 * time.Millisecond}},
	{"idle_connection_timeout_ms=0", sfpool.Config{IdleConnectionTimeout: time.Millisecond}},
	{"replay_order=oldest_first", sfpool.Config{ReplayOrder: sfpool.OldestFirst}},
	{"replay_order=live_first", sfpool.Config{ReplayOrder: sfpool.LiveFirst}},
	{"replay_rate=8k", sfpool.Config{ReplayRate: 8 << 10}},
	{"replay_rate=0", sfpool.Config{}},
	{"type_conflict=widen", sfpool.Config{TypeConflict: sfpool.ConflictWiden}},
	{"type_conflict=dead_letter", sfpool.Config{TypeConflict: sfpool.ConflictDeadLetter}},
	{"type_conflict=suffix", sfpool.Config{}},
	{"housekeeper_interval_ms=10", sfpool.Config{HousekeeperInterval: 10 * time.Millisecond}},
	{"table_create=server", sfpool.Config{}},
	{"table_create=sql", sfpool.Config{TableCreate: sfpool.CreateSQL}},
	{"table_create=never", sfpool.Config{TableCreate: sfpool.CreateNever}},
	{"table_create=sql;table_partition_by=HOUR", sfpool.Config{TableCreate: sfpool.CreateSQL, TablePartitionBy: "HOUR"}},
	{"table_create=sql;table_ttl=30 DAYS", sfpool.Config{TableCreate: sfpool.CreateSQL, TableTTL: "30 DAYS"}},
	{"table_create=sql;timestamp_column=ts", sfpool.Config{TableCreate: sfpool.CreateSQL, TimestampColumn: "ts"}},
	{"timestamp_precision=us", sfpool.Config{}},
	{"timestamp_precision=ns", sfpool.Config{TimestampNanos: true}},
	{"exactly_once=off", sfpool.Config{}},
	{"exactly_once=on", sfpool.Config{ExactlyOnce: true}},
	{"exactly_once=on;dedup_lost=hold", sfpool.Config{ExactlyOnce: true}},
	{"exactly_once=on;dedup_lost=restore", sfpool.Config{ExactlyOnce: true, DedupLost: sfpool.DedupRestore}},
}

func TestKeysSetTheirFieldAndNoOther(t *testing.T) {
	for _, c := range keyCases {
		want := c.want
		want.URLs, want.Transport = []string{"ws://h:9000"}, sfpool.Auto
		if got := parse(t, "ws::addr=h;"+c.in); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", c.in, got, want)
		}
	}
}

// idleKeys are accepted without effect, each with good values and a bad one.
var idleKeys = []struct{ name, good, bad string }{
	{"auto_flush", "on off", "maybe"},
	{"auto_flush_rows", "1000 off", "-1"},
	{"auto_flush_interval", "100 off", "1s"},
	{"auto_flush_bytes", "8m 0 off", "8q"},
	{"init_buf_size", "64k", "x"},
	{"max_buf_size", "100M", "-1"},
	{"max_name_len", "127", "0"},
	{"transaction", "on off", "true"},
	{"gorilla", "on off", "yes"},
	{"in_flight_window", "0 128", "-1"},
	{"initial_connect_retry", "off false on true sync async", "never"},
	{"lazy_connect", "on off true false", "1"},
	{"reconnect_max_duration_millis", "0 300000", "-1"},
	{"durable_ack_keepalive_interval_millis", "200 0 -1", "x"},
	{"error_inbox_capacity", "16", "15"},
	{"connection_listener_inbox_capacity", "1", "0"},
	{"poison_min_escalation_window_millis", "0", "-1"},
	{"catch_up_cap_gap_min_escalation_window_millis", "300000", "-1"},
	{"catchup_cap_gap_min_escalation_window_millis", "300000", "x"},
	{"on_server_error", "auto halt drop terminal retriable retriable_other", "ignore"},
	{"on_schema_error", "halt drop", "x"},
	{"on_parse_error", "halt", "x"},
	{"on_internal_error", "halt", "x"},
	{"on_security_error", "halt", "x"},
	{"on_write_error", "drop", "x"},
	{"protocol_version", "auto", "2"},
	{"target", "any primary replica", "leader"},
	{"zone", "eu-west-1a", ""},
	{"failover", "on off", "x"},
	{"failover_max_attempts", "8", "x"},
	{"failover_backoff_initial_ms", "0", "x"},
	{"failover_backoff_max_ms", "1000", "x"},
	{"failover_max_duration_ms", "30000", "x"},
	{"max_batch_rows", "10", "x"},
	{"initial_credit", "262144", "x"},
	{"buffer_pool_size", "4", "x"},
	{"compression", "raw zstd auto", "gzip"},
	{"compression_level", "3", "x"},
	{"client_id", "me/1.0", ""},
	{"query_close_timeout_ms", "5000", "x"},
	{"query_pool_min", "0", "-1"},
	{"query_pool_max", "4", "0"},
	{"token_x", "aaa", ""},
	{"token_y", "bbb", ""},
}

func TestKeysWithoutEffectAreCheckedAndChangeNothing(t *testing.T) {
	want := parse(t, "ws::addr=h")
	for _, k := range idleKeys {
		for _, v := range strings.Fields(k.good) {
			if got := parse(t, "ws::addr=h;"+k.name+"="+v); !reflect.DeepEqual(got, want) {
				t.Errorf("%s=%s changed %+v", k.name, v, got)
			}
		}
		_, err := sfpool.ParseConfig("ws::addr=h;" + k.name + "=" + k.bad)
		if err == nil || k.bad != "" && !strings.Contains(err.Error(), k.name+" at byte 11: ") {
			t.Errorf("%s=%s: %v", k.name, k.bad, err)
		}
		if k.bad != "" && !strings.Contains(err.Error(), "no effect") {
			t.Errorf("%s: the error does not say that the key can go: %v", k.name, err)
		}
	}
}

// TestEveryKeyIsDocumentedAndTested holds the table of keys, the documentation
// and the tests together.
func TestEveryKeyIsDocumentedAndTested(t *testing.T) {
	doc, _, _ := strings.Cut(source(t, "connect.go"), "func ParseConfig")
	tests := source(t, "connect_test.go") + source(t, "connectkeys_test.go")
	named := regexp.MustCompile(`(?:name: |aliases: \[\]string\{)"(\w+)"`).FindAllStringSubmatch(source(t, "connectkeys.go"), -1)
	if len(named) < 70 {
		t.Fatalf("%d keys found", len(named))
	}
	for _, m := range named {
		key := regexp.MustCompile(`\b` + m[1] + `\b`)
		if !key.MatchString(doc) && !strings.HasPrefix(m[1], "catchup_") {
			t.Errorf("%s is not in the documentation of ParseConfig", m[1])
		}
		if !regexp.MustCompile(`[";]` + m[1] + `[="]`).MatchString(tests) {
			t.Errorf("%s is not tested", m[1])
		}
	}
}

func source(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
