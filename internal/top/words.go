// SPDX-License-Identifier: MIT

package top

import (
	"fmt"
	"strconv"
	"time"
)

// count writes a number with commas.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	from := 0
	if n < 0 {
		from = 1
	}
	for i := len(s) - 3; i > from; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// size writes bytes in at most eight columns.
func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", max(n, 0))
	}
	v, i := float64(n)/1024, 0
	for ; v >= 1000 && i < 4; i++ {
		v /= 1024
	}
	if v >= 100 {
		return fmt.Sprintf("%.0f %ciB", v, "KMGTP"[i])
	}
	return fmt.Sprintf("%.1f %ciB", v, "KMGTP"[i])
}

// age writes how long something takes, in at most six columns.
func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// sight is age for a forecast.
func sight(d time.Duration) string {
	if d == 0 {
		return "not in sight"
	}
	return age(d)
}

// rate writes rows a second.
func rate(f float64) string {
	if f > 0 && f < 10 {
		return fmt.Sprintf("%.1f/s", f)
	}
	return count(int64(f+0.5)) + "/s"
}
