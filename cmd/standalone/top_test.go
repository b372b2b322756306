// SPDX-License-Identifier: MIT

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/top"
)

// leaveBehind has the binary store rows for a server that is not there.
func leaveBehind(t *testing.T, lines string) (conf string) {
	t.Helper()
	conf = writeConfig(t, "http://127.0.0.1:1", "")
	text, err := os.ReadFile(conf)
	if err == nil {
		err = os.WriteFile(conf, bytes.ReplaceAll(text, []byte(`timeout = "20s"`), []byte(`timeout = "0s"`)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if code := run([]string{"-config", conf}, strings.NewReader(lines), io.Discard, io.Discard); code != exitOK {
		t.Fatalf("exit %d", code)
	}
	return conf
}

func TestTopWritesLinesWhereThereIsNoTerminal(t *testing.T) {
	conf := leaveBehind(t, "t id=1i 1700000000000000000\nt id=2i 1700000001000000000\n")
	code, text, stderr := ask("top", "-config", conf, "-n", "3", "-every", "50ms")
	if code != exitOK || stderr != "" || strings.Count(text, "\n") != 3 || strings.Contains(text, "\x1b") {
		t.Fatalf("exit %d, %q\n%s", code, stderr, text)
	}
	// The process that wrote the rows is this one, which is alive.
	if !strings.Contains(text, "pending 2 rows") || !strings.Contains(text, "in 0/s, out 0/s") {
		t.Error(text)
	}
}

func TestTopWritesJSONForMachines(t *testing.T) {
	conf := leaveBehind(t, "t id=1i 1700000000000000000\n")
	_, text, _ := ask("top", "-config", conf, "-n", "2", "-every", "50ms", "-json")
	d := json.NewDecoder(strings.NewReader(text))
	for range 2 {
		var one struct {
			top.Reading
			Figures top.Figures `json:"figures"`
		}
		if err := d.Decode(&one); err != nil || one.Figures.Rows != 1 || len(one.Slots) == 0 {
			t.Errorf("%v, %+v", err, one)
		}
	}
	if d.More() {
		t.Error("there is a third")
	}
}

func TestTopSaysWhatIsWrongWithWhatWasTyped(t *testing.T) {
	for typed, want := range map[string]int{
		"top": exitUsage, "top -sf-dir /x -n -1": exitUsage, "top -sf-dir /x -every 1ms": exitUsage, "top -status ftp://x": exitUsage,
		"top -config /nowhere/x.conf": exitUsage, "top -sf-dir /nowhere/x": exitFailed, "top -status http://127.0.0.1:1 -n 1": exitFailed,
	} {
		if code, _, stderr := ask(strings.Fields(typed)...); code != want || stderr == "" {
			t.Errorf("%s: exit %d, %q", typed, code, stderr)
		}
	}
}

// flaky is a source that works at every other look.
type flaky struct{ looks int }

func (f *flaky) Read(context.Context) (top.Reading, error) {
	if f.looks++; f.looks%2 == 0 {
		return top.Reading{}, errors.New("the agent is being restarted")
	}
	return top.Reading{At: time.Now(), Remote: true, Slots: []top.Slot{{Name: "s-0", Accepted: 7, Pending: 7}}}, nil
}

func TestTopGoesOnWhereALookFails(t *testing.T) {
	var out bytes.Buffer
	w := watch{source: &flaky{}, n: 3, every: time.Millisecond}
	if err := w.run(t.Context(), &call{stdout: &out}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 || !strings.Contains(lines[1], "being restarted") || strings.Contains(lines[2], "being restarted") ||
		strings.Count(out.String(), "pending 7 rows") != 3 {
		t.Errorf("%s", &out)
	}
}
