// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/filter"
	commontls "github.com/influxdata/telegraf/plugins/common/tls"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/status"
	"github.com/questdb-sf/questdb_sf/internal/store"
	"github.com/questdb-sf/questdb_sf/internal/tables"
	"github.com/questdb-sf/questdb_sf/internal/verdict"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// PoolConfig returns what the store is opened with; for programs that look into it.
func (o *Output) PoolConfig() (sfpool.Config, error) { return o.poolConfig() }

// MayShare says whether two blocks agree on all that they have to if they have the same
// sf_dir and sender_id. Connect refuses the second of two that do not.
func (o *Output) MayShare(other *Output) bool { return o.fingerprint() == other.fingerprint() }

// poolConfig checks the options that only this plugin has and hands on the rest.
func (o *Output) poolConfig() (sfpool.Config, error) {
	cfg := sfpool.Config{
		URLs:                  o.URLs,
		Dir:                   o.SFDir,
		SenderID:              o.SenderID,
		Destination:           o.SFDestination,
		MaxSenders:            o.SenderPoolMax,
		DrainOrphans:          o.DrainOrphans,
		LockTimeout:           max(1, time.Duration(o.LockTimeout)),
		AppendDeadline:        max(1, time.Duration(o.SFAppendDeadline)),
		SyncInterval:          time.Duration(o.SFSyncInterval),
		MaxSegmentBytes:       int64(o.SFMaxSegmentBytes),
		MaxTotalBytes:         int64(o.SFMaxTotalBytes),
		DeadLetterMaxBytes:    int64(o.DeadLetterMaxBytes),
		MaxAge:                time.Duration(o.SFMaxAge),
		RetainAcked:           time.Duration(o.SFRetainAcked),
		RetainAckedBytes:      int64(o.SFRetainAckedBytes),
		QuarantineMaxBytes:    noCapForZero(o.QuarantineMaxBytes),
		OrphansMaxBytes:       int64(o.OrphansMaxBytes),
		Auth:                  o.auth,
		TLS:                   o.tls,
		MaxConnections:        o.MaxConnections,
		IdleConnectionTimeout: max(1, time.Duration(o.IdleConnectionTimeout)),
		ReplayRate:            int64(o.ReplayRate),
		RequestDurableAck:     o.RequestDurableAck,
		ConnectTimeout:        time.Duration(o.ConnectTimeout),
		RequestTimeout:        time.Duration(o.RequestTimeout),
		RequestMinThroughput:  int64(o.RequestMinThroughput),
		InitialBackoff:        time.Duration(o.ReconnectInitialBackoff),
		MaxBackoff:            time.Duration(o.ReconnectMaxBackoff),
		CloseFlushTimeout:     noWaitForZero(o.CloseFlushTimeout),
		MaxFrameRejections:    o.MaxFrameRejections,
		TablePartitionBy:      o.TablePartitionBy,
		TableTTL:              o.TableTTL,
		TimestampColumn:       o.TimestampColumn,
		TimestampNanos:        o.TimestampPrecision == "ns",
		ExactlyOnce:           o.ExactlyOnce,
		Logger:                o.Logger,
	}
	err := cmp.Or(o.checkValues(), o.checkCredentials(), o.checkDurations(), o.parseWords(&cfg), o.checkTLS())
	if err != nil {
		return cfg, err
	}
	if cfg.Proxy, err = o.proxy(); err != nil {
		return cfg, err
	}
	return cfg, cfg.Validate()
}

// parseWords reads the options that are one word of several.
func (o *Output) parseWords(cfg *sfpool.Config) (err error) {
	if cfg.Durability, err = slot.ParseDurability(o.SFDurability); err != nil {
		return fmt.Errorf("sf_%w", err)
	}
	if cfg.Full, err = sfpool.ParseFull(o.SFFull); err != nil {
		return fmt.Errorf("sf_%w", err)
	}
	if cfg.MinFreeSpace, err = freeSpace(o.SFMinFreeSpace); err != nil {
		return fmt.Errorf("sf_min_free_space %q: %w", o.SFMinFreeSpace, err)
	}
	if cfg.Transport, err = link.ParseTransport(o.Transport); err != nil {
		return err
	}
	if cfg.Compression, err = link.ParseCompression(o.Compression); err != nil {
		return err
	}
	if cfg.ReplayOrder, err = sender.ParseOrder(o.ReplayOrder); err != nil {
		return err
	}
	if cfg.TypeConflict, err = verdict.ParseConflict(o.TypeConflict); err != nil {
		return err
	}
	if cfg.TableCreate, err = tables.ParseCreate(o.TableCreate); err != nil {
		return err
	}
	if cfg.DedupLost, err = tables.ParseLost(o.DedupLost); err != nil {
		return err
	}
	return cmp.Or(
		oneOf("sf_unavailable", o.SFUnavailable, "ram", "wait"),
		oneOf("timestamp_precision", o.TimestampPrecision, "us", "ns"),
	)
}

// oneOf checks a word where this package alone knows what it means.
func oneOf(option, value, first, second string) error {
	if value != first && value != second {
		return fmt.Errorf("%s %q is unknown: use %s or %s", option, value, first, second)
	}
	return nil
}

// checkValues refuses what would be read as a default or mean nothing.
func (o *Output) checkValues() error {
	switch {
	case o.SFDir == "":
		return errors.New(`sf_dir "" names no directory: write where the store shall be`)
	case o.TimestampColumn == "":
		return errors.New(`timestamp_column "" names no column: write "timestamp", or what it is called in your tables`)
	case o.SenderPoolMax < 1:
		return fmt.Errorf("sender_pool_max %d is too small: use at least 1", o.SenderPoolMax)
	case o.MaxConnections < 1:
		return fmt.Errorf("max_connections %d is too small: use at least 1", o.MaxConnections)
	case o.ReplayRate < 0:
		return fmt.Errorf("replay_rate %d is negative: use bytes per second, or 0 for no limit", o.ReplayRate)
	case o.MaxFrameRejections < 1:
		return fmt.Errorf("max_frame_rejections %d is too small: use at least 1", o.MaxFrameRejections)
	case o.RequestMinThroughput < 1:
		return fmt.Errorf("request_min_throughput %d is too small: use at least 1 byte per second", o.RequestMinThroughput)
	case o.SFUnavailable == "ram" && o.RAMMaxBytes < 2*o.SFMaxSegmentBytes:
		return fmt.Errorf("ram_max_bytes %d is too small: use at least two segments, %d", o.RAMMaxBytes, 2*o.SFMaxSegmentBytes)
	case o.DeadLetterMaxBytes < 1:
		return fmt.Errorf("dead_letter_max_bytes %d is too small: use at least 524288", o.DeadLetterMaxBytes)
	case o.QuarantineMaxBytes < 0:
		return fmt.Errorf("quarantine_max_bytes %d is negative: use a size, or 0 for no cap", o.QuarantineMaxBytes)
	case o.OrphansMaxBytes < 0:
		return fmt.Errorf("orphans_max_bytes %d is negative: use a size, or 0 for no cap", o.OrphansMaxBytes)
	case o.SFRetainAckedBytes < 0:
		return fmt.Errorf("sf_retain_acked_bytes %d is negative: use a size, or 0 for no limit", o.SFRetainAckedBytes)
	case status.Check(o.StatusAddress) != nil:
		return fmt.Errorf("status_address %q: %w", o.StatusAddress, status.Check(o.StatusAddress))
	case o.StatusRows != 0 && time.Duration(o.StatusRows) < time.Second:
		return fmt.Errorf("status_rows %s is too short: use at least 1s, or 0s for none", time.Duration(o.StatusRows))
	case o.MaxColumnsPerTable < 0:
		return fmt.Errorf("max_columns_per_table %d is too small: use at least 1, or 0 for no limit", o.MaxColumnsPerTable)
	}
	return nil
}

// checkCredentials looks at which of them are set. What they are is known when a
// connection is made.
func (o *Output) checkCredentials() error {
	token, username, password := !o.Token.Empty(), !o.Username.Empty(), !o.Password.Empty()
	switch {
	case token && (username || password):
		return errors.New("token, and username or password, are set: keep one of them")
	case password && !username:
		return errors.New("password is set without username: write both")
	}
	return nil
}

// checkDurations refuses what is too short to mean anything.
func (o *Output) checkDurations() error {
	for _, d := range []struct {
		option string
		value  config.Duration
		least  time.Duration
	}{
		{"sf_sync_interval", o.SFSyncInterval, time.Millisecond},
		{"sf_append_deadline", o.SFAppendDeadline, 0},
		{"sf_max_age", o.SFMaxAge, 0},
		{"sf_retain_acked", o.SFRetainAcked, 0},
		{"lock_timeout", o.LockTimeout, 0},
		{"idle_connection_timeout", o.IdleConnectionTimeout, 0},
		{"connect_timeout", o.ConnectTimeout, time.Millisecond},
		{"request_timeout", o.RequestTimeout, time.Millisecond},
		{"reconnect_initial_backoff", o.ReconnectInitialBackoff, time.Millisecond},
		{"reconnect_max_backoff", o.ReconnectMaxBackoff, time.Millisecond},
		{"close_flush_timeout", o.CloseFlushTimeout, 0},
	} {
		if time.Duration(d.value) < d.least {
			return fmt.Errorf("%s %s is too short: use at least %s", d.option, time.Duration(d.value), d.least)
		}
	}
	return nil
}

// noWaitForZero keeps a zero from meaning the default of the pool.
func noWaitForZero(d config.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return time.Duration(d)
}

// noCapForZero is the same for sizes.
func noCapForZero(s config.Size) int64 {
	if s == 0 {
		return -1
	}
	return int64(s)
}

// freeSpace reads a percentage, or a size as Telegraf writes it.
func freeSpace(value string) (sfpool.FreeSpace, error) {
	if strings.HasSuffix(value, "%") {
		return sfpool.ParseFreeSpace(value)
	}
	var size config.Size
	if err := size.UnmarshalText([]byte(value)); err != nil || size < 0 || value == "" {
		return sfpool.FreeSpace{}, errors.New(`use a percentage like "5%", or a size like "1GiB"`)
	}
	return sfpool.FreeSpace{Bytes: int64(size)}, nil
}

// checkTLS checks what needs no file. InsecureSkipVerify makes common/tls look at
// the rest.
func (o *Output) checkTLS() error {
	if (o.TLSCert == "") != (o.TLSKey == "") {
		return fmt.Errorf("tls_cert %q and tls_key %q belong together: write both or none", o.TLSCert, o.TLSKey)
	}
	c := commontls.ClientConfig(o.TLSOptions)
	c.TLSCA, c.TLSCert, c.TLSKey, c.InsecureSkipVerify = "", "", "", true
	if _, err := c.TLSConfig(); err != nil {
		return fmt.Errorf("tls: %w", err)
	}
	return nil
}

// proxy reads http_proxy_url itself, because the error of common/proxy shows the
// password in it.
func (o *Output) proxy() (func(*http.Request) (*url.URL, error), error) {
	if u, err := url.Parse(o.HTTPProxyURL); err != nil || o.HTTPProxyURL != "" && u.Host == "" {
		return nil, errors.New("http_proxy_url is no address of a proxy: write http://host:port")
	}
	return o.HTTPProxy.Proxy()
}

// settings are what a store is opened with.
func (o *Output) settings() (store.Settings, error) {
	pool, err := o.poolConfig()
	return store.Settings{
		Pool: pool, RAM: o.SFUnavailable == "ram", RAMMaxBytes: int64(o.RAMMaxBytes),
		Fleet: o.fleet(&pool), Fingerprint: o.fingerprint(), Log: o.Logger,
	}, err
}

// mappingOptions checks the options of rows.
func (o *Output) mappingOptions() (m mapping.Options, err error) {
	m = mapping.Options{
		Nanos: o.TimestampPrecision == "ns", TimestampColumn: o.TimestampColumn,
		TableTag: o.TableTag, TablePrefix: o.TablePrefix,
		MergeRows: o.MergeRows, MaxColumns: o.MaxColumnsPerTable,
	}
	if m.Table, err = mapping.ParseTable(o.TableTemplate); err != nil {
		return m, err
	}
	if m.IntegersAsDouble, err = mapping.ParseIntegers(o.IntegersAs); err != nil {
		return m, fmt.Errorf("integers_as: %w", err)
	}
	if m.Bool, err = mapping.ParseBoolType(o.BoolType); err != nil {
		return m, fmt.Errorf("bool_type: %w", err)
	}
	if m.Times, err = o.times(); err != nil {
		return m, err
	}
	m.Symbol, err = o.symbols()
	return m, err
}

// symbols tells which tags, by their columns, become SYMBOL; nil is all of them.
func (o *Output) symbols() (func(column string) bool, error) {
	include, err := columnPatterns("symbol_include", o.SymbolInclude)
	if err != nil {
		return nil, err
	}
	exclude, err := columnPatterns("symbol_exclude", o.SymbolExclude)
	if err != nil {
		return nil, err
	}
	if len(exclude) == 0 && slices.Equal(include, []string{"*"}) {
		return nil, nil
	}
	f, err := filter.NewIncludeExcludeFilter(include, exclude)
	if err != nil {
		return nil, fmt.Errorf("symbol_include or symbol_exclude: %w", err)
	}
	return f.Match, nil
}

// columnPatterns turns patterns for tags into those for their columns.
func columnPatterns(option string, tags []string) (columns []string, _ error) {
	for _, tag := range tags {
		if _, err := filter.Compile([]string{tag}); err != nil {
			return nil, fmt.Errorf("%s %q is a pattern that cannot be read (%w): use names, *, ?, [a-z] and {a,b}", option, tag, err)
		}
		columns = append(columns, mapping.Pattern(tag))
	}
	if len(columns) == 1 && strings.Contains(columns[0], "{") {
		columns = append(columns, "/*") // no column is called so; {a,b} alone would be no pattern
	}
	return columns, nil
}
