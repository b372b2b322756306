// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write writes a file of the test, and returns its path.
func write(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "telegraf.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// agents is what an agent's configuration has around the block.
const agents = `
[global_tags]
  dc = "x"
[agent]
  interval = "10s"
  flush_interval = "7s"
[[secretstores.os]]
  id = "vault"
  collection = "telegraf"
[[inputs.cpu]]
  percpu = true
[[inputs.no_such_input]]
  text = '''
[[processors.no_such_processor]]
'''
[[processors.rename]]
  order = 1
  namepass = ["a*"]
  [[processors.rename.replace]]
    tag = "a"
    dest = "b"
[[ processors.starlark ]]
  source = """
def apply(metric):
  return metric  # [[outputs.questdb_sf]]
"""
[[aggregators."minmax"]]
  period = "30s"
  drop_original = false
[[outputs.influxdb_v2]]
  token = "@{vault:other}"
  [outputs.influxdb_v2.tagpass]
    dc = ["x"]
`

// onStore puts what names the store behind a command and its verb.
func onStore(typed string, store ...string) []string {
	args := strings.Fields(typed)
	at := 1
	if args[0] == "dead-letter" {
		at = 2
	}
	return slices.Insert(args, at, store...)
}

// inAgent returns the configuration of an agent with blocks.
func inAgent(t testing.TB, blocks ...string) string {
	t.Helper()
	return write(t, agents+"[[outputs.questdb_sf]]\n"+strings.Join(blocks, "\n[[outputs.questdb_sf]]\n"))
}

func TestCommandsTakeTheBlockOutOfTheWholeConfigurationOfAnAgent(t *testing.T) {
	s := newShop(t, nowhere, quick)
	s.take(some(0, 500) + "t id=1i -5\n")
	t.Setenv("STORE_OF_TEST", s.dir)
	conf := inAgent(t, `
  urls = ["http://127.0.0.1:1"]
  sf_dir = "${STORE_OF_TEST}"
  token = "@{vault:token}"
  namepass = ["cpu"]
  name_override = "a"
  name_prefix = "b"
  name_suffix = "c"
  alias = "q"
  flush_jitter = "1s"
  [outputs.questdb_sf.tagdrop]
    dc = ["y"]
`)
	for typed, c := range map[string]struct {
		code int
		says string
	}{
		"slots": {exitOK, "500 rows"}, "verify": {exitOK, "is clean"}, "dump": {exitOK, "id=499i"}, "top -n 1": {exitOK, "500 rows"},
		"dead-letter list": {exitOK, "1969"}, "dead-letter show": {exitOK, "1969"}, "doctor": {exitFailed, "only the agent has those"},
		"rewind -since 1h": {exitOK, "nothing that was acknowledged"},
	} {
		args := onStore(typed, "-config", conf)
		code, text, stderr := ask(args...)
		if code != c.code || !strings.Contains(text, c.says) || code == exitOK && stderr != "" {
			t.Errorf("%v: exit %d, %q, %q", args, code, text, stderr)
		}
	}
}

// A command that sends says at once that it has no secret; it would try for ever.
func TestWhatSendsRefusesASecretThatOnlyTheAgentHas(t *testing.T) {
	s := newShop(t, nowhere, quick)
	s.take(some(0, 5))
	for _, option := range []string{"token = \"@{vault:x}\"", "username = \"joe\"\npassword = \"pre-@{vault:x}\""} {
		conf := inAgent(t, fmt.Sprintf("urls = [%q]\nsf_dir = %q\n%s\n", nowhere, s.dir, option))
		name := strings.Fields(option[strings.LastIndex(option, "\n")+1:])[0]
		before := hashOf(t, s.dir)
		for _, typed := range [][]string{{"drain"}, {"dead-letter", "replay"}} {
			code, text, stderr := ask(append(typed, "-config", conf)...)
			if code != exitUsage || text != "" || !strings.Contains(stderr, "read "+name) || !strings.Contains(stderr, "environment variable") {
				t.Errorf("%v: exit %d, %q, %q", typed, code, text, stderr)
			}
		}
		if hashOf(t, s.dir) != before {
			t.Error("the store has changed")
		}
	}
	code, _, stderr := ask("-config", write(t, fmt.Sprintf("[[outputs.questdb_sf]]\nurls = [%q]\nsf_dir = %q\ntoken = \"@{vault:x}\"\n", nowhere, s.dir)))
	if code != exitUsage || !strings.Contains(stderr, "token stands in a secret store") {
		t.Errorf("the binary: exit %d, %q", code, stderr)
	}
	if code := run([]string{"-config", s.conf, "-check"}, nil, &strings.Builder{}, &strings.Builder{}); code != exitOK {
		t.Errorf("the next configuration: exit %d", code) // it is no heir of the secrets of others
	}
}

// twoStores is a configuration with two stores, the first of two blocks, and their directories.
func twoStores(t *testing.T) (conf, one, two string) {
	t.Helper()
	a, b := newShop(t, nowhere, quick), newShop(t, nowhere, quick)
	a.take(some(0, 3))
	b.take(some(0, 5))
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(a.dir, link); err != nil {
		t.Fatal(err)
	}
	block := func(dir, more string) string {
		return fmt.Sprintf("  urls = [%q]\n  sf_dir = %q\n%s", nowhere, dir, more)
	}
	return inAgent(t, block(a.dir, "namepass = [\"a\"]"), block(link, "table_prefix = \"x\""), block(b.dir, "")), a.dir, b.dir
}

func TestOneOfSeveralStoresIsChosenByItsDirectory(t *testing.T) {
	conf, one, two := twoStores(t)
	t.Chdir(filepath.Dir(two))
	for dir, rows := range map[string]int{one: 3, two: 5, filepath.Base(two): 5, two + "/../" + filepath.Base(two): 5} {
		code, text, stderr := ask("slots", "-config", conf, "-sf-dir", dir)
		if code != exitOK || !strings.Contains(text, fmt.Sprintf("total: %d rows", rows)) {
			t.Errorf("%s: exit %d, %q, %q", dir, code, text, stderr)
		}
	}
	code, _, stderr := ask("slots", "-config", conf)
	if code != exitUsage || !strings.Contains(stderr, "choose one with -sf-dir DIR") || !strings.Contains(stderr, one) || !strings.Contains(stderr, two) {
		t.Errorf("exit %d, %q", code, stderr)
	}
	code, _, stderr = ask("slots", "-config", conf, "-sf-dir", "/nowhere")
	if code != exitUsage || !strings.Contains(stderr, "with sf_dir /nowhere; its stores are "+one) {
		t.Errorf("exit %d, %q", code, stderr)
	}
	if code, text, stderr := ask("slots", "-config", inAgent(t, fmt.Sprintf("urls = [%q]\nsf_dir = %q\n", nowhere, "sf")), "-sf-dir", two); code != exitOK {
		t.Errorf("a relative sf_dir: exit %d, %q, %q", code, text, stderr)
	}
	code, _, stderr = ask("slots", "-config", inAgent(t, fmt.Sprintf("urls = [%q]\nsf_dir = %q\n", nowhere, "sf")), "-sf-dir", one)
	if code != exitUsage || !strings.Contains(stderr, `"sf", from here `+two) {
		t.Errorf("another one: exit %d, %q", code, stderr)
	}
}

func TestOneOfSeveralStoresInADirectoryIsChosenByItsSenderID(t *testing.T) {
	s := newShop(t, nowhere, quick)
	s.take(some(0, 3))
	block := fmt.Sprintf("urls = [%q]\nsf_dir = %q\n", nowhere, s.dir)
	conf := inAgent(t, block, block+"sender_id = \"other\"")
	for _, typed := range [][]string{{"-config", conf}, {"-config", conf, "-sf-dir", s.dir}} {
		if code, _, stderr := ask(append([]string{"slots"}, typed...)...); code != exitUsage || !strings.Contains(stderr, "-sender-id ID") ||
			!strings.Contains(stderr, "(sender_id default), ") || !strings.Contains(stderr, "(sender_id other): choose") {
			t.Errorf("%v: exit %d, %q", typed, code, stderr)
		}
	}
	for id, state := range map[string]string{"default": "default-0  free", "other": "default-0  orphan"} {
		if code, text, stderr := ask("slots", "-config", conf, "-sender-id", id); code != exitOK || !strings.Contains(text, state) {
			t.Errorf("%s: exit %d, %q, %q", id, code, text, stderr)
		}
	}
	code, _, stderr := ask("slots", "-config", conf, "-sender-id", "x")
	if code != exitUsage || !strings.Contains(stderr, "no [[outputs.questdb_sf]] block with sender_id x; its stores are "+s.dir) {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

func TestAConfigurationIsOneFileWithABlock(t *testing.T) {
	for file, says := range map[string]string{
		t.TempDir(): "name the one file", write(t, agents): "it has no [[outputs.questdb_sf]] block", "/nowhere/x": "no such file",
		write(t, "[[outputs.questdb_sf]]\nsf_dir = \"\"\nurls = [\"http://a:1\"]\n"): "names no directory",
		write(t, "[[outputs.questdb_sf]\n"):                                          "error parsing",
	} {
		for _, c := range []string{"slots", "doctor", "drain", "top"} {
			if code, _, stderr := ask(c, "-config", file); code != exitUsage || !strings.Contains(stderr, says) || !strings.Contains(stderr, file) {
				t.Errorf("%s -config %s: exit %d, %q", c, file, code, stderr)
			}
		}
	}
}

func TestCheckConfigSaysWhatOnlyAnAgentCanDo(t *testing.T) {
	block := fmt.Sprintf("urls = [%q]\nsf_dir = %q\n", nowhere, t.TempDir())
	for name, c := range map[string]struct {
		conf string
		says []string // remarks
	}{
		"plain":     {write(t, "[[outputs.questdb_sf]]\n"+block), nil},
		"filters":   {inAgent(t, block+"namepass = [\"a\"]"), []string{"block 1 has filters"}},
		"names":     {inAgent(t, block, block+"name_prefix = \"a\""), []string{"block 2 has filters", "there are 2 blocks"}},
		"processor": {write(t, "[[processors.rename]]\n[[outputs.questdb_sf]]\n"+block), nil},
		"secret":    {write(t, "[[outputs.questdb_sf]]\ntoken = \"@{a:b}\"\n"+block), []string{"token stands in a secret store"}},
	} {
		code, text, stderr := ask("check-config", "-json", c.conf)
		var r struct {
			Valid  bool
			Remark []string `json:"agent_only"`
		}
		if err := json.Unmarshal([]byte(text), &r); err != nil || code != exitOK || !r.Valid || len(r.Remark) != len(c.says) {
			t.Errorf("%s: exit %d, %v, %q, %q", name, code, err, text, stderr)
			continue
		}
		code, text, _ = ask("check-config", c.conf)
		for i, says := range c.says {
			if code != exitOK || !strings.Contains(r.Remark[i], says) || !strings.Contains(text, "[[outputs.execd]]: "+r.Remark[i]) {
				t.Errorf("%s: exit %d, %q does not say %q", name, code, text, says)
			}
		}
	}
}

func TestCheckConfigFindsTheBlockThatIsWrong(t *testing.T) {
	block := fmt.Sprintf("urls = [%q]\nsf_dir = %q\n", nowhere, t.TempDir())
	for conf, says := range map[string]string{
		inAgent(t, block, block+"sf_full = \"explode\""):                     "block 2 of 2: sf_full",
		inAgent(t, block, block+"table_prefix = \"x\"", block+"token=\"t\""): "blocks 1 and 3 have sf_dir",
		inAgent(t, block+"sf_dirr = 1"):                                      "sf_dirr",
	} {
		if code, _, stderr := ask("check-config", conf); code != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("exit %d, %q does not say %q", code, stderr, says)
		}
	}
}
