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
	ID          int
	Type, Title string
	Datasource  source
	GridPos     grid
	Targets     []struct {
		RefID, Format, RawSQL string
		RawQuery              bool
		Datasource            source
	}
}

// board is as much of Grafana's JSON model as a dashboard needs to be loaded and its
// panels to be queried.
type board struct {
	Inputs        []struct{ Name, Type, PluginID string } `json:"__inputs"`
	UID, Title    string
	SchemaVersion int
	Panels        []panel
	Time          struct{ From, To string }
}

func loadBoard(t testing.TB) (b board) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(read(t, root+"docs/grafana/questdb_sf.json")))
	if err := d.Decode(&b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTheDashboardHasTheShapeOfOne(t *testing.T) {
	b := loadBoard(t)
	if len(b.Inputs) != 1 || b.Inputs[0].Type != "datasource" || b.UID == "" || b.Title == "" || b.SchemaVersion < 36 || b.Time.From == "" || b.Time.To == "" {
		t.Fatalf("%+v", b)
	}
	from := source{b.Inputs[0].PluginID, "${" + b.Inputs[0].Name + "}"}
	ids := map[int]bool{}
	for i, p := range b.Panels {
		g := p.GridPos
		if p.ID <= 0 || ids[p.ID] || p.Type != "table" && p.Type != "timeseries" || p.Title == "" || p.Datasource != from {
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
		if len(p.Targets) != 1 {
			t.Fatalf("%s has %d targets", p.Title, len(p.Targets))
		}
		if q := p.Targets[0]; q.RefID == "" || !q.RawQuery || q.Datasource != from || q.Format != map[string]string{"table": "table", "timeseries": "time_series"}[p.Type] {
			t.Errorf("target of %s: %+v", p.Title, q)
		}
	}
}

// The page and the dashboard are one: what is mended here is mended there.
func TestTheDashboardHasAPanelForEachQuestionOfThePage(t *testing.T) {
	panels := map[string]string{}
	for _, p := range loadBoard(t).Panels {
		panels[p.Title] = p.Targets[0].RawSQL
	}
	asked := 0
	for _, section := range strings.Split(read(t, root+"docs/fleet.md"), "\n## ")[1:] {
		title, body, _ := strings.Cut(section, "\n")
		_, sql, _ := strings.Cut(body, "```sql\n")
		if sql, _, _ = strings.Cut(sql, "\n```"); strings.HasPrefix(sql, "SELECT") {
			asked++
			if panels[title] != sql {
				t.Errorf("the dashboard does not ask what docs/fleet.md asks under %q", title)
			}
		}
	}
	if asked != len(panels) || asked < 8 {
		t.Errorf("%d questions, %d panels", asked, len(panels))
	}
}
