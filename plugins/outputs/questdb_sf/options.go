// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/common/proxy"
	commontls "github.com/influxdata/telegraf/plugins/common/tls"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// Options are the options of a block, under the names of QuestDB's connect
// string where it has one. sample.conf says what each means.
type Options struct {
	URLs     []string      `toml:"urls"`
	Token    config.Secret `toml:"token"`
	Username config.Secret `toml:"username"`
	Password config.Secret `toml:"password"`
	TLSOptions
	proxy.HTTPProxy

	SFDir             string          `toml:"sf_dir"`
	SenderID          string          `toml:"sender_id"`
	SFDestination     string          `toml:"sf_destination"`
	DrainOrphans      bool            `toml:"drain_orphans"`
	SFDurability      string          `toml:"sf_durability"`
	SFSyncInterval    config.Duration `toml:"sf_sync_interval"`
	SFMaxTotalBytes   config.Size     `toml:"sf_max_total_bytes"`
	SFMaxSegmentBytes config.Size     `toml:"sf_max_segment_bytes"`
	SFAppendDeadline  config.Duration `toml:"sf_append_deadline"`
	LockTimeout       config.Duration `toml:"lock_timeout"`

	SenderPoolMax           int             `toml:"sender_pool_max"`
	Transport               string          `toml:"transport"`
	Compression             string          `toml:"compression"`
	ConnectTimeout          config.Duration `toml:"connect_timeout"`
	RequestTimeout          config.Duration `toml:"request_timeout"`
	RequestMinThroughput    config.Size     `toml:"request_min_throughput"`
	ReconnectInitialBackoff config.Duration `toml:"reconnect_initial_backoff"`
	ReconnectMaxBackoff     config.Duration `toml:"reconnect_max_backoff"`
	CloseFlushTimeout       config.Duration `toml:"close_flush_timeout"`

	TimestampPrecision string `toml:"timestamp_precision"`
}

// TLSOptions are the options of common/tls without its methods: Telegraf would
// call TLSConfig while it loads the configuration, and a certificate that is
// missing then must not keep the agent from starting.
type TLSOptions commontls.ClientConfig

// New returns a block with the default options.
func New() *Output {
	return &Output{Options: Options{
		SFDir:                   "/var/lib/telegraf/questdb_sf",
		SenderID:                "default",
		DrainOrphans:            true,
		SFDurability:            "flush",
		SFSyncInterval:          config.Duration(time.Second),
		SFMaxSegmentBytes:       1 << 20,
		SFAppendDeadline:        config.Duration(2 * time.Second),
		LockTimeout:             config.Duration(10 * time.Second),
		SenderPoolMax:           4,
		Transport:               "auto",
		Compression:             "auto",
		ConnectTimeout:          config.Duration(15 * time.Second),
		RequestTimeout:          config.Duration(30 * time.Second),
		RequestMinThroughput:    4 << 10,
		ReconnectInitialBackoff: config.Duration(100 * time.Millisecond),
		ReconnectMaxBackoff:     config.Duration(time.Minute),
		CloseFlushTimeout:       config.Duration(time.Second),
		TimestampPrecision:      "us",
	}}
}

// poolConfig checks the options that only this plugin has and hands on the rest.
func (o *Output) poolConfig() (sfpool.Config, error) {
	cfg := sfpool.Config{
		URLs:                 o.URLs,
		Dir:                  o.SFDir,
		SenderID:             o.SenderID,
		Destination:          o.SFDestination,
		MaxSenders:           o.SenderPoolMax,
		DrainOrphans:         o.DrainOrphans,
		LockTimeout:          max(1, time.Duration(o.LockTimeout)),
		AppendDeadline:       max(1, time.Duration(o.SFAppendDeadline)),
		SyncInterval:         time.Duration(o.SFSyncInterval),
		MaxSegmentBytes:      int64(o.SFMaxSegmentBytes),
		MaxTotalBytes:        int64(o.SFMaxTotalBytes),
		Auth:                 o.auth,
		TLS:                  o.tls,
		ConnectTimeout:       time.Duration(o.ConnectTimeout),
		RequestTimeout:       time.Duration(o.RequestTimeout),
		RequestMinThroughput: int64(o.RequestMinThroughput),
		InitialBackoff:       time.Duration(o.ReconnectInitialBackoff),
		MaxBackoff:           time.Duration(o.ReconnectMaxBackoff),
		CloseFlushTimeout:    noWaitForZero(o.CloseFlushTimeout),
		Logger:               o.Logger,
	}
	err := o.checkDurations()
	if err != nil {
		return cfg, err
	}
	if o.SFDir == "" {
		return cfg, errors.New("sf_dir is missing: name the directory of the store")
	}
	if o.SenderPoolMax < 1 {
		return cfg, fmt.Errorf("sender_pool_max %d: at least 1", o.SenderPoolMax)
	}
	if cfg.Durability, err = slot.ParseDurability(o.SFDurability); err != nil {
		return cfg, fmt.Errorf("sf_durability: %w", err)
	}
	if cfg.Transport, err = link.ParseTransport(o.Transport); err != nil {
		return cfg, fmt.Errorf("transport: %w", err)
	}
	if cfg.Compression, err = link.ParseCompression(o.Compression); err != nil {
		return cfg, fmt.Errorf("compression: %w", err)
	}
	if cfg.Proxy, err = o.HTTPProxy.Proxy(); err != nil {
		return cfg, fmt.Errorf("proxy: %w", err)
	}
	if p := o.TimestampPrecision; p != "us" && p != "ns" {
		return cfg, fmt.Errorf("timestamp_precision %q: use \"us\" or \"ns\"", p)
	}
	return cfg, nil
}

// checkDurations refuses what would be read as a default or mean nothing.
func (o *Output) checkDurations() error {
	for _, d := range []struct {
		name  string
		value config.Duration
		least time.Duration
	}{
		{"sf_sync_interval", o.SFSyncInterval, time.Millisecond},
		{"sf_append_deadline", o.SFAppendDeadline, 0},
		{"lock_timeout", o.LockTimeout, 0},
		{"connect_timeout", o.ConnectTimeout, time.Millisecond},
		{"request_timeout", o.RequestTimeout, time.Millisecond},
		{"reconnect_initial_backoff", o.ReconnectInitialBackoff, time.Millisecond},
		{"reconnect_max_backoff", o.ReconnectMaxBackoff, time.Millisecond},
		{"close_flush_timeout", o.CloseFlushTimeout, 0},
	} {
		if time.Duration(d.value) < d.least {
			return fmt.Errorf("%s %s: at least %s", d.name, time.Duration(d.value), d.least)
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

// auth reads the secrets anew, because stores may rotate them.
func (o *Output) auth() (sfpool.Auth, error) {
	var a sfpool.Auth
	for _, s := range []struct {
		name   string
		secret *config.Secret
		dst    *string
	}{{"token", &o.Token, &a.Token}, {"username", &o.Username, &a.Username}, {"password", &o.Password, &a.Password}} {
		if s.secret.Empty() {
			continue
		}
		buf, err := s.secret.Get()
		if err != nil {
			return a, fmt.Errorf("read %s from its secret store: %w", s.name, err)
		}
		*s.dst = strings.Clone(buf.String()) // the buffer is wiped below
		buf.Destroy()
	}
	return a, nil
}

// tls reads the files anew, because certificates are renewed.
func (o *Output) tls() (*tls.Config, error) {
	return (*commontls.ClientConfig)(&o.TLSOptions).TLSConfig()
}
