// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// yard is an sf_dir with slots of nobody in it, on a real disk, and the server
// where their rows belong.
type yard struct {
	t    testing.TB
	srv  *qwpserver.Server
	cfg  sfpool.Config // of the pool that is to drain them
	log  *journal
	next int // the id of the next row; those before were stored
}

func newYard(t testing.TB) *yard {
	srv := serve(t)
	y := &yard{t: t, srv: srv, cfg: config(t, srv.URL()), log: newJournal()}
	y.cfg.MinSenders, y.cfg.DrainOrphans = -1, true
	y.cfg.HousekeeperInterval, y.cfg.LockTimeout = 2*time.Millisecond, time.Millisecond
	y.cfg.Logger = slog.New(slog.NewTextHandler(y.log, nil))
	return y
}

func (y *yard) path(elem ...string) string {
	return filepath.Join(append([]string{y.cfg.Dir}, elem...)...)
}

// orphan leaves slots with rows behind.
func (y *yard) orphan(rows int, slots ...string) {
	y.t.Helper()
	for _, name := range slots {
		y.leave(name, rows, 1)
	}
}

// leave makes a slot with frames of so many rows, in segments of 64 KiB: a pool
// of another name that cannot send makes it, and its directory is renamed.
func (y *yard) leave(name string, frames, rows int) {
	y.t.Helper()
	cfg := offline(y.cfg)
	cfg.SenderID, cfg.MaxSenders, cfg.MaxSegmentBytes = "seed", 1, 64<<10
	cfg.DrainOrphans, cfg.Logger = false, nil
	p := open(y.t, cfg)
	for range frames {
		y.store(p, rows)
	}
	closePool(y.t, p)
	if err := os.Rename(y.path("seed-0"), y.path(name)); err != nil {
		y.t.Fatal(err)
	}
}

// write stores one row.
func (y *yard) write(p *sfpool.Pool) {
	y.t.Helper()
	y.store(p, 1)
}

// store stores rows in one frame.
func (y *yard) store(p *sfpool.Pool, rows int) {
	y.t.Helper()
	s := borrowed(y.t, p, 1)[0]
	defer s.Return()
	if err := s.Flush(y.t.Context(), batch(y.t, p, y.next, rows)); err != nil {
		y.t.Fatal(err)
	}
	y.next += rows
}

// open opens the pool and writes the row that lets it look for orphans.
func (y *yard) open() *sfpool.Pool {
	y.t.Helper()
	p := open(y.t, y.cfg)
	y.write(p)
	return p
}

// arrived waits until every row is at the server, once.
func (y *yard) arrived() {
	y.t.Helper()
	arrived(y.t, y.srv, y.next)
}

// drained waits until the pool says so of slots, and looks what is left of them.
func (y *yard) drained(slots ...string) {
	y.t.Helper()
	for _, name := range slots {
		y.log.await(y.t, 1, "an orphan is drained", "slot="+name+"\n")
		y.isEmpty(name)
	}
}

func (y *yard) isEmpty(name string) {
	y.t.Helper()
	if left := y.segments(name); len(left) > 0 {
		y.t.Errorf("%s still has %v", name, left)
	}
	if reason, failed := y.failed(name); failed {
		y.t.Errorf("%s has .failed: %s", name, reason)
	}
}

func (y *yard) segments(name string) []string {
	y.t.Helper()
	list, err := filepath.Glob(y.path(name, "*.sfa"))
	if err != nil {
		y.t.Fatal(err)
	}
	return list
}

func (y *yard) failed(name string) (reason string, failed bool) {
	b, err := os.ReadFile(y.path(name, ".failed"))
	return string(b), err == nil
}

// content returns every file of a slot.
func (y *yard) content(name string) map[string]string {
	y.t.Helper()
	entries, err := os.ReadDir(y.path(name))
	if err != nil {
		y.t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		b, err := os.ReadFile(y.path(name, e.Name()))
		if err != nil {
			y.t.Fatal(err)
		}
		files[e.Name()] = string(b)
	}
	return files
}

// neverFailed fails the test if any slot has .failed.
func (y *yard) neverFailed() {
	y.t.Helper()
	if list, _ := filepath.Glob(y.path("*", ".failed")); len(list) > 0 {
		y.t.Errorf("there is %v", list)
	}
}

// put writes a file into a slot, whole or not at all: a pool may be reading.
func (y *yard) put(name, file, content string) {
	y.t.Helper()
	temp := filepath.Join(y.t.TempDir(), file)
	if err := os.WriteFile(temp, []byte(content), 0o600); err != nil {
		y.t.Fatal(err)
	}
	if err := os.Rename(temp, y.path(name, file)); err != nil {
		y.t.Fatal(err)
	}
}

func (y *yard) restart() {
	y.t.Helper()
	if err := y.srv.Restart(); err != nil {
		y.t.Fatal(err)
	}
}

// sees waits until the pool tells a state of an orphan, and returns why.
func (y *yard) sees(p *sfpool.Pool, name, state string) sfpool.OrphanStats {
	y.t.Helper()
	var o sfpool.OrphanStats
	eventually(y.t, name+" "+state, func() bool {
		o = orphanOf(p, name)
		return o.State == state
	})
	return o
}

func orphanOf(p *sfpool.Pool, name string) sfpool.OrphanStats {
	for _, o := range p.Stats().Orphans {
		if o.Name == name {
			return o
		}
	}
	return sfpool.OrphanStats{}
}

// eventually waits for what only a look at it can tell.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !cond(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// journal keeps what is logged, and lets others wait for it.
type journal struct {
	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

func newJournal() *journal { return &journal{changed: make(chan struct{})} }

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, string(b))
	close(j.changed)
	j.changed = make(chan struct{})
	return len(b), nil
}

// count returns how many lines have all parts, and what tells of the next line.
func (j *journal) count(parts ...string) (n int, changed <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
lines:
	for _, line := range j.lines {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue lines
			}
		}
		n++
	}
	return n, j.changed
}

func (j *journal) await(t testing.TB, n int, parts ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		got, changed := j.count(parts...)
		if got >= n {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("%q was said %d times, want %d; all was\n%s", parts, got, n, strings.Join(j.lines, ""))
		}
	}
}

// said returns how often something was logged.
func (j *journal) said(parts ...string) int {
	n, _ := j.count(parts...)
	return n
}
