// SPDX-License-Identifier: MIT

package tables

import (
	"context"
	"strings"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sqlhttp"
)

// creates is what a server says of auto-create. Zero is that it creates what is missing,
// or does not say.
type creates struct {
	at        time.Time
	noTables  bool
	noColumns bool // which means no tables either
}

// none says that a missing table stays missing.
func (c *creates) none() bool { return c.noTables || c.noColumns }

// toCreate says what to do about a table that the server will not create.
func (c *creates) toCreate(statement string) string {
	if c.noColumns {
		return "there is no such table, and the server creates neither tables nor columns (line.auto.create.new.columns=false): run " +
			statement + ", with all columns of its rows"
	}
	return "there is no such table, and the server creates none (line.auto.create.new.tables=false): run " + statement
}

// creation asks whether the server creates a table that is missing, if that is left to
// it. What cannot be asked, because the user may not for example, is not known.
func (k *Keeper) creation(ctx context.Context, host, table string) creates {
	if k.cfg.Create != Server || qwp.CheckTableName(table) != nil {
		return creates{}
	}
	now := time.Now()
	k.mu.Lock()
	c := k.host(host).creates
	k.mu.Unlock()
	every := surveyEvery
	if c.none() {
		every = pause // somebody may be mending that
	}
	if !c.at.IsZero() && now.Sub(c.at) < every {
		return c
	}
	limited, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	r, err := k.cfg.SQL.Exec(limited, host, parameters)
	c = creates{at: now}
	if ctx.Err() != nil {
		return creates{} // the caller gave up: the next one asks
	}
	if err == nil {
		c.read(r)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.host(host).creates = c
	return c
}

const parameters = `SELECT property_path, value FROM (SHOW PARAMETERS) ` +
	`WHERE property_path IN ('line.auto.create.new.tables', 'line.auto.create.new.columns')`

func (c *creates) read(r *sqlhttp.Result) {
	for _, row := range r.Rows {
		if len(row) != 2 {
			return
		}
		name, _ := row[0].(string)
		value, _ := row[1].(string)
		off := strings.EqualFold(value, "false")
		switch name {
		case "line.auto.create.new.tables":
			c.noTables = off
		case "line.auto.create.new.columns":
			c.noColumns = off
		}
	}
}
