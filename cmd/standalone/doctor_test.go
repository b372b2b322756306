// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/doctor"
	"github.com/questdb-sf/questdb_sf/internal/fleet"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// storeOf creates the directory that a configuration names, as an agent would.
func storeOf(t *testing.T, conf string) string {
	t.Helper()
	out, err := load(conf)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(out.SFDir, 0o750); err != nil {
		t.Fatal(err)
	}
	return out.SFDir
}

func TestDoctorTellsPeopleAndMachinesTheSame(t *testing.T) {
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	conf := writeConfig(t, srv.URL(), "")
	dir := storeOf(t, conf)
	code, people, stderr := ask("doctor", "-config", conf)
	if code != exitOK || stderr != "" {
		t.Fatalf("exit %d, %q\n%s", code, stderr, people)
	}
	for _, says := range []string{dir, srv.URL(), "fsync", "QWP over WebSocket", "recommended: the configuration as it is", "0 failures"} {
		if !strings.Contains(people, says) {
			t.Errorf("%q is not in\n%s", says, people)
		}
	}
	code, text, _ := ask("doctor", "-config", conf, "-json")
	var r doctor.Report
	if err := json.Unmarshal([]byte(text), &r); err != nil || code != exitOK || len(r.Findings) < 12 || r.Advice == nil || len(r.Advice) > 0 {
		t.Errorf("exit %d, %v\n%s", code, err, text)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v stays", left)
	}
}

func TestDoctorFailsWhereACheckFailsAndShowsNoSecret(t *testing.T) {
	conf := writeConfig(t, "http://127.0.0.1:1", `token = "tok-Zq81xW"`)
	storeOf(t, conf)
	code, text, stderr := ask("doctor", "-config", conf)
	if code != exitFailed || !strings.Contains(stderr, "1 of ") || !strings.Contains(text, "connection refused") {
		t.Errorf("exit %d, %q\n%s", code, stderr, text)
	}
	for _, more := range []string{"", "http_proxy_url = \"http://joe:Zq81xW@127.0.0.1:2\"\nusername = \"joe\"\npassword = \"Zq81xW\"", `tls_key_pwd = "Zq81xW"`} {
		if more != "" {
			_, text, stderr = ask("doctor", "-config", writeConfig(t, "http://127.0.0.1:1", more), "-json")
		}
		if strings.Contains(text+stderr, "Zq81xW") || !strings.Contains(text, "reachable") {
			t.Errorf("a secret is shown, or nothing at all:\n%s%s", text, stderr)
		}
	}
}

func TestDoctorLooksAtADirectoryAloneAndAtAServerThatIsNamed(t *testing.T) {
	dir := t.TempDir()
	if code, text, stderr := ask("doctor", "-sf-dir", dir); code != exitOK || strings.Contains(text, "reachable") {
		t.Errorf("exit %d, %q\n%s", code, stderr, text)
	}
	if code, text, _ := ask("doctor", "-sf-dir", dir, "-url", "http://127.0.0.1:1, http://127.0.0.1:2"); code != exitFailed ||
		strings.Count(text, "reachable") != 2 {
		t.Errorf("exit %d\n%s", code, text)
	}
	for _, wrong := range [][]string{
		{"doctor", "-sf-dir", dir, "-url", "ftp://x"},
		{"doctor", "-sf-dir", dir, "-rate", "fast"},
		{"doctor", "-sf-dir", dir, "-outage", "0s"},
		{"doctor", "-config", filepath.Join(dir, "none.conf")},
		{"doctor", "-config", writeConfig(t, "http://127.0.0.1:1", ""), "-url", "http://127.0.0.1:2"},
	} {
		if code, _, stderr := ask(wrong...); code != exitUsage || stderr == "" {
			t.Errorf("%v: exit %d, %q", wrong, code, stderr)
		}
	}
}

// What is recommended is only what differs, and can be pasted: Telegraf reads it.
func TestWhatDoctorRecommendsIsAConfigurationOfWhatDiffers(t *testing.T) {
	conf := writeConfig(t, "http://127.0.0.1:1", "sf_durability = \"memory\"\nsf_max_total_bytes = \"64MiB\"\ntoken = \"tok-Zq81xW\"")
	storeOf(t, conf)
	_, text, _ := ask("doctor", "-config", conf, "-rate", "1KiB", "-outage", "100h")
	_, block, ok := strings.Cut(text, "instead of what is there now:\n")
	block = block[:max(0, strings.LastIndex(block, "\n\n"))] // the sums are below
	for _, says := range []string{"\n  sf_durability = ", `Now: "memory"`, "\n  sf_max_total_bytes = \"439MiB\"", `Now: "64MiB"`} {
		if !ok || !strings.Contains(block, says) {
			t.Errorf("%q is not in\n%s", says, text)
		}
	}
	if strings.Count(block, " = ") != 2 || strings.Contains(text, "Zq81xW") {
		t.Errorf("too much is recommended:\n%s", text)
	}
	var all bytes.Buffer
	printAdvice(&all, []doctor.Advice{
		{Option: "sf_durability", Value: `"flush"`, Why: "a"}, {Option: "sf_max_total_bytes", Value: `"4GiB"`, Present: `"1GiB"`, Why: "b"},
		{Option: "idle_connection_timeout", Value: `"15s"`, Why: "c"}, {Option: "compression", Value: `"none"`, Why: "d"},
		{Option: "exactly_once", Value: "true", Present: "false", Why: "e"},
	})
	_, every, _ := strings.Cut(all.String(), "now:\n")
	for _, toml := range []string{block, every} {
		out, err := load(pasted(t, toml+"\n  urls = [\"http://127.0.0.1:1\"]\n"))
		if err == nil {
			err = out.Init()
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, toml)
		}
		if out.SFMaxTotalBytes < 400<<20 {
			t.Errorf("the limit is %d of\n%s", out.SFMaxTotalBytes, toml)
		}
	}
}

// pasted is a file with a text.
func pasted(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pasted.conf")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDoctorKnowsTheTablesOfRowsOfDeadLettersAndOfTheConfiguration(t *testing.T) {
	s := newShop(t, nowhere, `status_rows = "1h"`)
	s.take("cpu v=1i 1700000000000000000\nCPU v=2i 1700000000000000001\nmem v=1i 1700000000000000000\nold v=1i 5\n")
	s.strangers() // their rows go to the same place, as far as is known
	s.takes("cpu,disk,events,mem,old,questdb_sf_status")
	s.sendTo("http://127.0.0.1:2", `table_template = "one"`+"\n"+`table_prefix = "my_"`+"\ndrain_orphans = false\n"+`table_create = "never"`)
	s.takes("cpu,mem,my_one,old")
	s.sendTo(nowhere, `sender_id = "another"`)
	s.takes("cpu,disk,events,mem") // of the orphans, but no dead letters of others
}

// takes compares the tables that doctor would look at with those that are wanted, and
// with what the store is afterwards.
func (s *shop) takes(want string) {
	s.Helper()
	before := hashOf(s, s.dir)
	k := &call{config: s.conf}
	p, err := patient(k, doctorOptions{outage: time.Hour})
	if err != nil {
		s.Fatal(err)
	}
	p.Tables = slices.DeleteFunc(p.Tables, func(name string) bool { return name == fleet.EventsTable })
	slices.Sort(p.Tables)
	if got := strings.Join(p.Tables, ","); got != want {
		s.Errorf("tables %s, want %s", got, want)
	}
	if hashOf(s, s.dir) != before {
		s.Error("the store is not as it was")
	}
}
