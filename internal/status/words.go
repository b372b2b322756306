// SPDX-License-Identifier: MIT

package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// whole writes a number with commas.
func whole(n int64) string {
	s := strconv.FormatInt(n, 10)
	from := len(s) - len(strings.TrimPrefix(s, "-"))
	for i := len(s) - 3; i > from; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes bytes.
func size(n int64) string {
	v, i := float64(n), 0
	for ; v >= 1024 && i < 4; i++ {
		v /= 1024
	}
	if i == 0 || v >= 100 {
		return fmt.Sprintf("%.0f %s", v, [...]string{"B", "KiB", "MiB", "GiB", "TiB"}[i])
	}
	return fmt.Sprintf("%.1f %s", v, [...]string{"B", "KiB", "MiB", "GiB", "TiB"}[i])
}

// span writes how long something takes; a dash for nothing.
func span(d time.Duration) string {
	switch {
	case d == 0:
		return "–"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*time.Hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	case d < 48*time.Hour:
		return fmt.Sprintf("%.1f h", d.Hours())
	}
	return fmt.Sprintf("%.1f d", d.Hours()/24)
}

// inUnit writes a figure in the unit of its name.
func inUnit(name string, n int64) string {
	switch {
	case strings.HasSuffix(name, "_ns"):
		return span(time.Duration(n))
	case strings.Contains(name, "bytes"):
		return size(n)
	}
	return whole(n)
}
