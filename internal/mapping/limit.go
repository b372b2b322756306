// SPDX-License-Identifier: MIT

package mapping

import (
	"fmt"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// maxColumnsHeld bounds the memory for MaxColumns over all tables, to some 30 MB.
// Beyond it all tables are counted afresh.
const maxColumnsHeld = 1 << 20

// columns are those that this Mapper gave a table.
type columns struct {
	seen map[uint64]struct{} // by fold.id
}

// admit tells whether a table may have a column, and counts it.
func (t *nameTable) admit(c *columns, f *fold) bool {
	if _, ok := c.seen[f.id]; ok {
		return true
	}
	if len(c.seen) >= t.opts.MaxColumns {
		return false
	}
	c.seen[f.id] = struct{}{}
	t.held++
	return true
}

// columnsOf returns the columns of a table, nil without a limit. Tables whose
// names differ only in case are one in QuestDB.
func (t *nameTable) columnsOf(table *tableName) *columns {
	if t.opts.MaxColumns <= 0 {
		return nil
	}
	if table.columns == nil {
		key := foldCase(table.clean)
		if t.limits[key] == nil {
			t.limits[key] = &columns{seen: map[uint64]struct{}{}}
			t.held++
		}
		table.columns = t.limits[key]
	}
	return table.columns
}

// bound keeps what limits hold bounded.
func (t *nameTable) bound() {
	if t.held > maxColumnsHeld {
		t.held = 0
		clear(t.limits)
		clear(t.tables) // they point to the limits
		clear(t.made)
	}
}

// addCell adds a cell to the row, or to what is left out of it.
func (m *Mapper) addCell(n name, c qwp.Cell) {
	if m.columns != nil && !m.names.admit(m.columns, n.fold) {
		m.over = append(m.over, c)
		return
	}
	m.row.Cells = append(m.row.Cells, c)
	m.ids = append(m.ids, n.fold.id)
}

// cut returns what the row keeps, and lays the rest ready for Excess. A row that
// keeps nothing is a dead letter.
func (m *Mapper) cut() (*qwp.Row, error) {
	m.counts.Excess += int64(len(m.over))
	m.note(m.row.Table, saidFull)
	m.excess.Reset(m.row.Table)
	m.excess.Time, m.excess.TimeType = m.row.Time, m.row.TimeType
	m.excess.Cells = append(append(m.excess.Cells, m.row.Cells[:m.tagged]...), m.over...)
	if len(m.row.Cells) == 0 {
		return &m.excess, m.failFull()
	}
	return &m.row, nil
}

// Excess returns what Finish left out of its row because the table has all the
// columns that MaxColumns allows: a row of the same table, tags and time for the
// dead-letter file, valid until the next Finish, and the *RowError that says why.
// Without an error there is none, and nil is returned.
func (m *Mapper) Excess() (*qwp.Row, error) {
	if len(m.over) == 0 || len(m.row.Cells) == 0 {
		return nil, nil
	}
	return &m.excess, m.failFull()
}

func (m *Mapper) failFull() error {
	return m.fail(fmt.Sprintf("column %q would be one more than max_columns_per_table = %d allows", m.over[0].Name,
		m.opts.MaxColumns))
}
