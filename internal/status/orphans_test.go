// SPDX-License-Identifier: MIT

package status

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/status/api"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// orphan adds one with a file of so many bytes.
func (s *shop) orphan(t testing.TB, name string, size int) {
	s.keeps(t, name+"/sf-initial.sfa", strings.Repeat("x", size))
	s.stats.Orphans = append(s.stats.Orphans, sfpool.OrphanStats{Name: name, State: "failed", Reason: "it is full of wounds"})
}

func looked(s *shop) (n int) {
	for _, o := range s.document().Orphans {
		if o.Looked != o.Counted {
			return -1
		}
		if o.Looked {
			n++
		}
	}
	return n
}

func TestOrphansTakeTurnsAndTheOthersAreNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		for i := range 2*maxPeeked + 5 {
			s.orphan(t, fmt.Sprintf("old-%03d", i), 7)
		}
		require.Equal(t, maxPeeked, looked(s))
		words := plain(drawn(t, &api.Document{Stores: []api.Store{s.document()}}))
		require.Contains(t, words, "old-000 failed it is full of wounds 0 7 B")
		require.Contains(t, words, "old-100 failed it is full of wounds not counted not counted")
		time.Sleep(filesEvery)
		require.Equal(t, 2*maxPeeked, looked(s), "what was seen before is still known")
		time.Sleep(filesEvery)
		require.Equal(t, 2*maxPeeked+5, looked(s))
		s.stats.Orphans = s.stats.Orphans[:3]
		time.Sleep(filesEvery)
		require.Equal(t, 3, looked(s))
		require.Len(t, s.w.disk.peekers, 3)
	})
}

func TestOneLookHasOneBudgetForAllOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		s.orphan(t, "old-0", 7)
		s.orphan(t, "old-1", 7)
		require.Equal(t, 2, looked(s))
		require.Same(t, s.w.disk.peekers["old-0"].Budget, s.w.disk.peekers["old-1"].Budget)
		require.Equal(t, int64(peekBytes), *s.w.disk.peekers["old-0"].Budget, "nothing was read of frames")
	})
}

func TestFilesAreLookedAtOnceInAWhileWhateverOrphansComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, looks := newShop(t), 0
		see := func(op vfstest.Op) {
			if op.Kind == vfstest.OpReadDir && op.Path == "/sf/default-0" {
				looks++
			}
		}
		s.hook.Store(&see)
		for i := range 20 {
			s.orphan(t, fmt.Sprintf("old-%d", i), 7)
			s.document()
		}
		require.Equal(t, 1, looks)
		require.Equal(t, 1, looked(s))
		time.Sleep(filesEvery)
		require.Equal(t, 20, looked(s))
		require.Equal(t, 2, looks)
	})
}

func TestAnOrphanThatCannotBeLookedIntoIsNotCountedAndSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShop(t)
		s.stats.Orphans = []sfpool.OrphanStats{{Name: "gone-0", State: "waiting"}, {Name: "gone-1", State: "draining", Pending: 7}}
		d := s.document()
		require.False(t, d.Orphans[0].Counted || d.Orphans[0].Looked)
		require.Contains(t, d.Orphans[0].Error, "gone-0")
		words := plain(drawn(t, &api.Document{Stores: []api.Store{d}}))
		require.Regexp(t, `gone-0 waiting It cannot be looked into: [^:]*/sf/gone-0[^<]*? not counted not counted`, words)
		require.Regexp(t, `gone-1 draining It cannot be looked into: [^<]*? 7 not counted`, words, "the pool has counted it")
	})
}

func TestAnOrphanOfWhichThereIsMoreSaysSo(t *testing.T) {
	one := api.Orphan{Name: "old-0", State: "failed"}
	addPeek(&one, &peeked{Peek: slot.Peek{Partial: true, Stats: slot.Stats{Pending: 1234, SegmentBytes: 2048}}})
	require.Contains(t, plain(drawn(t, &api.Document{Stores: []api.Store{{Orphans: []api.Orphan{one}}}})), "old-0 failed at least 1,234 2.0 KiB")
}
