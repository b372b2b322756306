// SPDX-License-Identifier: MIT

package sfpool

import (
	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
	"github.com/questdb-sf/questdb_sf/internal/tables"
)

// TableCreate says who creates tables that are missing.
type TableCreate = tables.Create

// The ways in which a table comes into being.
const (
	// CreateServer leaves it to the server: auto-create at the first row.
	CreateServer = tables.Server
	// CreateSQL sends CREATE TABLE IF NOT EXISTS before the first row.
	CreateSQL = tables.SQL
	// CreateNever lets the rows wait until somebody else has created the table.
	CreateNever = tables.Never
)

// DedupLost says what becomes of rows whose table has not the DEDUP keys that
// ExactlyOnce needs.
type DedupLost = tables.Lost

// The answers to lost DEDUP keys.
const (
	// DedupHold lets the rows wait and logs the statements to run.
	DedupHold = tables.Hold
	// DedupRestore sets the keys again, with ALTER TABLE.
	DedupRestore = tables.Restore
)

// tables returns what a Keeper goes by, who asks through l; nil for one that only
// looks at the settings.
func (c Config) tables(l *link.Link) tables.Config {
	return tables.Config{
		SQL: sqlhttp.New(l), Create: c.TableCreate, PartitionBy: c.TablePartitionBy, TTL: c.TableTTL,
		TimestampColumn: c.TimestampColumn, Nanos: c.TimestampNanos,
		ExactlyOnce: c.ExactlyOnce, DedupLost: c.DedupLost, Log: c.Logger,
	}
}

// keep makes what all senders of the pool ask about tables: one, so that each
// server is asked about each table once and not by every slot.
func (p *Pool) keep(l *link.Link) error {
	k, err := tables.New(p.cfg.tables(l))
	if err == nil {
		p.tables, p.widener = k, k
	}
	return err
}
