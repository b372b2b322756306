// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// depot is a store with its configuration, and the server where its rows belong.
type depot struct {
	t         testing.TB
	srv       *qwpserver.Server
	dir, conf string
	next      int // the id of the next row
	pid       int // of the process that has it open; 0 for none
}

func newDepot(t testing.TB) *depot {
	t.Helper()
	srv, err := qwpserver.Start(qwpserver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	d := &depot{t: t, srv: srv, dir: filepath.Join(t.TempDir(), "sf")}
	d.conf = d.config("")
	if err := os.MkdirAll(d.dir, 0o750); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *depot) config(more string) string {
	d.t.Helper()
	file := filepath.Join(d.t.TempDir(), "questdb_sf.conf")
	text := fmt.Sprintf("[[outputs.questdb_sf]]\nurls = [%q]\nsf_dir = %q\nclose_flush_timeout = \"1ms\"\n"+
		"sf_max_segment_bytes = \"64KiB\"\nreconnect_max_backoff = \"200ms\"\n%s\n", d.srv.URL(), d.dir, more)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
	return file
}

// store leaves rows of 1 KiB in default-0, while the server is away.
func (d *depot) store(rows int) {
	d.t.Helper()
	d.srv.Stop()
	var lines strings.Builder
	for range rows {
		fmt.Fprintf(&lines, "t id=%di,fill=\"%s\" %d\n", d.next, strings.Repeat("x", 1<<10), 1700000000000000000+int64(d.next)*1000)
		d.next++
	}
	var log strings.Builder
	if code := run([]string{"-config", d.conf}, strings.NewReader(lines.String()), io.Discard, &log); code != exitOK {
		d.t.Fatalf("exit %d\n%s", code, log.String())
	}
	if err := d.srv.Restart(); err != nil {
		d.t.Fatal(err)
	}
}

// foreign puts the slot of a Python client into the store.
func (d *depot) foreign(name string) {
	d.t.Helper()
	if err := os.CopyFS(d.path(name), os.DirFS("../../internal/slot/testdata/g3-python-6.0.0")); err != nil {
		d.t.Fatal(err)
	}
}

func (d *depot) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *depot) path(elem ...string) string {
	return filepath.Join(append([]string{d.dir}, elem...)...)
}

// open opens the store as an agent would.
func (d *depot) open() *sfpool.Pool {
	d.t.Helper()
	k := &call{config: d.conf}
	cfg, err := k.pool()
	if err != nil {
		d.t.Fatal(err)
	}
	p, err := sfpool.Open(context.Background(), cfg)
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = p.Close(context.Background()) })
	return p
}

// harm flips a byte in the middle of a file of a slot.
func (d *depot) harm(file string) {
	d.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	b[len(b)/3] ^= 1
	if err := os.WriteFile(file, b, 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// segments are the segment files of a slot.
func (d *depot) segments(slot string) []string {
	list, err := filepath.Glob(d.path(slot, "*.sfa"))
	if err != nil {
		d.t.Fatal(err)
	}
	return list
}

// content is every file below a directory.
func content(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			all[path] = "directory"
			return err
		}
		b, err := os.ReadFile(path)
		all[path] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// arrived fails unless the server has the rows of ids below next, each once.
func (d *depot) arrived(without ...int64) {
	d.t.Helper()
	var got, want []int64
	for _, r := range d.srv.Rows("t") {
		got = append(got, r.Values["id"].(int64))
	}
	for id := range int64(d.next) {
		if !slices.Contains(without, id) {
			want = append(want, id)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		d.t.Errorf("the server has %d rows, want %d", len(got), len(want))
	}
}

// tell runs a command with -json and reads what it says.
func tell[T any](t testing.TB, want int, args ...string) (v T) {
	t.Helper()
	args = append([]string{args[0], "-json"}, args[1:]...)
	if args[0] == "dead-letter" {
		args[1], args[2] = args[2], args[1]
	}
	code, text, stderr := ask(args...)
	if code != want {
		t.Fatalf("%v: exit %d, want %d\n%s%s", args, code, want, text, stderr)
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, text)
	}
	return v
}

// changing are the commands that change something, as they are typed for a slot.
func (d *depot) changing() map[string]string {
	return map[string]string{
		"drain":  "drain -orphans=false -config " + d.conf,
		"replay": "dead-letter replay -config " + d.conf,
		"drop":   "drop -yes -before 0s -config " + d.conf,
		"export": "export -slot default-0 -config " + d.conf + " " + filepath.Join(d.t.TempDir(), "x.qsf"),
		"move":   "export -move -slot default-0 -config " + d.conf + " " + filepath.Join(d.t.TempDir(), "y.qsf"),
		"repair": "repair -slot default-0 -to " + filepath.Join(d.t.TempDir(), "new") + " -config " + d.conf,
	}
}

func TestCommandsThatNeedASlotLeaveThatOfARunningAgentAlone(t *testing.T) {
	d := newDepot(t)
	d.store(3)
	d.srv.Stop()
	p := d.open()
	for range 3 { // until the pool has its slot open and finds no server
		if err := p.WaitAcked(canceled()); err == nil {
			t.Fatal("there is a server")
		}
	}
	before := content(t, d.dir)
	for name, typed := range d.changing() {
		code, text, stderr := ask(strings.Fields(typed)...)
		if code != exitFailed || text != "" || !strings.Contains(stderr, fmt.Sprint(os.Getpid())) {
			t.Errorf("%s: exit %d, %q, %q", name, code, text, stderr)
		}
	}
	if after := content(t, d.dir); !maps.Equal(before, after) {
		t.Error("a byte has changed")
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestCommandsSayThatThereIsNoStore(t *testing.T) {
	d := newDepot(t)
	if err := os.Remove(d.dir); err != nil {
		t.Fatal(err)
	}
	for name, typed := range d.changing() {
		code, _, stderr := ask(strings.Fields(typed)...)
		if code != exitFailed || !strings.Contains(stderr, d.dir) {
			t.Errorf("%s: exit %d, %q", name, code, stderr)
		}
	}
	if _, err := os.Stat(d.dir); err == nil {
		t.Error("the store was made")
	}
}

func TestCommandsFindNothingInAnEmptyStore(t *testing.T) {
	d := newDepot(t)
	for name, c := range map[string]struct {
		code int
		says string
	}{
		"drain": {exitOK, "0 rows sent"}, "replay": {exitOK, "0 refused rows"}, "drop": {exitOK, "nothing was dropped"},
		"export": {exitFailed, "there is no slot default-0"}, "move": {exitFailed, "there is no slot"}, "repair": {exitFailed, "there is no slot"},
	} {
		code, text, stderr := ask(strings.Fields(d.changing()[name])...)
		if code != c.code || !strings.Contains(text+stderr, c.says) {
			t.Errorf("%s: exit %d, %q, %q", name, code, text, stderr)
		}
	}
}

func TestCommandsFindNothingInASlotThatIsDrained(t *testing.T) {
	d := newDepot(t)
	d.store(3)
	if code, text, stderr := ask("drain", "-config", d.conf); code != exitOK || !strings.Contains(text, "3 rows sent") {
		t.Fatalf("exit %d, %q, %q", code, text, stderr)
	}
	d.arrived()
	for name, says := range map[string]string{
		"drain": "0 rows sent", "drop": "nothing was dropped", "export": "nothing is pending", "move": "nothing is pending",
		"repair": "no slot was made",
	} {
		code, text, stderr := ask(strings.Fields(d.changing()[name])...)
		if code != exitOK || !strings.Contains(text, says) {
			t.Errorf("%s: exit %d, %q, %q", name, code, text, stderr)
		}
	}
}

func TestWhatSendsHasToKnowWhereTo(t *testing.T) {
	d := newDepot(t)
	for _, typed := range []string{"drain", "dead-letter replay", "import -retarget x.qsf"} {
		verb, rest, _ := strings.Cut(typed, " ")
		args := append([]string{verb}, strings.Fields(rest)...)
		args = slices.Insert(args, min(len(args), 2), "-sf-dir", d.dir)
		if verb == "drain" {
			args = []string{"drain", "-sf-dir", d.dir}
		}
		if code, _, stderr := ask(args...); code != exitUsage || !strings.Contains(stderr, "-config FILE") {
			t.Errorf("%v: exit %d, %q", args, code, stderr)
		}
	}
}
