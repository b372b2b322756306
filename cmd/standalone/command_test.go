// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// ask runs a command in this process.
func ask(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestWhatIsTypedWrongIsMetWithTheNearestThatIsRight(t *testing.T) {
	for _, c := range []struct{ typed, says string }{
		{"rewnd", "did you mean rewind?"},
		{"verson", "did you mean version?"},
		{"frobnicate", "questdb_sf help lists all"},
		{"rewind -sinze 3h", "did you mean -since?"},
		{"rewind -sender-id a -sf-dir b -since 3h", "give -config FILE too"},
		{"rewind -since 3h", "-config FILE or -sf-dir DIR"},
		{"rewind -sf-dir /nowhere -since yesterday", `"yesterday"`},
		{"help rewnd", "did you mean rewind?"},
		{"check-config", "name one FILE"},
		{"check-config /nowhere/x.conf", "/nowhere/x.conf"},
	} {
		code, _, stderr := ask(strings.Fields(c.typed)...)
		if code != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: exit %d, %q; want %q", c.typed, code, stderr, c.says)
		}
	}
}

// mistype has the second letter twice.
func mistype(word string) string { return word[:2] + word[1:] }

func TestEveryCommandAndEveryFlagOfItIsSuggestedToWhoMistypesIt(t *testing.T) {
	tried := 0
	try := func(says string, typed ...string) {
		tried++
		if code, text, stderr := ask(typed...); code != exitUsage || text != "" || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, says) {
			t.Errorf("%v: exit %d, %q, %q; want %q", typed, code, text, stderr, says)
		}
	}
	for _, c := range commands() {
		try("did you mean "+c.name+"?", mistype(c.name))
		try("did you mean "+c.name+"?", "help", mistype(c.name))
		verb := append(slices.Clone(c.verbs), "")[:1]
		if verb[0] != "" {
			try("did you mean "+verb[0]+"?", c.name, mistype(verb[0]))
		} else {
			verb = nil
		}
		f, _ := c.flags(new(call))
		f.VisitAll(func(g *flag.Flag) {
			if len(g.Name) > 1 {
				try("did you mean -"+g.Name+"?", append(append([]string{c.name}, verb...), "-"+mistype(g.Name), "x")...)
			}
		})
		try("not defined: -frobnicate", append(append([]string{c.name}, verb...), "-frobnicate")...)
	}
	t.Logf("%d ways to mistype", tried)
}

func TestEveryCommandIsExplainedWithExamples(t *testing.T) {
	_, all, _ := ask("help")
	for _, c := range commands() {
		code, one, stderr := ask("help", c.name)
		_, same, _ := ask(c.name, "-h")
		if code != exitOK || stderr != "" || one != same || !strings.Contains(all, c.name) || !strings.Contains(all, c.summary) {
			t.Errorf("%s: exit %d, %q", c.name, code, stderr)
		}
		if len(c.examples) == 0 || !strings.Contains(one, c.examples[0]) || !strings.Contains(one, "usage: questdb_sf "+c.name) {
			t.Errorf("%s is explained as\n%s", c.name, one)
		}
	}
}

func TestVersionIsToldToPeopleAndMachines(t *testing.T) {
	code, text, _ := ask("version")
	if code != exitOK || !strings.HasPrefix(text, "questdb_sf "+version) {
		t.Errorf("exit %d, %q", code, text)
	}
	var said map[string]string
	if _, text, _ = ask("version", "-json"); json.Unmarshal([]byte(text), &said) != nil || said["version"] != version {
		t.Errorf("%q", text)
	}
}

func TestAConfigurationIsCheckedByNameToo(t *testing.T) {
	good := writeConfig(t, "http://127.0.0.1:1", "")
	if code, text, stderr := ask("check-config", good); code != exitOK || text != good+" is valid\n" {
		t.Errorf("exit %d, %q, %q", code, text, stderr)
	}
	bad := writeConfig(t, "http://127.0.0.1:1", `replay_order = "newest"`)
	if code, _, stderr := ask("check-config", bad); code != exitUsage || !strings.Contains(stderr, "replay_order") {
		t.Errorf("exit %d, %q", code, stderr)
	}
}

// A server loses what it had, the operator types one line, and the next run sends it.
func TestRewindSendsAgainWhatTheServerHasLost(t *testing.T) {
	first, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	conf := writeConfig(t, first.URL(), `sf_retain_acked = "1h"`)
	var lines strings.Builder
	for i := range 500 {
		fmt.Fprintf(&lines, "t id=%di 17000000000000%05d\n", i, i)
	}
	var log bytes.Buffer
	if code := run([]string{"-config", conf}, strings.NewReader(lines.String()), io.Discard, &log); code != exitOK || len(first.Rows("t")) != 500 {
		t.Fatalf("exit %d, %d rows\n%s", code, len(first.Rows("t")), &log)
	}
	if code, text, stderr := ask("rewind", "-config", conf, "-since", time.Now().Add(time.Hour).Format(time.RFC3339)); code != exitOK || !strings.Contains(text, "nothing") {
		t.Errorf("from now on: exit %d, %q, %q", code, text, stderr)
	}
	code, text, stderr := ask("rewind", "-config", conf, "-since", "5m")
	if code != exitOK || !strings.Contains(text, "500 rows") || !strings.Contains(text, "default-rewind-1") {
		t.Fatalf("exit %d, %q, %q", code, text, stderr)
	}
	sent := int64(len(first.Rows("t")))
	stdin, feeder := io.Pipe()
	done := make(chan int)
	go func() {
		done <- run([]string{"-config", conf}, stdin, io.Discard, &log)
	}()
	if _, err := feeder.Write([]byte("t id=500i 1700000000000000500\n")); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); int64(len(first.Rows("t"))) < sent+501 && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	_ = feeder.Close()
	if code := <-done; code != exitOK || int64(len(first.Rows("t"))) != sent+501 {
		t.Errorf("exit %d, %d rows\n%s", code, len(first.Rows("t")), &log)
	}
}
