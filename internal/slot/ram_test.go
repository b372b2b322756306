// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs/ramfs"
)

func TestSlotInRAMKeepsFramesAndGivesMemoryBack(t *testing.T) {
	ram := ramfs.New(1 << 20)
	held := func() int64 {
		total, free, err := ram.Space("/")
		do(t, err)
		return total - free
	}
	o := options(ram)
	o.Durability = slot.Memory
	s := open(t, o)
	idle := held()
	fill(t, s, 0, 40, 1000) // four to a segment
	wantIDs(t, s, 0, ids(0, 40)...)
	if n := held(); n != idle+9*seg {
		t.Errorf("%d bytes held with ten segments, %d with one", n, idle)
	}
	settle(t, s, 0, 21)
	do(t, s.Close())
	s = open(t, o)
	wantIDs(t, s, 22, ids(22, 40)...)
	settle(t, s, 22, 39)
	if n := held(); n != idle {
		t.Errorf("%d bytes held after trimming, %d before", n, idle)
	}
	do(t, s.Close())
	if n := held(); n > idle-2*seg {
		t.Errorf("%d bytes held after Close of a drained slot, segments included", n)
	}
}

func TestRAMThatIsTooSmallRefusesAndKeepsWhatItHas(t *testing.T) {
	o := options(ramfs.New(10*seg + 2000)) // with .qsf-state less than eight segments
	o.Durability = slot.Memory
	s := open(t, o)
	n := uint64(0)
	for ; n < 40; n++ {
		if err := store(s, frame(n, 1, 1000)); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			break
		}
	}
	if n == 40 {
		t.Fatal("no limit was met")
	}
	wantIDs(t, s, 0, ids(0, n)...)
	settle(t, s, 0, slot.FSN(n)-1)
	mustStore(t, s, frame(n, 1, 1000))
	wantIDs(t, s, slot.FSN(n), n)
}
