// SPDX-License-Identifier: MIT

package mapping_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

func TestMappedNamesAreNeverRefused(t *testing.T) {
	odd := rapid.RuneFrom([]rune("aZ_ü .-/?*\x00\x1f\x7f\uFEFF\uFFFD"))
	name := rapid.OneOf(rapid.StringOfN(odd, 1, 200, -1),
		rapid.SampledFrom([]string{"timestamp", "Telemetry", "SF_row_id", "..", "a\xff"}))
	rapid.Check(t, func(t *rapid.T) {
		m := mapping.New(mapping.Options{})
		m.Start(name.Draw(t, "table"))
		for range rapid.IntRange(1, 4).Draw(t, "fields") {
			m.Int(name.Draw(t, "field"), 1)
		}
		row, err := m.Finish(noon)
		if err != nil {
			t.Fatal(err)
		}
		if err := qwp.CheckTableName(row.Table); err != nil {
			t.Fatalf("table %q: %v", row.Table, err)
		}
		for i := range row.Cells {
			if err := qwp.CheckColumnName(row.Cells[i].Name); err != nil {
				t.Fatalf("column %q: %v", row.Cells[i].Name, err)
			}
		}
	})
}
