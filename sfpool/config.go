// SPDX-License-Identifier: MIT

package sfpool

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/mounts"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// Config configures a Pool. The zero value of a field means its default.
type Config struct {
	// URLs are the endpoints of one QuestDB, tried in order: http or https, ws
	// or wss for QWP only. Required.
	URLs []string
	// Dir is the directory of the slots, sf_dir, created if missing. Without it
	// the pool keeps rows in RAM only: same sending, but nothing survives the
	// process. Once Dir is gone, or on another filesystem, a Flush fails before it
	// writes; close the pool then and open it again.
	Dir string
	// SenderID is the base of the slot names, letters, digits, '-' and '_'.
	// Default "default". Two pools must not share Dir and SenderID.
	SenderID string
	// Beside says that the pool with this SenderID is open, in another process perhaps:
	// this one drains orphans beside it, and is for nothing else. One at a time can. What
	// the server refuses of theirs, the other takes over: it feeds those rows back with
	// its own. Needs Dir.
	Beside bool
	// Destination is a label for where the rows belong, which each slot keeps in
	// .target. Default: the sorted URLs. Slots with another target are never
	// drained by this pool.
	Destination string

	// MinSenders are kept open, and opened by Open: default 1, negative for none.
	// MaxSenders is the number of slots: default 4.
	MinSenders, MaxSenders int
	// AcquireTimeout is the longest wait in Borrow. Default 5s.
	AcquireTimeout time.Duration
	// IdleTimeout is how long a sender above MinSenders with nothing pending stays
	// open unused. Default 1m, negative for ever.
	IdleTimeout time.Duration
	// MaxLifetime is how long a connection is used; the sender and its slot stay
	// open. Default 30m, negative for ever.
	MaxLifetime time.Duration
	// HousekeeperInterval is the time between looks at what did not work at once:
	// leaked slots, slots to recover, orphans that somebody held. Default 5s.
	HousekeeperInterval time.Duration
	// DrainOrphans empties slots in Dir that belong to nobody who is alive.
	DrainOrphans bool
	// MaxBackgroundDrainers is how many orphans are drained at a time. Default 4.
	MaxBackgroundDrainers int
	// LockTimeout is how long after Open other pools are given to lock their slots
	// before orphans are looked for. Default 10s.
	LockTimeout time.Duration

	// Durability defaults to DurabilityPeriodic.
	Durability Durability
	// SyncInterval is the longest time at risk under DurabilityPeriodic.
	// Default 1s.
	SyncInterval time.Duration
	// MaxSegmentBytes is the size of one preallocated segment file, and the
	// limit of a frame. Default 1 MiB.
	MaxSegmentBytes int64
	// MaxTotalBytes caps the segment files of all open slots together, at least two
	// segments for each of MaxSenders: so many each may have. Orphans that are being
	// drained do not count. Default: the smaller of 1 GiB and a tenth of the
	// filesystem, but not less than that; 128 MiB in RAM, where two segments will do.
	MaxTotalBytes int64
	// DeadLetterMaxBytes caps the files of dead letters together, at least 512 KiB:
	// the oldest go, and those that may still be delivered last. Default 64 MiB.
	DeadLetterMaxBytes int64
	// MinFreeSpace is what the store leaves free of its filesystem. Where it would
	// take from that, the store is full, as with MaxTotalBytes. Default: nothing.
	MinFreeSpace FreeSpace
	// Full says what gives way when the store is full. Default FullBlock.
	Full Full
	// AppendDeadline is the longest wait for room in a Flush, which the context
	// of the Flush may shorten. Default 30s.
	AppendDeadline time.Duration
	// MaxAge drops rows that are stored longer and not acked: whole segments, when
	// the last row in them is that old. Default: never.
	MaxAge time.Duration
	// RetainAcked keeps acked segments in their slots for so long, and up to
	// RetainAckedBytes of all slots together, for Rewind; 0 is no limit by time, or by
	// size. Default: both 0, nothing is kept. The files do not count in MaxTotalBytes,
	// and are removed first, the oldest of them, where the disk is short or MinFreeSpace
	// would be touched. Kept are whole segments, when all before them is acked too.
	// Those behind rows that wait then take their room until these are acked.
	RetainAcked      time.Duration
	RetainAckedBytes int64
	// QuarantineMaxBytes caps what was quarantined in the slots; the oldest files
	// beyond it are removed. Default 256 MiB, negative for no cap.
	QuarantineMaxBytes int64
	// OrphansMaxBytes caps the segment files of orphans that this pool may drain: the
	// oldest segments of one being drained are dropped until all fit. Those that belong
	// elsewhere do not count. Default: no cap; then a backlog
	// larger than MaxTotalBytes is logged once.
	OrphansMaxBytes int64

	// MaxConnections is how many connections to the server there are at a time, whatever
	// the number of senders: they take turns. Default MaxSenders. QuestDB takes 256 in
	// all by default. Questions about tables go over the same over ILP; over QWP there is
	// one more for them, now and then.
	MaxConnections int
	// IdleConnectionTimeout is how long a connection is kept that nothing is sent on.
	// Default 5s.
	IdleConnectionTimeout time.Duration
	// ReplayOrder says what goes first when there is a backlog. Default LiveFirst.
	ReplayOrder ReplayOrder
	// ReplayRate bounds how fast backlogs are sent, in bytes of frames a second for the
	// whole pool: what is stored for more than a few seconds. Default 0, no bound.
	ReplayRate int64
	// Transport defaults to Auto.
	Transport Transport
	// Auth is asked at every connect; nil means none.
	Auth func() (Auth, error)
	// TLS is asked at every connect; nil means the system's roots.
	TLS func() (*tls.Config, error)
	// Proxy chooses a proxy for a request; nil means none.
	Proxy func(*http.Request) (*url.URL, error)
	// RequestDurableAck lets rows leave the store when they are durable on the server,
	// not as soon as it has them: when they survive the loss of that server. It is for
	// QuestDB Enterprise with replication, over QWP. Rows wait for a server that offers
	// it; without QWP there is none. What is on its way to being durable is sent again
	// when a connection breaks, up to 64 MiB a sender.
	RequestDurableAck bool
	// Compression defaults to CompressionAuto.
	Compression Compression
	// ConnectTimeout bounds a connect and the answer to it. Default 15s.
	ConnectTimeout time.Duration
	// RequestTimeout bounds the wait for an answer, plus one second for each
	// RequestMinThroughput bytes of the request. Defaults 30s and 4 KiB.
	RequestTimeout       time.Duration
	RequestMinThroughput int64
	// InitialBackoff and MaxBackoff bound the wait between attempts. Defaults
	// 100ms and 5s.
	InitialBackoff, MaxBackoff time.Duration
	// CloseFlushTimeout is how long Close waits for acks; what is not acked
	// stays on disk. Default 5s, negative for no wait.
	CloseFlushTimeout time.Duration

	// TableCreate says who creates tables that are missing: CreateServer, the
	// default, CreateSQL or CreateNever. The four fields that follow are for tables
	// that this pool creates; others stay as they are.
	TableCreate TableCreate
	// TablePartitionBy is HOUR, DAY, WEEK, MONTH or YEAR. Default DAY.
	TablePartitionBy string
	// TableTTL is how long rows are kept, such as "30 DAYS" or "4w". Default: for
	// ever.
	TableTTL string
	// TimestampColumn names the designated timestamp. Default "timestamp". A table
	// that has one of another name keeps it.
	TimestampColumn string
	// TimestampNanos makes it TIMESTAMP_NS instead of TIMESTAMP. The time of a row
	// goes out in the unit it was given in, whatever this says.
	TimestampNanos bool
	// ExactlyOnce gives each row an id, sf_row_id, at the time it is sent, and
	// wants tables with DEDUP UPSERT KEYS of the timestamp and that column, so that
	// rows sent twice are stored once. It makes CreateServer mean CreateSQL. It
	// costs 8 bytes a row and a look at each table every minute.
	ExactlyOnce bool
	// DedupLost says what becomes of the rows of a table without those keys:
	// DedupHold, the default, or DedupRestore. For ExactlyOnce only.
	DedupLost DedupLost

	// TypeConflict says what becomes of a value whose type its column refuses:
	// ConflictSuffix, the default, ConflictWiden or ConflictDeadLetter.
	TypeConflict TypeConflict
	// MaxFrameRejections is how often a frame is refused, without a word on which row
	// it is, until its rows are tried apart. Default 4.
	MaxFrameRejections int

	// OnServer hears how the server is: an error with each connection that breaks and
	// each attempt that fails while rows wait for it, nil whenever it takes rows, a
	// moment before they count as acked. Refusals of rows are not told. It is called by
	// the goroutines that send, several at once, must be quick, and may call Stats. Nil:
	// nobody hears.
	OnServer func(err error)

	// ClientID is told to the server. Default "questdb_sf".
	ClientID string
	// Logger receives what an operator should know. Default: nothing is logged.
	Logger *slog.Logger
	// Rand draws from [0, 1) for backoff. Default math/rand.
	Rand func() float64
	// FS is the filesystem; tests replace it. Default the real one.
	FS vfs.FS
	// Mounts are the files that tell whether the filesystem for Dir is mounted.
	// Default those of the system, and none where FS is replaced.
	Mounts *mounts.Tables
	// MountPoint must be mounted for Dir to be used, besides what /etc/fstab lists:
	// see Pool.MountPoint. Default "", none.
	MountPoint string
	// Now is the clock on the wall; tests replace it. Default time.Now.
	Now func() time.Time
}

var (
	senderID = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	// label is no URL, and one line.
	label = regexp.MustCompile(`^[\pL\pN_.,@# -]{1,256}$`)
)

// Validate checks a configuration without touching disk or network.
func (c Config) Validate() error {
	if err := vfs.Supported(); err != nil && c.FS == nil {
		return err
	}
	durability := c.Durability
	c = c.withDefaults()
	switch {
	case !senderID.MatchString(c.SenderID):
		return fmt.Errorf("sender_id %q: use letters, digits, '-' and '_'", c.SenderID)
	case strings.HasSuffix(c.SenderID, importedSuffix):
		return fmt.Errorf("sender_id %q: the ending %q is that of slots that were renamed", c.SenderID, importedSuffix)
	case strings.HasSuffix(c.SenderID, ImportSuffix):
		return fmt.Errorf("sender_id %q: the ending %q is that of slots that were imported from a file", c.SenderID, ImportSuffix)
	case strings.HasSuffix(c.SenderID, rewindSuffix):
		return fmt.Errorf("sender_id %q: the ending %q is that of slots that rewind makes", c.SenderID, rewindSuffix)
	case c.MaxSegmentBytes < minSegmentBytes || c.MaxSegmentBytes > maxSegmentBytes:
		return fmt.Errorf("sf_max_segment_bytes %d: from %d to %d", c.MaxSegmentBytes, minSegmentBytes, maxSegmentBytes)
	case c.MaxTotalBytes != 0 && c.MaxTotalBytes < c.leastTotal():
		return fmt.Errorf("sf_max_total_bytes %d: at least two segments for each slot, %d", c.MaxTotalBytes, c.leastTotal())
	case c.DeadLetterMaxBytes < deadletter.MinBytes:
		return fmt.Errorf("dead_letter_max_bytes %d: at least %d", c.DeadLetterMaxBytes, deadletter.MinBytes)
	case c.SyncInterval < 0 || c.InitialBackoff < 0 || c.ConnectTimeout < 0 || c.RequestTimeout < 0:
		return errors.New("a negative duration: sf_sync_interval, reconnect_initial_backoff, connect_timeout or request_timeout")
	case c.InitialBackoff > c.MaxBackoff:
		return fmt.Errorf("reconnect_initial_backoff %s exceeds reconnect_max_backoff %s", c.InitialBackoff, c.MaxBackoff)
	case c.MaxSenders < 1 || c.MaxSenders > maxSenders:
		return fmt.Errorf("sender_pool_max %d: from 1 to %d", c.MaxSenders, maxSenders)
	case c.MinSenders > c.MaxSenders:
		return fmt.Errorf("sender_pool_min %d exceeds sender_pool_max %d", c.MinSenders, c.MaxSenders)
	case c.AcquireTimeout < 0 || c.AppendDeadline < 0 || c.HousekeeperInterval < 0 || c.LockTimeout < 0:
		return errors.New("a negative duration: acquire_timeout, sf_append_deadline, housekeeper_interval or lock_timeout")
	case c.MaxConnections < 1 || c.MaxConnections > maxSenders:
		return fmt.Errorf("max_connections %d: from 1 to %d", c.MaxConnections, maxSenders)
	case c.IdleConnectionTimeout < 0 || c.ReplayRate < 0:
		return fmt.Errorf("idle_connection_timeout %s or replay_rate %d is negative: use 0 or more", c.IdleConnectionTimeout, c.ReplayRate)
	case c.ReplayOrder < LiveFirst || c.ReplayOrder > OldestFirst:
		return fmt.Errorf("%s is unknown: use live_first or oldest_first", c.ReplayOrder)
	case c.MaxFrameRejections < 0:
		return fmt.Errorf("max_frame_rejections %d: at least 1, or 0 for the default", c.MaxFrameRejections)
	case c.Full < FullBlock || c.Full > FullDropNewest:
		return fmt.Errorf("%s is unknown: use drop_oldest, drop_newest or block", c.Full)
	case c.MaxAge < 0 || c.OrphansMaxBytes < 0:
		return fmt.Errorf("sf_max_age %s or orphans_max_bytes %d is negative: use 0 or more", c.MaxAge, c.OrphansMaxBytes)
	case c.MinFreeSpace.validate() != nil:
		return c.MinFreeSpace.validate()
	case c.MaxBackgroundDrainers < 0:
		return fmt.Errorf("max_background_drainers %d: at least 1", c.MaxBackgroundDrainers)
	case c.Destination != "" && !label.MatchString(c.Destination):
		return fmt.Errorf("sf_destination %q: up to 256 letters, digits, spaces and any of _ . , @ # -", c.Destination)
	case c.Dir == "" && durability != 0 && durability != DurabilityMemory:
		return fmt.Errorf("sf_durability %s needs sf_dir: what is in RAM survives nothing", durability)
	case c.DrainOrphans && c.Dir == "":
		return errors.New("drain_orphans needs sf_dir: there are no orphans in RAM")
	}
	lc, tc := c.link(), c.tables(nil)
	return cmp.Or(lc.Validate(), tc.Validate(), c.checkConflict(), c.checkRetain())
}

// minSegmentBytes leaves room for a frame that is worth its header.
const minSegmentBytes = 64 << 10

// maxSegmentBytes keeps the memory for one frame bounded.
const maxSegmentBytes = 256 << 20

// maxSenders is more than any server takes connections.
const maxSenders = 1024

func (c Config) withDefaults() Config {
	setDefault(&c.SenderID, "default")
	setDefault(&c.MinSenders, 1)
	setDefault(&c.MaxSenders, 4)
	setDefault(&c.AcquireTimeout, 5*time.Second)
	setDefault(&c.IdleTimeout, time.Minute)
	setDefault(&c.MaxLifetime, 30*time.Minute)
	setDefault(&c.HousekeeperInterval, 5*time.Second)
	setDefault(&c.MaxBackgroundDrainers, 4)
	setDefault(&c.LockTimeout, 10*time.Second)
	setDefault(&c.AppendDeadline, 30*time.Second)
	setDefault(&c.Full, FullBlock)
	setDefault(&c.QuarantineMaxBytes, defaultQuarantine)
	setDefault(&c.Durability, DurabilityPeriodic)
	setDefault(&c.SyncInterval, time.Second)
	setDefault(&c.MaxSegmentBytes, defaultSegment)
	setDefault(&c.DeadLetterMaxBytes, deadletter.DefaultMaxBytes)
	setDefault(&c.MaxConnections, c.MaxSenders)
	setDefault(&c.IdleConnectionTimeout, 5*time.Second)
	setDefault(&c.ReplayOrder, LiveFirst)
	setDefault(&c.Transport, Auto)
	setDefault(&c.Compression, CompressionAuto)
	setDefault(&c.ConnectTimeout, 15*time.Second)
	setDefault(&c.RequestTimeout, 30*time.Second)
	setDefault(&c.RequestMinThroughput, 4<<10)
	setDefault(&c.InitialBackoff, 100*time.Millisecond)
	setDefault(&c.MaxBackoff, 5*time.Second)
	setDefault(&c.CloseFlushTimeout, 5*time.Second)
	setDefault(&c.ClientID, "questdb_sf")
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	if c.Mounts == nil {
		c.Mounts = new(mounts.Tables)
		if c.FS == nil {
			*c.Mounts = mounts.System()
		}
	}
	if c.FS == nil {
		c.FS = vfs.OS
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// inRAM says whether the pool keeps its slots in RAM only.
func (c Config) inRAM() bool { return c.Dir == "" }

// root is the directory of the slots, in RAM too.
func (c Config) root() string {
	if c.inRAM() {
		return string(filepath.Separator)
	}
	return c.Dir
}

// Capacity returns what the segments of all slots may occupy, in bytes: MaxTotalBytes, or
// its default, for which Dir has to be there. It is for programs that look at a store.
func (c Config) Capacity() (int64, error) { return c.withDefaults().maxTotal() }

// LeastCapacity returns what the slots may have whatever the cap, in bytes.
func (c Config) LeastCapacity() int64 { return c.withDefaults().leastTotal() }

// maxTotal returns what the slots may occupy. The directory is there by then.
func (c Config) maxTotal() (int64, error) {
	switch {
	case c.MaxTotalBytes != 0:
		return c.MaxTotalBytes, nil
	case c.inRAM():
		return max(c.leastTotal(), defaultRAM), nil
	}
	size, _, err := c.FS.Space(c.Dir)
	if err != nil {
		return 0, fmt.Errorf("size of the filesystem of %s: %w", c.Dir, err)
	}
	return max(c.leastTotal(), min(defaultTotal, size/10)), nil
}

// leastTotal returns what the slots may have whatever the cap.
func (c Config) leastTotal() int64 {
	if c.inRAM() {
		return 2 * c.MaxSegmentBytes
	}
	return 2 * c.MaxSegmentBytes * int64(c.MaxSenders)
}

const (
	defaultSegment = 1 << 20
	defaultTotal   = 1 << 30
	defaultRAM     = 128 << 20

	defaultQuarantine = 256 << 20
)

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c Config) link() link.Config {
	return link.Config{
		URLs: c.URLs, Transport: c.Transport, Auth: c.Auth, TLS: c.TLS, Proxy: c.Proxy,
		Compression: c.Compression, ConnectTimeout: c.ConnectTimeout, RequestTimeout: c.RequestTimeout,
		RequestMinThroughput: c.RequestMinThroughput, RequestDurableAck: c.RequestDurableAck, ClientID: c.ClientID, Log: c.Logger,
	}
}
