// SPDX-License-Identifier: MIT

// Package rowid computes the row ids of exactly_once (DESIGN.md 17): a row that is
// sent again has the id that it had before, so that a table with
//
//	DEDUP UPSERT KEYS(timestamp, sf_row_id)
//
// keeps it once; other rows of the same time have other ids.
//
// # Version 1
//
// The id is a sum over the cells of the row that are not null, the designated
// timestamp among them with an empty name, and so the same in whatever order the
// columns stand:
//
//	id     mix(seed + sum of the cells)
//	cell   mix(column ^ value); the value of a number is Cell.Num, else the hash of its bytes
//	column mix(hash of the name in lower case ^ type<<8 ^ scale)
//	hash   h = length * golden; for each 8 bytes, the last padded with zeros:
//	       h = mix(h ^ word)
//
// All is modulo 2^64, words are little-endian, mix is the finalizer of SplitMix64 and
// golden its increment. The smallest LONG is QuestDB's null; the next one stands for
// it.
//
// A BOOLEAN that is false counts as absent: QuestDB has no null for it, and a frame
// says false for the rows that lack a boolean which others of its rows have. The id
// must not depend on the rows that a row was stored with.
//
// Rows that are equal in every column are one row. The seed is the version: ids of
// another version would let a row that is sent again appear twice, so the golden
// test pins them.
package rowid

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// Column is the name of the LONG column that holds the row id.
const Column = "sf_row_id"

// seed is what makes version 1.
const seed = 0x7173665f69643031 // "qsf_id01"

// golden is 2^64 divided by the golden ratio, odd.
const golden = 0x9e3779b97f4a7c15

// Has says that the rows of a block bring a column of that name themselves, as those
// of another client may: theirs is the one to send.
func Has(t *qwp.Table) bool {
	return slices.ContainsFunc(t.Columns, func(c qwp.Column) bool { return strings.EqualFold(c.Name, Column) })
}

// Hasher computes row ids and reuses its memory. It is not safe for concurrent
// use.
type Hasher struct {
	row     qwp.Row
	columns []uint64 // hash of each column of the block
	name    []byte
	ids     []int64
}

// Rows returns the ids of the rows [first, last) of t, which may be sent with any
// part of the message. They are valid until the next call.
func (h *Hasher) Rows(t *qwp.Table, first, last int) []int64 {
	h.columns, h.ids = h.columns[:0], h.ids[:0]
	for i := range t.Columns {
		c := &t.Columns[i]
		h.columns = append(h.columns, h.column(c.Name, c.Type, c.Scale))
	}
	for row := range t.All(first, last, &h.row) {
		h.ids = append(h.ids, h.id(t, row))
	}
	return h.ids
}

// id walks over the cells of a row, which stand in the order of the columns.
func (h *Hasher) id(t *qwp.Table, row *qwp.Row) int64 {
	sum, next := uint64(seed), 0
	if row.TimeType != 0 {
		sum += mix(h.column("", row.TimeType, 0) ^ uint64(row.Time))
	}
	for i := range row.Cells {
		c := &row.Cells[i]
		for t.Columns[next].Name != c.Name || t.Columns[next].Type != c.Type {
			next++
		}
		if c.Type != qwp.TypeBoolean || c.Num != 0 {
			sum += mix(h.columns[next] ^ value(c))
		}
		next++
	}
	id := int64(mix(sum))
	if id == math.MinInt64 {
		id++
	}
	return id
}

func (h *Hasher) column(name string, t qwp.Type, scale uint8) uint64 {
	h.name = appendLower(h.name[:0], name)
	return mix(hash(h.name) ^ uint64(t)<<8 ^ uint64(scale))
}

// appendLower folds the case of a name as far as QuestDB does, which compares names
// character by character in lower case.
func appendLower(dst []byte, name string) []byte {
	for _, r := range name {
		dst = utf8.AppendRune(dst, unicode.ToLower(r))
	}
	return dst
}

// value is what of a cell goes into its hash. Only one of Num and Text is used.
func value(c *qwp.Cell) uint64 {
	if c.Text == nil {
		return c.Num
	}
	return hash(c.Text)
}

func hash(b []byte) uint64 {
	h := uint64(len(b)) * golden
	for ; len(b) >= 8; b = b[8:] {
		h = mix(h ^ binary.LittleEndian.Uint64(b))
	}
	if len(b) > 0 {
		var last uint64
		for i, x := range b {
			last |= uint64(x) << (8 * i)
		}
		h = mix(h ^ last)
	}
	return h
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014, in Stafford's
// variant 13): a bijection in which every bit of x changes about half of the bits.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
