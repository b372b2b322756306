// SPDX-License-Identifier: MIT

package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestTelegrafKilledTwentyTimesWhileItTrimsLosesNoRowAndDoublesNone kills Telegraf
// each time in the moment in which it begins to unlink what the server has taken.
func TestTelegrafKilledTwentyTimesWhileItTrimsLosesNoRowAndDoublesNone(t *testing.T) {
	const kills, rows = 20, 150_000
	b := newLossBed(t, true)
	b.buffer = rows
	b.options = append(b.options, `sf_max_segment_bytes = "64KiB"`)
	b.end(b.backlog(rows))
	b.up()
	files := b.segments()
	t.Logf("%d rows in %d segments", rows, files)
	for kill := range kills {
		a := b.start()
		b.trims(a, kill)
		check(t, a.Kill())
	}
	left := b.segments()
	if left == 0 {
		t.Error("all was sent before the last kill")
	}
	a := b.start()
	b.drained()
	b.end(a)
	o := b.judge("kill -9 in a trim")
	t.Logf("%d kills took the store from %d to %d segments: %d lost, %d duplicated", kills, files, left, o.lost, o.doubled)
}

// segments counts the segment files of the first slot.
func (b *lossBed) segments() int {
	return len(must(fs.Glob(os.DirFS(filepath.Join(b.sf, "default-0")), "*.sfa"))(b))
}

// trims waits until a segment is gone.
func (b *lossBed) trims(a *lossAgent, kill int) {
	b.Helper()
	for before := b.segments(); b.segments() >= before; time.Sleep(time.Millisecond / 2) {
		select {
		case <-a.Done():
			b.Fatalf("Telegraf ended by itself before kill %d", kill)
		case <-b.ctx.Done():
			b.Fatalf("nothing is trimmed before kill %d", kill)
		default:
		}
	}
}
