// SPDX-License-Identifier: MIT

package sfpool

import (
	"errors"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/connstr"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/tables"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
)

// connectKey is what one key of the connect string does.
type connectKey struct {
	name    string
	aliases []string
	where   scope
	secret  bool // the next key may be a piece of its value
	set     setter
	idle    string // why it has no effect
	refused string // why it cannot be used, instead of set
}

// scope is where a key can be used.
type scope uint8

const (
	onAny  scope = iota // all schemas
	onTLS               // wss and https
	onHTTP              // http and https
)

// setter checks a value and applies it. Its errors do not repeat the value.
type setter func(*connect, string) error

// to puts what read makes of the value into a field.
func to[T any](read func(string) (T, error), field func(*connect) *T) setter {
	return func(c *connect, value string) error {
		v, err := read(value)
		if err == nil {
			*field(c) = v
		}
		return err
	}
}

// check only reads the value.
func check[T any](read func(string) (T, error)) setter {
	return func(_ *connect, value string) error {
		_, err := read(value)
		return err
	}
}

// orNever turns 0 and less, never, into what Config has for it.
func orNever[T int | int64 | time.Duration](read func(string) (T, error)) func(string) (T, error) {
	return func(value string) (T, error) {
		v, err := read(value)
		if v <= 0 {
			v = -1
		}
		return v, err
	}
}

// Reasons that several keys share.
const (
	forQueries   = "it is for queries"
	callsFlush   = "the caller says when to flush"
	batchGrows   = "a batch grows as needed and is cut into frames"
	neverGivesUp = "rows are kept and tried again until a server takes them"
	isolates     = "a refused row is found and becomes a dead letter, or waits; the others go on"
	logs         = "events go to the logger, without an inbox"
	pingsAdapt   = "while rows are not durable PINGs go out after 200 ms, and less often the longer it takes"
	useReconnect = "not a key here: reconnect_initial_backoff_millis and reconnect_max_backoff_millis set the pace, and " + neverGivesUp
)

// connectKeys are all keys known, after the connect-string reference of QuestDB,
// https://questdb.com/docs/connect/clients/connect-string/. The documentation of
// ParseConfig lists them too.
var connectKeys = []connectKey{
	{name: "addr", set: (*connect).addAddrs},
	{name: "username", aliases: []string{"user"}, set: to(connstr.Text, func(c *connect) *string { return &c.auth.Username })},
	{name: "password", aliases: []string{"pass"}, secret: true, set: to(connstr.Text, func(c *connect) *string { return &c.auth.Password })},
	{name: "token", secret: true, set: to(connstr.Text, func(c *connect) *string { return &c.auth.Token })},
	{name: "token_x", secret: true, set: check(connstr.Text), idle: "it is for ILP over TCP"},
	{name: "token_y", secret: true, set: check(connstr.Text), idle: "it is for ILP over TCP"},
	{name: "tls_verify", where: onTLS, set: to(connstr.OneOf("on", "unsafe_off"), func(c *connect) *string { return &c.verify })},
	{name: "tls_roots", where: onTLS, set: to(connstr.Text, func(c *connect) *string { return &c.roots })},
	{name: "tls_roots_password", refused: "not supported: tls_roots is a PEM file without a password; convert the keystore"},
	{name: "auth_timeout_ms", set: addConnectTimeout},
	{name: "connect_timeout", set: addConnectTimeout},
	{name: "request_timeout", where: onHTTP, set: to(connstr.Millis(1), func(c *connect) *time.Duration { return &c.RequestTimeout })},
	{name: "request_min_throughput", where: onHTTP, set: to(connstr.Size(1), func(c *connect) *int64 { return &c.RequestMinThroughput })},

	{name: "sf_dir", set: to(connstr.Text, func(c *connect) *string { return &c.Dir })},
	{name: "sender_id", set: to(baseName, func(c *connect) *string { return &c.SenderID })},
	{name: "sf_durability", set: to(durability, func(c *connect) *Durability { return &c.Durability })},
	{name: "sf_sync_interval_millis", set: to(connstr.Millis(1), func(c *connect) *time.Duration { return &c.SyncInterval })},
	{name: "sf_max_segment_bytes", aliases: []string{"sf_max_bytes"}, set: to(connstr.Size(0), func(c *connect) *int64 { return &c.MaxSegmentBytes })},
	{name: "sf_max_total_bytes", set: to(connstr.Size(1), func(c *connect) *int64 { return &c.MaxTotalBytes })},
	{name: "dead_letter_max_bytes", set: to(connstr.Size(1), func(c *connect) *int64 { return &c.DeadLetterMaxBytes })},
	{name: "sf_full", set: to(full, func(c *connect) *Full { return &c.Full })},
	{name: "sf_min_free_space", set: to(ParseFreeSpace, func(c *connect) *FreeSpace { return &c.MinFreeSpace })},
	{name: "sf_max_age_millis", set: to(connstr.Millis(0), func(c *connect) *time.Duration { return &c.MaxAge })},
	{name: "sf_retain_acked_millis", set: to(connstr.Millis(0), func(c *connect) *time.Duration { return &c.RetainAcked })},
	{name: "sf_retain_acked_bytes", set: to(connstr.Size(0), func(c *connect) *int64 { return &c.RetainAckedBytes })},
	{name: "quarantine_max_bytes", set: to(orNever(connstr.Size(0)), func(c *connect) *int64 { return &c.QuarantineMaxBytes })},
	{name: "orphans_max_bytes", set: to(connstr.Size(0), func(c *connect) *int64 { return &c.OrphansMaxBytes })},
	{name: "sf_append_deadline_millis", set: to(connstr.Millis(1), func(c *connect) *time.Duration { return &c.AppendDeadline })},
	{name: "drain_orphans", set: to(connstr.Bool, func(c *connect) *bool { return &c.DrainOrphans })},
	{name: "max_background_drainers", set: to(connstr.Int(0), func(c *connect) *int { return &c.MaxBackgroundDrainers })},
	{name: "reconnect_initial_backoff_millis", set: to(connstr.Millis(1), func(c *connect) *time.Duration { return &c.InitialBackoff })},
	{name: "reconnect_max_backoff_millis", set: to(connstr.Millis(1), func(c *connect) *time.Duration { return &c.MaxBackoff })},
	{name: "close_flush_timeout_millis", set: to(orNever(connstr.AnyMillis), func(c *connect) *time.Duration { return &c.CloseFlushTimeout })},

	{name: "sender_pool_min", set: to(orNever(connstr.Int(0)), func(c *connect) *int { return &c.MinSenders })},
	{name: "sender_pool_max", set: to(connstr.Int(1), func(c *connect) *int { return &c.MaxSenders })},
	{name: "acquire_timeout_ms", set: to(orAMilli, func(c *connect) *time.Duration { return &c.AcquireTimeout })},
	{name: "idle_timeout_ms", set: to(orNever(connstr.Millis(0)), func(c *connect) *time.Duration { return &c.IdleTimeout })},
	{name: "max_lifetime_ms", set: to(orNever(connstr.Millis(0)), func(c *connect) *time.Duration { return &c.MaxLifetime })},
	{name: "housekeeper_interval_ms", set: to(connstr.Millis(1), func(c *connect) *time.Duration { return &c.HousekeeperInterval })},

	{name: "max_connections", set: to(connstr.Int(1), func(c *connect) *int { return &c.MaxConnections })},
	{name: "idle_connection_timeout_ms", set: to(orAMilli, func(c *connect) *time.Duration { return &c.IdleConnectionTimeout })},
	{name: "replay_order", set: to(replayOrder, func(c *connect) *ReplayOrder { return &c.ReplayOrder })},
	{name: "replay_rate", set: to(connstr.Size(0), func(c *connect) *int64 { return &c.ReplayRate })},

	{name: "type_conflict", set: to(typeConflict, func(c *connect) *TypeConflict { return &c.TypeConflict })},
	{name: "table_create", set: to(tableCreate, func(c *connect) *TableCreate { return &c.TableCreate })},
	{name: "table_partition_by", set: to(connstr.Text, func(c *connect) *string { return &c.TablePartitionBy })},
	{name: "table_ttl", set: to(connstr.Text, func(c *connect) *string { return &c.TableTTL })},
	{name: "timestamp_column", set: to(connstr.Text, func(c *connect) *string { return &c.TimestampColumn })},
	{name: "timestamp_precision", set: to(nanos, func(c *connect) *bool { return &c.TimestampNanos })},
	{name: "exactly_once", set: to(connstr.Bool, func(c *connect) *bool { return &c.ExactlyOnce })},
	{name: "dedup_lost", set: to(dedupLost, func(c *connect) *DedupLost { return &c.DedupLost })},

	{name: "auto_flush", set: check(onOff), idle: callsFlush},
	{name: "auto_flush_rows", set: check(connstr.OrOff(connstr.Int(0))), idle: callsFlush},
	{name: "auto_flush_interval", set: check(connstr.OrOff(connstr.Millis(0))), idle: callsFlush},
	{name: "auto_flush_bytes", set: check(connstr.OrOff(connstr.Size(0))), idle: callsFlush},
	{name: "init_buf_size", set: check(connstr.Size(0)), idle: batchGrows},
	{name: "max_buf_size", set: check(connstr.Size(0)), idle: batchGrows},
	{name: "max_name_len", set: check(connstr.Int(1)), idle: "names have up to 127 bytes, as in QuestDB"},
	{name: "transaction", set: check(onOff), idle: "each Flush is stored whole or not at all"},
	{name: "gorilla", set: check(onOff), idle: "it is chosen for each column"},
	{name: "in_flight_window", set: check(connstr.Int(0)), idle: "the link bounds what is in flight"},
	{name: "initial_connect_retry", set: check(connstr.OneOf("off", "false", "on", "true", "sync", "async")), idle: "no server need be there at the start"},
	{name: "lazy_connect", set: check(connstr.Bool), idle: "no server need be there at the start"},
	{name: "reconnect_max_duration_millis", set: check(connstr.Millis(0)), idle: neverGivesUp},
	{name: "request_durable_ack", set: to(connstr.Bool, func(c *connect) *bool { return &c.RequestDurableAck })},
	{name: "durable_ack_keepalive_interval_millis", set: check(connstr.AnyMillis), idle: pingsAdapt},
	{name: "error_inbox_capacity", set: check(connstr.Int(16)), idle: logs},
	{name: "connection_listener_inbox_capacity", set: check(connstr.Int(1)), idle: logs},
	{name: "max_frame_rejections", set: to(connstr.Int(1), func(c *connect) *int { return &c.MaxFrameRejections })},
	{name: "poison_min_escalation_window_millis", set: check(connstr.Millis(0)), idle: isolates},
	{name: "catch_up_cap_gap_min_escalation_window_millis", aliases: []string{"catchup_cap_gap_min_escalation_window_millis"}, set: check(connstr.Millis(0)),
		idle: "frames carry their symbols, there is nothing to catch up"},
	{name: "on_server_error", set: check(onError), idle: isolates},
	{name: "on_schema_error", set: check(onError), idle: isolates},
	{name: "on_parse_error", set: check(onError), idle: isolates},
	{name: "on_internal_error", set: check(onError), idle: isolates},
	{name: "on_security_error", set: check(onError), idle: isolates},
	{name: "on_write_error", set: check(onError), idle: isolates},
	{name: "protocol_version", set: check(connstr.OneOf("auto")), idle: "it is agreed with the server at each connect"},

	{name: "target", set: check(connstr.OneOf("any", "primary", "replica")), idle: forQueries},
	{name: "zone", set: check(connstr.Text), idle: forQueries},
	{name: "failover", set: check(connstr.Bool), idle: forQueries},
	{name: "failover_max_attempts", set: check(connstr.Int(0)), idle: forQueries},
	{name: "failover_backoff_initial_ms", set: check(connstr.Millis(0)), idle: forQueries},
	{name: "failover_backoff_max_ms", set: check(connstr.Millis(0)), idle: forQueries},
	{name: "failover_max_duration_ms", set: check(connstr.Millis(0)), idle: forQueries},
	{name: "max_batch_rows", set: check(connstr.Int(0)), idle: forQueries},
	{name: "initial_credit", set: check(connstr.Size(0)), idle: forQueries},
	{name: "buffer_pool_size", set: check(connstr.Int(0)), idle: forQueries},
	{name: "compression", set: check(connstr.OneOf("raw", "zstd", "auto")), idle: forQueries},
	{name: "compression_level", set: check(connstr.Int(0)), idle: forQueries},
	{name: "client_id", set: check(connstr.Text), idle: forQueries},
	{name: "query_close_timeout_ms", set: check(connstr.Millis(0)), idle: forQueries},
	{name: "query_pool_min", set: check(connstr.Int(0)), idle: forQueries},
	{name: "query_pool_max", set: check(connstr.Int(1)), idle: forQueries},

	{name: "retry_timeout", refused: useReconnect},
	{name: "retry_max_backoff_millis", refused: useReconnect},
	{name: "max_backoff", refused: useReconnect},
	{name: "close_timeout", refused: "not a key here: close_flush_timeout_millis is how long Close waits for acks"},
}

func onOff(value string) (string, error) { return connstr.OneOf("on", "off")(value) }

// onError takes the words of Go's client and those of the documentation.
func onError(value string) (string, error) {
	return connstr.OneOf("auto", "halt", "drop", "terminal", "retriable", "retriable_other")(value)
}

// addConnectTimeout adds up: QuestDB's connect_timeout is for the connection,
// auth_timeout_ms for the handshake on it, ConnectTimeout for both together.
func addConnectTimeout(c *connect, value string) error {
	d, err := connstr.Millis(1)(value)
	c.ConnectTimeout += d
	return err
}

// orAMilli takes 0, fail fast, as the least that Config can say.
func orAMilli(value string) (time.Duration, error) {
	d, err := connstr.Millis(0)(value)
	return max(d, time.Millisecond), err
}

func baseName(value string) (string, error) {
	if !senderID.MatchString(value) {
		return "", errors.New("use letters, digits, '-' and '_'")
	}
	return value, nil
}

func durability(value string) (Durability, error) {
	if value == "append" {
		return 0, errors.New("append is not supported: flush syncs before Flush returns, periodic soon after")
	}
	if _, err := connstr.OneOf("memory", "periodic", "flush")(value); err != nil {
		return 0, err
	}
	return slot.ParseDurability(value)
}

func full(value string) (Full, error) {
	if _, err := connstr.OneOf("drop_oldest", "drop_newest", "block")(value); err != nil {
		return 0, err
	}
	return ParseFull(value)
}

func tableCreate(value string) (TableCreate, error) {
	if _, err := connstr.OneOf("server", "sql", "never")(value); err != nil {
		return 0, err
	}
	return tables.ParseCreate(value)
}

func replayOrder(value string) (ReplayOrder, error) {
	if _, err := connstr.OneOf("live_first", "oldest_first")(value); err != nil {
		return 0, err
	}
	return sender.ParseOrder(value)
}

func typeConflict(value string) (TypeConflict, error) {
	if _, err := connstr.OneOf("suffix", "widen", "dead_letter")(value); err != nil {
		return 0, err
	}
	return verdict.ParseConflict(value)
}

func dedupLost(value string) (DedupLost, error) {
	if _, err := connstr.OneOf("hold", "restore")(value); err != nil {
		return 0, err
	}
	return tables.ParseLost(value)
}

func nanos(value string) (bool, error) {
	unit, err := connstr.OneOf("us", "ns")(value)
	return unit == "ns", err
}
