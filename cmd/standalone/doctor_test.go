// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/internal/doctor"
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
	for _, says := range []string{dir, srv.URL(), "fsync", "QWP over WebSocket", "sf_durability = ", "0 failures"} {
		if !strings.Contains(people, says) {
			t.Errorf("%q is not in\n%s", says, people)
		}
	}
	code, text, _ := ask("doctor", "-config", conf, "-json")
	var r doctor.Report
	if err := json.Unmarshal([]byte(text), &r); err != nil || code != exitOK || len(r.Findings) < 12 || len(r.Advice) < 2 {
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
	if strings.Contains(text+stderr, "Zq81xW") {
		t.Error("the token is shown")
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
