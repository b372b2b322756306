// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"fmt"
	"testing"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// seeded leaves rows in default-0 to default-3, whose server is down.
func seeded(t *testing.T) *yard {
	t.Helper()
	y := newYard(t)
	y.cfg.DrainOrphans = false
	y.srv.Stop()
	p := open(t, y.cfg)
	giveBack(storeIn(t, p, 4, 100))
	y.next = 400
	closePool(t, p)
	for i := range 4 {
		if name := fmt.Sprint("default-", i); len(y.segments(name)) == 0 {
			t.Fatalf("nothing is left in %s", name)
		}
	}
	return y
}

// recovered waits until all slots are replayed, closes the pool and looks that
// they are empty.
func (y *yard) recovered(p *sfpool.Pool) {
	y.t.Helper()
	y.arrived()
	eventually(y.t, "empty slots", func() bool {
		st := p.Stats()
		return st.Pending == 0 && st.Building == 0 && st.Closing == 0
	})
	closePool(y.t, p)
	for i := range 4 {
		y.isEmpty(fmt.Sprint("default-", i))
	}
	y.arrived() // nothing came twice since
}

func TestSlotsThatLightLoadDoesNotOpenAreRecovered(t *testing.T) {
	y := seeded(t)
	y.restart()
	p := open(t, y.cfg)
	for range 10 {
		y.write(p)
	}
	y.recovered(p)
}

func TestSlotsAreRecoveredWithoutAnyBorrow(t *testing.T) {
	y := seeded(t)
	y.restart()
	y.recovered(open(t, y.cfg))
}

func TestRecoveryEmptiesOneSlotAtATime(t *testing.T) {
	y := seeded(t)
	answer := make(chan struct{})
	y.srv.Script(qwpserver.HoldAcks(answer).Always())
	y.restart()
	p := open(t, y.cfg)
	eventually(t, "the first rows", func() bool { return y.srv.Total() > 0 })
	if st := p.Stats(); st.Building != 1 || st.Free != 3 {
		t.Errorf("stats %+v", st)
	}
	close(answer)
	y.recovered(p)
	if n := y.srv.State().Connections; n != 4 {
		t.Errorf("%d connections for four slots", n)
	}
}

func TestAServerThatIsDownAtTheStartDoesNotKeepSlotsFromBeingRecovered(t *testing.T) {
	y := seeded(t)
	p := open(t, y.cfg)
	for range 10 {
		y.write(p)
	}
	eventually(t, "an outage", func() bool { return outages(p) > 0 })
	y.restart()
	y.recovered(p)
}

func outages(p *sfpool.Pool) (n int) {
	for _, s := range p.Stats().Slots {
		if !s.OutageSince.IsZero() {
			n++
		}
	}
	return n
}

// Whatever they hold, the borrowers come first.
func TestABorrowerGetsASlotThatIsBeingRecovered(t *testing.T) {
	y := seeded(t)
	p := open(t, y.cfg)
	eventually(t, "a recovery", func() bool { return p.Stats().Building == 1 })
	senders := borrowed(t, p, 4)
	y.restart()
	y.arrived()
	giveBack(senders)
	y.recovered(p)
}
