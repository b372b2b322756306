// SPDX-License-Identifier: MIT

package tables_test

import (
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/tables"
)

func TestNamesOfSettingsAreReadAndWritten(t *testing.T) {
	for _, c := range []tables.Create{tables.Server, tables.SQL, tables.Never} {
		if got, err := tables.ParseCreate(c.String()); got != c || err != nil {
			t.Errorf("%v: %v, %v", c, got, err)
		}
	}
	for _, l := range []tables.Lost{tables.Hold, tables.Restore} {
		if got, err := tables.ParseLost(l.String()); got != l || err != nil {
			t.Errorf("%v: %v, %v", l, got, err)
		}
	}
	if _, err := tables.ParseCreate("Server"); err == nil || !strings.Contains(err.Error(), "server, sql or never") {
		t.Error(err)
	}
	if _, err := tables.ParseLost(""); err == nil || !strings.Contains(err.Error(), "hold or restore") {
		t.Error(err)
	}
}

func TestSettingsThatQuestDBWouldRefuseAreRefused(t *testing.T) {
	for _, c := range []struct {
		config tables.Config
		text   string // of the error; empty: none
	}{
		{tables.Config{}, ""},
		{tables.Config{PartitionBy: "Week", TTL: "2 MONTHS", TimestampColumn: "TIMESTAMP"}, ""},
		{tables.Config{PartitionBy: "YEAR", TTL: "24 months", TimestampColumn: "ts"}, ""},
		{tables.Config{PartitionBy: "HOUR", TTL: " 25H "}, ""},
		{tables.Config{TTL: "48h"}, ""},
		{tables.Config{TTL: "1y"}, ""},
		{tables.Config{TTL: "12M"}, ""},
		{tables.Config{TTL: "89478485 DAYS"}, ""},
		{tables.Config{TTL: "12m"}, "MONTHS"},
		{tables.Config{TTL: "89478486 DAYS"}, "longer than"},
		{tables.Config{TTL: "99999999999 DAYS"}, "number from 1"},
		{tables.Config{TTL: "0 DAYS"}, "number from 1"},
		{tables.Config{TTL: "-1 DAYS"}, "number from 1"},
		{tables.Config{TTL: "DAYS"}, "number from 1"},
		{tables.Config{TTL: "30"}, "unit"},
		{tables.Config{TTL: "1.5 DAYS"}, "unit"},
		{tables.Config{TTL: "30 DAYS WAL; DROP TABLE x"}, "unit"},
		{tables.Config{TTL: "25 HOURS"}, "whole number of partitions"},
		{tables.Config{PartitionBy: "WEEK", TTL: "30 DAYS"}, "whole number of partitions"},
		{tables.Config{PartitionBy: "MONTH", TTL: "60 DAYS"}, "whole number of partitions"},
		{tables.Config{PartitionBy: "YEAR", TTL: "18 MONTHS"}, "whole number of partitions"},
		{tables.Config{PartitionBy: "none"}, "NONE"},
		{tables.Config{PartitionBy: "DAY WAL"}, "unknown"},
		{tables.Config{TimestampColumn: `t"s`}, "timestamp_column"},
		{tables.Config{TimestampColumn: "a.b"}, "timestamp_column"},
		{tables.Config{TimestampColumn: "SF_row_id"}, "timestamp_column"},
		{tables.Config{Create: 3}, "table_create 3"},
		{tables.Config{DedupLost: 2}, "dedup_lost 2"},
	} {
		c.config.SQL = newFake()
		err := c.config.Validate()
		if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) {
			t.Errorf("%+v: %v, want %q", c.config, err, c.text)
		}
		if _, other := tables.New(c.config); (other == nil) != (err == nil) {
			t.Errorf("New says %v, Validate %v", other, err)
		}
	}
	if err := new(tables.Config).Validate(); err == nil {
		t.Error("a Keeper without SQL")
	}
}
