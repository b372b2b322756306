// SPDX-License-Identifier: MIT

package slot

import (
	"os"
	"slices"
)

// Settle is SettleAll for one frame whose rows left the slot in one way.
func (f *Foreign) Settle(fsn FSN, rows int, as Settlement) error {
	return f.SettleAll([]Done{{FSN: fsn, Shares: []Share{{As: as, Rows: rows}}}})
}

// SettleAll says that no row of these frames is pending any more, as
// Slot.SettleAll does. No file of the other client changes before Close.
func (f *Foreign) SettleAll(list []Done) error {
	if err := checkShares(list); err != nil {
		return err
	}
	f.settling.Lock()
	defer f.settling.Unlock()
	if err := f.note(list); err != nil {
		return err
	}
	moved := f.follow()
	if err := f.state.save(f.snapshot(false)); err != nil {
		return err
	}
	if !moved {
		return nil
	}
	return f.state.sync() // once in a segment: that much is replayed after a power cut
}

// note books frames and moves the watermark.
func (f *Foreign) note(list []Done) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return ErrClosed
	}
	return f.enter(list, f.o.Dir, f.end)
}

// follow walks to the watermark, to learn the checksum of its frame and how many
// bytes are behind it. Where that fails the state is written without, which
// costs a replay after a restart. It tells whether a segment was left behind.
func (f *Foreign) follow() (moved bool) {
	f.mu.Lock()
	p, to, bytes := f.floor, f.watermark+1, int64(0)
	f.mu.Unlock()
	from := p.seg
	for p.fsn < to {
		n, err := f.step(&p, to)
		if err != nil {
			break
		}
		bytes += n
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.floor, f.pendingBytes = p, f.pendingBytes-bytes
	if p.fsn == to {
		f.crc, f.hasCRC = p.crc, true
	}
	return p.seg != from
}

// step walks on inside one segment and returns the bytes it came over.
func (f *Foreign) step(p *position, to FSN) (int64, error) {
	if p.seg == nil || p.fsn >= p.seg.next() || f.walker.f == nil {
		g := f.find(p.fsn)
		file, err := f.o.FS.OpenFile(f.path(g.name), os.O_RDONLY, 0)
		if err != nil {
			return 0, err
		}
		f.stopWalk()
		f.walker.reset(file)
		if p.seg != g {
			*p = startOf(g)
		}
	}
	before := p.off
	err := p.walk(&f.walker, min(to, p.seg.next()), p.seg.area())
	return p.off - before, err
}

func (f *Foreign) stopWalk() {
	if f.walker.f != nil {
		_ = f.walker.f.Close()
	}
	f.walker.reset(nil)
}

// snapshot is what .qsf-state has to say now.
func (f *Foreign) snapshot(clean bool) state {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := state{
		watermark: f.watermark, crc: f.crc, hasCRC: f.hasCRC, clean: clean, synced: true,
		next: f.end + 1, ledger: f.ledger, settled: slices.Clone(f.settled),
	}
	if n := len(f.layout.chain); n > 0 {
		first, last := f.layout.chain[0], f.layout.chain[n-1]
		st.next = last.next()
		st.head = head{base: first.base, created: first.created, gen: first.gen}
		st.durableGen, st.durableEnd = last.gen, last.end
	}
	return st
}
