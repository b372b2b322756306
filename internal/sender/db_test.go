// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// db is a server with tables: what it takes depends on the types of its columns.
type db struct {
	*server
	mu       sync.Mutex
	types    map[string]qwp.Type         // "table.column", of the first value
	closed   map[string]string           // table: why it takes no rows
	poison   map[int64]bool              // ids that are refused without a column
	mute     bool                        // no line is named
	broken   map[int64]bool              // ids that get an internal error
	fixed    map[string]string           // "table.column": why it is not created
	stale    bool                        // a connection knows of columns what they were when it was made
	seen     map[int]map[string]qwp.Type // that, of each connection
	refuses  func() *link.Refusal
	requests int
	refused  int
}

func newDB(ilp bool) *db {
	d := &db{server: &server{ilp: ilp, window: 1, frames: 100}, types: map[string]qwp.Type{}, closed: map[string]string{}, poison: map[int64]bool{}}
	if !ilp {
		d.window, d.frames = 8, 1
	}
	d.judge = d.look
	d.seen = map[int]map[string]qwp.Type{}
	return d
}

// look refuses a request as QuestDB does: the first row that it does not take.
func (d *db) look(rows []sentRow) *link.Refusal {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests++
	r := d.fault(rows)
	if r != nil {
		d.refused++
		if !d.ilp {
			r.Line, r.HTTPStatus = 0, 0
		}
		if d.mute {
			r.Line, r.Column, r.Message = 0, "", "refused"
		}
	}
	return r
}

func (d *db) fault(rows []sentRow) *link.Refusal {
	if d.refuses != nil {
		if r := d.refuses(); r != nil {
			return r
		}
	}
	types := maps.Clone(d.types)
	if n := len(d.connectTimes()); d.stale {
		for k, t := range d.seen[n] {
			types[k] = t
		}
	}
	for i, row := range rows {
		if why := d.closed[row.table]; why != "" {
			return &link.Refusal{Host: "server", HTTPStatus: 400, Status: qwp.StatusWriteError, Class: link.ServerState, Line: i + 1, Message: why}
		}
		if d.poison[row.id] {
			return &link.Refusal{Host: "server", HTTPStatus: 400, Status: qwp.StatusSchemaMismatch, Class: link.RowFault, Line: i + 1, Message: "invalid table name"}
		}
		if d.broken[row.id] {
			return &link.Refusal{Host: "server", HTTPStatus: 500, Status: qwp.StatusInternalError, Class: link.ServerState, Line: i + 1, Message: "java.lang.UnsupportedOperationException"}
		}
		for name, t := range row.columns {
			key := strings.ToLower(row.table + "." + name)
			if why := d.fixed[key]; why != "" {
				return &link.Refusal{Host: "server", HTTPStatus: 400, Status: qwp.StatusWriteError, Class: link.ServerState, Line: i + 1, Column: name,
					Message: fmt.Sprintf("table: %s, column: %s does not exist, %s", row.table, name, why)}
			}
			if has, ok := types[key]; ok && has != t {
				return &link.Refusal{Host: "server", HTTPStatus: 400, Status: qwp.StatusSchemaMismatch, Class: link.RowFault, Line: i + 1, Column: name,
					Message: fmt.Sprintf("table: %s, column: %s; cast error from protocol type: %s to column type: %s", row.table, name, t, has)}
			}
			types[key] = t
		}
	}
	for k, t := range types {
		if _, ok := d.types[k]; !ok {
			d.types[k] = t
		}
	}
	if n := len(d.connectTimes()); d.stale {
		d.seen[n] = types
	}
	return nil
}

// alter gives a column another type.
func (d *db) alter(column string, to qwp.Type) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.types[column] = to
}

// widenFunc is a Widener.
type widenFunc func(table, column string)

func (w widenFunc) Widen(_ context.Context, _, table, column string) error {
	w(table, column)
	return nil
}

func (d *db) counts() (requests, refused int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.requests, d.refused
}
