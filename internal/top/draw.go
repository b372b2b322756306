// SPDX-License-Identifier: MIT

package top

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Screen is where a frame is drawn.
type Screen struct {
	Width, Height int
	Color         bool
}

// The colours, by their numbers in ANSI.
const (
	plain  = ""
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// wide says whether there is room for all; else the least is drawn.
func (s *Screen) wide() bool { return s.Width >= 60 }

// canvas collects the lines of a frame, each no wider than the screen.
type canvas struct {
	Screen
	lines []string
}

// add takes a line of parts, each a colour and a text.
func (c *canvas) add(parts ...string) {
	var b strings.Builder
	left := c.Width
	for i := 0; i+1 < len(parts); i += 2 {
		text := cut(parts[i+1], left)
		left -= utf8.RuneCountInString(text)
		if parts[i] != plain && c.Color && text != "" {
			text = "\x1b[" + parts[i] + "m" + text + "\x1b[0m"
		}
		b.WriteString(text)
	}
	c.lines = append(c.lines, strings.TrimRight(b.String(), " "))
}

// cut shortens a text to so many columns. What could move the cursor is replaced: names
// come from the disk.
func cut(text string, width int) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:max(width, 0)])
}

// Frame draws a reading: as many lines as the screen has at most, apart by line breaks.
func Frame(r *Reading, f *Figures, s Screen) string {
	c := &canvas{Screen: s}
	c.head(r)
	c.backlog(r, f)
	c.slots(r)
	if len(c.lines) > s.Height {
		c.lines = c.lines[:max(s.Height, 0)]
	}
	return strings.Join(c.lines, "\n")
}

func (c *canvas) head(r *Reading) {
	clock := r.At.Format(time.TimeOnly)
	title := "questdb_sf top  " + r.Name
	if room := c.Width - len(clock) - 1; utf8.RuneCountInString(title) > room {
		title = cut(title, room)
	}
	gap := max(1, c.Width-utf8.RuneCountInString(title)-len(clock))
	c.add(bold, title, plain, strings.Repeat(" ", gap)+clock)
	switch {
	case r.Remote:
		c.add(plain, "as the agent tells")
	case len(r.Agents) == 0:
		c.add(yellow, "no agent")
	default:
		pids := make([]string, len(r.Agents))
		for i, pid := range r.Agents {
			if pids[i] = "pid " + strconv.Itoa(pid); pid == 0 {
				pids[i] = "another process"
			}
		}
		c.add(plain, "agent: "+strings.Join(pids, ", "))
	}
	c.add()
}

func (c *canvas) backlog(r *Reading, f *Figures) {
	color := green
	if f.Explanation != "" {
		color = yellow
	}
	if f.Still >= stillNoticed {
		color = red
	}
	oldest := ""
	if f.Oldest > 0 {
		oldest = "oldest " + age(f.Oldest)
	}
	if c.wide() {
		c.add(plain, "backlog  ", color, count(f.Rows)+" rows", plain, "  "+size(f.Bytes)+"  "+oldest)
	} else {
		c.add(plain, "backlog  ", color, count(f.Rows)+" rows", plain, "  "+size(f.Bytes))
		c.add(plain, "         "+oldest)
	}
	in, out := "-", "-"
	if f.Known {
		in, out = rate(f.In), rate(f.Out)
	}
	c.add(plain, fmt.Sprintf("in       %-14s out     %s", in, out))
	empty := sight(f.ToEmpty)
	if f.Rows == 0 {
		empty = "now"
	}
	c.add(plain, fmt.Sprintf("empty in %-14s full in %s", empty, sight(f.ToFull)))
	c.room(r, f)
	if f.Dead+f.Lost+r.LetterBytes > 0 {
		c.add(plain, "letters  ", yellow, count(f.Dead)+" rows set aside", plain, "  "+size(r.LetterBytes), plain, lost(f.Lost))
	}
	if f.Explanation != "" {
		c.wrap(color, f.Explanation)
	}
	c.add()
}

func lost(rows int64) string {
	if rows == 0 {
		return ""
	}
	return "  " + count(rows) + " lost"
}

// room draws what of the store is in use.
func (c *canvas) room(r *Reading, f *Figures) {
	disk := ""
	if r.FreeBytes != nil && c.wide() {
		disk = "  " + size(*r.FreeBytes) + " free on the disk"
	}
	if r.MaxBytes <= 0 {
		c.add(plain, "store    "+size(r.StoreBytes)+disk)
		return
	}
	part := float64(f.Bytes) / float64(r.MaxBytes)
	color := green
	if part > 0.5 {
		color = yellow
	}
	if part > 0.9 {
		color = red
	}
	c.add(plain, "store    ", color, bar(part, min(20, c.Width/4)), plain, fmt.Sprintf(" %2.0f%% of %s%s", part*100, size(r.MaxBytes), disk))
}

// bar draws a part of a whole in ASCII, which every terminal has.
func bar(part float64, width int) string {
	n := min(max(int(part*float64(width)+0.5), 0), width)
	if part > 0 && n == 0 {
		n = min(1, width)
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "]"
}

// wrap breaks words into as few lines as they need.
func (c *canvas) wrap(color, text string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && utf8.RuneCountInString(line+" "+word) > c.Width {
			c.add(color, line)
			line = ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	c.add(color, line)
}

// slots draws the table, the slots with most pending first where not all fit.
func (c *canvas) slots(r *Reading) {
	list := slices.Clone(r.Slots)
	room := c.Height - len(c.lines) - 1
	if len(list) > room {
		slices.SortStableFunc(list, func(a, b Slot) int { return cmp.Compare(b.Pending, a.Pending) })
	}
	most, name := int64(0), len("SLOT")
	for _, s := range list {
		most, name = max(most, s.PendingBytes), max(name, utf8.RuneCountInString(s.Name))
	}
	wide := c.wide()
	name = min(name, c.Width/2-4)
	if wide {
		c.add(bold, fmt.Sprintf("%-*s %12s %9s %7s  %-10s", name, "SLOT", "ROWS", "BYTES", "OLDEST", "STATE"))
	} else {
		c.add(bold, fmt.Sprintf("%-*s %11s %7s", name, "SLOT", "ROWS", "OLDEST"))
	}
	for i, s := range list {
		if i == room-1 && len(list) > room {
			c.add(plain, fmt.Sprintf("and %d more", len(list)-i))
			return
		}
		c.slot(&s, r.At, name, most, wide)
	}
}

func (c *canvas) slot(s *Slot, now time.Time, name int, most int64, wide bool) {
	oldest, color := "", plain
	if s.Pending > 0 {
		color = yellow
		if !s.Oldest.IsZero() {
			oldest = age(max(0, now.Sub(s.Oldest)))
		}
	}
	if !wide {
		c.add(plain, fmt.Sprintf("%-*s ", name, cut(s.Name, name)), color, fmt.Sprintf("%11s", count(s.Pending)), plain, fmt.Sprintf(" %7s", oldest))
		return
	}
	drawn := ""
	if room := c.Width - name - 46; room >= 5 && s.PendingBytes > 0 {
		drawn = bar(float64(s.PendingBytes)/float64(most), min(room, 20))
	}
	c.add(plain, fmt.Sprintf("%-*s ", name, cut(s.Name, name)), color, fmt.Sprintf("%12s", count(s.Pending)),
		plain, fmt.Sprintf(" %9s %7s  %-10s ", size(s.PendingBytes), oldest, cut(s.State, 10)), color, drawn)
}

// Line writes a reading on one line, for what is no terminal.
func Line(r *Reading, f *Figures) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s pending %d rows %s", r.At.UTC().Format(time.RFC3339), f.Rows, size(f.Bytes))
	if f.Oldest > 0 {
		fmt.Fprintf(&b, ", oldest %s", age(f.Oldest))
	}
	if f.Known {
		fmt.Fprintf(&b, ", in %s, out %s", rate(f.In), rate(f.Out))
	}
	if f.ToEmpty > 0 {
		fmt.Fprintf(&b, ", empty in %s", age(f.ToEmpty))
	}
	if f.ToFull > 0 {
		fmt.Fprintf(&b, ", full in %s", age(f.ToFull))
	}
	if f.Dead > 0 {
		fmt.Fprintf(&b, ", %d set aside", f.Dead)
	}
	if f.Explanation != "" {
		b.WriteString(": " + cut(f.Explanation, 1000))
	}
	return b.String()
}
