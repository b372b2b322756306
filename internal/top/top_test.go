// SPDX-License-Identifier: MIT

package top_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"github.com/questdb-sf/questdb_sf/internal/top"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// reading is a store with one slot in use at so many seconds after noon.
func reading(at float64, accepted, acked, bytes int64) top.Reading {
	return top.Reading{
		At: noon.Add(time.Duration(at * float64(time.Second))), Name: "/sf", MaxBytes: 1 << 20, Agents: []int{4711},
		Slots: []top.Slot{{Name: "default-0", State: "in use", Accepted: accepted, Acked: acked, Pending: accepted - acked,
			PendingBytes: bytes, Oldest: noon.Add(-time.Minute)}},
	}
}

func TestRatesComeFromReadingsAndForecastsFromRates(t *testing.T) {
	var h top.History
	if f := h.Add(reading(0, 1000, 0, 100_000)); f.Known || f.In != 0 || f.ToFull != 0 {
		t.Errorf("rates are known from one reading: %+v", f)
	}
	// 100 rows in 2 s come in, none leave; of 1 MiB 0.9 MB are left for 5,000 bytes a second
	f := h.Add(reading(2, 1100, 0, 110_000))
	if !f.Known || f.In != 50 || f.Out != 0 || f.Growth != 5000 || f.ToEmpty != 0 || f.ToFull.Round(time.Second) != 188*time.Second {
		t.Errorf("%+v", f)
	}
	// in the 10 s since the first reading 600 came in and 1,100 left: 500 rows in 10 s
	f = h.Add(reading(10, 1600, 1100, 50_000))
	if f.In != 60 || f.Out != 110 || f.ToEmpty != 10*time.Second || f.ToFull != 0 || f.Rows != 500 || f.Bytes != 50_000 {
		t.Errorf("%+v", f)
	}
	if f.Oldest != 70*time.Second {
		t.Errorf("oldest %s", f.Oldest)
	}
}

func TestRatesFollowTheLastHalfMinute(t *testing.T) {
	var h top.History
	for at := range 100 {
		h.Add(reading(float64(at), int64(at)*10, int64(at)*10, 0))
	}
	var f top.Figures
	for at := range 40 { // then ten times as many, none of them leave
		f = h.Add(reading(float64(100+at), 1000+int64(at)*100, 1000, int64(at)))
	}
	if f.In != 100 || f.Out != 0 || f.Still != 39*time.Second {
		t.Errorf("%+v", f)
	}
}

func TestABatchEveryTenSecondsIsASteadyRate(t *testing.T) {
	var h top.History
	var f top.Figures
	for at := range 61 {
		n := int64(at / 10 * 500)
		f = h.Add(reading(float64(at), n, n, 0))
		if at > 30 && (f.In < 40 || f.In > 70 || f.In != f.Out) {
			t.Errorf("after %d s %v in, %v out", at, f.In, f.Out)
		}
	}
}

func TestSlotsThatComeAndGoDoNotCountAsRows(t *testing.T) {
	var h top.History
	h.Add(reading(0, 1000, 1000, 0))
	r := reading(1, 1010, 1010, 0)
	r.Slots = append(r.Slots, top.Slot{Name: "default-1", Accepted: 1e6, Acked: 1e6})
	if f := h.Add(r); f.In != 10 || f.Out != 10 {
		t.Errorf("%+v", f)
	}
	if f := h.Add(reading(2, 1020, 1020, 0)); f.In != 10 || f.Out != 10 {
		t.Errorf("%+v", f)
	}
}

func TestWhatWasNotCountedYetDidNotJustCome(t *testing.T) {
	var h top.History
	for at := range 3 {
		r := reading(float64(at), int64(at)*1e6, 0, 0)
		r.Partial = at < 2
		if f := h.Add(r); f.Known || f.In != 0 {
			t.Errorf("%+v", f)
		}
	}
	if f := h.Add(reading(3, 2e6+10, 0, 0)); f.In != 10 {
		t.Errorf("%+v", f)
	}
}

func TestItIsSaidWhyNothingMoves(t *testing.T) {
	for _, c := range []struct {
		name    string
		seconds int
		change  func(*top.Reading)
		says    string
	}{
		{"for a moment", 5, func(*top.Reading) {}, ""},
		{"for long", 40, func(*top.Reading) {}, "not shrinking for 40s; questdb_sf doctor looks for the reason"},
		{"nobody there", 1, func(r *top.Reading) { r.Agents = nil }, "nobody has the store open: start the agent"},
		{"nobody for long", 40, func(r *top.Reading) { r.Agents = nil }, "not shrinking for 40s; nobody has the store open"},
		{"the agent knows", 40, func(r *top.Reading) { r.Remote, r.Trouble = true, []string{"connection refused"} }, "not shrinking for 40s; connection refused"},
		{"no room", 1, func(r *top.Reading) { r.FreeBytes = new(int64) }, "the disk has no room"},
		{"counting", 1, func(r *top.Reading) { r.Partial = true }, "still counting"},
	} {
		var h top.History
		var f top.Figures
		for at := range c.seconds + 1 {
			r := reading(float64(at), 1000, 0, 1000)
			c.change(&r)
			f = h.Add(r)
		}
		if !strings.HasPrefix(f.Explanation, c.says) || c.says == "" && f.Explanation != "" {
			t.Errorf("%s: %q, want %q", c.name, f.Explanation, c.says)
		}
	}
	var h top.History
	h.Add(reading(0, 1000, 0, 1000))
	if f := h.Add(reading(10, 1500, 100, 1000)); f.Explanation != "40 rows/s more come in than go out" {
		t.Errorf("%q", f.Explanation)
	}
	if f := h.Add(reading(20, 1500, 1500, 0)); f.Explanation != "" || f.Still != 0 {
		t.Errorf("%q", f.Explanation)
	}
}

func TestADiskThatFillsEndsTheStoreBeforeItsCap(t *testing.T) {
	var h top.History
	var f top.Figures
	for at := range 2 {
		r := reading(float64(at), 1000, 0, 100_000+int64(at)*1000)
		free := int64(9_000)
		r.FreeBytes, r.StoreBytes = &free, 102_000
		f = h.Add(r)
	}
	if f.ToFull != 10*time.Second { // 9,000 free and 1,000 reserved already
		t.Errorf("%s", f.ToFull)
	}
}

// stores are made-up ones that are drawn.
func stores() map[string][]top.Reading {
	free := int64(12 << 30)
	outage := func(at float64) top.Reading {
		r := reading(at, 1_234_567+int64(at)*50, 234_567, 800<<10+int64(at)*1000)
		r.Name, r.FreeBytes, r.StoreBytes, r.LetterBytes = "/var/lib/telegraf/questdb_sf", &free, 900<<10, 4096
		r.Slots[0].Oldest = noon.Add(-2 * time.Hour)
		r.Slots = append(r.Slots,
			top.Slot{Name: "default-1", State: "in use", Accepted: 5000, Acked: 4988, Dead: 12},
			top.Slot{Name: "old-sender-with-a-long-name-0", State: "failed", Accepted: 77, Pending: 77, PendingBytes: 3000, Oldest: noon.Add(-50 * time.Hour)})
		return r
	}
	many := reading(0, 0, 0, 0)
	for i := range 40 {
		many.Slots = append(many.Slots, top.Slot{Name: fmt.Sprintf("s-%d", i), Pending: int64(i), PendingBytes: int64(i)})
	}
	evil := reading(0, 10, 0, 10)
	evil.Name, evil.Slots[0].Name = "/sf\x1b[2J\x07", "x\x1b]0;y\x07\u009b-0"
	return map[string][]top.Reading{
		"empty":  {{At: noon, Name: "/sf", MaxBytes: 1 << 30, Agents: []int{1}}},
		"outage": {outage(0), outage(40)},
		"many":   {many},
		"evil":   {evil},
	}
}

// golden compares with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got+"\n" != string(want) {
		t.Errorf("%v, got\n%s\nwant\n%s", err, got, want)
	}
}

func TestFramesAreDrawnAsTheyAlwaysWere(t *testing.T) {
	for name, readings := range stores() {
		for _, s := range []top.Screen{{Width: 80, Height: 24}, {Width: 40, Height: 24}, {Width: 120, Height: 12}, {Width: 80, Height: 24, Color: true}} {
			var h top.History
			var f top.Figures
			for _, r := range readings {
				f = h.Add(r)
			}
			last := &readings[len(readings)-1]
			frame := top.Frame(last, &f, s)
			fits(t, frame, s)
			if name == "outage" || s.Width == 80 && !s.Color {
				golden(t, fmt.Sprintf("%s-%dx%d-%t", name, s.Width, s.Height, s.Color), frame)
			}
		}
	}
}

// fits fails the test where a frame is larger than its screen, or holds what is no text.
func fits(t *testing.T, frame string, s top.Screen) {
	t.Helper()
	lines := strings.Split(frame, "\n")
	if len(lines) > s.Height {
		t.Errorf("%d lines on a screen of %d", len(lines), s.Height)
	}
	for _, line := range lines {
		if s.Color {
			for _, code := range []string{"0", "1", "31", "32", "33"} {
				line = strings.ReplaceAll(line, "\x1b["+code+"m", "")
			}
		}
		if utf8.RuneCountInString(line) > s.Width {
			t.Errorf("wider than %d: %q", s.Width, line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r >= 0x7f && r < 0xa0 }) {
			t.Errorf("%q could move the cursor", line)
		}
	}
}

func TestNoScreenIsTooSmall(t *testing.T) {
	for _, readings := range stores() {
		for width := range 30 {
			for height := range 12 {
				var h top.History
				f := h.Add(readings[0])
				if s := (top.Screen{Width: width, Height: height}); height > 0 {
					fits(t, top.Frame(&readings[0], &f, s), s)
				}
			}
		}
	}
}

func TestALineSaysTheSameWithoutATerminal(t *testing.T) {
	var h top.History
	var f top.Figures
	readings := stores()["outage"]
	for _, r := range readings {
		f = h.Add(r)
	}
	golden(t, "outage-line", top.Line(&readings[1], &f))
}
