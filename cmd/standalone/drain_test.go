// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

func TestDrainSendsSlotsAndOrphans(t *testing.T) {
	d := newDepot(t)
	d.store(200)
	d.foreign("other-0")
	code, text, stderr := ask("drain", "-config", d.conf)
	if code != exitOK || !strings.Contains(text, "330 rows sent") || stderr != "" {
		t.Errorf("exit %d, %q, %q", code, text, stderr)
	}
	d.arrived()
	if left := append(d.segments("default-0"), d.segments("other-0")...); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

func TestDrainOfAWoundedSlotSendsWhatIsWhole(t *testing.T) {
	d := newDepot(t)
	d.store(150)
	d.harm(d.path("default-0", "sf-initial.sfa"))
	r := tell[drained](t, exitOK, "drain", "-config", d.conf)
	if r.Sent == 0 || r.Sent >= 150 || int64(d.srv.Total()) != r.Sent {
		t.Errorf("%+v, %d arrived", r, d.srv.Total())
	}
}

func TestDrainThatEndsBeforeTimeSaysWhatIsLeftAndWhy(t *testing.T) {
	d := newDepot(t)
	d.store(10)
	d.srv.Stop()
	r := tell[drained](t, exitFailed, "drain", "-config", d.conf, "-timeout", "400ms")
	if r.Done || r.Ended == "" || len(r.Left) != 1 || r.Left[0].Slot != "default-0" || r.Left[0].Rows != 10 || !strings.Contains(r.Left[0].Why, "refused") {
		t.Errorf("%+v", r)
	}
	code, text, stderr := ask("drain", "-config", d.conf, "-timeout", "400ms")
	if code != exitFailed || !strings.Contains(text, "default-0  10") || !strings.Contains(stderr, "stay on the disk") {
		t.Errorf("exit %d, %q, %q", code, text, stderr)
	}
	var out, errs strings.Builder
	if err := drain(canceled(), &call{stdout: &out, stderr: &errs, config: d.conf}, 0, true); err == nil {
		t.Error("a drain that is interrupted says that it is through")
	}
	if err := d.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	if r := tell[drained](t, exitOK, "drain", "-config", d.conf); r.Sent != 10 {
		t.Errorf("%+v", r)
	}
	d.arrived()
}

// The orphan has a row that its table does not take.
func TestDrainBesideAnAgentLeavesRefusedRowsToIt(t *testing.T) {
	d := newDepot(t)
	d.conf = d.config("type_conflict = \"dead_letter\"")
	take := func(conf, lines string) {
		var log strings.Builder
		if code := run([]string{"-config", conf}, strings.NewReader(lines), io.Discard, &log); code != exitOK {
			t.Fatalf("exit %d\n%s", code, log.String())
		}
	}
	take(d.conf, "p v=1i 1700000000000000000\n")
	tell[drained](t, exitOK, "drain", "-config", d.conf)
	d.srv.Stop()
	take(d.config("sender_id = \"other\"\ntype_conflict = \"dead_letter\""), "p v=\"no number\" 1700000001000000000\nt id=0i 1700000000000000000\n")
	if err := d.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	agent := d.open()
	code, text, stderr := ask("drain", "-config", d.conf)
	if code != exitOK || !strings.Contains(text, "1 became dead letters") || !strings.Contains(text, "the agent takes them over") || !strings.Contains(stderr, "an agent has the store open") {
		t.Errorf("exit %d, %q, %q", code, text, stderr)
	}
	d.next = 1
	d.arrived()
	if l := tell[tally](t, exitOK, "dead-letter", "list", "-config", d.conf); l.Rows != 1 || l.Files[0].Sender != "default.drain" {
		t.Errorf("%+v", l)
	}
	d.srv.Drop("p")
	if err := agent.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := tell[replayed](t, exitOK, "dead-letter", "replay", "-config", d.conf); r.Rows != 1 || r.Refused != 0 || len(d.srv.Rows("p")) != 1 {
		t.Errorf("%+v, %d arrived", r, len(d.srv.Rows("p")))
	}
	if left, _ := filepath.Glob(d.path("*.refused*.lp")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestDrainLeavesWhatBelongsElsewhere(t *testing.T) {
	d := newDepot(t)
	d.store(10)
	there := newDepot(t)
	there.dir = d.dir
	conf := there.config(`sender_id = "mine"`)
	r := tell[drained](t, exitFailed, "drain", "-config", conf)
	if r.Sent != 0 || len(r.Left) != 1 || !strings.Contains(r.Left[0].Why, d.srv.URL()) || there.srv.Total() != 0 {
		t.Errorf("%+v", r)
	}
}

func TestDrainTellsOfItsProgressOnceASecond(t *testing.T) {
	d := newDepot(t)
	d.store(200)
	hold := make(chan struct{})
	d.srv.Script(qwpserver.HoldAcks(hold).Always())
	time.AfterFunc(1200*time.Millisecond, func() { close(hold) })
	code, text, stderr := ask("drain", "-config", d.conf)
	if code != exitOK || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, "% ") || !strings.Contains(stderr, "0 rows sent") || strings.Contains(stderr, "\x1b") {
		t.Errorf("exit %d, %q, %q", code, text, stderr)
	}
}

func TestABarIsDrawnWithAndWithoutColour(t *testing.T) {
	if got := drawBar(50, false); got != "["+strings.Repeat("#", 10)+strings.Repeat(".", 10)+"]" {
		t.Errorf("%q", got)
	}
	if got := drawBar(100, true); !strings.Contains(got, "\x1b[32m"+strings.Repeat("#", 20)+"\x1b[0m") {
		t.Errorf("%q", got)
	}
	t.Setenv("COLUMNS", "200")
	d := newDepot(t)
	d.store(5)
	d.srv.Stop()
	p := d.open()
	k := &call{config: d.conf}
	s, _, err := k.store()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	w := startProgress(&out, p, s)
	_ = p.WaitAcked(wait(t, 300*time.Millisecond))
	line := w.line(true)
	t.Setenv("COLUMNS", "")
	if narrow := w.line(true); len([]rune(narrow)) > 80 {
		t.Errorf("%q wraps", narrow)
	}
	w.end()
	if !strings.HasPrefix(line, "[...") || !strings.Contains(line, "0 rows sent") || !strings.Contains(line, "refused") {
		t.Errorf("%q", line)
	}
}

func wait(t testing.TB, long time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), long)
	t.Cleanup(cancel)
	return ctx
}
