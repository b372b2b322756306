// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/tables"
)

// oracle is what a test says of tables.
type oracle struct {
	mu    sync.Mutex
	holds map[string]string // table -> why it waits
	ids   map[string]bool
	// missing are tables that the server is to create, times the names of timestamps.
	missing map[string]bool
	times   map[string]string
	ttls    map[string]string
	fails   func(table string) error                                   // runs first
	heard   func(table string, since time.Time, rowID bool, err error) // is told the answer
	asked   []question
}

type question struct {
	host, table string
	since       time.Time
}

func (o *oracle) Ready(_ context.Context, host, table string, since time.Time) (tables.Answer, error) {
	a, err := o.judge(host, table, since)
	if o.heard != nil {
		o.heard(table, since, a.RowID, err)
	}
	return a, err
}

func (o *oracle) judge(host, table string, since time.Time) (tables.Answer, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, question{host, table, since})
	if o.fails != nil {
		if err := o.fails(table); err != nil {
			return tables.Answer{}, err
		}
	}
	if why, held := o.holds[table]; held {
		return tables.Answer{}, &tables.HoldError{Host: host, Table: table, Reason: why}
	}
	ttl, err := tables.ParseTTL(o.ttls[table])
	return tables.Answer{RowID: o.ids[table], Missing: o.missing[table], Timestamp: o.times[table], TTL: ttl}, err
}

// hold makes exactly these tables wait.
func (o *oracle) hold(names ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.holds = map[string]string{}
	for _, t := range names {
		o.holds[t] = t + " has no keys"
	}
}

// about returns the questions about a table.
func (o *oracle) about(table string) []question {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(o.asked), func(q question) bool { return q.table != table })
}
