// SPDX-License-Identifier: MIT

package pyclient_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/testutil/client"
	"github.com/questdb-sf/questdb_sf/testutil/pyclient"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	rows   = 200
	frames = rows / client.FrameRows
)

// write lets the client write to a server that fails as the script says. The
// client itself comes from PyPI, not under -short.
func write(t testing.TB, script ...qwpserver.Fault) (*qwpserver.Server, []qwpserver.Row) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs the Python client")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	srv.Script(script...)
	program, err := pyclient.Program(ctx)
	if err != nil {
		t.Fatal(err)
	}
	want, err := program.Write(ctx, srv.Addr(), rows)
	if err != nil {
		t.Fatal(err)
	}
	return srv, want
}

func TestPythonClientRowsDecodeEqual(t *testing.T) {
	srv, want := write(t)
	if err := client.Diff(srv, want); err != nil {
		t.Error(err)
	}
	wantTypes := map[string]qwp.Type{
		"kind": qwp.TypeSymbol, "row_id": qwp.TypeLong, "text": qwp.TypeVarchar,
		"big": qwp.TypeLong, "seen": qwp.TypeTimestamp, "exact": qwp.TypeTimestampNanos,
	}
	if got := srv.Columns("events"); !maps.Equal(got, wantTypes) {
		t.Errorf("columns of events %v, want %v", got, wantTypes)
	}
	if got := srv.State(); got.Messages != frames || got.Refused != 0 {
		t.Errorf("state %+v, want the %d flushes in as many messages", got, frames)
	}
}

// The client replays on a fresh connection, with a dictionary that starts anew:
// rows of the messages that were stored but not acknowledged come twice.
func TestPythonClientReplaysAfterALostConnection(t *testing.T) {
	srv, want := write(t, qwpserver.Cut().When(qwpserver.Number(1)))
	ids := make(map[any]bool)
	for _, table := range srv.Tables() {
		for _, r := range srv.Rows(table) {
			ids[r.Values["row_id"]] = true
		}
	}
	for _, r := range want {
		if !ids[r.Values["row_id"]] {
			t.Errorf("row %v of %s is missing", r.Values["row_id"], r.Table)
		}
	}
	if got := srv.State(); got.Connections != 2 || got.Rows <= int64(len(want)) {
		t.Errorf("state %+v, want 2 connections and more than %d rows", got, len(want))
	}
}
