// SPDX-License-Identifier: MIT

package client

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// Diff says in what the rows of a server are not exactly these, in this order
// within each table. It is nil if they are.
func Diff(srv *qwpserver.Server, want []qwpserver.Row) error {
	byTable := make(map[string][]qwpserver.Row)
	for _, r := range want {
		byTable[r.Table] = append(byTable[r.Table], r)
	}
	var errs []error
	tables := slices.Sorted(maps.Keys(byTable))
	if got := srv.Tables(); !slices.Equal(got, tables) {
		errs = append(errs, fmt.Errorf("tables %v, want %v", got, tables))
	}
	for _, table := range tables {
		errs = append(errs, diffTable(table, srv.Rows(table), byTable[table]))
	}
	return errors.Join(errs...)
}

// diffTable tells the first row that differs: the others follow from it.
func diffTable(table string, got, want []qwpserver.Row) error {
	for i := range min(len(got), len(want)) {
		if !reflect.DeepEqual(got[i], want[i]) {
			return fmt.Errorf("table %s, row %d:\ngot  %v\nwant %v", table, i, got[i], want[i])
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("table %s has %d rows, want %d", table, len(got), len(want))
	}
	return nil
}
