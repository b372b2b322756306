// SPDX-License-Identifier: MIT

package slot_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// TestBudgetIsTheSumOfTheFilesWhateverFails fails each call once: what a failed
// step took it has given back. While calls go on failing the budget may count
// what is no longer there, never less than there is.
func TestBudgetIsTheSumOfTheFilesWhateverFails(t *testing.T) {
	for _, d := range []slot.Durability{slot.Flush, slot.Periodic, slot.Memory} {
		for _, forever := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/forever=%t", d, forever), func(t *testing.T) {
				for at := int64(1); !t.Failed(); at += thin {
					f := &fault{at: at, forever: forever, err: errors.New("broken")}
					p := &pair{t: t, d: d, mem: newMem(), b: slot.NewBudget(7 * seg), f: f}
					p.run()
					if !f.reached {
						break
					}
				}
			})
		}
	}
}

// pair is two slots under one budget, on a disk that fails.
type pair struct {
	t     testing.TB
	d     slot.Durability
	mem   *vfstest.Mem
	b     *slot.Budget
	f     *fault
	slots [2]*slot.Slot
	next  [2]slot.FSN // to be settled
}

func (p *pair) run() {
	fsys := vfstest.Wrap(p.mem, p.f.hook)
	for round := range 3 {
		for i := range p.slots {
			p.reopen(fsys, i)
			p.store(i, 3000, 2000, 4000)
		}
		for i := range p.slots {
			p.rollback(i, 500, 4000, 4000)
			p.settle(i, 2)
			p.store(i, 900, 2500)
		}
		p.store(round%2, 4000, 4000, 4000, 4000)
		p.settle(0, 2+round)
	}
	p.f.healed = true
	for i, s := range p.slots {
		p.store(i, 50)
		if s != nil && s.Err() != nil {
			p.slots[i] = nil // cannot be put right before it is opened again
			_ = s.Close()
		}
	}
	p.f.forever = false
	p.check("once the disk is well")
	for _, s := range p.slots {
		if s != nil {
			_ = s.Close()
		}
	}
	if p.b.Used() != 0 {
		p.t.Errorf("error at call %d: %d bytes used after all is closed", p.f.at, p.b.Used())
	}
}

func (p *pair) reopen(fsys vfs.FS, i int) {
	o := sharing(fsys, p.b, i)
	o.Durability, o.SyncInterval = p.d, crashOptions(fsys, p.d).SyncInterval
	if s := p.slots[i]; s != nil {
		_ = s.Close()
		p.slots[i] = nil
	}
	if s, err := slot.Open(o); err == nil {
		p.slots[i], p.next[i] = s, s.Stats().Watermark+1
	}
	p.check("reopen")
}

func (p *pair) begin(i int, sizes []int) (*slot.Tx, error) {
	if p.slots[i] == nil {
		return nil, slot.ErrClosed
	}
	tx, err := p.slots[i].Reserve(noWait(), sizes)
	p.check("Reserve")
	if err != nil {
		return nil, err
	}
	for id, n := range sizes {
		if err = tx.Append(frame(uint64(id), 1, n)); err != nil {
			break
		}
	}
	p.check("Append")
	return tx, errors.Join(err, tx.Sync())
}

func (p *pair) store(i int, sizes ...int) {
	tx, err := p.begin(i, sizes)
	switch {
	case tx == nil:
		return
	case err != nil:
		_ = tx.Rollback()
	default:
		tx.Publish()
	}
	p.check("store")
}

func (p *pair) rollback(i int, sizes ...int) {
	if tx, _ := p.begin(i, sizes); tx != nil {
		_ = tx.Rollback()
	}
	p.check("Rollback")
}

func (p *pair) settle(i, n int) {
	for s := p.slots[i]; s != nil && n > 0; n-- {
		if p.next[i] <= s.Stats().Published {
			_ = s.Settle(p.next[i], 1, slot.Acked)
			p.next[i]++
		}
		p.check("Settle")
	}
}

// check compares the budget with the files of the slots that are open.
func (p *pair) check(step string) {
	var dirs []string
	for _, s := range p.slots {
		if s != nil {
			dirs = append(dirs, s.Dir())
		}
	}
	slices.Sort(dirs)
	used, files := p.b.Used(), onDisk(p.t, p.mem, dirs...)
	if used < files || used > files && !p.f.forever {
		p.t.Errorf("error at call %d, %s: %d bytes used, the files have %d", p.f.at, step, used, files)
	}
}
