// SPDX-License-Identifier: MIT

package sfpool

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/connstr"
	"github.com/questdb-sf/questdb_sf/internal/link"
)

// ParseConfig reads QuestDB's connect string,
//
//	wss::addr=h1:9000,h2;sf_dir=/var/lib/sf;sender_id=a;sender_pool_max=4;token=...;
//
// into a Config that passes Validate. Logger, Proxy and the other fields without
// a key are left for the caller. It reads no file and no network.
//
// # Schemas
//
// ws, wss and their other names qwpws, qwpwss speak QWP only. http and https are
// ours: the transport is Auto, so that servers without QWP are reached over ILP,
// and the keys are the same, where QuestDB's clients refuse them. tcp, tcps and
// udp are refused, because over them a server cannot acknowledge.
//
// # Grammar
//
// A value may contain '='; a ';' in it is written ';;'. Keys are case-sensitive,
// and each is given once, under one of its names; addr may come again and adds
// to the list. Sizes are bytes, or have one of the units k, kb, m, mb, g, gb, t,
// tb, of 1024. Durations are milliseconds. Booleans are on, true, off, false.
//
// # Keys
//
//	addr                              URLs; host[:port] in a comma list, port 9000
//	username (user), password (pass)  Auth, HTTP Basic
//	token                             Auth, Bearer, instead of the two
//	tls_verify                        on, unsafe_off; wss and https only
//	tls_roots                         TLS, a PEM file, read at each connect
//	auth_timeout_ms, connect_timeout  ConnectTimeout; both given: their sum
//	request_timeout                   RequestTimeout, in ms; http and https only
//	request_min_throughput            RequestMinThroughput; http and https only
//	sf_dir                            Dir, verbatim; without it rows are in RAM
//	sender_id                         SenderID; needs sf_dir
//	sf_durability                     memory, periodic, flush (ours); needs sf_dir
//	sf_sync_interval_millis           SyncInterval; needs sf_dir and periodic
//	sf_max_segment_bytes (sf_max_bytes)  MaxSegmentBytes, 0 for the default
//	sf_max_total_bytes                MaxTotalBytes
//	dead_letter_max_bytes             DeadLetterMaxBytes (ours); needs sf_dir
//	sf_full                           Full: block, drop_oldest, drop_newest (ours)
//	sf_min_free_space                 MinFreeSpace, as 5% or 1g (ours)
//	sf_max_age_millis                 MaxAge, 0 for never (ours)
//	sf_retain_acked_millis            RetainAcked, 0 for no limit by time (ours)
//	sf_retain_acked_bytes             RetainAckedBytes, 0 for no limit by size (ours)
//	quarantine_max_bytes              QuarantineMaxBytes, 0 for no cap (ours)
//	orphans_max_bytes                 OrphansMaxBytes, 0 for no cap (ours)
//	sf_append_deadline_millis         AppendDeadline
//	drain_orphans                     DrainOrphans; needs sf_dir
//	max_background_drainers           MaxBackgroundDrainers, 0 for the default
//	reconnect_initial_backoff_millis  InitialBackoff
//	reconnect_max_backoff_millis      MaxBackoff
//	close_flush_timeout_millis        CloseFlushTimeout, 0 or less for no wait
//	sender_pool_min, sender_pool_max  MinSenders, 0 for none; MaxSenders
//	acquire_timeout_ms                AcquireTimeout, 0 for 1 ms
//	idle_timeout_ms, max_lifetime_ms  IdleTimeout, MaxLifetime, 0 for ever
//	housekeeper_interval_ms           HousekeeperInterval
//	max_connections                   MaxConnections (ours)
//	idle_connection_timeout_ms        IdleConnectionTimeout, 0 for 1 ms (ours)
//	replay_order                      ReplayOrder: live_first, oldest_first (ours)
//	replay_rate                       ReplayRate, 0 for no bound (ours)
//	request_durable_ack               RequestDurableAck
//	max_frame_rejections              MaxFrameRejections
//	type_conflict                     TypeConflict: suffix, widen, dead_letter (ours)
//	table_create                      TableCreate: server, sql, never (ours)
//	table_partition_by, table_ttl     TablePartitionBy, TableTTL (ours)
//	timestamp_column                  TimestampColumn (ours)
//	timestamp_precision               TimestampNanos: us, ns (ours)
//	exactly_once                      ExactlyOnce (ours)
//	dedup_lost                        DedupLost: hold, restore (ours)
//
// Accepted if well-formed, without effect here: auto_flush, auto_flush_rows,
// auto_flush_interval, auto_flush_bytes, init_buf_size, max_buf_size,
// max_name_len, transaction, gorilla, in_flight_window, initial_connect_retry,
// lazy_connect, reconnect_max_duration_millis,
// durable_ack_keepalive_interval_millis, error_inbox_capacity,
// connection_listener_inbox_capacity,
// poison_min_escalation_window_millis,
// catch_up_cap_gap_min_escalation_window_millis (catchup_cap_gap_...),
// on_server_error, on_schema_error, on_parse_error, on_internal_error,
// on_security_error, on_write_error, protocol_version=auto, token_x, token_y,
// and what is for queries: target, zone, failover, failover_max_attempts,
// failover_backoff_initial_ms, failover_backoff_max_ms,
// failover_max_duration_ms, max_batch_rows, initial_credit, buffer_pool_size,
// compression, compression_level, client_id, query_close_timeout_ms,
// query_pool_min, query_pool_max.
//
// Refused with a hint: tls_roots_password, retry_timeout,
// retry_max_backoff_millis, max_backoff, close_timeout.
//
// # Defaults
//
// A key that is not given leaves the default of Config. These differ from those
// of QuestDB's clients, here in brackets: sf_durability periodic (memory),
// sf_sync_interval_millis 1000 (5000), sf_max_segment_bytes 1m (4m),
// sf_max_total_bytes the smaller of 1g and a tenth of the filesystem, at least two
// segments a slot, for all slots together (10g each), close_flush_timeout_millis 5000 (60000 in Java and
// .NET), reconnect_max_duration_millis without end (300000).
//
// # Errors
//
// Errors name the key, mostly with its byte, counted from 0. Numbers apart, they
// never repeat a value, and nothing that may be the rest of a secret.
func ParseConfig(s string) (Config, error) {
	c, err := parseConnect(s)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return Config{}, fmt.Errorf("connect string: %w", err)
	}
	return c.Config, nil
}

// connect is a connect string being read.
type connect struct {
	Config
	scheme string                  // of the URLs
	given  map[string]connstr.Pair // by the main name of the key
	addrs  []string                // host:port
	auth   Auth
	verify string // tls_verify
	roots  string // tls_roots
}

// schemes are the URL schemes of the schemas.
var schemes = map[string]string{
	"ws": "ws", "qwpws": "ws", "wss": "wss", "qwpwss": "wss", "http": "http", "https": "https",
}

func parseConnect(s string) (*connect, error) {
	schema, pairs, err := connstr.Parse(s)
	if err != nil {
		return nil, err
	}
	c := &connect{scheme: schemes[schema], given: map[string]connstr.Pair{}}
	if c.scheme == "" {
		return nil, schemaError(schema)
	}
	secret := ""
	for _, p := range pairs {
		if secret, err = c.take(p, secret); err != nil {
			return nil, err
		}
	}
	return c, c.finish()
}

func schemaError(schema string) error {
	const use = "use ws, wss, qwpws or qwpwss for QWP, http or https for QWP or ILP"
	switch schema {
	case "tcp", "tcps", "udp", "qwpudp":
		return fmt.Errorf("schema %s: a server cannot acknowledge rows over it, so that nothing could leave the store: %s", schema, use)
	}
	return fmt.Errorf("schema %q is unknown: %s", connstr.Name(schema), use)
}

// take applies one pair. behind is the secret that stands right before it, and
// the result the one that the next pair is behind.
func (c *connect) take(p connstr.Pair, behind string) (secret string, err error) {
	k := findKey(p.Key)
	if k == nil {
		return "", unknownKey(p, behind)
	}
	if prior, again := c.given[k.name]; again && k.name != "addr" {
		return "", at(p, fmt.Errorf("already given as %s at byte %d: keep one", prior.Key, prior.Pos))
	}
	if why := k.refusedOn(c.scheme); why != "" {
		return "", at(p, errors.New(why))
	}
	if err := k.set(c, p.Value); err != nil {
		if k.idle != "" {
			err = fmt.Errorf("%w (the key has no effect here: %s)", err, k.idle)
		}
		return "", at(p, err)
	}
	c.given[k.name] = p
	if k.secret {
		secret = p.Key
	}
	return secret, nil
}

func at(p connstr.Pair, err error) error { return fmt.Errorf("%s at byte %d: %w", p.Key, p.Pos, err) }

// unknownKey does not name what may be the rest of a password with a single ';'.
func unknownKey(p connstr.Pair, behind string) error {
	hint := ""
	if near := connstr.Nearest(p.Key, keyNames()); near != "" {
		hint = ": did you mean " + near + "?"
	}
	if behind == "" {
		return fmt.Errorf("%s at byte %d is not a key%s", connstr.Name(p.Key), p.Pos, hint)
	}
	return fmt.Errorf("what stands at byte %d, behind %s, is not a key%s; if it belongs to %s, write ';;' for its ';'",
		p.Pos, behind, hint, behind)
}

// finish applies what concerns several keys.
func (c *connect) finish() error {
	if len(c.addrs) == 0 {
		return errors.New("addr is missing: name a server, as in addr=localhost:9000")
	}
	for _, a := range c.addrs {
		u := url.URL{Scheme: c.scheme, Host: a}
		c.URLs = append(c.URLs, u.String())
	}
	c.Transport = Auto
	for _, step := range []func() error{c.finishAuth, c.finishTLS, c.finishStore} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func (c *connect) addAddrs(value string) error {
	addrs, err := connstr.Addrs(value, link.DefaultPort)
	if err != nil {
		return err
	}
	for i, a := range addrs {
		if slices.Contains(c.addrs, a) {
			return fmt.Errorf("address %d was there before: keep one", i+1)
		}
		c.addrs = append(c.addrs, a)
	}
	return nil
}

func (c *connect) finishAuth() error {
	_, user := c.given["username"]
	_, pass := c.given["password"]
	_, token := c.given["token"]
	switch {
	case token && (user || pass):
		return errors.New("token excludes username and password: keep one or the other")
	case user != pass:
		return errors.New("username and password need each other: give both, or a token")
	case !user && !token:
		return nil
	}
	auth := c.auth // prints itself without what it holds
	c.Auth = func() (Auth, error) { return auth, nil }
	return auth.Validate()
}

func (c *connect) finishTLS() error {
	insecure, roots := c.verify == "unsafe_off", c.roots
	switch {
	case insecure && roots != "":
		return errors.New("tls_roots and tls_verify=unsafe_off exclude each other: without verification no root is looked at")
	case insecure:
		c.TLS = func() (*tls.Config, error) {
			return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true}, nil
		}
	case roots != "":
		c.TLS = func() (*tls.Config, error) { return trust(roots) }
	}
	return nil
}

// trust returns a configuration that knows only the roots in a PEM file.
func trust(path string) (*tls.Config, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("tls_roots: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls_roots %s: no certificate in it: want PEM, other keystores can be converted", path)
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: pool}, nil
}

func (c *connect) finishStore() error {
	if c.Dir == "" {
		for _, name := range []string{"sender_id", "drain_orphans", "sf_durability", "sf_sync_interval_millis", "dead_letter_max_bytes"} {
			if p, given := c.given[name]; given {
				return at(p, errors.New("needs sf_dir: without it rows are kept in RAM"))
			}
		}
	}
	p, given := c.given["sf_sync_interval_millis"]
	if given && c.Durability != 0 && c.Durability != DurabilityPeriodic {
		return at(p, fmt.Errorf("needs sf_durability=periodic, not %s", c.Durability))
	}
	return nil
}

func keyNames() []string {
	var names []string
	for _, k := range connectKeys {
		names = append(append(names, k.name), k.aliases...)
	}
	return names
}

func findKey(name string) *connectKey {
	i := slices.IndexFunc(connectKeys, func(k connectKey) bool {
		return k.name == name || slices.Contains(k.aliases, name)
	})
	if i < 0 {
		return nil
	}
	return &connectKeys[i]
}

// refusedOn returns why the key cannot be used, or "".
func (k *connectKey) refusedOn(scheme string) string {
	switch {
	case k.refused != "":
		return k.refused
	case k.where == onTLS && scheme != "wss" && scheme != "https":
		return "there is no TLS on " + scheme + ": use wss or https"
	case k.where == onHTTP && !strings.HasPrefix(scheme, "http"):
		return "not a key on " + scheme + ", only on http and https"
	}
	return ""
}
