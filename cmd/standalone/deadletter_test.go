// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/deadletter"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// letters puts refused rows of ids from next on, and one final row into the files of dead letters.
func (d *depot) letters(refused int) {
	d.t.Helper()
	at := time.Now().Add(-2 * time.Hour)
	f := deadletter.Open(deadletter.Options{FS: vfs.OS, Dir: d.dir, SenderID: "default", Now: func() time.Time { return at }})
	var list []deadletter.Letter
	for range refused {
		var r qwp.Row
		r.Reset("t")
		r.Long("id", int64(d.next))
		r.At(1700000000000000 + int64(d.next))
		list = append(list, deadletter.Letter{Row: &r, Reason: "cast error", Class: deadletter.Refused, Host: "db:9000", Column: "id", Type: qwp.TypeLong})
		d.next++
	}
	var old qwp.Row
	old.Reset("old")
	old.Long("id", 1)
	old.At(-1000)
	list = append(list, deadletter.Letter{Row: &old, Reason: "1969 is before 1970", Class: deadletter.Final})
	if err := f.Add(list); err != nil {
		d.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		d.t.Fatal(err)
	}
}

func TestDeadLettersAreListedByFileAndReason(t *testing.T) {
	d := newDepot(t)
	if code, text, _ := ask("dead-letter", "list", "-sf-dir", d.dir); code != exitOK || !strings.Contains(text, "no dead letters") {
		t.Errorf("exit %d, %q", code, text)
	}
	d.letters(3)
	p := d.open() // an agent may be running
	defer p.Close(t.Context())
	before := content(t, d.dir)
	r := tell[tally](t, exitOK, "dead-letter", "list", "-sf-dir", d.dir)
	if r.Rows != 4 || len(r.Files) != 2 || len(r.Reasons) != 2 || r.Reasons[0].Rows != 3 || r.Reasons[0].Column != "id" ||
		r.Reasons[1].Reason != "1969 is before 1970" || time.Since(r.Files[0].Oldest) < time.Hour {
		t.Errorf("%+v", r)
	}
	code, text, _ := ask("dead-letter", "list", "-config", d.conf)
	for _, says := range []string{"default.refused.lp", "default.dead-letter.lp", "cast error", "LONG", "2h0m"} {
		if code != exitOK || !strings.Contains(text, says) {
			t.Errorf("exit %d, no %q in\n%s", code, says, text)
		}
	}
	if !maps.Equal(before, content(t, d.dir)) {
		t.Error("a byte has changed")
	}
}

func TestADeadLetterThatIsBeingWrittenIsNoTrouble(t *testing.T) {
	d := newDepot(t)
	d.letters(3)
	file := d.path("default.refused.lp")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range b {
		if err := os.WriteFile(file, b[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := ask("dead-letter", "show", "-sf-dir", d.dir); code != exitOK {
			t.Fatalf("cut at %d: exit %d, %q", cut, code, stderr)
		}
		if after, err := os.ReadFile(file); err != nil || len(after) != cut {
			t.Fatal("the file has changed")
		}
	}
}

func TestDeadLettersAreShownAsLineProtocolWithTheirReason(t *testing.T) {
	d := newDepot(t)
	d.letters(3)
	for typed, want := range map[string]string{
		"":                              "t t t old",
		"-table t":                      "t t t",
		"-class final":                  "old",
		"-reason cast -limit 2":         "t t",
		"-reason nothing":               "",
		"-class refused -table old":     "",
		"-class refused -limit 1":       "t",
		"-class final -reason 1969":     "old",
		"-table old -class final -json": "old",
	} {
		code, text, stderr := ask(append([]string{"dead-letter", "show", "-sf-dir", d.dir}, strings.Fields(typed)...)...)
		got := map[string]int{}
		for line := range strings.Lines(text) {
			if table, _, ok := strings.Cut(line, " id="); ok && !strings.HasPrefix(line, "#") {
				got[strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(table), `"line": "`))]++
			}
		}
		wanted := map[string]int{}
		for _, table := range strings.Fields(want) {
			wanted[table]++
		}
		if code != exitOK || stderr != "" || !maps.Equal(got, wanted) || strings.Contains(text, "qsf1") {
			t.Errorf("%q: exit %d, %v, %q\n%s", typed, code, got, stderr, text)
		}
	}
	for typed, says := range map[string]string{
		"dead-letter": "list, show, replay", "dead-letter shw": "did you mean show?", "dead-letter show -class finel": "did you mean final?",
		"dead-letter list x": "only flags", "dead-letter show -limit -1": "0 or more",
	} {
		args := strings.Fields(typed)
		if len(args) > 1 {
			args = append(args[:2:2], append([]string{"-sf-dir", d.dir}, args[2:]...)...)
		}
		if code, _, stderr := ask(args...); code != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%s: exit %d, %q", typed, code, stderr)
		}
	}
}

func TestAFinalRowIsReplayedThroughStdinAfterAnEdit(t *testing.T) {
	d := newDepot(t)
	d.letters(0)
	_, text, _ := ask("dead-letter", "show", "-class", "final", "-sf-dir", d.dir)
	edited := strings.ReplaceAll(text, " -1000000\n", " 1700000000000000000\n")
	var log strings.Builder
	conf := writeConfig(t, d.srv.URL(), "")
	if code := run([]string{"-config", conf}, strings.NewReader(edited), io.Discard, &log); code != exitOK || len(d.srv.Rows("old")) != 1 {
		t.Errorf("exit %d, %d rows of\n%s\n%s", code, len(d.srv.Rows("old")), edited, log.String())
	}
}

func TestRefusedRowsAreReplayed(t *testing.T) {
	d := newDepot(t)
	d.letters(5)
	r := tell[replayed](t, exitOK, "dead-letter", "replay", "-config", d.conf)
	if r.Rows != 5 || r.Refused != 0 || r.Waiting != 0 || r.Final != 1 {
		t.Errorf("%+v, %d arrived", r, d.srv.Total())
	}
	code, text, stderr := ask("dead-letter", "replay", "-config", d.conf)
	if code != exitOK || !strings.Contains(text, "0 refused rows were sent again") || !strings.Contains(text, "1 rows of the class final") {
		t.Errorf("exit %d, %q, %q", code, text, stderr)
	}
	d.arrived()
	if left := tell[tally](t, exitOK, "dead-letter", "list", "-config", d.conf); left.Rows != 1 {
		t.Errorf("%+v", left)
	}
}

func TestAReplayWithoutAServerLeavesTheRowsInTheStore(t *testing.T) {
	d := newDepot(t)
	d.letters(5)
	d.srv.Stop()
	code, text, stderr := ask("dead-letter", "replay", "-timeout", "200ms", "-config", d.conf)
	if code != exitFailed || !strings.Contains(text, "5 refused rows") || !strings.Contains(stderr, "5 rows were not sent in time") {
		t.Errorf("exit %d, %q, %q", code, text, stderr)
	}
	if err := d.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	if r := tell[drained](t, exitOK, "drain", "-config", d.conf); r.Sent != 5 {
		t.Errorf("%+v", r)
	}
	d.arrived()
}

func TestAReplayBesideAnAgentSaysWhatTheAgentDoes(t *testing.T) {
	d := newDepot(t)
	d.letters(1)
	p := d.open()
	defer p.Close(t.Context())
	code, _, stderr := ask("dead-letter", "replay", "-config", d.conf)
	if code != exitFailed || !strings.Contains(stderr, "by itself") || !strings.Contains(stderr, fmt.Sprint(os.Getpid())) {
		t.Errorf("exit %d, %q", code, stderr)
	}
}
