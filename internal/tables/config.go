// SPDX-License-Identifier: MIT

package tables

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

// Create says who creates tables that are missing. Zero is Server.
type Create uint8

// The ways in which a table comes into being.
const (
	Server Create = iota // the server, at the first row (auto-create)
	SQL                  // this program, with CREATE TABLE before the first row
	Never                // somebody else; rows wait until it is there
)

var createNames = [...]string{Server: "server", SQL: "sql", Never: "never"}

// String returns the name that ParseCreate reads.
func (c Create) String() string {
	if int(c) < len(createNames) {
		return createNames[c]
	}
	return fmt.Sprintf("table_create %d", uint8(c))
}

// ParseCreate reads server, sql or never.
func ParseCreate(s string) (Create, error) {
	for c, name := range createNames {
		if name == s {
			return Create(c), nil
		}
	}
	return 0, fmt.Errorf("table_create %q is unknown: use server, sql or never", s)
}

// Lost says what becomes of rows whose table was found without the DEDUP keys that
// exactly_once needs. Zero is Hold.
type Lost uint8

// The answers to lost keys.
const (
	Hold    Lost = iota // the rows wait, and the log has the statements to run
	Restore             // the keys are set again
)

var lostNames = [...]string{Hold: "hold", Restore: "restore"}

// String returns the name that ParseLost reads.
func (l Lost) String() string {
	if int(l) < len(lostNames) {
		return lostNames[l]
	}
	return fmt.Sprintf("dedup_lost %d", uint8(l))
}

// ParseLost reads hold or restore.
func ParseLost(s string) (Lost, error) {
	for l, name := range lostNames {
		if name == s {
			return Lost(l), nil
		}
	}
	return 0, fmt.Errorf("dedup_lost %q is unknown: use hold or restore", s)
}

// Defaults of Config.
const (
	DefaultPartitionBy     = "DAY"
	DefaultTimestampColumn = "timestamp"
)

// Asker runs one SQL statement on a host; *sqlhttp.Client is one.
type Asker interface {
	Exec(ctx context.Context, host, sql string) (*sqlhttp.Result, error)
}

// Config says how tables come into being and what is expected of them.
type Config struct {
	// SQL asks the servers; required.
	SQL Asker
	// Create says who creates missing tables. ExactlyOnce makes SQL of Server.
	Create Create
	// PartitionBy is HOUR, DAY, WEEK, MONTH or YEAR in any case; default DAY. It is
	// for tables that a Keeper creates, as are TTL, TimestampColumn and Nanos.
	PartitionBy string
	// TTL is how long rows are kept: a number and HOURS, DAYS, WEEKS, MONTHS or
	// YEARS, or h, d, w, M, y, such as "30 DAYS" or "4w"; a whole number of
	// partitions. Empty is for ever.
	TTL string
	// TimestampColumn names the designated timestamp; default "timestamp".
	TimestampColumn string
	// Nanos makes it TIMESTAMP_NS instead of TIMESTAMP, which has microseconds.
	Nanos bool
	// ExactlyOnce wants tables to have DEDUP keys with the row id.
	ExactlyOnce bool
	// DedupLost is what to do about a table that has no DEDUP keys then.
	DedupLost Lost
	// Notice is how long before its DEDUP keys are restored a table has the column for
	// the row id: by then all programs of ours that write to it send ids, and none of
	// their rows is merged with another. Default 90 s: what they know of a table counts
	// for a minute, and a request may be on its way for 30 s.
	Notice time.Duration
	// Log hears what changes, once each and a few lines a minute; nil is silence.
	Log *slog.Logger
}

// Validate reports the first setting that cannot work. It does no I/O.
func (c *Config) Validate() error {
	if c.SQL == nil {
		return errors.New("tables: no way to ask the server")
	}
	if int(c.Create) >= len(createNames) {
		return fmt.Errorf("%v is unknown: use server, sql or never", c.Create)
	}
	if int(c.DedupLost) >= len(lostNames) {
		return fmt.Errorf("%v is unknown: use hold or restore", c.DedupLost)
	}
	_, err := c.plan()
	return err
}

// plan reads what a new table shall be like.
func (c *Config) plan() (p plan, err error) {
	p.timestamp, p.nanos, p.rowID = cmp.Or(c.TimestampColumn, DefaultTimestampColumn), c.Nanos, c.ExactlyOnce
	if err := checkTimestamp(p.timestamp); err != nil {
		return plan{}, err
	}
	if p.partition, err = parsePartition(cmp.Or(c.PartitionBy, DefaultPartitionBy)); err != nil {
		return plan{}, err
	}
	if p.ttl, err = ParseTTL(c.TTL); err != nil {
		return plan{}, err
	}
	return p, p.ttl.fits(p.partition)
}

// checkTimestamp lets pass what no other column may be called.
func checkTimestamp(name string) error {
	if strings.EqualFold(name, DefaultTimestampColumn) {
		return nil
	}
	if err := qwp.CheckColumnName(name); err != nil {
		return fmt.Errorf("timestamp_column %q: %w", name, err)
	}
	return nil
}

func (c *Config) setDefaults() {
	if c.ExactlyOnce && c.Create == Server {
		c.Create = SQL // a table that the server creates has no keys
	}
	if c.Notice == 0 {
		c.Notice = 90 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}
