// SPDX-License-Identifier: MIT

package top

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// window is over how long rates are taken: an agent flushes every ten seconds, and
	// between two of those nothing comes in.
	window = 30 * time.Second
	// stillNoticed is after how long without an ack that is said.
	stillNoticed = 10 * time.Second
	// farOff is a forecast that means nothing any more.
	farOff = 10 * 365 * 24 * time.Hour
)

// History reckons with readings, which come in the order of their times.
type History struct {
	readings []Reading
	moved    time.Time // when rows were last seen to leave, or to be none
	left     int64     // that had left by then
}

// Figures is what follows from readings.
type Figures struct {
	Rows   int64         `json:"rows"` // pending
	Bytes  int64         `json:"bytes"`
	Oldest time.Duration `json:"oldest_ns"` // its age; 0 with nothing pending
	Dead   int64         `json:"dead_lettered"`
	Lost   int64         `json:"lost"`
	// In and Out are rows a second, Growth bytes a second by which the backlog grows; they
	// are known with the second reading.
	Known   bool          `json:"rates_known"`
	In      float64       `json:"rows_in_per_second"`
	Out     float64       `json:"rows_out_per_second"`
	Growth  float64       `json:"bytes_growth_per_second"`
	ToEmpty time.Duration `json:"to_empty_ns"` // 0: not in sight
	ToFull  time.Duration `json:"to_full_ns"`  // 0: not in sight
	Still   time.Duration `json:"still_ns"`    // since rows have left although some are pending
	// Explanation says in words why it is as it is; empty in health.
	Explanation string `json:"explanation"`
}

// Add takes a reading and returns what follows.
func (h *History) Add(r Reading) Figures {
	if n := len(h.readings); n > 0 && h.readings[n-1].Partial {
		h.readings = nil // what was counted since then did not come since then
	}
	for len(h.readings) > 1 && r.At.Sub(h.readings[1].At) >= window {
		h.readings = h.readings[1:]
	}
	h.readings = append(slices.Clip(h.readings), r)
	now := r.sums()
	f := Figures{Rows: now.Pending, Bytes: now.PendingBytes, Dead: now.Dead, Lost: now.Lost}
	if !now.Oldest.IsZero() && now.Pending > 0 {
		f.Oldest = max(0, r.At.Sub(now.Oldest))
	}
	h.notice(&f, now, r.At)
	h.rates(&f)
	h.forecast(&f)
	f.Explanation = explain(&f, &r)
	return f
}

// notice tells how long rows have not left.
func (h *History) notice(f *Figures, now Slot, at time.Time) {
	left := now.Acked + now.Dead + now.Lost
	if h.moved.IsZero() || now.Pending == 0 || left != h.left {
		h.moved, h.left = at, left
	}
	f.Still = at.Sub(h.moved)
}

// rates compares the last reading with the first of the window. Slots that come and go
// between the two would make them wild.
func (h *History) rates(f *Figures) {
	first, last := &h.readings[0], &h.readings[len(h.readings)-1]
	took := last.At.Sub(first.At).Seconds()
	if took <= 0 {
		return
	}
	f.Known = true
	was := map[string]*Slot{}
	for i := range first.Slots {
		was[first.Slots[i].Name] = &first.Slots[i]
	}
	for i := range last.Slots {
		now := &last.Slots[i]
		if before := was[now.Name]; before != nil {
			f.In += float64(max(0, now.Accepted-before.Accepted)) / took
			f.Out += float64(max(0, now.Acked-before.Acked)) / took
			f.Growth += float64(now.PendingBytes-before.PendingBytes) / took
		}
	}
}

// forecast tells when the backlog is gone, or the store full, if all goes on like this.
func (h *History) forecast(f *Figures) {
	r := &h.readings[len(h.readings)-1]
	if f.Rows > 0 && f.Out > f.In {
		f.ToEmpty = lasts(float64(f.Rows), f.Out-f.In)
	}
	room := int64(math.MaxInt64)
	if r.MaxBytes > 0 {
		room = r.MaxBytes - f.Bytes
	}
	if r.FreeBytes != nil {
		room = min(room, *r.FreeBytes+max(0, r.StoreBytes-f.Bytes)) // what is reserved is there
	}
	f.ToEmpty, f.ToFull = cmp.Or(f.ToEmpty, r.ToEmpty), r.ToFull
	if f.Growth > 0 && room != math.MaxInt64 {
		f.ToFull = max(lasts(float64(max(0, room)), f.Growth), time.Second)
	}
}

func lasts(amount, rate float64) time.Duration {
	if seconds := amount / rate; seconds < farOff.Seconds() {
		return time.Duration(seconds * float64(time.Second))
	}
	return 0
}

// explain says why it does not move, as far as can be told.
func explain(f *Figures, r *Reading) string {
	var says []string
	if f.Still >= stillNoticed {
		says = append(says, "not shrinking for "+age(f.Still))
	}
	switch {
	case f.Rows > 0 && !r.Remote && len(r.Agents) == 0 && r.Unseen:
		says = append(says, "the agent was killed, or runs where its locks cannot be seen, in another container for example")
	case f.Rows > 0 && !r.Remote && len(r.Agents) == 0:
		says = append(says, "nobody has the store open: start the agent")
	case f.Still >= stillNoticed && len(r.Trouble) == 0:
		says = append(says, "questdb_sf doctor looks for the reason")
	case f.Rows > 0 && f.Known && f.In > f.Out && f.Still < stillNoticed && f.Out > 0:
		says = append(says, fmt.Sprintf("%s rows/s more come in than go out", count(int64(math.Round(f.In-f.Out)))))
	}
	if r.FreeBytes != nil && *r.FreeBytes <= 0 {
		says = append(says, "the disk has no room but what is to be left free")
	}
	if r.Partial {
		says = append(says, "still counting")
	}
	return strings.Join(append(says, r.Trouble...), "; ")
}
