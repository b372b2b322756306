// SPDX-License-Identifier: MIT

package status

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/status/api"
)

// health is what /healthz would say of a store, which is sampled as by a server.
type health struct {
	t testing.TB
	f *fake
	w *watch
	s []*Source
	b Block
}

func newHealth(t testing.TB) *health {
	h := &health{t: t, f: newFake("/sf"), w: newWatch()}
	h.s = []*Source{{Store: h.f, Block: func() Block { return h.b }}}
	return h
}

// full is what /api/status says of the room that is left.
func (h *health) full() bool { r := h.w.look(h.s); return r.full }

func (h *health) after(d time.Duration) *health {
	for ; d > 0; d -= sampleEvery {
		h.w.sample(h.s)
		time.Sleep(min(d, sampleEvery))
	}
	return h
}

func (h *health) says(well bool, words ...string) {
	h.t.Helper()
	text, ok := healthText([]report{h.w.look(h.s)})
	require.Equal(h.t, well, ok, text)
	require.NotContains(h.t, text, "\n")
	for _, w := range words {
		require.Contains(h.t, text, w)
	}
}

func TestHealthFailsWhenPendingRowsLieStillForFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.after(time.Hour).says(true, "0 rows pending")
		h.f.is(func(f *fake) { f.pends(1234) })
		h.after(4*time.Minute).says(true, "1234 rows pending")
		h.after(2*time.Minute).says(false, "1234 rows", "nothing has moved for 6m", "waiting for the server since 2000-01-01T01:", "dial tcp: connection refused")
		h.f.is(func(f *fake) { f.acks(0, 1) })
		h.after(time.Minute).says(true, "1233 rows")
		h.f.is(func(f *fake) { f.stats.Evicted, f.stats.Pending, f.stats.Slots[0].Pending = 1000, 233, 233 })
		h.after(5*time.Minute).says(false, "233 rows") // what is dropped is no progress
		h.f.is(func(f *fake) { f.acks(0, 233) })
		h.says(true)
	})
}

func TestHealthWaitsForThreeBackoffsWhereTheyAreLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.f.is(func(f *fake) { f.state.MaxBackoff = 10 * time.Minute; f.pends(5) })
		h.after(29 * time.Minute).says(true)
		h.after(2*time.Minute).says(false, "5 rows")
	})
}

func TestHealthSaysWhatElseIsWrong(t *testing.T) {
	for name, c := range map[string]struct {
		is    func(f *fake)
		words []string
	}{
		"leaked":   {func(f *fake) { f.stats.Leaked = 2 }, []string{"2 slots", "lock"}},
		"violated": {func(f *fake) { f.stats.LedgerViolations = 1 }, []string{"ledger", "bug"}},
		"not open": {func(f *fake) { f.state.Open, f.state.Failure = false, errors.New("in use\nby 17") }, []string{"cannot be opened: in use by 17"}},
		"in RAM":   {func(f *fake) { f.stats.RAM, f.stats.RAMStats.Pending = true, 9 }, []string{"RAM", "9"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHealth(t)
			h.says(true)
			h.f.is(c.is)
			h.says(false, c.words...)
		})
	}
}

func TestRowsThatWaitForTheirTablesAreTheReasonWhereTheServerIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.f.is(func(f *fake) { f.holds(0, 10); f.bars("cpu", "no such\ntable") })
		h.after(4 * time.Minute).says(true)
		h.after(2*time.Minute).says(false, "10 rows are pending for 6m0s", "10 of them wait for their tables", `as "cpu": no such table`)
	})
}

func TestTheHistoryIsAnHourOfSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		for i := range int64(200) {
			h.f.is(func(f *fake) { f.stats.AppendedBytes, f.stats.AckedBytes, f.stats.Pending = 3000*i, 1500*i, i })
			h.after(sampleEvery)
		}
		r := h.w.look(h.s)
		require.Len(t, r.history, maxSamples)
		last := r.history[maxSamples-2]
		require.Equal(t, int64(199), last.PendingRows)
		require.Equal(t, int64(100), last.Stored)
		require.Equal(t, int64(50), last.Sent)
		now := r.history[maxSamples-1]
		require.Equal(t, r.view.Now, now.At, "the present moment")
		require.Equal(t, api.Sample{At: now.At, PendingRows: 199}, now, "nothing since the last sample")
		require.Equal(t, 119*sampleEvery, now.At.Sub(r.history[0].At))
	})
}

func TestTheRateOfNowIsNotThatOfAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		for i := range int64(4) {
			h.f.is(func(f *fake) { f.stats.AppendedBytes = 3000 * i })
			h.after(sampleEvery)
		}
		h.w.sample(h.s)
		h.f.is(func(f *fake) { f.stats.AppendedBytes += 3000 })
		now := func() int64 { r := h.w.look(h.s); return r.history[len(r.history)-1].Stored }
		time.Sleep(time.Second)
		require.Equal(t, int64(3000/31), now(), "since the sample before the last")
		time.Sleep(29 * time.Second)
		require.Equal(t, int64(100), now(), "since the last")
	})
}
