// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"time"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/common/proxy"
	commontls "github.com/influxdata/telegraf/plugins/common/tls"
)

// Options are the options of a block, under the names of QuestDB's connect
// string where it has one. sample.conf says what each means. Blocks of one
// process with the same sf_dir and sender_id share a store; then all of them but
// RowOptions and StatusOptions must be equal.
type Options struct {
	URLs     []string      `toml:"urls"`
	Token    config.Secret `toml:"token"`
	Username config.Secret `toml:"username"`
	Password config.Secret `toml:"password"`
	TLSOptions
	proxy.HTTPProxy

	SFDir           string          `toml:"sf_dir"`
	SenderID        string          `toml:"sender_id"`
	SFUnavailable   string          `toml:"sf_unavailable"`
	RAMMaxBytes     config.Size     `toml:"ram_max_bytes"`
	SFDurability    string          `toml:"sf_durability"`
	SFSyncInterval  config.Duration `toml:"sf_sync_interval"`
	SFMaxTotalBytes config.Size     `toml:"sf_max_total_bytes"`
	SFMinFreeSpace  string          `toml:"sf_min_free_space"`
	SFFull          string          `toml:"sf_full"`
	SFMaxAge        config.Duration `toml:"sf_max_age"`
	// SFRetainAcked and SFRetainAckedBytes of 0 are no limit of what is kept; with both 0
	// nothing is.
	SFRetainAcked      config.Duration `toml:"sf_retain_acked"`
	SFRetainAckedBytes config.Size     `toml:"sf_retain_acked_bytes"`
	SFMaxSegmentBytes  config.Size     `toml:"sf_max_segment_bytes"`
	SFAppendDeadline   config.Duration `toml:"sf_append_deadline"`
	// QuarantineMaxBytes and OrphansMaxBytes of 0 are no cap.
	QuarantineMaxBytes config.Size     `toml:"quarantine_max_bytes"`
	OrphansMaxBytes    config.Size     `toml:"orphans_max_bytes"`
	DrainOrphans       bool            `toml:"drain_orphans"`
	LockTimeout        config.Duration `toml:"lock_timeout"`
	DeadLetterMaxBytes config.Size     `toml:"dead_letter_max_bytes"`
	SFDestination      string          `toml:"sf_destination"`

	Transport             string          `toml:"transport"`
	SenderPoolMax         int             `toml:"sender_pool_max"`
	MaxConnections        int             `toml:"max_connections"`
	IdleConnectionTimeout config.Duration `toml:"idle_connection_timeout"`
	ReplayOrder           string          `toml:"replay_order"`
	// ReplayRate is in bytes a second; 0 is no limit.
	ReplayRate              config.Size     `toml:"replay_rate"`
	Compression             string          `toml:"compression"`
	ConnectTimeout          config.Duration `toml:"connect_timeout"`
	RequestTimeout          config.Duration `toml:"request_timeout"`
	RequestMinThroughput    config.Size     `toml:"request_min_throughput"`
	ReconnectInitialBackoff config.Duration `toml:"reconnect_initial_backoff"`
	ReconnectMaxBackoff     config.Duration `toml:"reconnect_max_backoff"`
	CloseFlushTimeout       config.Duration `toml:"close_flush_timeout"`
	MaxFrameRejections      int             `toml:"max_frame_rejections"`
	RequestDurableAck       bool            `toml:"request_durable_ack"`
	TypeConflict            string          `toml:"type_conflict"`

	TimestampColumn    string `toml:"timestamp_column"`
	TimestampPrecision string `toml:"timestamp_precision"`
	TableCreate        string `toml:"table_create"`
	TablePartitionBy   string `toml:"table_partition_by"`
	TableTTL           string `toml:"table_ttl"`
	ExactlyOnce        bool   `toml:"exactly_once"`
	DedupLost          string `toml:"dedup_lost"`

	// StatusRows is the time between two rows in questdb_sf_status; 0 is none.
	StatusRows config.Duration `toml:"status_rows"`
	RowOptions
	StatusOptions
}

// StatusOptions say how a block is shown. They are a block's own.
type StatusOptions struct {
	StatusAddress string `toml:"status_address"`
}

// RowOptions say how a metric becomes a row. They are a block's own.
type RowOptions struct {
	TableTemplate      string   `toml:"table_template"`
	TablePrefix        string   `toml:"table_prefix"`
	TableTag           string   `toml:"table_tag"`
	SymbolInclude      []string `toml:"symbol_include"`
	SymbolExclude      []string `toml:"symbol_exclude"`
	IntegersAs         string   `toml:"integers_as"`
	BoolType           string   `toml:"bool_type"`
	MergeRows          bool     `toml:"merge_rows"`
	MaxColumnsPerTable int      `toml:"max_columns_per_table"`

	TimeOutOfRange string          `toml:"time_out_of_range"`
	TimeMin        string          `toml:"time_min"`
	TimeMaxFuture  config.Duration `toml:"time_max_future"`
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
		SFUnavailable:           "ram",
		RAMMaxBytes:             32 << 20,
		SFDurability:            "flush",
		SFSyncInterval:          config.Duration(time.Second),
		SFMinFreeSpace:          "5%",
		SFFull:                  "drop_oldest",
		SFMaxSegmentBytes:       1 << 20,
		QuarantineMaxBytes:      256 << 20,
		SFAppendDeadline:        config.Duration(2 * time.Second),
		DrainOrphans:            true,
		LockTimeout:             config.Duration(10 * time.Second),
		DeadLetterMaxBytes:      64 << 20,
		Transport:               "auto",
		SenderPoolMax:           4,
		MaxConnections:          1,
		IdleConnectionTimeout:   config.Duration(5 * time.Second),
		ReplayOrder:             "live_first",
		Compression:             "auto",
		ConnectTimeout:          config.Duration(15 * time.Second),
		RequestTimeout:          config.Duration(30 * time.Second),
		RequestMinThroughput:    4 << 10,
		ReconnectInitialBackoff: config.Duration(100 * time.Millisecond),
		ReconnectMaxBackoff:     config.Duration(time.Minute),
		CloseFlushTimeout:       config.Duration(time.Second),
		MaxFrameRejections:      4,
		TypeConflict:            "suffix",
		TimestampColumn:         "timestamp",
		TimestampPrecision:      "us",
		TableCreate:             "server",
		TablePartitionBy:        "DAY",
		DedupLost:               "hold",
		RowOptions: RowOptions{
			TableTemplate:      "{{ .Name }}",
			SymbolInclude:      []string{"*"},
			IntegersAs:         "long",
			BoolType:           "boolean",
			MaxColumnsPerTable: 1000,
			TimeOutOfRange:     "dead_letter",
			TimeMin:            "2020-01-01T00:00:00Z",
			TimeMaxFuture:      config.Duration(24 * time.Hour),
		},
	}}
}
