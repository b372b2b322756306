// SPDX-License-Identifier: MIT

package top_test

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/top"
)

// inOutage is a box whose server has been away for ten minutes, for the picture.
func inOutage() []top.Reading {
	free := int64(11 << 30)
	at := func(seconds float64) top.Reading {
		r := top.Reading{
			At: noon.Add(time.Duration(seconds * float64(time.Second))), Name: "/var/lib/telegraf/questdb_sf",
			Agents: []int{4711}, MaxBytes: 1 << 30, StoreBytes: 420 << 20, FreeBytes: &free, LetterBytes: 4096,
			Trouble: []string{"waiting for the server since 2026-11-28T11:50:31Z: connect to questdb.example.com:9000: dial tcp 10.0.0.5:9000: connect: connection refused"},
		}
		for i, rows := range []int64{2_130_000, 1_420_000, 655_000, 0} {
			r.Slots = append(r.Slots, top.Slot{
				Name: fmt.Sprintf("default-%d", i), State: "in use", Accepted: 40_000_000 + rows + int64(seconds)*1500, Acked: 40_000_000,
				Pending: rows + int64(seconds)*1500, PendingBytes: rows*84 + int64(seconds)*130_000, Oldest: noon.Add(-9*time.Minute - 31*time.Second),
			})
		}
		last := &r.Slots[3]
		last.Accepted, last.Pending, last.PendingBytes, last.Oldest, last.Dead = 40_000_012, 0, 0, time.Time{}, 12
		return r
	}
	return []top.Reading{at(0), at(15), at(30)}
}

// TestThePictureOfTopIsWhatItDraws keeps docs/top.svg, which the README shows; -update
// writes it.
func TestThePictureOfTopIsWhatItDraws(t *testing.T) {
	var h top.History
	var f top.Figures
	readings := inOutage()
	for _, r := range readings {
		f = h.Add(r)
	}
	s := top.Screen{Width: 80, Height: 24, Color: true}
	frame := top.Frame(&readings[len(readings)-1], &f, s)
	fits(t, frame, s)
	got := picture(frame, s.Width)
	if err := xml.Unmarshal([]byte(got), new(struct{})); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("..", "..", "docs", "top.svg")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("docs/top.svg is not what top draws, %v: go test ./internal/top -run Picture -update", err)
	}
}

const (
	cellWidth, cellHeight = 8.4, 18.0 // of a monospaced font of 14 px
	margin                = 14.0
)

var (
	parts   = regexp.MustCompile("(?:\x1b\\[([0-9]+)m)?([^\x1b]+)(?:\x1b\\[0m)?")
	palette = map[string]string{"": "fill='#d4d4d4'", "1": "fill='#ffffff' font-weight='bold'", "31": "fill='#f97583'", "32": "fill='#85e89d'", "33": "fill='#ffdf5d'"}
)

// picture is a frame as an SVG, each part at its column whatever the font.
func picture(frame string, width int) string {
	lines := strings.Split(frame, "\n")
	var b strings.Builder
	w, h := float64(width)*cellWidth+2*margin, float64(len(lines))*cellHeight+2*margin
	fmt.Fprintf(&b, "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %.0f %.0f' width='%.0f' height='%.0f' "+
		"font-family='ui-monospace, DejaVu Sans Mono, monospace' font-size='14'>\n", w, h, w, h)
	b.WriteString("<title>questdb_sf top during an outage</title>\n<rect width='100%' height='100%' rx='8' fill='#1e1e1e'/>\n")
	for i, line := range lines {
		column := 0
		for _, part := range parts.FindAllStringSubmatch(line, -1) {
			n := utf8.RuneCountInString(part[2])
			if column += n; strings.TrimSpace(part[2]) == "" {
				continue
			}
			fmt.Fprintf(&b, "<text x='%.1f' y='%.0f' textLength='%.1f' xml:space='preserve' %s>", margin+float64(column-n)*cellWidth,
				margin+float64(i+1)*cellHeight-4, float64(n)*cellWidth, palette[part[1]])
			_ = xml.EscapeText(&b, []byte(part[2]))
			b.WriteString("</text>\n")
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}
