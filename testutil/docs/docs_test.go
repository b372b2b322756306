// SPDX-License-Identifier: MIT

// Package docs_test proves that what users read first is true: samples that
// load, options that exist, defaults that are the defaults, links that lead
// somewhere.
package docs_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/selfstat"

	"github.com/questdb-sf/questdb_sf/plugins/outputs/questdb_sf"
)

const (
	root       = "../../"
	plugin     = root + "plugins/outputs/questdb_sf/"
	optionLine = `(?m)^  (# )?([a-z_]+) = ?(.*)$`
)

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// load reads a configuration as Telegraf does and returns its one output of ours.
func load(t testing.TB, text string) *questdb_sf.Output {
	t.Helper()
	c := config.NewConfig()
	c.InputFilters, c.OutputFilters = []string{"-"}, []string{"questdb_sf"} // the rest is Telegraf's own
	if err := c.LoadConfigData([]byte(text), "test.conf"); err != nil {
		t.Fatal(err)
	}
	if len(c.Outputs) != 1 {
		t.Fatalf("%d outputs of ours in\n%s", len(c.Outputs), text)
	}
	return c.Outputs[0].Output.(*questdb_sf.Output)
}

// options are the values of a struct under their names in TOML, those of embedded
// structs too.
func options(v reflect.Value) map[string]any {
	all := make(map[string]any)
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := f.Tag.Get("toml")
		switch {
		case f.Anonymous:
			maps.Copy(all, options(v.Field(i)))
		case name != "" && name != "-":
			all[name] = v.Field(i).Interface()
		}
	}
	return all
}

func TestTheSampleHasEveryOptionAndNoOther(t *testing.T) {
	var shown []string
	for _, m := range regexp.MustCompile(optionLine).FindAllStringSubmatch(read(t, plugin+"sample.conf"), -1) {
		shown = append(shown, m[2])
	}
	known := slices.Sorted(maps.Keys(options(reflect.ValueOf(questdb_sf.New().Options))))
	slices.Sort(shown)
	for _, name := range known {
		if !slices.Contains(shown, name) {
			t.Errorf("option %s is not in sample.conf", name)
		}
	}
	for _, name := range shown {
		if !slices.Contains(known, name) {
			t.Errorf("sample.conf has %s, which is no option", name)
		}
	}
	if slices.Compare(shown, slices.Compact(slices.Clone(shown))) != 0 {
		t.Errorf("an option is in sample.conf twice: %v", shown)
	}
}

// examples are the options that the sample sets, or shows with what is no
// default: the block of TLS options is Telegraf's own text.
var examples = regexp.MustCompile(`^(urls|tls_\w+)$`)

func TestTheSampleShowsTheDefaults(t *testing.T) {
	sample := read(t, plugin+"sample.conf")
	all := regexp.MustCompile(optionLine).ReplaceAllStringFunc(sample, func(line string) string {
		m := regexp.MustCompile(optionLine).FindStringSubmatch(line)
		if examples.MatchString(m[2]) || m[3] == "" {
			return ""
		}
		return "  " + m[2] + " = " + m[3]
	})
	shown := options(reflect.ValueOf(load(t, all).Options))
	for name, value := range options(reflect.ValueOf(questdb_sf.New().Options)) {
		if !examples.MatchString(name) && !same(shown[name], value) {
			t.Errorf("%s is %v in sample.conf and %v by default", name, shown[name], value)
		}
	}
}

// same takes an empty list for none, and secrets for equal when both are empty.
func same(a, b any) bool {
	switch b := b.(type) {
	case []string:
		return slices.Equal(a.([]string), b)
	case config.Secret:
		s := a.(config.Secret)
		return s.Empty() == b.Empty()
	}
	return reflect.DeepEqual(a, b)
}

func TestTheReadmeNamesEveryNumberOfTheStore(t *testing.T) {
	readme := read(t, plugin+"README.md")
	out := questdb_sf.New()
	out.URLs, out.SFDir, out.Statistics = []string{"http://127.0.0.1:1"}, t.TempDir(), selfstat.NewCollector(nil)
	if err := errors.Join(out.Init(), out.Connect()); err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	shown := 0
	for _, m := range selfstat.Metrics() {
		if m.Name() != "internal_questdb_sf" {
			continue
		}
		for _, f := range m.FieldList() {
			shown++
			if !regexp.MustCompile(`\b` + f.Key + `\b`).MatchString(readme) {
				t.Errorf("README.md does not name %s", f.Key)
			}
		}
	}
	if shown == 0 {
		t.Error("the plugin shows nothing")
	}
}

func TestThePluginTellsItsSample(t *testing.T) {
	if questdb_sf.New().SampleConfig() != read(t, plugin+"sample.conf") {
		t.Error("SampleConfig is not sample.conf")
	}
}

func TestTheReadmeShowsTheSample(t *testing.T) {
	_, rest, _ := strings.Cut(read(t, plugin+"README.md"), "```toml @sample.conf\n")
	shown, _, _ := strings.Cut(rest, "```\n")
	if shown != read(t, plugin+"sample.conf") {
		t.Error("README.md shows another sample.conf: run packaging/lint-readme -update")
	}
}

// blocks are the configurations in a document: its toml blocks with an output of
// ours that are not the whole sample.
func blocks(t testing.TB, path string) (found []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```toml\n(.*?)^```$").FindAllStringSubmatch(read(t, path), -1) {
		if strings.Contains(m[1], "[[outputs.questdb_sf]]") {
			found = append(found, m[1])
		}
	}
	return found
}

func TestEveryConfigurationInTheDocumentsIsAccepted(t *testing.T) {
	for _, path := range []string{root + "README.md", plugin + "README.md", root + "docs/delivery.md", root + "docs/install.md"} {
		for _, block := range blocks(t, path) {
			if err := load(t, block).Init(); err != nil {
				t.Errorf("%s: %v in\n%s", path, err, block)
			}
		}
	}
}

func TestTheExamplesInTheSampleAreAccepted(t *testing.T) {
	found := regexp.MustCompile(`(?m)^  ##   example: (.*)$`).FindAllStringSubmatch(read(t, plugin+"sample.conf"), -1)
	if len(found) == 0 {
		t.Error("no examples found")
	}
	for _, m := range found {
		if err := load(t, blocks(t, plugin+"README.md")[0]+m[1]).Init(); err != nil {
			t.Error(err)
		}
	}
}

func TestTheReadmeBeginsWithThreeLinesAndTheyAreEnough(t *testing.T) {
	first := blocks(t, plugin+"README.md")[0]
	if lines := strings.Count(strings.TrimSpace(first), "\n") + 1; lines != 3 {
		t.Errorf("%d lines:\n%s", lines, first)
	}
	if err := load(t, first).Init(); err != nil {
		t.Error(err)
	}
}

func TestTheSamplesOfOtherFilesAreAccepted(t *testing.T) {
	for _, path := range []string{root + "sample.conf", root + "packaging/execd/questdb_sf.conf"} {
		out := load(t, read(t, path))
		if err := out.Init(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if out.SFDir != questdb_sf.New().SFDir {
			t.Errorf("%s stores in %s, the drop-in of the package makes %s", path, out.SFDir, questdb_sf.New().SFDir)
		}
	}
	if dropIn := read(t, root+"packaging/systemd/questdb_sf.conf"); !strings.Contains(dropIn, "RequiresMountsFor="+questdb_sf.New().SFDir+"\n") {
		t.Error("the drop-in does not wait for the default sf_dir")
	}
}

// notOurs begin messages of Telegraf and of servers.
var notOurs = regexp.MustCompile(`^(HTTP |Error writing to )`)

func TestTheMessagesThatTheReadmeExplainsAreLogged(t *testing.T) {
	source := sources(t)
	_, trouble, _ := strings.Cut(read(t, plugin+"README.md"), "## Troubleshooting")
	found := 0
	for _, title := range regexp.MustCompile(`(?ms)^\*\*(.*?)\*\*`).FindAllString(trouble, -1) {
		for _, m := range regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(title, -1) {
			found++
			if !notOurs.MatchString(m[1]) && !strings.Contains(source, m[1]) {
				t.Errorf("README.md explains %q, which nothing says", m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no messages found")
	}
}

// sources are all that may log.
func sources(t testing.TB) string {
	t.Helper()
	var all strings.Builder
	for _, dir := range []string{"internal", "sfpool", "plugins"} {
		err := fs.WalkDir(os.DirFS(root), dir, func(path string, _ fs.DirEntry, err error) error {
			if strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				all.WriteString(read(t, root+path))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all.String()
}

// link matches what a document points to: [text](target) and [label]: target.
var link = regexp.MustCompile(`\]\(([^)\s]+)\)|(?m)^\[[^\]]+\]:\s+(\S+)`)

func TestLinksLeadToFiles(t *testing.T) {
	for _, path := range []string{root + "README.md", plugin + "README.md", root + "docs/delivery.md", root + "docs/install.md", root + "docs/fleet.md"} {
		for _, m := range link.FindAllStringSubmatch(read(t, path), -1) {
			target, _, _ := strings.Cut(m[1]+m[2], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), target)); err != nil {
				t.Errorf("%s points to %s, which is not there", path, target)
			}
		}
	}
}
