// SPDX-License-Identifier: MIT

package status

import (
	"fmt"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/status/api"
)

// chartSpan is what a chart shows: it is that wide, whatever of it is known.
const chartSpan = maxSamples * sampleEvery

// chart is a picture of the last hour, 120 wide and 100 high.
type chart struct {
	Title string
	Alt   string // the same in words
	Lines []chartLine
}

type chartLine struct {
	Class, Key string // how it is drawn, and its colour where there are several
	Path       string
	Words      string
}

// trace is one of the values of a sample.
type trace struct {
	name, class, key string
	of               func(*api.Sample) int64
	in               func(int64) string // its unit
}

func chartOf(title string, history []api.Sample, traces ...trace) chart {
	c, top := chart{Title: title}, int64(1)
	for i := range history {
		for _, t := range traces {
			top = max(top, t.of(&history[i]))
		}
	}
	var words []string
	for _, t := range traces {
		l := chartLine{Class: t.class, Key: t.key, Path: pathOf(history, t, top)}
		now, most := int64(0), int64(0)
		for i := range history {
			now = t.of(&history[i])
			most = max(most, now)
		}
		l.Words = fmt.Sprintf("%snow %s, at most %s", t.name, t.in(now), t.in(most))
		words = append(words, l.Words)
		c.Lines = append(c.Lines, l)
	}
	c.Alt = title + " over the last hour: " + strings.Join(words, "; ")
	return c
}

// pathOf draws a trace to the right edge, which is now. An area is closed along the
// bottom.
func pathOf(history []api.Sample, t trace, top int64) string {
	if len(history) == 0 {
		return ""
	}
	now, points, left := history[len(history)-1].At, []string{}, 0.0
	for i := range history {
		x := 120 * (1 - float64(now.Sub(history[i].At))/float64(chartSpan))
		if x < 0 {
			continue
		}
		if len(points) == 0 {
			left = x
		}
		points = append(points, fmt.Sprintf("%.1f %.1f", x, 99-95*float64(t.of(&history[i]))/float64(top)))
	}
	if t.class == "area" {
		return fmt.Sprintf("M%.1f 100 L%s L120 100 Z", left, strings.Join(points, " L"))
	}
	return "M" + strings.Join(points, " L")
}

const (
	// maxCells bounds what is drawn of a slot: neighbours are drawn together where it has
	// more segments.
	maxCells    = 240
	cellsPerRow = 60
)

// picture is a slot: a cell for each segment, filled from the bottom, first what is acked.
type picture struct {
	Width, Height int
	Alt           string
	Cells         []cell
}

type cell struct {
	X, Y              int
	Pending, PendingY float64 // height and top; no height where there is none
	Acked, AckedY     float64
	AckedX            float64
	Title             string
}

// pictureOf returns nil for a slot without segments.
func pictureOf(segments []api.Segment) *picture {
	if len(segments) == 0 {
		return nil
	}
	each := (len(segments) + maxCells - 1) / maxCells
	p, all := &picture{}, api.Segment{}
	for i := 0; i < len(segments); i += each {
		sum := api.Segment{First: segments[i].First}
		group := segments[i:min(i+each, len(segments))]
		for _, g := range group {
			sum.Frames, sum.Settled, sum.Rows = sum.Frames+g.Frames, sum.Settled+g.Settled, sum.Rows+g.Rows
			sum.Used, sum.Size = sum.Used+g.Used, sum.Size+g.Size
		}
		all.Frames, all.Settled = all.Frames+sum.Frames, all.Settled+sum.Settled
		p.Cells = append(p.Cells, cellOf(len(p.Cells), len(group), &sum))
	}
	p.Width = 16 * min(len(p.Cells), cellsPerRow)
	p.Height = 36 * ((len(p.Cells) + cellsPerRow - 1) / cellsPerRow)
	p.Alt = fmt.Sprintf("%d segments, %s of %s frames acked", len(segments), whole(all.Settled), whole(all.Frames))
	return p
}

func cellOf(n, files int, g *api.Segment) cell {
	const high = 32
	c := cell{X: n % cellsPerRow * 16, Y: n / cellsPerRow * 36}
	c.AckedX = float64(c.X) + 0.5
	if g.Size > 0 && g.Frames > 0 {
		used := high * min(1, float64(g.Used)/float64(g.Size))
		c.Acked = used * min(1, float64(g.Settled)/float64(g.Frames))
		c.Pending = used - c.Acked
		c.AckedY = float64(c.Y) + high - c.Acked
		c.PendingY = float64(c.Y) + high - used
	}
	c.Title = fmt.Sprintf("%d file(s) from frame %d: %s rows, %s of %s frames acked, %s of %s",
		files, g.First, whole(g.Rows), whole(g.Settled), whole(g.Frames), size(g.Used), size(g.Size))
	return c
}
