// SPDX-License-Identifier: MIT

//go:build linux

package e2e

import (
	"testing"
	"time"
)

// diskRows are fed while the server is away.
const diskRows = 60_000

// diskCases are those of a full disk. The disk of the baseline, 8 MB, holds all rows
// here, so that the others have a smaller one; sf_max_total_bytes and
// sf_min_free_space are set so that nothing but the disk bounds them.
var diskCases = []lossCase{
	{name: "s4a disk of 8 MB, server down, then back; defaults", play: func(b *lossBed) {
		b.sf = tmpfs(b, "size=8m")
		a := b.backlog(diskRows)
		b.up()
		b.drained()
		b.end(a)
	}},
	{name: "s4a disk of 1.5 MB full, server down, then back; drop_oldest", play: func(b *lossBed) {
		a := b.fullDropping()
		b.up()
		b.drained()
		b.end(a)
	}, judge: (*lossBed).evicted},
	{name: "s4a disk of 1.5 MB full, server down, then back; block", play: func(b *lossBed) {
		a, _ := b.fullBlocking()
		b.up()
		b.drained()
		b.end(a)
	}},
	{name: "s4b the same, telegraf kill -9, restart, server back; drop_oldest", play: func(b *lossBed) {
		check(b, b.fullDropping().Kill())
		b.up()
		a := b.start()
		b.drained()
		b.end(a)
	}, judge: (*lossBed).evicted},
	{name: "s4b the same, telegraf kill -9, restart, server back; block", play: func(b *lossBed) {
		a, accepted := b.fullBlocking()
		check(b, a.Kill()) // with it goes what never was in the store
		b.lose(accepted, diskRows)
		b.up()
		a = b.start()
		b.drained()
		b.end(a)
	}},
}

func TestTheLossTableOfAFullDisk(t *testing.T) { playAll(t, diskCases) }

// fullDisk makes a store that only its disk bounds.
func (b *lossBed) fullDisk(policy string) {
	b.sf = tmpfs(b, "size=1536k")
	b.options = append(b.options, `sf_full = "`+policy+`"`, `sf_max_segment_bytes = "128KiB"`,
		`sf_max_total_bytes = "64MiB"`, `sf_min_free_space = "0"`, `sf_append_deadline = "1s"`)
}

// fullDropping fills the disk beyond its end; the oldest rows are to be missing.
func (b *lossBed) fullDropping() *lossAgent {
	b.Helper()
	b.fullDisk("drop_oldest")
	a := b.backlog(diskRows)
	evicted := b.settled(a, "rows_evicted")
	if evicted == 0 {
		b.Fatal("the disk is not full")
	}
	b.lose(0, evicted)
	return a
}

// fullBlocking fills the disk, and returns how many rows the store has accepted. The
// others are in the buffer of Telegraf.
func (b *lossBed) fullBlocking() (a *lossAgent, accepted int64) {
	b.Helper()
	b.fullDisk("block")
	a = b.start()
	b.feed(a, diskRows)
	check(b, a.WaitLog(b.ctx, "the store is full"))
	return a, b.settled(a, "rows_appended")
}

// settled returns a figure when it has not changed for two seconds.
func (b *lossBed) settled(a *lossAgent, name string) (n int64) {
	b.Helper()
	since := time.Now()
	awaitOf(b.ctx, b, a.Agent, name, func() bool {
		if now := b.figure(a, name); now != n {
			n, since = now, time.Now()
		}
		return time.Since(since) > 2*time.Second
	})
	return n
}

// lose says that the rows from ≤ id < to are to be missing.
func (b *lossBed) lose(from, to int64) {
	for id := from; id < to; id++ {
		b.missing = append(b.missing, id)
	}
}

// evicted fails unless the books count as evicted what is missing.
func (b *lossBed) evicted(o *outcome) {
	if o.books.Evicted != int64(o.lost) {
		b.Errorf("%d rows evicted, %d lost", o.books.Evicted, o.lost)
	}
}
