// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/steward"
	"github.com/questdb-sf/questdb_sf/sfpool"
)

// progress tells how far a drain is: a bar on a terminal, a line a second elsewhere.
type progress struct {
	to    io.Writer
	pool  *sfpool.Pool
	store *steward.Store
	slots []string // whose files are to become less
	whole int64    // bytes of them at the beginning
	color bool

	stop chan struct{}
	done sync.WaitGroup
}

func startProgress(to io.Writer, p *sfpool.Pool, s *steward.Store) *progress {
	w := &progress{to: to, pool: p, store: s, stop: make(chan struct{})}
	w.slots, _ = s.Slots() // without them there is no bar, and rows are counted all the same
	w.whole = s.Bytes(w.slots)
	bar := isTerminal(to)
	_, plain := os.LookupEnv("NO_COLOR")
	w.color = bar && !plain && os.Getenv("TERM") != "dumb"
	w.done.Go(func() { w.run(bar) })
	return w
}

// end stops the telling, and clears the bar.
func (w *progress) end() {
	close(w.stop)
	w.done.Wait()
}

func (w *progress) run(bar bool) {
	every, text := time.Second, "%s\n"
	if bar {
		every, text = every/4, "\r%s\x1b[K"
		defer fmt.Fprint(w.to, "\r\x1b[K")
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-w.stop:
			return
		case <-t.C:
			fmt.Fprintf(w.to, text, w.line(bar))
		}
	}
}

// line is what there is to see now.
func (w *progress) line(bar bool) string {
	st := w.pool.Stats()
	left := min(w.store.Bytes(w.slots), w.whole)
	percent := 100
	if w.whole > 0 {
		percent = int(100 * (w.whole - left) / w.whole)
	}
	text := fmt.Sprintf("%3d %%  %d rows sent, %.1f MiB of segments left", percent, st.Sent, float64(left)/(1<<20))
	if trouble := troubleOf(&st); trouble != "" {
		text += ": " + trouble
	}
	if !bar {
		return strings.TrimSpace(text)
	}
	return drawBar(percent, w.color) + " " + clip(text, columns()-barWidth-4)
}

// troubleOf is why nothing moves, of the first slot with something to say.
func troubleOf(st *sfpool.Stats) string {
	for _, s := range st.Slots {
		if s.State == "live" || s.State == "building" {
			if s.LastError != nil {
				return strings.Join(strings.Fields(s.LastError.Error()), " ")
			}
		}
	}
	for _, o := range st.Orphans {
		if o.State == "waiting" && o.Reason != "" {
			return strings.Join(strings.Fields(o.Reason), " ")
		}
	}
	return ""
}

const barWidth = 20

// columns is how wide the terminal is, as far as the shell has told.
func columns() int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n >= 2*barWidth {
		return n
	}
	return 80
}

func drawBar(percent int, color bool) string {
	full := percent * barWidth / 100
	on, off := strings.Repeat("#", full), strings.Repeat(".", barWidth-full)
	if color {
		return "[\x1b[32m" + on + "\x1b[0m" + off + "]"
	}
	return "[" + on + off + "]"
}

// clip keeps a line from wrapping, which could not be drawn over.
func clip(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
