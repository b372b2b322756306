// SPDX-License-Identifier: MIT

package tables

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/rowid"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

// shape is what a server says of a table.
type shape struct {
	missing   bool
	timestamp string // the designated one; empty: there is none
	keyed     bool   // it has DEDUP keys
	rowID     bool   // the row id is one of them
	rowIDType string // of the column; empty: there is none
	// columnSince is since when there is a column for the row id, as far as known.
	columnSince time.Time
	state
	creates // if the table is missing
}

// rowIDType is what the column for the row id has to be.
const rowIDType = "LONG"

// look asks a server what a table is like (table_columns() of QuestDB 9.3.4: one row
// a column). An error means that the server does not say.
func (k *Keeper) look(ctx context.Context, host, table string) (shape, error) {
	r, err := k.cfg.SQL.Exec(ctx, host, question(table))
	var refused *sqlhttp.Error
	if errors.As(err, &refused) && refused.NoTable() {
		return shape{missing: true}, nil
	}
	if err != nil {
		return shape{}, err
	}
	return readShape(host, r)
}

func readShape(host string, r *sqlhttp.Result) (shape, error) {
	var s shape
	if len(r.Columns) != 4 {
		return s, fmt.Errorf("%s describes a table in %d columns instead of 4", host, len(r.Columns))
	}
	for _, row := range r.Rows {
		name, ok1 := row[0].(string)
		kind, ok2 := row[1].(string)
		designated, ok3 := row[2].(bool)
		key, ok4 := row[3].(bool)
		if !ok1 || !ok2 || !ok3 || !ok4 {
			return s, fmt.Errorf("%s describes a column as %v", host, row)
		}
		if designated {
			s.timestamp = name
		}
		s.keyed = s.keyed || key
		if strings.EqualFold(name, rowid.Column) {
			s.rowID, s.rowIDType = key, kind
		}
	}
	return s, nil
}
