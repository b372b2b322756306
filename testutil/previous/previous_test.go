// SPDX-License-Identifier: MIT

// Package previous_test proves that a downgrade loses nothing: what this tree
// has stored is delivered by the binary of an earlier release.
package previous_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/testutil/child"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
	"github.com/questdb-sf/questdb_sf/testutil/gen"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// lines are enough for several commits, and so for several slots.
const lines = 60_000

func TestThePreviousReleaseDeliversWhatThisOneStored(t *testing.T) {
	binary := os.Getenv("QUESTDB_SF_PREVIOUS")
	if binary == "" {
		t.Skip("QUESTDB_SF_PREVIOUS names no binary of an earlier release; packaging/release-check builds one")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	srv, err := qwpserver.Start(qwpserver.Options{})
	check(t, err)
	defer srv.Close()
	srv.Stop()
	dir, set := t.TempDir(), gen.Set{Seed: 51, Jitter: true}
	conf := fmt.Sprintf("[[outputs.questdb_sf]]\nurls = [%q]\nsf_dir = %q\nreconnect_max_backoff = \"500ms\"\n", srv.URL(), dir)

	store(ctx, t, conf, set, 0, lines/2, endsWell)
	store(ctx, t, conf, set, lines/2, lines, isKilled)
	t.Logf("slots with segments: %d", slots(t, dir))

	check(t, srv.Restart())
	deliver(ctx, t, binary, conf, srv)
	report := set.Check(rows(srv), 0, lines)
	t.Logf("delivered by the previous release: %d rows, missing %d, duplicates %d, wrong %d",
		srv.Total(), len(report.Missing), len(report.Duplicates), len(report.Wrong))
	if !report.OK() {
		t.Error(report)
	}
}

type end bool

const (
	endsWell end = false
	isKilled end = true
)

// store lets the binary of this tree take lines while no server is there.
func store(ctx context.Context, t testing.TB, conf string, set gen.Set, from, to int64, how end) {
	t.Helper()
	p, err := execd.Start(conf)
	check(t, err)
	defer p.Close()
	_, err = p.Stdin.Write(set.Lines(from, int(to-from)))
	check(t, err)
	check(t, p.WaitDurable(ctx, to-from))
	if how == endsWell {
		check(t, p.Finish(ctx))
	}
}

// slots counts the slot directories that hold segments.
func slots(t testing.TB, dir string) int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.sfa"))
	check(t, err)
	seen := make(map[string]bool)
	for _, f := range files {
		seen[filepath.Dir(f)] = true
	}
	return len(seen)
}

// deliver runs a binary on the store until the server has as many rows as lines
// were stored, and expects it to end well.
func deliver(ctx context.Context, t testing.TB, binary, conf string, srv *qwpserver.Server) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "questdb_sf.conf")
	check(t, os.WriteFile(file, []byte(conf), 0o600))
	stdin, stdout := io.Pipe()
	var said bytes.Buffer
	cmd := exec.Command(binary, "-config", file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &said, &said
	p, err := child.Start(cmd)
	check(t, err)
	delivered := srv.Wait(ctx, func(s *qwpserver.State) bool { return s.Rows >= lines })
	check(t, stdout.Close()) // the end of its input
	if err := p.Wait(ctx); err != nil || delivered != nil {
		_ = p.Kill()
		t.Fatalf("%d of %d rows delivered (%v), ended with %v:\n%s", srv.Total(), lines, delivered, err, said.String())
	}
	t.Logf("it said:\n%s", said.String())
}

func rows(srv *qwpserver.Server) []gen.Row {
	var all []gen.Row
	for _, table := range srv.Tables() {
		for _, r := range srv.Rows(table) {
			all = append(all, gen.Row{Table: r.Table, Time: r.Time, Values: r.Values})
		}
	}
	return all
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
