// SPDX-License-Identifier: MIT

package mapping

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

const (
	// maxJoinedBytes keeps a joined row within the smallest segment: rows that can
	// be stored one by one shall not become one that cannot.
	maxJoinedBytes = 48 << 10
	// maxJoinedCells is what a frame takes.
	maxJoinedCells = qwp.MaxColumns - 2
	// A Merger is full at so many cells and bytes of text, some 8 MiB.
	fullCells = 64 << 10
	fullText  = 4 << 20
)

// Merger joins rows of equal table, tags and time, tags by name and value, to one
// row as long as no column occurs twice. A row with a column that is already
// there begins another row, which those behind it join; nothing is overwritten.
// The joined rows come in the order of the first of each. A Merger keeps its
// memory from batch to batch and must not be used by two goroutines at once.
type Merger struct {
	m     *Mapper
	sum   maphash.Hash
	last  map[uint64]int // by hash of table, time and tags: the joined row to join
	rows  []joined
	parts []part
	cells []qwp.Cell
	ids   []uint64 // columns of the cells
	text  []byte
	row   qwp.Row
	num   []byte
}

// joined is a row that others may have joined.
type joined struct {
	table       string
	time        int64
	unit        qwp.Type
	tags        int // cells of the first part
	cells, size int // of all parts
	first, last int // in parts
}

// part is what one row gave to a joined row: a span of cells.
type part struct {
	from, to int
	next     int // the part behind it; the last has none
}

// NewMerger returns an empty Merger of rows that m mapped.
func NewMerger(m *Mapper) *Merger {
	return &Merger{m: m, last: map[uint64]int{}}
}

// Add takes the row that Finish returned last. It keeps no memory of it.
func (g *Merger) Add(row *qwp.Row) {
	tags, ids := g.m.tagged, g.m.ids
	if g.m.overTag { // its tags are not all there to compare
		g.begin(row, ids, tags)
		return
	}
	h := g.hash(row, tags)
	i, ok := g.last[h]
	if ok && g.fits(&g.rows[i], row, ids, tags) {
		g.join(i, row, ids, tags)
		g.m.counts.Merged++
		return
	}
	g.last[h] = len(g.rows)
	g.begin(row, ids, tags)
}

// hash identifies rows that may be joined, nearly: fits looks closer.
func (g *Merger) hash(row *qwp.Row, tags int) uint64 {
	h := &g.sum
	h.Reset()
	_, _ = h.WriteString(row.Table)
	g.num = binary.LittleEndian.AppendUint64(g.num[:0], uint64(row.Time))
	_, _ = h.Write(g.num)
	for i := range row.Cells[:tags] {
		c := &row.Cells[i]
		_, _ = h.WriteString(c.Name)
		_ = h.WriteByte(0)
		_, _ = h.Write(c.Text)
		_ = h.WriteByte(0)
	}
	return h.Sum64()
}

// fits tells whether a row may join j.
func (g *Merger) fits(j *joined, row *qwp.Row, ids []uint64, tags int) bool {
	cells := row.Cells[tags:]
	return j.table == row.Table && j.time == row.Time && j.unit == row.TimeType &&
		j.cells+len(cells) <= maxJoinedCells && j.size+size(cells) <= maxJoinedBytes &&
		g.sameTags(j, row.Cells[:tags]) && !g.meets(j, ids[tags:])
}

func (g *Merger) sameTags(j *joined, tags []qwp.Cell) bool {
	from := g.parts[j.first].from
	return slices.EqualFunc(g.cells[from:from+j.tags], tags, func(a, b qwp.Cell) bool {
		return a.Name == b.Name && a.Type == b.Type && bytes.Equal(a.Text, b.Text)
	})
}

// meets tells whether j has one of the columns.
func (g *Merger) meets(j *joined, ids []uint64) bool {
	for at := j.first; ; at = g.parts[at].next {
		p := &g.parts[at]
		for _, id := range g.ids[p.from:p.to] {
			if slices.Contains(ids, id) {
				return true
			}
		}
		if at == j.last {
			return false
		}
	}
}

// begin keeps a row that may be joined.
func (g *Merger) begin(row *qwp.Row, ids []uint64, tags int) {
	at := g.keep(row.Cells, ids)
	g.rows = append(g.rows, joined{
		table: row.Table, time: row.Time, unit: row.TimeType, tags: tags,
		cells: len(row.Cells), size: size(row.Cells), first: at, last: at,
	})
}

// join adds the fields of a row to a row that has its tags.
func (g *Merger) join(i int, row *qwp.Row, ids []uint64, tags int) {
	cells := row.Cells[tags:]
	at := g.keep(cells, ids[tags:])
	j := &g.rows[i]
	g.parts[j.last].next = at
	j.last = at
	j.cells += len(cells)
	j.size += size(cells)
}

// keep copies cells and returns their part.
func (g *Merger) keep(cells []qwp.Cell, ids []uint64) int {
	from := len(g.cells)
	g.cells, g.text = qwp.AppendCells(g.cells, g.text, cells)
	g.ids = append(g.ids, ids...)
	g.parts = append(g.parts, part{from: from, to: len(g.cells)})
	return len(g.parts) - 1
}

// size is at least what cells occupy in a frame.
func size(cells []qwp.Cell) int {
	n := 0
	for i := range cells {
		n += len(cells[i].Name) + len(cells[i].Text) + 16
	}
	return n
}

// Full tells that it is time to take the rows, so that memory stays bounded to
// some 10 MiB, and what little a single row may go beyond it.
func (g *Merger) Full() bool { return len(g.cells) >= fullCells || len(g.text) >= fullText }

// Len returns the number of joined rows.
func (g *Merger) Len() int { return len(g.rows) }

// Bytes returns about how much the rows will occupy in frames.
func (g *Merger) Bytes() int { return len(g.text) + 8*len(g.cells) }

// Rows yields the joined rows, as in: for row := range g.Rows. Each is valid until
// the next.
func (g *Merger) Rows(yield func(*qwp.Row) bool) {
	for i := range g.rows {
		j := &g.rows[i]
		g.row.Reset(j.table)
		g.row.Time, g.row.TimeType = j.time, j.unit
		for at := j.first; ; at = g.parts[at].next {
			p := &g.parts[at]
			g.row.Cells = append(g.row.Cells, g.cells[p.from:p.to]...)
			if at == j.last {
				break
			}
		}
		if !yield(&g.row) {
			return
		}
	}
}

// Reset forgets the rows.
func (g *Merger) Reset() {
	clear(g.last)
	clear(g.rows) // names of tables and columns shall not stay for their sake
	clear(g.cells)
	g.rows, g.parts, g.cells, g.ids, g.text = g.rows[:0], g.parts[:0], g.cells[:0], g.ids[:0], g.text[:0]
}
