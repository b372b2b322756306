// SPDX-License-Identifier: MIT

package mapping_test

import (
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/mapping"
)

// parse returns a template that must be good.
func parse(t testing.TB, text string) *mapping.Template {
	t.Helper()
	tmpl, err := mapping.ParseTable(text)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

// cpu begins a metric with two tags and a field of each type.
func cpu(m *mapping.Mapper) {
	m.Start("cpu")
	m.Tag("host", "a")
	m.Tag("dc", "eu-1")
	m.Int("n", 7)
	m.Float("f", 1.5)
	m.Bool("b", true)
	m.String("s", "text")
}

func TestTableIsNamedByTagElseTemplateThenPrefix(t *testing.T) {
	for _, c := range []struct {
		prefix, tag, template, want string
	}{
		{"", "", mapping.DefaultTable, "cpu"},
		{"p_", "", "{{.Name}}", "p_cpu"},
		{"p_", "dc", "{{ .Name }}_x", "p_eu-1"},
		{"", "missing", "{{ .Name }}_x", "cpu_x"},
		{"", "", `{{ .Name }}.{{ .Tag "dc" }}`, "cpu.eu-1"},
		{"", "", `{{ $.Tag "dc" }}`, "eu-1"},
		{"", "", `{{ "dc" | .Tag | printf "%s_%s" .Name }}`, "cpu_eu-1"},
		{"", "", `{{ if .Tag "x" }}with{{ else }}without{{ end }}`, "without"},
		{"", "", `{{ with .Tag "dc" }}{{ . }}{{ end }}`, "eu-1"},
		{"", "", `{{ with $t := .Tag "dc" }}{{ $.Name }}{{ $t }}{{ end }}`, "cpueu-1"},
		{"", "", `t{{ .Field "n" }}_{{ .Field "f" }}_{{ .Field "b" }}_{{ .Field "s" }}_{{ .Field "x" }}.`, "t7_1.5_true_text__"},
		{"", "", `{{ .Name }}_{{ .Time.Year }}`, "cpu_2026"},
		{"", "", `{{ .Time.Format "2006-01-02T15" }}`, "2026-11-22T12"},
		{"a/", "", `b/{{ .Name }}`, "a_b_cpu"},
		{"telem", "", "etry", "telemetry_"},
	} {
		m := mapping.New(mapping.Options{TablePrefix: c.prefix, TableTag: c.tag, Table: parse(t, c.template)})
		for range 3 {
			cpu(m)
			if table, _ := finish(t, m, noon.In(time.FixedZone("", 14*3600))); table != c.want {
				t.Errorf("%+v makes %q", c, table)
			}
		}
	}
}

func TestTheTagThatNamesTheTableIsNotStored(t *testing.T) {
	var noted []string
	m := mapping.New(mapping.Options{TableTag: "dc", Noted: func(table, what string) {
		noted = append(noted, table+": "+what)
	}})
	for name, c := range map[string]struct {
		tags []string
		want string
	}{
		"a value": {[]string{"eu", "second"}, "eu"},
		"empty":   {[]string{""}, "cpu"},
		"none":    {nil, "cpu"},
	} {
		for range 2 {
			m.Start("cpu")
			m.Tag("host", "a")
			for _, value := range c.tags {
				m.TagBytes("dc", []byte(value))
			}
			table, got := finish(t, m, noon)
			equal(t, got, map[string]any{"host": "symbol:a"})
			if table != c.want {
				t.Errorf("%s: table %q", name, table)
			}
		}
	}
	if len(noted) != 1 || !strings.Contains(noted[0], `cpu: a metric has no tag "dc"`) {
		t.Errorf("noted %q", noted)
	}
	if n := m.Counts().Untagged; n != 4 {
		t.Errorf("%d untagged", n)
	}
}

func TestOnlyCleaningATableNameIsSaid(t *testing.T) {
	var said []string
	m := mapping.New(mapping.Options{TablePrefix: "p.", Renamed: func(table, from, to, _ string) {
		said = append(said, table+" "+from+" "+to)
	}})
	for _, name := range []string{"cpu", "c/pu", "cpu", "c/pu"} {
		m.Start(name)
		m.Int("v", 1)
		finish(t, m, noon)
	}
	if len(said) != 1 || said[0] != "p.c_pu p.c/pu p.c_pu" {
		t.Errorf("said %q", said)
	}
}

func TestTemplatesThatCannotNameATableAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "empty",
		"  {{/* nothing */}} ":      "empty",
		"{{ .Name":                  "unclosed",
		"{{ .name }}":               "no .name",
		"{{ .Measurement }}":        "no .Measurement",
		"{{ .Tag }}":                ".Tag takes",
		`{{ .Tag "a" "b" }}`:        ".Tag takes",
		`{{ printf "%s" .Field }}`:  ".Field takes",
		`{{ if .Tags }}x{{ end }}`:  "no .Tags",
		`{{ sha256 .Name }}`:        "sha256",
		`{{ (.Nme) | printf "x" }}`: "no .Nme",
	} {
		if _, err := mapping.ParseTable(text); err == nil || !strings.Contains(err.Error(), want) ||
			!strings.Contains(err.Error(), "table_template") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestAMetricThatATemplateCannotNameIsADeadLetter(t *testing.T) {
	for text, want := range map[string]string{
		`{{ .Tag "none" }}`:                     `table_template "{{ .Tag \"none\" }}" makes an empty name`,
		`{{ with .Tag "dc" }}{{ .X }}{{ end }}`: "fails: template",
		`{{ index (.Field "s") 99 }}`:           "fails: template",
	} {
		m := mapping.New(mapping.Options{Table: parse(t, text), MaxColumns: 1})
		cpu(m)
		row, err := m.Finish(noon)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
		if row.Table != "cpu" || len(row.Cells) != 6 {
			t.Errorf("%q: the dead letter has table %q and %d cells", text, row.Table, len(row.Cells))
		}
	}
}
