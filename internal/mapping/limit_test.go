// SPDX-License-Identifier: MIT

package mapping_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
)

func TestATableGetsNoMoreColumnsThanAllowed(t *testing.T) {
	var noted []string
	m := mapping.New(mapping.Options{MaxColumns: 3, Noted: func(table, what string) {
		noted = append(noted, table+": "+what)
	}})
	m.Start("t")
	m.Tag("host", "a")
	m.Int("x", 1)
	finish(t, m, noon)
	if row, err := m.Excess(); row != nil || err != nil {
		t.Errorf("excess %v, %v", row, err)
	}
	for range 2 {
		m.Start("T") // one table for QuestDB
		m.Tag("host", "a")
		m.Int("X", 2)
		m.Int("c", 3)
		m.Int("d", 4)
		m.Int("e", 5)
		_, got := finish(t, m, noon)
		equal(t, got, map[string]any{"host": "symbol:a", "X": int64(2), "c": int64(3)})
		rest, err := m.Excess()
		if err == nil || !strings.Contains(err.Error(), `row of table "T" cannot be stored: column "d" would be one more than max_columns_per_table = 3 allows`) {
			t.Fatalf("excess %v, %v", rest, err)
		}
		equal(t, columns(t, rest), map[string]any{"host": "symbol:a", "d": int64(4), "e": int64(5)})
		if rest.Table != "T" || rest.Time != noon.UnixMicro() {
			t.Errorf("excess of table %q at %d", rest.Table, rest.Time)
		}
	}
	if len(noted) != 1 || !strings.HasPrefix(noted[0], "T: max_columns_per_table = 3 is reached") {
		t.Errorf("noted %q", noted)
	}
	if n := m.Counts().Excess; n != 4 {
		t.Errorf("%d values counted", n)
	}
	m.Start("other")
	m.Int("d", 4)
	finish(t, m, noon)
	if _, err := m.Excess(); err != nil {
		t.Error(err)
	}
}

func TestTagsBeyondTheLimitAreLeftOutToo(t *testing.T) {
	m := mapping.New(mapping.Options{MaxColumns: 2})
	m.Start("t")
	m.Tag("a", "1")
	m.Tag("b", "2")
	m.Tag("c", "3")
	m.Int("v", 4)
	_, got := finish(t, m, noon)
	equal(t, got, map[string]any{"a": "symbol:1", "b": "symbol:2"})
	rest, err := m.Excess()
	if err == nil {
		t.Fatal("nothing is left out")
	}
	equal(t, columns(t, rest), map[string]any{"a": "symbol:1", "b": "symbol:2", "c": "symbol:3", "v": int64(4)})
}

func TestARowThatKeepsNothingIsADeadLetter(t *testing.T) {
	m := mapping.New(mapping.Options{MaxColumns: 1})
	for i, key := range []string{"a", "b"} {
		m.Start("t")
		m.Int(key, 1)
		row, err := m.Finish(noon)
		equal(t, columns(t, row), map[string]any{key: int64(1)})
		if rest, restErr := m.Excess(); rest != nil || restErr != nil {
			t.Errorf("excess %v, %v", rest, restErr)
		}
		if i == 1 && (err == nil || !strings.Contains(err.Error(), "max_columns_per_table = 1")) {
			t.Error(err)
		}
	}
}

func TestDeadLettersUseUpNoColumns(t *testing.T) {
	m := mapping.New(mapping.Options{MaxColumns: 1})
	for i := range 5 {
		m.Start("t")
		m.Int(fmt.Sprint("bad", i), 1)
		if _, err := m.Finish(time.Time{}); err == nil {
			t.Fatal("the year 1 is accepted")
		}
		if _, err := m.Excess(); err != nil {
			t.Fatal(err)
		}
	}
	m.Start("t")
	m.Int("good", 1)
	finish(t, m, noon)
}

func TestTheLimitHoldsWithEndlessColumns(t *testing.T) {
	m := mapping.New(mapping.Options{MaxColumns: 10})
	kept := 0
	for i := range 20_000 {
		m.Start("t")
		m.Int("id", int64(i))
		m.Int(fmt.Sprint("key", i), 1)
		row, err := m.Finish(noon)
		if err != nil {
			t.Fatal(err)
		}
		kept += len(row.Cells)
	}
	if kept != 20_000+9 {
		t.Errorf("%d values kept", kept)
	}
}

func TestWhatTheLimitRemembersIsBounded(t *testing.T) {
	m := mapping.New(mapping.Options{MaxColumns: 2000})
	fill := func(table, prefix string) (cells int) {
		m.Start(table)
		for i := range 2000 {
			m.Int(fmt.Sprint(prefix, i), 1)
		}
		row, err := m.Finish(noon)
		if err != nil {
			t.Fatal(err)
		}
		return len(row.Cells)
	}
	fill("first", "a")
	m.Start("first")
	m.Int("b", 1)
	if _, err := m.Finish(noon); err == nil {
		t.Error("a column beyond the limit is accepted")
	}
	for i := range 530 { // 2000 columns each are more than 2^20
		fill(fmt.Sprint("table", i), "a")
	}
	if n := fill("first", "b"); n != 2000 {
		t.Errorf("%d columns, although the first are forgotten", n)
	}
}
