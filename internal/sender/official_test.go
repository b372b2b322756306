// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/testutil/client"
	"github.com/questdb-sf/questdb_sf/testutil/pyclient"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// golden is what the Python client left when it was killed: 130 rows are due,
// with row_id 280 to 409, of tables cpu, events and disk.
const golden = "../slot/testdata/g3-python-6.0.0"

// left returns a copy of golden as the slot "s" of a directory of its own.
func left(t testing.TB) (sfDir string) {
	t.Helper()
	sfDir = t.TempDir()
	if err := os.CopyFS(filepath.Join(sfDir, "s"), os.DirFS(golden)); err != nil {
		t.Fatal(err)
	}
	return sfDir
}

func openLeft(t testing.TB, fsys vfs.FS, sfDir string) *slot.Foreign {
	t.Helper()
	s, err := slot.OpenForeign(slot.Options{FS: fsys, Dir: filepath.Join(sfDir, "s")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestASlotOfThePythonClientIsDrained(t *testing.T) {
	t.Run("QWP", func(t *testing.T) {
		srv := qwpServer(t)
		s := openLeft(t, vfs.OS, left(t))
		drain(t, forward(t, s, srv.URL(), link.QWP, nil))
		var got, want []int64
		for _, table := range srv.Tables() {
			for _, r := range srv.Rows(table) {
				got = append(got, r.Values["row_id"].(int64))
			}
		}
		for id := range int64(130) {
			want = append(want, 280+id)
		}
		if slices.Sort(got); !slices.Equal(got, want) || s.Stats().Acked != 130 {
			t.Errorf("the server has %v, %+v", got, s.Stats())
		}
	})
	t.Run("ILP", func(t *testing.T) {
		srv := newILPServer(t)
		s := openLeft(t, vfs.OS, left(t))
		drain(t, forward(t, s, srv.URL, link.ILP, nil))
		if len(srv.lines) < 130 || s.Stats().Acked != 130 { // a text has a newline
			t.Errorf("the server has %q, %+v", srv.lines, s.Stats())
		}
	})
}

// TestThePythonClientSendsNothingAgainWhereverCloseStops lets the client open
// what our Close leaves when it fails at each of its calls.
func TestThePythonClientSendsNothingAgainWhereverCloseStops(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the Python client")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	program, err := pyclient.Program(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for at := 1; ; at++ {
		stop := &stopped{at: at}
		sfDir := left(t)
		s := openLeft(t, vfstest.Wrap(vfs.OS, stop.hook), sfDir)
		forwardTo(t, s, qwpServer(t))
		stop.closing = true
		_ = s.Close()
		srv := qwpServer(t)
		if err := program.DrainSlot(ctx, client.Slot{Dir: sfDir, SenderID: "s", Addr: srv.Addr()}); err != nil {
			t.Errorf("stopped before %v: %v", stop.op, err)
		}
		if n := srv.Total(); n > 0 && stop.marked || n != 0 && n != 130 {
			t.Errorf("stopped before %v: %d rows were sent again", stop.op, n)
		}
		if stop.op.Kind == 0 {
			t.Logf("%d places", at-1)
			return
		}
	}
}

// forwardTo drains a slot and stops.
func forwardTo(t testing.TB, s *slot.Foreign, srv *qwpserver.Server) {
	t.Helper()
	loop := forward(t, s, srv.URL(), link.QWP, nil)
	drain(t, loop)
	loop.Stop()
}

// stopped fails the changing calls of Close from one on. The client knows that
// all is acked once the watermark is written, which is the first of its files.
type stopped struct {
	at      int
	closing bool
	marked  bool
	op      vfstest.Op // the first that failed
}

func (s *stopped) hook(op vfstest.Op) error {
	if !s.closing {
		return nil
	}
	switch op.Kind {
	case vfstest.OpOpen, vfstest.OpWrite, vfstest.OpTruncate, vfstest.OpRemove, vfstest.OpRename:
	default:
		return nil
	}
	if s.at--; s.at > 0 {
		s.marked = s.marked || op.Kind == vfstest.OpWrite && filepath.Base(op.Path) == ".ack-watermark"
		return nil
	}
	if s.op.Kind == 0 {
		s.op = op
	}
	return syscall.EIO
}
