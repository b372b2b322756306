// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"net/http"
	"os"
	"path/filepath"
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

// A slot of our format heals: what cannot be read is set aside, and told once.
func TestADamagedOrphanIsSentButForWhatCannotBeRead(t *testing.T) {
	y := newYard(t)
	y.leave("damaged-0", 60, 1000)
	y.wound("damaged-0")
	p := y.open()
	y.drained("damaged-0")
	arrived(t, y.srv, y.next-1000) // all but those of one frame
	if st := p.Stats(); st.Incidents != 1 {
		t.Errorf("%d incidents", st.Incidents)
	}
	y.log.await(t, 1, "damage in a slot", "slot=damaged-0", "first_fsn=", "rows=1000", "rows_known=true", "kept_as=sf-0000000000000000.sfa.corrupt")
	y.neverFailed()
	if _, err := os.Stat(y.path("damaged-0", "sf-0000000000000000.sfa.corrupt")); err != nil {
		t.Error(err)
	}
	if list, _ := filepath.Glob(y.path("damaged-0", "incident-*.json")); len(list) != 1 {
		t.Errorf("receipts %v", list)
	}
}

// The files of another client stay as they are, and so nothing heals there.
func TestADamagedSlotOfAnotherClientSaysWhyAndTheOthersGoOn(t *testing.T) {
	y := newYard(t)
	if err := os.CopyFS(y.path("damaged-0"), os.DirFS(pythonSlot)); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(y.path("damaged-0", "sf-0000000000000005.sfa")); err != nil {
		t.Fatal(err)
	}
	y.put("damaged-0", ".target", y.srv.URL()+"\n")
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

// A flipped bit in .target is no other destination.
func TestADamagedTargetDoesNotHoldRowsBack(t *testing.T) {
	for _, slot := range []string{"other-0", "default-0"} {
		y := newYard(t)
		y.orphan(3, slot)
		b, err := os.ReadFile(y.path(slot, ".target"))
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)-3] ^= 1
		y.put(slot, ".target", string(b))
		p := y.open()
		y.log.await(t, 1, "damage in a slot", "slot="+slot, ".target was damaged")
		y.arrived()
		if got := p.Stats().Incidents; got != 1 {
			t.Errorf("%s: %d incidents", slot, got)
		}
	}
}
