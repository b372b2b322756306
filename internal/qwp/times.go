// SPDX-License-Identifier: MIT

package qwp

import "math"

// Before counts the rows [first, last) whose designated timestamp is before a time in
// microseconds since 1970, and returns the earliest of them. Rows without one are passed
// over: their time is that of the server. It looks at no other column.
func (t *Table) Before(first, last int, micros int64) (n int, earliest int64) {
	t.check(first, last)
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Name != "" || c.Type != TypeTimestamp && c.Type != TypeTimestampNanos {
			continue
		}
		k := t.v.cursor(t, c, first)
		return k.before(last-first, micros)
	}
	return 0, 0
}

// before is Before for the next rows of a designated timestamp.
func (k *cursor) before(rows int, micros int64) (n int, earliest int64) {
	for range rows {
		i := k.row
		k.row++
		if k.bitmap != nil && bit(k.bitmap, i) {
			continue
		}
		at := k.timestamp()
		if at == math.MinInt64 {
			continue
		}
		if k.c.Type == TypeTimestampNanos {
			at = floorMicros(at)
		}
		if at >= micros {
			continue
		}
		if n == 0 || at < earliest {
			earliest = at
		}
		n++
	}
	return n, earliest
}
