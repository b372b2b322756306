// SPDX-License-Identifier: MIT

package tables

import (
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

// plan is what a new table shall be like.
type plan struct {
	timestamp string
	nanos     bool
	rowID     bool
	partition *unit
	ttl       TTL
}

// create returns the statement for a table. It names the columns that no row brings
// in the way they shall be; the others come with their first row.
func (p *plan) create(table string) string {
	time := sqlhttp.Quote(p.timestamp)
	kind := " TIMESTAMP"
	if p.nanos {
		kind = " TIMESTAMP_NS"
	}
	var b strings.Builder
	b.WriteString("CREATE TABLE IF NOT EXISTS " + sqlhttp.Quote(table) + " (" + time + kind)
	if p.rowID {
		b.WriteString(", " + sqlhttp.Quote(rowid.Column) + " " + rowIDType)
	}
	b.WriteString(") TIMESTAMP(" + time + ") PARTITION BY " + p.partition.name)
	if p.ttl.n > 0 {
		b.WriteString(" TTL " + p.ttl.String())
	}
	b.WriteString(" WAL")
	if p.rowID {
		b.WriteString(" DEDUP UPSERT KEYS" + keys(p.timestamp))
	}
	return b.String()
}

// addColumn returns the statement that makes room for row ids.
func addColumn(table string) string {
	return "ALTER TABLE " + sqlhttp.Quote(table) + " ADD COLUMN IF NOT EXISTS " + sqlhttp.Quote(rowid.Column) + " " + rowIDType
}

// enable returns the statement that gives a table its keys.
func enable(table, timestamp string) string {
	return "ALTER TABLE " + sqlhttp.Quote(table) + " DEDUP ENABLE UPSERT KEYS" + keys(timestamp)
}

func keys(timestamp string) string {
	return "(" + sqlhttp.Quote(timestamp) + ", " + sqlhttp.Quote(rowid.Column) + ")"
}

// question asks for the columns that matter: a table may have thousands.
func question(table string) string {
	return `SELECT "column", "type", designated, upsertKey FROM table_columns(` + sqlhttp.Literal(table) +
		`) WHERE designated OR upsertKey OR lower("column") = ` + sqlhttp.Literal(rowid.Column)
}

// SetTTL returns the statement that gives a table a TTL.
func SetTTL(table string, t TTL) string {
	return "ALTER TABLE " + sqlhttp.Quote(table) + " SET TTL " + t.String()
}
