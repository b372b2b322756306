// SPDX-License-Identifier: MIT

package docs_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// grid is where a panel lies, in the 24 columns of a dashboard.
type grid struct{ X, Y, W, H int }

func (g grid) overlaps(o grid) bool {
	return g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H
}

// source is a data source in a dashboard.
type source struct{ Type, UID string }

type panel struct {
	ID                                 int
	Type, Title, Description, Interval string
	Datasource                         source
	GridPos                            grid
	Targets                            []struct {
		RefID, QueryType, RawSQL string
		Format, SelectedFormat   *int
		Datasource               source
	}
}

// board is as much of Grafana's JSON model as a dashboard needs to be loaded and its
// panels to be queried.
type board struct {
	Inputs     json.RawMessage             `json:"__inputs"`
	Requires   []struct{ Type, ID string } `json:"__requires"`
	UID, Title string
	// SchemaVersion is 39 since Grafana 10.4; later ones bring it up to theirs.
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Query string }
	}
	Panels  []panel
	Refresh string
	Time    struct{ From, To string }
}

// questdbSource is QuestDB's data source for Grafana, and formats are what it knows: numbers,
// where other data sources over SQL have words.
const questdbSource = "questdb-questdb-datasource"

var formats = map[string]int{"timeseries": 0, "table": 1}

func loadBoard(t testing.TB) (b board) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(read(t, root+"docs/grafana/questdb_sf.json")))
	if err := d.Decode(&b); err != nil {
		t.Fatal(err)
	}
	return b
}

// The data source is a variable: Grafana fills in __inputs only where somebody imports
// by hand, and a dashboard that is provisioned would have none.
func TestTheDashboardChoosesItsDataSourceByAVariable(t *testing.T) {
	b := loadBoard(t)
	if v := b.Templating.List; b.Inputs != nil || len(v) != 1 || v[0].Type != "datasource" || v[0].Query != questdbSource || v[0].Name != "datasource" {
		t.Errorf("__inputs %s, variables %+v", b.Inputs, v)
	}
	required := map[string]bool{}
	for _, r := range b.Requires {
		required[r.Type+" "+r.ID] = true
	}
	for _, what := range []string{"grafana grafana", "datasource " + questdbSource, "panel table", "panel timeseries"} {
		if !required[what] {
			t.Errorf("__requires names no %s", what)
		}
	}
}

func TestTheDashboardHasTheShapeOfOne(t *testing.T) {
	b := loadBoard(t)
	if b.UID == "" || b.Title == "" || b.SchemaVersion != 39 || b.Refresh != "1m" || b.Time.From != "now-24h" || b.Time.To != "now" {
		t.Fatalf("%+v", b)
	}
	ids := map[int]bool{}
	for i, p := range b.Panels {
		g := p.GridPos
		if p.ID <= 0 || ids[p.ID] || p.Title == "" {
			t.Errorf("panel %+v", p)
		}
		ids[p.ID] = true
		if g.X < 0 || g.Y < 0 || g.W < 1 || g.H < 1 || g.X+g.W > 24 {
			t.Errorf("%s lies at %+v", p.Title, g)
		}
		for _, o := range b.Panels[:i] {
			if g.overlaps(o.GridPos) {
				t.Errorf("%s and %s lie over each other", p.Title, o.Title)
			}
		}
		asksThePlugin(t, &p)
	}
}

// asksThePlugin fails the test unless a panel has one target, with the fields that the
// plugin reads.
func asksThePlugin(t *testing.T, p *panel) {
	t.Helper()
	from := source{questdbSource, "${datasource}"}
	if len(p.Targets) != 1 {
		t.Fatalf("%s has %d targets", p.Title, len(p.Targets))
	}
	format, known := formats[p.Type]
	q := p.Targets[0]
	if !known || p.Datasource != from || q.Datasource != from || q.RefID == "" || q.QueryType != "sql" || q.RawSQL == "" ||
		q.Format == nil || *q.Format != format || q.SelectedFormat == nil || *q.SelectedFormat != format {
		t.Errorf("target of %s: %+v", p.Title, q)
	}
}

// A series follows the time picker, in steps that are no shorter than rows of status
// come; the plugin takes it apart by the column behind the time, if it is in order.
func TestTheSeriesOfTheDashboardFollowTheTimePicker(t *testing.T) {
	series := 0
	for _, p := range loadBoard(t).Panels {
		if p.Type != "timeseries" {
			continue
		}
		series++
		sql := p.Targets[0].RawSQL
		for _, part := range []string{"SELECT timestamp AS time, box || '/' || sender_id AS metric, ", "$__timeFilter(timestamp)", "SAMPLE BY $__sampleByInterval", "\nORDER BY time"} {
			if !strings.Contains(sql, part) {
				t.Errorf("%s has no %q:\n%s", p.Title, part, sql)
			}
		}
		if p.Interval != "1m" || strings.Contains(sql, "now()") {
			t.Errorf("%s has steps of %q:\n%s", p.Title, p.Interval, sql)
		}
	}
	if series == 0 {
		t.Error("the dashboard has no series")
	}
}

// The page and the dashboard are one: what is mended here is mended there.
func TestTheDashboardHasAPanelForEachQuestionOfThePage(t *testing.T) {
	panels := map[string]panel{}
	for _, p := range loadBoard(t).Panels {
		panels[p.Title] = p
	}
	// What the time picker says is a day, in ten minutes' steps, on the page.
	page := strings.NewReplacer("$__timeFilter(timestamp)", "timestamp > dateadd('d', -1, now())", "$__sampleByInterval", "10m")
	asked := 0
	for _, section := range strings.Split(read(t, root+"docs/fleet.md"), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		text, sql, _ := strings.Cut(body, "```sql\n")
		sql, _, _ = strings.Cut(sql, "\n```")
		if !strings.HasPrefix(sql, "SELECT") {
			continue
		}
		asked++
		p, ok := panels[title]
		if !ok || page.Replace(p.Targets[0].RawSQL) != sql {
			t.Errorf("the dashboard does not ask what docs/fleet.md asks under %q", title)
		}
		if text = strings.Join(strings.Fields(text), " "); p.Type == "table" && p.Description != text {
			t.Errorf("the dashboard says of %s:\n%s\nand docs/fleet.md:\n%s", title, p.Description, text)
		}
	}
	if asked != len(panels) || asked < 8 {
		t.Errorf("%d questions, %d panels", asked, len(panels))
	}
}
