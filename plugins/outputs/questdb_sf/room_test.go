// SPDX-License-Identifier: MIT

package questdb_sf

import (
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/store"
)

// cramped is a store of 100 bytes that some blocks write to.
type cramped struct {
	b    backpressure
	told []string

	mu sync.Mutex // guards st, at which a timer looks
	st store.Stats
}

func newCramped(t *testing.T) *cramped {
	c := &cramped{}
	c.st.MaxBytes = 100
	c.holds(100, 100)
	c.b.log = slog.New(slog.DiscardHandler)
	c.b.told = func(reason string) { c.told = append(c.told, reason) }
	t.Cleanup(c.b.close)
	return c
}

func (c *cramped) stats() store.Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.st
}

// holds says how many bytes are in files, and how many of them are pending.
func (c *cramped) holds(files, pending int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.st.StoreBytes, c.st.PendingBytes = files, pending
}

func (c *cramped) wrote(err error) { c.b.wrote(err, c.stats) }

// after passes time, and says whether the store is full then.
func (c *cramped) after(d time.Duration) bool {
	time.Sleep(d)
	synctest.Wait()
	return c.b.isFull()
}

func TestTheEndOfAFullStoreIsSeenAfterTheLastWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCramped(t)
		c.wrote(&slot.FullError{})
		c.holds(100, 80)
		c.wrote(nil) // the last batch
		require.True(t, c.after(time.Minute))
		require.Equal(t, slot.LimitTotal, c.b.why())
		c.holds(100, 0) // its files may stay, for what comes
		require.False(t, c.after(roomEvery))
		require.Empty(t, c.b.why())
		require.Equal(t, time.Minute+roomEvery, c.b.total())
		require.Equal(t, []string{"the store is full, and nothing in it could be dropped in time", ""}, c.told)
		c.wrote(nil)
		require.False(t, c.after(time.Hour))
		require.Len(t, c.told, 2)
	})
}

func TestABatchThatWaitsIsNotToldOfRoomThatItDoesNotFind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCramped(t)
		c.wrote(&slot.FullError{})
		c.holds(100, 1) // in files that cannot go
		require.True(t, c.after(time.Hour))
		c.holds(75, 1)
		require.False(t, c.after(roomEvery))
		c.wrote(&slot.FullError{LowSpace: true})
		require.Equal(t, slot.LimitSpace, c.b.why())
		require.True(t, c.after(time.Hour), "who knows what is free of the disk")
		c.wrote(nil)
		require.False(t, c.after(0))
	})
}

func TestABatchThatDoesNotFitIsToldOfOnce(t *testing.T) {
	for _, lacks := range []*slot.FullError{{Need: 50}, {Need: 500, Never: true}} {
		synctest.Test(t, func(t *testing.T) {
			c := newCramped(t)
			c.holds(75, 75)
			for range 10 {
				c.wrote(lacks)
				require.True(t, c.after(roomEvery+time.Second))
			}
			require.Len(t, c.told, 1)
			c.wrote(nil)
			require.False(t, c.after(0))
			require.Len(t, c.told, 2)
		})
	}
}

func TestTheLimitIsThatOfTheLastBatchWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCramped(t)
		c.wrote(&slot.FullError{Need: 10})
		c.wrote(&slot.FullError{LowSpace: true})
		require.Equal(t, slot.LimitSpace, c.b.why())
		c.holds(10, 10)
		require.True(t, c.after(time.Hour))
		c.wrote(nil)
		require.False(t, c.after(0))
	})
}
