// SPDX-License-Identifier: MIT

package rustclient_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/testutil/client"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
	"github.com/questdb-sf/questdb_sf/testutil/rustclient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRustClientRowsDecodeEqual(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the Rust client")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	program, err := rustclient.Build(ctx)
	if errors.Is(err, rustclient.ErrNoCargo) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	const rows = 200
	want, err := program.Write(ctx, srv.Addr(), rows)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Diff(srv, want); err != nil {
		t.Error(err)
	}
	if got := srv.State(); got.Messages != rows/client.FrameRows || got.Refused != 0 {
		t.Errorf("state %+v, want the %d flushes in as many messages", got, rows/client.FrameRows)
	}
}
