// SPDX-License-Identifier: MIT

// Package gen makes metrics whose rows can be told apart, and checks what a
// database gives back. Every row is a function of the seed and of its id, which
// is also its field row_id: what must be there is known without counting what
// went in.
package gen

import (
	"math"
	"strconv"
	"time"
)

// RowID is the name of the field with the id.
const RowID = "row_id"

// Set is an endless series of rows with the ids 0, 1, 2 … Row n is for table
// n % 6. Two sets with the same fields have the same rows.
type Set struct {
	Seed uint64
	// Hosts is how many values the tag host has; 0 is 200.
	Hosts int
	// Jitter spreads the times over the ten seconds that they are otherwise
	// rounded to. The nanoseconds then are odd.
	Jitter bool
	// Start is the time of the first row; zero is 2026-01-01 UTC.
	Start time.Time
}

// Row is a row as it was made or read back. Values holds int64, float64, bool
// and string, for tags too; a row read back may have other integers, strings of
// a type of their own, and json.Number.
type Row struct {
	Table  string
	Time   int64 // nanoseconds since 1970
	Values map[string]any
}

// step is the interval of a series.
const step = 10 * time.Second

// Row returns the row of an id. Every second row lacks the optional fields of
// its table.
func (s Set) Row(id int64) Row {
	t := &tables[id%int64(len(tables))]
	r := Row{Table: t.name, Time: s.time(id), Values: map[string]any{RowID: id}}
	for i, tag := range t.tags {
		r.Values[tag] = s.tag(tag, id, i)
	}
	for i, f := range t.fields {
		if v := s.field(f, id, i); v != nil {
			r.Values[f.name] = v
		}
	}
	return r
}

// Lines returns line protocol of n rows from an id on, with times in
// nanoseconds.
func (s Set) Lines(from int64, n int) []byte {
	var lines []byte
	for id := from; id < from+int64(n); id++ {
		lines = s.AppendLine(lines, id)
	}
	return lines
}

// Lines is [Set.Lines] of a set that has nothing but a seed.
func Lines(n int, seed uint64, from int64) []byte { return Set{Seed: seed}.Lines(from, n) }

// AppendLine appends the line of one row.
func (s Set) AppendLine(dst []byte, id int64) []byte {
	t := &tables[id%int64(len(tables))]
	dst = append(dst, t.name...)
	for i, tag := range t.tags {
		dst = append(dst, ',')
		dst = append(dst, tag...)
		dst = append(dst, '=')
		dst = appendTag(dst, s.tag(tag, id, i))
	}
	dst = append(dst, " "+RowID+"="...)
	dst = appendValue(dst, id)
	for i, f := range t.fields {
		v := s.field(f, id, i)
		if v == nil {
			continue
		}
		dst = append(dst, ',')
		dst = append(dst, f.name...)
		dst = append(dst, '=')
		dst = appendValue(dst, v)
	}
	dst = append(dst, ' ')
	dst = strconv.AppendInt(dst, s.time(id), 10)
	return append(dst, '\n')
}

func (s Set) hosts() int64 {
	if s.Hosts > 0 {
		return int64(s.Hosts)
	}
	return 200
}

// time lets every host report every table once in ten seconds.
func (s Set) time(id int64) int64 {
	start := s.Start
	if start.IsZero() {
		start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	round := id / (int64(len(tables)) * s.hosts())
	nanos := start.UnixNano() + round*int64(step)
	if s.Jitter {
		nanos += int64(s.random(id, 1000) % uint64(step))
	}
	return nanos
}

// tag returns a value out of few: the host by its turn, others by chance.
func (s Set) tag(name string, id int64, i int) string {
	if name == "host" {
		return "host-" + strconv.FormatInt(id/int64(len(tables))%s.hosts(), 10)
	}
	values := tagValues[name]
	return values[s.random(id, uint64(i))%uint64(len(values))]
}

// field returns a value of the field's kind, nil where an optional one is
// missing.
func (s Set) field(f field, id int64, i int) any {
	r := s.random(id, uint64(100+i))
	if f.optional && r%2 == 0 {
		return nil
	}
	switch f.kind {
	case isInt:
		return int64(r>>20) - 1<<43
	case isFloat:
		return math.Round(float64(r%1e9)) / 1000
	case isBool:
		return r&4 != 0
	}
	return texts[(r>>3)%uint64(len(texts))]
}

// random hashes seed, row and column (SplitMix64's finaliser).
func (s Set) random(id int64, column uint64) uint64 {
	x := s.Seed + uint64(id)*0x9E3779B97F4A7C15 + column*0xD1B54A32D192ED03
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}
