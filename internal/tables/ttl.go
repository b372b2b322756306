// SPDX-License-Identifier: MIT

package tables

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// unit is a span of time that QuestDB counts partitions and TTLs in. Months have no
// fixed number of hours: hours and months do not convert.
type unit struct {
	name   string
	short  string // as in "4w"; M is months
	hours  int64
	months int64
}

// units holds the units from small to large.
var units = []unit{
	{name: "HOUR", short: "h", hours: 1},
	{name: "DAY", short: "d", hours: 24},
	{name: "WEEK", short: "w", hours: 7 * 24},
	{name: "MONTH", short: "M", months: 1},
	{name: "YEAR", short: "y", months: 12},
}

// unitNamed finds a unit by its name in any case, nil if there is none.
func unitNamed(name string) *unit {
	for i := range units {
		if strings.EqualFold(units[i].name, name) {
			return &units[i]
		}
	}
	return nil
}

// parsePartition reads HOUR, DAY, WEEK, MONTH or YEAR.
func parsePartition(s string) (*unit, error) {
	u := unitNamed(s)
	switch {
	case u != nil:
		return u, nil
	case strings.EqualFold(s, "NONE"):
		return nil, errors.New("table_partition_by is NONE, but QuestDB takes rows from the network only into tables with partitions: use HOUR, DAY, WEEK, MONTH or YEAR")
	}
	return nil, fmt.Errorf("table_partition_by %q is unknown: use HOUR, DAY, WEEK, MONTH or YEAR", s)
}

// TTL is how long a table keeps rows, as a number of units; zero is for ever.
type TTL struct {
	n    int64
	unit *unit
}

// String returns the TTL as SQL has it; empty for none.
func (t TTL) String() string {
	switch t.n {
	case 0:
		return ""
	case 1:
		return "1 " + t.unit.name
	}
	return fmt.Sprintf("%d %sS", t.n, t.unit.name)
}

// ParseTTL reads a positive whole number and a unit: "30 DAYS", "1 week", "4w". Empty is
// for ever.
func ParseTTL(s string) (TTL, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return TTL{}, nil
	}
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	n, err := strconv.ParseInt(s[:digits], 10, 32)
	if err != nil || n == 0 {
		return TTL{}, fmt.Errorf(`table_ttl %q does not begin with a number from 1 to %d: write it as "30 DAYS" or "4w"`, s, math.MaxInt32)
	}
	u, err := parseTTLUnit(strings.TrimSpace(s[digits:]))
	if err != nil {
		return TTL{}, fmt.Errorf("table_ttl %q: %w", s, err)
	}
	// QuestDB counts a TTL in 32 bits of hours or of months.
	if max(n*u.hours, n*u.months) > math.MaxInt32 {
		return TTL{}, fmt.Errorf("table_ttl %q is longer than QuestDB can count", s)
	}
	return TTL{n, u}, nil
}

func parseTTLUnit(s string) (*unit, error) {
	if s == "m" {
		// QuestDB 9.3.4 takes it for months; who writes it may mean minutes.
		return nil, errors.New("m may mean minutes, which there are not, or months: write MONTHS")
	}
	for i := range units {
		u := &units[i]
		if s == u.short || s == strings.ToUpper(u.short) ||
			strings.EqualFold(s, u.name) || strings.EqualFold(s, u.name+"S") {
			return u, nil
		}
	}
	return nil, errors.New("the unit is not known: use HOURS, DAYS, WEEKS, MONTHS or YEARS")
}

// fits checks that a TTL is a whole number of partitions, as QuestDB wants it.
func (t TTL) fits(partition *unit) error {
	switch {
	case t.n == 0:
		return nil
	case partition.months == 0 && t.unit.months > 0:
		return nil
	case partition.months == 0 && t.n*t.unit.hours%partition.hours == 0:
		return nil
	case partition.months > 0 && t.unit.months > 0 && t.n*t.unit.months%partition.months == 0:
		return nil
	}
	return fmt.Errorf("table_ttl %q is no whole number of partitions by %s: QuestDB refuses such a table", t, partition.name)
}

// Before returns the time before which rows are older than the TTL at now; the zero
// time for a TTL that is longer than anybody's rows are old.
func (t TTL) Before(now time.Time) time.Time {
	const longest = 1000 * 12 // months
	switch {
	case t.n == 0:
		return time.Time{}
	case t.unit.months > 0 && t.n*t.unit.months <= longest:
		return now.AddDate(0, -int(t.n*t.unit.months), 0)
	case t.unit.hours > 0 && t.n*t.unit.hours <= longest*30*24:
		return now.Add(-time.Duration(t.n*t.unit.hours%24)*time.Hour).AddDate(0, 0, -int(t.n*t.unit.hours/24))
	}
	return time.Time{}
}

// Enlarged returns a multiple of the TTL that rows of a time are not older than at now:
// QuestDB takes a TTL that is a whole number of partitions, as each multiple is.
func (t TTL) Enlarged(now, row time.Time) TTL {
	for more := t; t.n > 0; more.n += t.n {
		if !more.Before(now).After(row) {
			return more
		}
	}
	return t
}
