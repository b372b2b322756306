// SPDX-License-Identifier: MIT

package mapping_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
)

// merge maps rows written as "table time tag=value field:value" and returns the
// joined ones in the same way.
func merge(t fataler, o mapping.Options, rows ...string) []string {
	t.Helper()
	m := mapping.New(o)
	g := mapping.NewMerger(m)
	for _, r := range rows {
		row, err := mapText(m, r)
		if err != nil {
			t.Fatalf("%s: %v", r, err)
		}
		g.Add(row)
	}
	got := texts(g)
	if len(got)+int(m.Counts().Merged) != len(rows) || g.Len() != len(got) {
		t.Errorf("%d rows of %d, %d counted as merged", len(got), len(rows), m.Counts().Merged)
	}
	return got
}

func mapText(m *mapping.Mapper, text string) (*qwp.Row, error) {
	words := strings.Fields(text)
	var sec int64
	_, _ = fmt.Sscan(words[1], &sec)
	m.Start(words[0])
	for _, w := range words[2:] {
		if key, value, ok := strings.Cut(w, "="); ok {
			m.Tag(key, value)
		} else {
			key, value, _ := strings.Cut(w, ":")
			m.String(key, value)
		}
	}
	return m.Finish(time.Unix(sec, 0))
}

func texts(g *mapping.Merger) []string {
	var got []string
	for row := range g.Rows {
		got = append(got, rowText(row))
	}
	return got
}

func rowText(row *qwp.Row) string {
	text := fmt.Sprint(row.Table, " ", row.Time/1e6)
	for i := range row.Cells {
		sep := ":"
		if row.Cells[i].Type == qwp.TypeSymbol {
			sep = "="
		}
		text += " " + row.Cells[i].Name + sep + string(row.Cells[i].Text)
	}
	return text
}

func TestRowsOfOneSeriesAndTimeAreJoined(t *testing.T) {
	for name, c := range map[string]struct{ rows, want []string }{
		"fields in several rows": {
			[]string{"t 1 h=a x:1", "t 1 h=a y:2", "t 1 h=a z:3"},
			[]string{"t 1 h=a x:1 y:2 z:3"}},
		"in the order of the first": {
			[]string{"t 1 h=a x:1", "t 1 h=b x:2", "u 1 h=a x:3", "t 1 h=b y:4", "t 1 h=a y:5"},
			[]string{"t 1 h=a x:1 y:5", "t 1 h=b x:2 y:4", "u 1 h=a x:3"}},
		"another time, tag, value, table": {
			[]string{"t 1 h=a x:1", "t 2 h=a y:1", "t 1 g=a y:1", "t 1 h=b y:1", "t 1 h=a g=a y:1", "t 1 y:1", "u 1 h=a y:1"},
			[]string{"t 1 h=a x:1", "t 2 h=a y:1", "t 1 g=a y:1", "t 1 h=b y:1", "t 1 g=a h=a y:1", "t 1 y:1", "u 1 h=a y:1"}},
		"a column twice begins a row": {
			[]string{"t 1 h=a x:1", "t 1 h=a x:2 y:2", "t 1 h=a z:3", "t 1 h=a Y:4"},
			[]string{"t 1 h=a x:1", "t 1 h=a x:2 y:2 z:3", "t 1 h=a Y:4"}},
		"a field of the name that another got": {
			[]string{"t 1 h=a h:1", "t 1 h=a h_2:2"},
			[]string{"t 1 h=a h_2:1", "t 1 h=a h_2:2"}},
		"without tags": {
			[]string{"t 1 x:1", "t 1 y:1"},
			[]string{"t 1 x:1 y:1"}},
		"tags that would run together": {
			[]string{"t 1 a=bc x:1", "t 1 ab=c y:1"},
			[]string{"t 1 a=bc x:1", "t 1 ab=c y:1"}},
	} {
		if got := merge(t, mapping.Options{}, c.rows...); !slices.Equal(got, c.want) {
			t.Errorf("%s:\ngot  %q\nwant %q", name, got, c.want)
		}
	}
}

func TestTagsAreComparedWhateverTheyAreStoredAs(t *testing.T) {
	never := func(string) bool { return false }
	got := merge(t, mapping.Options{Symbol: never}, "t 1 h=a x:1", "t 1 h=b y:1", "t 1 h=a y:1")
	if want := []string{"t 1 h:a x:1 y:1", "t 1 h:b y:1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRowsWhoseTagsWereCutAreNotJoined(t *testing.T) {
	got := merge(t, mapping.Options{MaxColumns: 3}, "t 1 h=a x:1 y:1", "t 1 h=a p=1 x:2", "t 1 h=a p=2 y:2")
	if want := []string{"t 1 h=a x:1 y:1", "t 1 h=a x:2", "t 1 h=a y:2"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestJoiningLosesNothingAndKeepsOrder(t *testing.T) {
	word := rapid.SampledFrom([]string{"a", "b", "A", "c"})
	rapid.Check(t, func(t *rapid.T) {
		var rows []string
		for i := range rapid.IntRange(0, 30).Draw(t, "rows") {
			text := fmt.Sprintf("%s %d", word.Draw(t, "table"), rapid.IntRange(1, 2).Draw(t, "time"))
			if rapid.Bool().Draw(t, "tagged") {
				text += " h=" + word.Draw(t, "value")
			}
			for range rapid.IntRange(1, 3).Draw(t, "fields") {
				text += fmt.Sprintf(" f%s:%d", word.Draw(t, "field"), i)
			}
			rows = append(rows, text)
		}
		m := mapping.New(mapping.Options{})
		var single []string
		for _, r := range rows {
			row, err := mapText(m, r)
			if err != nil {
				t.Fatalf("%v", err)
			}
			single = append(single, rowText(row))
		}
		joinedAsModel(t, single, merge(t, mapping.Options{}, rows...))
	})
}

// joinedAsModel joins rows by the plainest means.
func joinedAsModel(t *rapid.T, rows, got []string) {
	var want []string
	last := map[string]int{}
	for _, r := range rows {
		words := strings.Fields(r)
		n := slices.IndexFunc(words, func(w string) bool { return strings.Contains(w, ":") })
		key := strings.Join(words[:n], " ")
		i, ok := last[key]
		if ok && !slices.ContainsFunc(words[n:], func(w string) bool {
			name, _, _ := strings.Cut(strings.ToLower(w), ":")
			return strings.Contains(strings.ToLower(want[i]), " "+name+":")
		}) {
			want[i] += " " + strings.Join(words[n:], " ")
			continue
		}
		last[key] = len(want)
		want = append(want, r)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAJoinedRowStaysStorable(t *testing.T) {
	long := strings.Repeat("x", 20<<10)
	got := merge(t, mapping.Options{}, "t 1 a:"+long, "t 1 b:"+long, "t 1 c:"+long, "t 1 d:1")
	if len(got) != 2 {
		t.Errorf("%d rows", len(got))
	}
	m := mapping.New(mapping.Options{})
	g := mapping.NewMerger(m)
	for i := range 3000 {
		row, err := mapText(m, fmt.Sprintf("t 1 %d:1", i))
		if err != nil {
			t.Fatal(err)
		}
		g.Add(row)
	}
	b := qwp.NewBuilder(64 << 10)
	for row := range g.Rows {
		if err := b.Add(row); err == qwp.ErrFrameFull {
			b.Reset()
			err = b.Add(row)
			if err != nil {
				t.Error(err)
			}
		} else if err != nil {
			t.Error(err)
		}
	}
}

func TestAFullMergerStartsAfreshWithItsMemory(t *testing.T) {
	m := mapping.New(mapping.Options{})
	g := mapping.NewMerger(m)
	batch := func() {
		for i := range 1000 {
			m.Start("t")
			m.Tag("host", "a")
			m.Int([]string{"x", "y"}[i%2], 1)
			row, err := m.Finish(noon.Add(time.Duration(i/2) * time.Second))
			if err != nil {
				t.Fatal(err)
			}
			g.Add(row)
		}
		if g.Len() != 500 || g.Full() {
			t.Errorf("%d rows, full %v", g.Len(), g.Full())
		}
		for row := range g.Rows {
			if len(row.Cells) != 3 {
				t.Errorf("%d cells", len(row.Cells))
			}
		}
		g.Reset()
	}
	batch()
	if n := testing.AllocsPerRun(20, batch); n > 0 {
		t.Errorf("%v allocations a batch of 1000 rows", n)
	}
	for i := 0; !g.Full(); i++ {
		if i > 100_000 {
			t.Fatal("it is never full")
		}
		row, err := mapText(m, "t 1 x:1")
		if err != nil {
			t.Fatal(err)
		}
		g.Add(row)
	}
}
