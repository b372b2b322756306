// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"net/http"
	"os"
	"sync/atomic"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// troubles of a server that say nothing about a slot.
var troubles = []struct {
	name          string
	begin, relent func(*yard)
}{
	{"down", func(y *yard) { y.srv.Stop() }, func(y *yard) { y.restart() }},
	{"401", func(y *yard) { y.token("secret") }, func(y *yard) { y.token("") }},
	{"403", refuse(http.StatusForbidden), heal},
	{"503", refuse(http.StatusServiceUnavailable), heal},
	{"replica", func(y *yard) { y.srv.Script(qwpserver.RejectRole("REPLICA").Always()) }, heal},
	{"refused rows", func(y *yard) {
		y.srv.Script(qwpserver.Reject(qwp.StatusSecurityError, "read only").Always())
	}, heal},
}

func refuse(status int) func(*yard) {
	return func(y *yard) { y.srv.Script(qwpserver.RefuseUpgrade(status).Always()) }
}

func heal(y *yard) { y.srv.Script() }

func (y *yard) token(s string) {
	y.srv.Configure(func(o *qwpserver.Options) { o.Token = s })
}

func TestTroubleOfTheServerNeverFailsASlot(t *testing.T) {
	for _, trouble := range troubles {
		t.Run(trouble.name, func(t *testing.T) {
			y := newYard(t)
			y.orphan(3, "other-0", "other-1")
			trouble.begin(y)
			var asked atomic.Int64 // once at each connect
			y.cfg.Auth = func() (sfpool.Auth, error) {
				asked.Add(1)
				return sfpool.Auth{}, nil
			}
			p := y.open()
			y.sees(p, "other-0", "draining")
			y.sees(p, "other-1", "draining")
			since := asked.Load()
			eventually(t, "ten attempts", func() bool { return asked.Load() >= since+10 })
			y.neverFailed()
			trouble.relent(y)
			y.drained("other-0", "other-1")
			y.arrived()
		})
	}
}

// wound flips a byte in the middle of the first of several sealed segments.
func (y *yard) wound(name string) {
	y.t.Helper()
	list := y.segments(name)
	if len(list) < 3 {
		y.t.Fatalf("%s has only %v", name, list)
	}
	b, err := os.ReadFile(list[0])
	if err != nil {
		y.t.Fatal(err)
	}
	b[len(b)/2] ^= 0x10
	if err := os.WriteFile(list[0], b, 0o600); err != nil {
		y.t.Fatal(err)
	}
}

func TestADamagedOrphanSaysWhyAndTheOthersGoOn(t *testing.T) {
	y := newYard(t)
	y.leave("damaged-0", 60, 1000)
	y.wound("damaged-0")
	y.orphan(3, "other-0", "other-1")
	p := y.open()
	y.drained("other-0", "other-1")
	o := y.sees(p, "damaged-0", "failed")
	reason, failed := y.failed("damaged-0")
	if !failed || reason == "" || o.Reason == "" {
		t.Errorf(".failed: %t, %q; the pool says %+v", failed, reason, o)
	}
	if len(y.segments("damaged-0")) == 0 {
		t.Error("what was damaged is gone")
	}
	closePool(t, p)
	p = y.open() // it stays so
	y.sees(p, "damaged-0", "failed")
}
