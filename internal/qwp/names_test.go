// SPDX-License-Identifier: MIT

package qwp_test

import (
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func TestNamesThatQuestDBRefusesAreSaid(t *testing.T) {
	for _, c := range []struct{ name, table, column string }{
		{"plain_1", "", ""},
		{"größe & [ü] =1", "", ""},
		{strings.Repeat("x", 127), "", ""},
		{strings.Repeat("x", 128), "127 bytes", "127 bytes"},
		{"", "empty", "empty"},
		{"a\xff", "UTF-8", "UTF-8"},
		{"cpu-usage.5m", "", "character"},
		{"tab\there", "character", "character"},
		{"a\x00", "character", "character"},
		{"a\x1f", "character", "character"},
		{"a\x7f", "character", "character"},
		{"\uFEFFa", "character", "character"},
		{".a", "dot", "character"},
		{"a.", "dot", "character"},
		{"a..b", "dot", "character"},
		{" a", "space", ""},
		{"a ", "space", ""},
		{"Telemetry", "itself", ""},
		{"telemetry_CONFIG", "itself", ""},
		{"_query_trace", "itself", ""},
		{"SYS.x", "itself", "character"},
		{"sys", "", ""},
		{"Timestamp", "", "itself"},
		{"SF_ROW_ID", "", "itself"},
		{"timestamp_", "", ""},
	} {
		says(t, "table", c.name, c.table, qwp.CheckTableName(c.name))
		says(t, "column", c.name, c.column, qwp.CheckColumnName(c.name))
	}
	for _, r := range `?,'"\/:)(+*%~` {
		says(t, "table", string(r), "character", qwp.CheckTableName(string(r)))
		says(t, "column", string(r), "character", qwp.CheckColumnName(string(r)))
	}
}

func says(t *testing.T, what, name, want string, err error) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("%s %q: got %v, want %q", what, name, err, want)
	}
}

func TestOnlyAStrictBuilderRefusesWhatTheFormatCanSay(t *testing.T) {
	for name, r := range map[string]*qwp.Row{
		"table":  row("a/b", func(r *qwp.Row) { r.Long("l", 1) }),
		"column": row("t", func(r *qwp.Row) { r.Long("a.b", 1) }),
	} {
		if err := qwp.NewBuilder(1000).Add(r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		strict := qwp.NewBuilder(1000)
		strict.StrictNames = true
		for range 2 { // a refused name is not remembered as a good one
			if err := strict.Add(r); err == nil {
				t.Errorf("%s: the strict builder took it", name)
			}
		}
	}
}
