// SPDX-License-Identifier: MIT

package status

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/sfpool"
)

// twoSlots has a second slot, whose server is there.
func twoSlots(f *fake) {
	f.stats.Slots = append(f.stats.Slots, sfpool.SlotStats{Name: "default-1", State: "live", Connected: true})
}

func TestHealthFailsForASlotThatIsStuckWhileAnotherMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.f.is(func(f *fake) { twoSlots(f); f.pends(1000); f.gets(1, 100) })
		for range 6 {
			h.f.is(func(f *fake) { f.acks(1, 10) })
			h.after(time.Minute)
		}
		h.says(false, "1000 rows are pending in default-0 and nothing has moved for 6m0s; waiting for the server since")
	})
}

func TestHealthFailsForRowsHeldForTheirTablesWhileOthersMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.f.is(func(f *fake) { f.stats.Slots[0].Connected = true; f.holds(0, 7) })
		for range 6 {
			h.f.is(func(f *fake) { f.gets(0, 10); f.holds(0, 3) }) // of another table, soon there
			h.after(30 * time.Second)
			h.f.is(func(f *fake) {
				f.stats.Slots[0].HeldRows, f.stats.HeldRows = 7, 7
				f.acks(0, 13)
			})
			h.after(30 * time.Second)
		}
		h.says(false, "7 of them wait for their tables")
	})
}

func TestHealthFailsAMinuteAfterAStartForRowsThatAreOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.f.is(func(f *fake) { f.pends(50); f.stats.Slots[0].OldestPending = time.Now().Add(-3 * time.Hour) })
		h.after(30*time.Second).says(true, "50 rows pending")
		h.after(30*time.Second).says(false, "50 rows are pending, the oldest for 3h1m0s, and nothing of them has moved since the start")
		h.f.is(func(f *fake) { f.acks(0, 1) })
		h.after(4*time.Minute).says(true, "49 rows pending")
		h.after(2*time.Minute).says(false, "nothing has moved for 6m0s")
	})
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.f.is(func(f *fake) { f.holds(0, 5); f.stats.Slots[0].OldestPending = time.Now().Add(-time.Hour) })
		h.after(time.Minute).says(false, "5 rows are pending for 1h1m0s; 5 of them wait for their tables")
	})
}

func TestHealthFailsWhileRowsAreDropped(t *testing.T) {
	for name, c := range map[string]struct {
		limit string
		inRAM bool
		words string
		full  bool
	}{
		"the cap":        {"sf_max_total_bytes", false, "the store is full: 1048576 of 1048576 bytes, see sf_max_total_bytes: 9 rows were dropped since 2000-01-01T00:01:00Z", true},
		"the disk":       {"sf_min_free_space", false, "the disk is short of space: 42949672960 bytes are free, of which sf_min_free_space is kept: 9 rows", true},
		"no disk left":   {"the size of the filesystem, or a quota", false, "the disk is full, or a quota is", true},
		"the age":        {"sf_max_age", false, "rows are older than sf_max_age: 9 rows", false},
		"orphans":        {"orphans_max_bytes", false, "exceed orphans_max_bytes", false},
		"the cap of RAM": {"sf_max_total_bytes", true, "RAM is full: 32 of 33 bytes, see ram_max_bytes: 9 rows", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHealth(t)
				h.f.is(func(f *fake) {
					f.stats.StoreBytes, f.stats.MaxBytes, f.stats.Dropped = 1<<20, 1<<20, 1000
					f.stats.RAMStats.StoreBytes, f.stats.RAMStats.MaxBytes = 32, 33
				})
				h.after(time.Minute).says(true) // what was dropped before
				require.False(t, h.full())
				for range 3 {
					h.f.is(func(f *fake) {
						st := &f.stats.Stats
						if c.inRAM {
							st = &f.stats.RAMStats
						}
						st.Dropped, st.DroppedFor = st.Dropped+3, c.limit
					})
					h.says(false)
					h.after(4 * time.Minute)
				}
				h.says(false, c.words)
				require.Equal(t, c.full, h.full())
				h.after(time.Minute).says(true)
				require.False(t, h.full())
			})
		})
	}
}

func TestHealthFailsWhileWritesFindNoRoomAndSaysWhichRoom(t *testing.T) {
	for name, c := range map[string]struct {
		is    func(f *fake)
		why   string
		words string
	}{
		"full":            {func(f *fake) { f.stats.StoreBytes = 1 << 30 }, "sf_max_total_bytes", "the store is full: 1073741824 of 1073741824 bytes"},
		"short of space":  {func(f *fake) { f.stats.StoreBytes = 4096 }, "sf_min_free_space", "the disk is short of space: 42949672960 bytes are free"},
		"RAM":             {func(f *fake) { f.stats.RAM, f.stats.RAMStats.StoreBytes, f.stats.RAMStats.MaxBytes = true, 32, 32 }, "", "RAM is full: 32 of 32 bytes"},
		"a quota, or all": {func(*fake) {}, "the size of the filesystem, or a quota", "the disk is full"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHealth(t)
			h.says(true)
			h.f.is(c.is)
			h.b = Block{FullNow: true, FullWhy: c.why}
			h.says(false, c.words, "new rows wait before it")
			require.True(t, h.full())
			h.b = Block{}
			require.False(t, h.full())
		})
	}
}

func TestAFullStoreIntoWhichNothingComesIsFullAndWell(t *testing.T) {
	h := newHealth(t)
	h.f.is(func(f *fake) { f.stats.StoreBytes, f.stats.PendingBytes = 1<<30, 1<<30-4096 })
	h.says(true)
	require.True(t, h.full())
	h.f.is(func(f *fake) { f.stats.PendingBytes = 0 }) // its segments are there, and free
	require.False(t, h.full())
}

func TestFiguresInRAMAreThoseOfTheRAM(t *testing.T) {
	h := newHealth(t)
	h.f.is(func(f *fake) {
		f.stats.StoreBytes, f.stats.TimeToFull, f.stats.Lasts = 5, time.Hour, time.Hour
		f.stats.RAM = true
		f.stats.RAMStats = sfpool.Stats{StoreBytes: 30 << 20, MaxBytes: 32 << 20, TimeToFull: time.Minute, Lasts: 2 * time.Minute}
	})
	r := h.w.look(h.s)
	figures := r.document().Figures
	for name, want := range map[string]int64{
		"store_bytes": 30 << 20, "store_max_bytes": 32 << 20, "time_to_full_ns": int64(time.Minute), "store_lasts_ns": int64(2 * time.Minute),
	} {
		require.Equal(t, want, figures[name], name)
	}
}

func TestHealthFailsForOrphansThatAreDamagedOrLieStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.f.is(func(f *fake) {
			f.stats.Orphans = []sfpool.OrphanStats{{Name: "old-0", State: "failed", Reason: "frame 3\nis damaged", Pending: 1_000_000}}
		})
		h.says(false, "1 slots of nobody are damaged, and their rows are not sent: old-0: frame 3 is damaged; see the repair command")
	})
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.f.is(func(f *fake) {
			f.stats.Orphans = []sfpool.OrphanStats{
				{Name: "a-0", State: "waiting", Reason: "no progress for 30s", Pending: 40}, {Name: "b-0", State: "draining", Pending: 7},
			}
		})
		h.after(4*time.Minute).says(true, "ok, 0 rows pending, and 47 in slots of nobody")
		h.after(2*time.Minute).says(false, "40 rows or more wait in 1 slots of nobody, of which nothing has moved for 6m0s: a-0: no progress for 30s")
		h.f.is(func(f *fake) { f.stats.Orphans[0].Left, f.stats.Orphans[0].Pending = 1, 39 })
		h.says(true, "46 in slots of nobody")
	})
}

func TestOrphansAreInTheTotals(t *testing.T) {
	h := newHealth(t)
	h.f.is(func(f *fake) { f.stats.Orphans = []sfpool.OrphanStats{{Name: "a-0", State: "draining", Pending: 7}} })
	r := h.w.look(h.s)
	d := r.document()
	require.Equal(t, int64(7), d.Figures["orphans_rows_pending"])
	require.Equal(t, "nothing is pending, and 7 in slots of nobody", d.Says)
}

func TestHealthDoesNotFailForOrphansThatAreNotOurs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.f.is(func(f *fake) {
			f.stats.Orphans = []sfpool.OrphanStats{
				{Name: "a-0", State: "other destination", Reason: "its rows belong to b"}, {Name: "b-0", State: "owned by another pool", Reason: "the pool is open"},
				{Name: "c-0", State: "waiting", Reason: "in use by process 7", Locked: true}, {Name: "d-0", State: "waiting"},
			}
		})
		h.after(time.Hour).says(true, "ok, 0 rows pending; 1 slots of another destination are left alone: a-0")
		h.f.is(func(f *fake) { f.stats.Orphans[2].Locked = false }) // its client has ended just now
		h.says(true)
	})
}

// quiet are times at which nobody is to be woken.
var quiet = map[string]func(h *health){
	"for a server that restarts": func(h *health) {
		h.f.is(func(f *fake) { f.pends(100) })
		h.after(4*time.Minute).says(true, "100 rows")
		h.f.is(func(f *fake) { f.acks(0, 100); f.stats.Slots[0].OutageSince = time.Time{} })
		h.says(true, "ok, 0 rows")
	},
	"for a narrow link whose backlog of days moves": func(h *health) {
		h.f.is(func(f *fake) {
			f.gets(0, 1_000_000)
			f.stats.Slots[0].Connected, f.stats.Slots[0].OldestPending = true, time.Now().Add(-72*time.Hour)
		})
		h.f.is(func(f *fake) { f.acks(0, 1) })
		for range 24 {
			h.after(4 * time.Minute).says(true)
			h.f.is(func(f *fake) { f.acks(0, 10); f.gets(0, 20) })
		}
	},
	"on an idle box": func(h *health) { h.after(24*time.Hour).says(true, "ok, 0 rows pending") },
	"for rows on their way": func(h *health) {
		for range 60 {
			h.f.is(func(f *fake) { f.gets(0, 10) })
			h.after(time.Minute).says(true, "10 rows")
			h.f.is(func(f *fake) { f.acks(0, 10) })
		}
	},
	"for rows that are refused": func(h *health) {
		h.f.is(func(f *fake) { f.gets(0, 100); f.stats.Slots[0].Connected = true })
		for range 10 {
			h.after(4 * time.Minute).says(true)
			h.f.is(func(f *fake) {
				s := &f.stats.Slots[0]
				s.DeadLettered, s.Pending = s.DeadLettered+1, s.Pending-1
				f.stats.DeadLettered, f.stats.Pending = f.stats.DeadLettered+1, f.stats.Pending-1
			})
		}
	},
	"for a slot that waits for its turn at the only connection": func(h *health) {
		h.f.is(func(f *fake) {
			twoSlots(f)
			f.gets(0, 10)
			f.gets(1, 1000)
		})
		for range 20 {
			h.f.is(func(f *fake) { f.acks(1, 1) })
			h.after(time.Minute).says(true)
		}
		h.f.is(func(f *fake) { f.stats.Slots[0].Connected, f.stats.Slots[1].Connected = true, false })
		h.after(time.Minute).says(true)
	},
	"for rows that wait a moment for new tables": func(h *health) {
		for range 10 {
			h.f.is(func(f *fake) { f.holds(0, 5) })
			h.after(2 * time.Minute).says(true)
			h.f.is(func(f *fake) { f.stats.HeldRows, f.stats.Slots[0].HeldRows = 0, 0; f.acks(0, 5) })
			h.after(time.Minute).says(true)
		}
	},
}

func TestHealthDoesNotFail(t *testing.T) {
	for name, run := range quiet {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { run(newHealth(t)) }) })
	}
}

// Rows that were turned away before they came in are dead letters of a slot all the same.
func TestRejectedRowsAreNoProgressOfASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.f.is(func(f *fake) { f.pends(3) })
		for range 6 {
			h.f.is(func(f *fake) {
				f.stats.Rejected, f.stats.DeadLettered = f.stats.Rejected+1, f.stats.DeadLettered+1
				f.stats.Slots[0].DeadLettered++
			})
			h.after(time.Minute)
		}
		h.says(false, "3 rows")
	})
}

// The ledger of a slot comes into view when it is opened.
func TestASlotThatIsOpenedHasNotMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHealth(t)
		h.f.is(func(f *fake) { f.stats.Slots[0].State = "free" })
		h.says(true)
		h.f.is(func(f *fake) {
			f.pends(20)
			s := &f.stats.Slots[0]
			s.State, s.Acked, f.stats.Acked, s.OldestPending = "live", 5000, 5000, time.Now().Add(-time.Hour)
		})
		h.after(time.Minute).says(false, "since the start")
	})
}

func TestEachReasonIsOneLine(t *testing.T) {
	h := newHealth(t)
	h.f.is(func(f *fake) {
		f.state.Open, f.state.Failure, f.stats.Leaked, f.stats.LedgerViolations = false, errors.New("a\nb"), 1, 1
		f.stats.Orphans = []sfpool.OrphanStats{{Name: "o", State: "failed", Reason: "c\nd"}}
	})
	h.says(false, "a b; ", "c d; ", "1 slots are out of use", "bug")
}
