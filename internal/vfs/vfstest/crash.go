// SPDX-License-Identifier: MIT

package vfstest

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Crash returns what a power cut might leave: everything synced, and by a coin
// each unsynced sector, size and directory operation. All locks are gone. m
// itself goes on unharmed.
func (m *Mem) Crash(r *rand.Rand) *Mem {
	return m.crash(func() bool { return r.IntN(2) == 0 })
}

// CrashLost returns the state in which nothing that was not synced survived.
func (m *Mem) CrashLost() *Mem { return m.crash(func() bool { return false }) }

// CrashKept returns the state after the death of the process alone: everything
// written is there, and what was not synced still is not.
func (m *Mem) CrashKept() *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := &Mem{dirs: map[string]*memDir{}, capacity: m.capacity, device: m.device, owners: maps.Clone(m.owners)}
	nodes := map[*node]*node{}
	for path, d := range m.dirs {
		copied := newMemDir(d.perm)
		for name, n := range d.now {
			copied.now[name] = n.clone(nodes)
		}
		for name, n := range d.durable {
			copied.durable[name] = n.clone(nodes)
		}
		for _, op := range d.pending {
			copied.pending = append(copied.pending, dirOp{from: op.from, to: op.to, n: op.n.clone(nodes)})
		}
		after.dirs[path] = copied
	}
	return after
}

func (n *node) clone(made map[*node]*node) *node {
	if made[n] == nil {
		made[n] = &node{
			data: slices.Clone(n.data), durable: slices.Clone(n.durable), dirty: maps.Clone(n.dirty), perm: n.perm,
		}
	}
	return made[n]
}

// crash asks survives in an order that depends on nothing but the calls made
// so far, so that a seed names a state.
func (m *Mem) crash(survives func() bool) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	after := &Mem{dirs: map[string]*memDir{}, capacity: m.capacity, device: m.device, owners: maps.Clone(m.owners)}
	nodes := map[*node]*node{}
	for _, path := range slices.Sorted(maps.Keys(m.dirs)) {
		d := m.dirs[path]
		names := d.crash(survives)
		copied := newMemDir(d.perm)
		for _, name := range slices.Sorted(maps.Keys(names)) {
			n := names[name]
			if nodes[n] == nil {
				nodes[n] = n.crash(survives)
			}
			copied.now[name], copied.durable[name] = nodes[n], nodes[n]
		}
		after.dirs[path] = copied
	}
	return after
}

func (d *memDir) crash(survives func() bool) map[string]*node {
	names := maps.Clone(d.durable)
	for _, op := range d.pending {
		if survives() {
			op.apply(names)
		}
	}
	return names
}

func (n *node) crash(survives func() bool) *node {
	size := int64(len(n.durable))
	if now := int64(len(n.data)); size != now && survives() {
		size = now
	}
	left := make([]byte, size)
	copy(left, n.durable)
	for _, s := range slices.Sorted(maps.Keys(n.dirty)) {
		if !survives() {
			continue
		}
		from, to := min(s*sectorSize, size), min((s+1)*sectorSize, size)
		clear(left[from:to])
		copy(left[from:to], n.data[min(from, int64(len(n.data))):])
	}
	return &node{data: left, durable: slices.Clone(left), perm: n.perm}
}
