// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/client"
	"github.com/questdb-sf/questdb_sf/testutil/pyclient"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
	"github.com/questdb-sf/questdb_sf/testutil/rustclient"
)

const (
	clientRows  = 410 // 20 full frames and one of 10 rows
	clientAcked = 14  // frames that the server of a partly acked slot took
)

// withClients runs a test with each official client.
func withClients(t *testing.T, test func(*testing.T, client.Program)) {
	if testing.Short() {
		t.Skip("runs the Python and Rust clients; not with -short")
	}
	for name, program := range map[string]func(context.Context) (client.Program, error){
		"python": pyclient.Program, "rust": rustclient.Build,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			p, err := program(ctx)
			if errors.Is(err, rustclient.ErrNoCargo) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			test(t, p)
		})
	}
}

// foreign has an official client leave a slot: one of which the server has seen
// nothing, or one of which it took some frames. It returns all rows, in order.
func (y *yard) foreign(p client.Program, name string, partly, kill bool) []qwpserver.Row {
	y.t.Helper()
	if err := os.MkdirAll(y.cfg.Dir, 0o750); err != nil {
		y.t.Fatal(err)
	}
	s := client.Slot{Dir: y.cfg.Dir, SenderID: name, Addr: client.Unreachable, Rows: clientRows, Kill: kill}
	if partly {
		s.Addr, s.Acked, s.Trimmed = y.srv.Addr(), clientAcked, true
		y.srv.Script(client.StopAt(clientAcked))
		defer y.srv.Script()
	}
	ctx, cancel := context.WithTimeout(y.t.Context(), time.Minute)
	defer cancel()
	rows, err := p.WriteSlot(ctx, s)
	if err != nil {
		y.t.Fatal(err)
	}
	if taken := y.srv.Total(); partly != (taken == clientAcked*client.FrameRows) {
		y.t.Fatalf("the server took %d rows", taken)
	}
	return rows
}

// has waits until everything is acked, and compares the rows of the server with
// those of the client and of the pool: none is missing, changed, or there twice.
func (y *yard) has(p *sfpool.Pool, rows []qwpserver.Row) {
	y.t.Helper()
	if err := p.WaitAcked(y.t.Context()); err != nil {
		y.t.Fatal(err)
	}
	for id := range y.next {
		rows = append(rows, qwpserver.Row{
			Table: "t", Time: (1700000000000000 + int64(id)) * 1000,
			Values: map[string]any{"host": qwpserver.Symbol("a"), "id": int64(id)},
		})
	}
	if err := client.Diff(y.srv, rows); err != nil {
		y.t.Error(err)
	}
}

// eachLeft runs a test for each way in which a client may leave a slot.
func eachLeft(t *testing.T, test func(t *testing.T, partly, kill bool)) {
	for _, partly := range []bool{false, true} {
		for _, kill := range []bool{false, true} {
			t.Run(fmt.Sprintf("partly=%t,killed=%t", partly, kill), func(t *testing.T) { test(t, partly, kill) })
		}
	}
}

func TestSlotsOfOfficialClientsAreDrainedRowByRow(t *testing.T) {
	withClients(t, func(t *testing.T, program client.Program) {
		eachLeft(t, func(t *testing.T, partly, kill bool) {
			y := newYard(t)
			rows := y.foreign(program, "peer", partly, kill)
			p := y.open()
			y.drained("peer")
			y.has(p, rows)
			if n := y.log.said("without .target", "peer"); n != 1 {
				t.Errorf("said %d times that it has no .target", n)
			}
		})
	})
}

// It is ours by name, so drain_orphans is not asked.
func TestASlotOfAnOfficialClientUnderOurNameIsSetAsideAndDrained(t *testing.T) {
	withClients(t, func(t *testing.T, program client.Program) {
		eachLeft(t, func(t *testing.T, partly, kill bool) {
			y := newYard(t)
			y.cfg.DrainOrphans, y.cfg.MaxSenders = false, 1
			rows := y.foreign(program, "default-0", partly, kill)
			p := y.open()
			y.drained("default-imported-1")
			y.write(p)
			y.has(p, rows)
			closePool(t, p)
			y.isEmpty("default-0")
		})
	})
}

// The rows of a slot that was given up in the middle go on where they stopped.
func TestASlotOfAnOfficialClientIsDrainedAcrossRestarts(t *testing.T) {
	withClients(t, func(t *testing.T, program client.Program) {
		y := newYard(t)
		rows := y.foreign(program, "peer", false, false)
		y.srv.Script(client.StopAt(clientAcked))
		p := y.open()
		half := int64(clientAcked*client.FrameRows + 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := y.srv.Wait(ctx, func(st *qwpserver.State) bool { return st.Rows == half }); err != nil {
			t.Fatal(err)
		}
		eventually(t, "acks", func() bool {
			return orphanOf(p, "peer").Pending == clientRows-clientAcked*client.FrameRows
		})
		closePool(t, p)
		y.srv.Script()
		p = y.open()
		y.drained("peer")
		y.has(p, rows)
	})
}

func TestADamagedSlotOfAnOfficialClientSaysWhyAndTheOthersGoOn(t *testing.T) {
	withClients(t, func(t *testing.T, program client.Program) {
		y := newYard(t)
		y.foreign(program, "peer", false, false)
		y.wound("peer")
		y.orphan(3, "other-0")
		p := y.open()
		y.drained("other-0")
		o := y.sees(p, "peer", "failed")
		if reason, failed := y.failed("peer"); !failed || reason == "" || o.Reason == "" {
			t.Errorf(".failed: %t, %q; the pool says %+v", failed, reason, o)
		}
		if len(y.segments("peer")) == 0 {
			t.Error("what was damaged is gone")
		}
	})
}

func TestASlotOfALivingOfficialClientUnderOurNameIsLeftAlone(t *testing.T) {
	withClients(t, func(t *testing.T, program client.Program) {
		y := newYard(t)
		y.cfg.DrainOrphans, y.cfg.MaxSenders = false, 2
		rows := y.foreign(program, "default-0", false, false)
		unlock := lockFile(t, y.path("default-0", ".lock"))
		p := y.open()
		if st := p.Stats(); st.Slots[0].State == "live" || st.Slots[1].State != "live" {
			t.Errorf("slots %+v", st.Slots)
		}
		unlock()
		y.drained("default-imported-1")
		y.has(p, rows)
	})
}

// lockFile takes a flock as another program would.
func lockFile(t testing.TB, name string) (unlock func()) {
	t.Helper()
	f, err := vfs.OS.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Lock(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(f.Unlock(), f.Close()); err != nil {
			t.Error(err)
		}
	}
}
