// SPDX-License-Identifier: MIT

package qwpserver

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// tables is the memory of the server. The server's mu guards it.
type tables struct {
	byName   map[string]*table // by folded name
	messages int64             // processed since Start
}

type table struct {
	name    string
	columns map[string]column // by folded name
	rows    []Row
	byKey   map[string]int // position in rows, if rows are deduplicated
	txn     int64          // last transaction, from 1
	durable int64          // last transaction that is durable
}

type column struct {
	name string
	typ  qwp.Type
}

// fold is how names are compared: QuestDB ignores case.
func fold(name string) string { return strings.ToLower(name) }

func newTable(name string) *table {
	return &table{name: name, columns: make(map[string]column), byKey: make(map[string]int)}
}

// named returns a table, a new one if there is none of that name yet.
func (ts *tables) named(name string) *table {
	t := ts.byName[fold(name)]
	if t == nil {
		t = newTable(name)
		ts.byName[fold(name)] = t
	}
	return t
}

// check converts the rows of a message to the types of their columns. Tables
// and columns that are new are made, unless anything in the message is refused.
func (ts *tables) check(blocks []qwp.Table, rows []Row) *refusal {
	made := make(map[string]*table)
	for i := range blocks {
		if refused := ts.declare(made, &blocks[i]); refused != nil {
			return refused
		}
	}
	for i := range rows {
		t := made[fold(rows[i].Table)]
		if refused := t.convert(&rows[i]); refused != nil {
			return refused
		}
	}
	for _, t := range made {
		ts.named(t.name).columns = t.columns
	}
	return nil
}

// declare adds the columns of a block to a copy of its table.
func (ts *tables) declare(made map[string]*table, block *qwp.Table) *refusal {
	if err := checkTableName(block.Name); err != nil {
		return &refusal{qwp.StatusInternalError, "failed to create table update details: " + err.Error()}
	}
	t := made[fold(block.Name)]
	if t == nil {
		t = newTable(block.Name)
		if old := ts.byName[fold(block.Name)]; old != nil {
			t.name, t.columns = old.name, maps.Clone(old.columns)
		}
		made[fold(block.Name)] = t
	}
	seen := make(map[string]bool, len(block.Columns))
	for _, c := range block.Columns {
		name := fold(c.Name)
		if seen[name] {
			return &refusal{qwp.StatusParseError, fmt.Sprintf("table %s: column %s twice in one block", block.Name, c.Name)}
		}
		seen[name] = true
		if refused := t.addColumn(c.Name, c.Type); refused != nil {
			return refused
		}
	}
	return nil
}

// addColumn makes a column unless it is there or is the designated timestamp.
func (t *table) addColumn(name string, typ qwp.Type) *refusal {
	if isTime(typ) && (name == "" || fold(name) == designated) {
		return nil
	}
	if err := checkColumnName(name); err != nil {
		return &refusal{qwp.StatusSchemaMismatch, fmt.Sprintf("table %s: %v", t.name, err)}
	}
	if _, ok := t.columns[fold(name)]; !ok {
		t.columns[fold(name)] = column{name: name, typ: typ}
	}
	return nil
}

// convert gives the values of a row the names and types of the columns.
func (t *table) convert(r *Row) *refusal {
	r.Table = t.name
	values := make(map[string]any, len(r.Values))
	for name, v := range r.Values {
		c := t.columns[fold(name)]
		converted, ok := coerce(v, c.typ)
		if !ok {
			return &refusal{qwp.StatusSchemaMismatch, fmt.Sprintf(
				"table %s, column %s: cannot store %T %v as %v", t.name, c.name, v, v, c.typ)}
		}
		values[c.name] = converted
	}
	r.Values = values
	return nil
}

func (t *table) insert(r Row, keep int, keys []string) {
	switch {
	case len(keys) > 0 && keep == 0:
		key := rowKey(&r, keys)
		if i, ok := t.byKey[key]; ok {
			t.rows[i] = r
			return
		}
		t.byKey[key] = len(t.rows)
	case keep > 0 && len(t.rows) >= keep:
		t.rows = t.rows[len(t.rows)-keep+1:]
	}
	t.rows = append(t.rows, r)
}

// rowKey is what a row is recognised by. A null is a key value like any other.
func rowKey(r *Row, keys []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d", r.Time)
	for _, k := range keys {
		fmt.Fprintf(&b, "\x00%#v", r.Values[k])
	}
	return b.String()
}

// Rows returns the rows of a table in the order of their commits. A boolean
// column that a row lacks is there as false, as QuestDB reads it.
func (s *Server) Rows(tableName string) []Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tables.byName[fold(tableName)]
	if t == nil {
		return nil
	}
	rows := slices.Clone(t.rows)
	for i := range rows {
		rows[i].Values, rows[i].txn = t.filled(rows[i].Values), 0
	}
	return rows
}

// filled copies values and adds the booleans that are not there.
func (t *table) filled(values map[string]any) map[string]any {
	values = maps.Clone(values)
	for _, c := range t.columns {
		if _, ok := values[c.name]; !ok && c.typ == qwp.TypeBoolean {
			values[c.name] = false
		}
	}
	return values
}

// Tables returns the names of the tables, sorted.
func (s *Server) Tables() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.tables.byName))
	for _, t := range s.tables.byName {
		names = append(names, t.name)
	}
	slices.Sort(names)
	return names
}

// Columns returns the columns of a table and the type of each.
func (s *Server) Columns(tableName string) map[string]qwp.Type {
	s.mu.Lock()
	defer s.mu.Unlock()
	columns := make(map[string]qwp.Type)
	if t := s.tables.byName[fold(tableName)]; t != nil {
		for _, c := range t.columns {
			columns[c.name] = c.typ
		}
	}
	return columns
}
