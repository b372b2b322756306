// SPDX-License-Identifier: MIT

package pyclient_test

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/pyclient"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a server. The client itself comes from PyPI, not under -short.
func start(t testing.TB) (context.Context, *qwpserver.Server) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs the Python client")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	return ctx, srv
}

func TestPythonClientRowsDecodeEqual(t *testing.T) {
	ctx, srv := start(t)
	want, err := pyclient.Write(ctx, srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	compare(t, srv, want)
	wantTypes := map[string]qwp.Type{
		"kind": qwp.TypeSymbol, "row_id": qwp.TypeLong, "text": qwp.TypeVarchar,
		"big": qwp.TypeLong, "seen": qwp.TypeTimestamp, "exact": qwp.TypeTimestampNanos,
	}
	if got := srv.Columns("events"); !maps.Equal(got, wantTypes) {
		t.Errorf("columns of events %v, want %v", got, wantTypes)
	}
	if got := srv.State(); got.Messages != 5 || got.Refused != 0 {
		t.Errorf("state %+v, want the 5 flushes in 5 messages", got)
	}
}

// compare asks that the server has exactly these rows, in this order within
// each table.
func compare(t *testing.T, srv *qwpserver.Server, want []qwpserver.Row) {
	t.Helper()
	byTable := make(map[string][]qwpserver.Row)
	for _, r := range want {
		byTable[r.Table] = append(byTable[r.Table], r)
	}
	if got := srv.Tables(); !slices.Equal(got, slices.Sorted(maps.Keys(byTable))) || len(got) < 2 {
		t.Errorf("tables %v", got)
	}
	for table, rows := range byTable {
		got := srv.Rows(table)
		if len(got) != len(rows) {
			t.Errorf("table %s has %d rows, want %d", table, len(got), len(rows))
			continue
		}
		for i := range rows {
			if !reflect.DeepEqual(got[i], rows[i]) {
				t.Errorf("table %s, row %d:\ngot  %v\nwant %v", table, i, got[i], rows[i])
			}
		}
	}
}

// The client replays on a fresh connection, with a dictionary that starts anew:
// rows of the messages that were stored but not acknowledged come twice.
func TestPythonClientReplaysAfterALostConnection(t *testing.T) {
	ctx, srv := start(t)
	srv.Script(qwpserver.Cut().When(qwpserver.Number(1)))
	want, err := pyclient.Write(ctx, srv.Addr())
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]map[any]bool)
	for _, table := range srv.Tables() {
		ids[table] = make(map[any]bool)
		for _, r := range srv.Rows(table) {
			ids[table][r.Values["row_id"]] = true
		}
	}
	for _, r := range want {
		if !ids[r.Table][r.Values["row_id"]] {
			t.Errorf("row %v of %s is missing", r.Values["row_id"], r.Table)
		}
	}
	if got := srv.State(); got.Connections != 2 || got.Rows <= int64(len(want)) {
		t.Errorf("state %+v, want 2 connections and more than %d rows", got, len(want))
	}
}
