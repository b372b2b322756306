// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// giver plays a store that is full again and again beside a server that is ill. A
// frame of it is a row, whose id is the number of the frame.
type giver struct {
	bed    *bed
	oracle *oracle

	mu      sync.Mutex
	ill     *rand.Rand // nil once it is well
	evicted slot.FSN   // frames below are given up or acked
	wrong   []string
}

func (g *giver) chance(percent int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ill != nil && g.ill.IntN(100) < percent
}

// sent is told of what goes out: never what was given up.
func (g *giver) sent(_ *conn, rows []taken) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range rows {
		if slot.FSN(r.id) < g.evicted {
			g.wrong = append(g.wrong, "a row was sent after it was given up")
		}
	}
}

func (g *giver) fail(text string, args ...any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrong = append(g.wrong, fmt.Sprintf(text, args...))
}

func (g *giver) answer(_ int, seq int64) *link.Outcome {
	switch {
	case g.chance(30):
		return nil
	case g.chance(10):
		return &link.Outcome{Seq: seq, Refusal: &link.Refusal{Host: "server", Message: "not now"}}
	}
	return &link.Outcome{Seq: seq}
}

func (g *giver) giveUp(within time.Duration) {
	c, ok := g.bed.slot.Oldest()
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	err := g.bed.loop.GiveUp(ctx, c.Last, func() error {
		g.mu.Lock()
		g.evicted = max(g.evicted, c.Last+1)
		g.mu.Unlock()
		_, err := g.bed.slot.Evict(c.Last)
		return err
	})
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		g.fail("%v", err)
	}
}

func (g *giver) play(kind int, wait time.Duration) {
	switch kind {
	case 0:
		g.bed.storeLarge(2)
	case 1:
		g.giveUp(time.Minute)
	case 2:
		g.giveUp(time.Millisecond)
	case 3:
		g.oracle.hold("t")
	case 4:
		g.oracle.hold()
	case 5:
		g.bed.srv.cut()
	case 6:
		g.bed.loop.Recycle()
	}
	time.Sleep(wait)
}

// heal lets everything go out that is left.
func (g *giver) heal() {
	g.mu.Lock()
	g.ill = nil
	g.mu.Unlock()
	g.oracle.hold()
	g.bed.srv.cut()
	time.Sleep(5 * time.Minute)
	synctest.Wait()
	st := g.bed.slot.Stats()
	if st.Pending != 0 || st.Acked+st.Evicted != g.bed.next {
		g.fail("%d rows were stored, %+v; %+v", g.bed.next, st, g.bed.loop.State())
	}
	if a := g.bed.slot.Audit(); a.Ledger != a.Counted {
		g.fail("%+v", a)
	}
}

// TestEveryRowIsAckedOrGivenUpAndNoneIsSentAfterItWasGivenUp plays scripts of
// frames, evictions, tables that wait, and lost and refused requests.
func TestEveryRowIsAckedOrGivenUpAndNoneIsSentAfterItWasGivenUp(t *testing.T) {
	given := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		kinds := rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6}), 5, 60).Draw(rt, "script")
		waits := rapid.SampledFrom([]time.Duration{0, 0, time.Second, 15 * time.Second})
		srv := &server{window: rapid.SampledFrom([]int{1, 2, 5}).Draw(rt, "window"), ilp: rapid.Bool().Draw(rt, "ilp")}
		g := &giver{oracle: &oracle{}, ill: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))}
		g.oracle.fails = func(string) error {
			if g.chance(10) {
				return errDown
			}
			return nil
		}
		srv.sent, srv.answer = g.sent, g.answer
		srv.sendErr = func(int, int64) error {
			if g.chance(10) {
				return errDown
			}
			return nil
		}
		synctest.Test(t, func(t *testing.T) {
			g.bed = startBed(t, vfstest.NewMem(), srv, sender.Config{Tables: g.oracle})
			for _, kind := range kinds {
				g.play(kind, waits.Draw(rt, "wait"))
			}
			g.heal()
			given += g.bed.slot.Stats().Evicted
		})
		if len(g.wrong) > 0 {
			rt.Fatalf("%q", g.wrong)
		}
	})
	t.Logf("%d rows were given up", given)
}
