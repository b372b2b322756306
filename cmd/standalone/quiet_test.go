// SPDX-License-Identifier: MIT

//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/execd"
)

// looking are the commands that change nothing and look at a store, as they are typed.
// doctor is not among them: it makes a file of its own, and locks that.
func (d *depot) looking() [][]string {
	names := strings.NewReplacer("CONF", d.conf)
	var list [][]string
	for _, r := range trials {
		if r.looks && r.typed != "version" && !strings.HasPrefix(r.typed, "doctor") {
			list = append(list, strings.Fields(names.Replace(r.typed)))
		}
	}
	return list
}

// calls counts what is asked of the disk.
type calls struct {
	mu      sync.Mutex
	changes []string // that are none of somebody who only looks
	read    int64    // bytes
	frames  int64    // of them, of segments
}

// spy has all that commands ask of the disk told, until the test ends. Those who run
// meanwhile are told of too, so the test must not be parallel.
func spy(t *testing.T) *calls {
	c, system := &calls{}, vfs.OS
	vfs.OS = vfstest.Wrap(system, func(op vfstest.Op) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		switch op.Kind {
		case vfstest.OpOpen:
			if op.Flag != os.O_RDONLY {
				c.changes = append(c.changes, fmt.Sprintf("%s %s with %#x", op.Kind, op.Path, op.Flag))
			}
		case vfstest.OpRead:
			c.read += op.Len
			if strings.HasSuffix(op.Path, ".sfa") {
				c.frames += op.Len
			}
		case vfstest.OpReadDir, vfstest.OpStat, vfstest.OpSpace, vfstest.OpSize, vfstest.OpClose, vfstest.OpDevice, vfstest.OpOwner:
		default:
			c.changes = append(c.changes, fmt.Sprint(op.Kind, " ", op.Path))
		}
		return nil
	})
	t.Cleanup(func() { vfs.OS = system })
	return c
}

// Nobody can wait for a command that opens nothing for writing and locks nothing.
func TestCommandsThatLookOpenNothingForWritingAndLockNothing(t *testing.T) {
	for _, s := range states() {
		t.Run(s.name, func(t *testing.T) {
			d := newDepot(t)
			s.make(d)
			c := spy(t)
			for _, typed := range d.looking() {
				before := c.read
				ask(typed...)
				if len(c.changes) > 0 {
					t.Errorf("%v: %v", typed, c.changes)
					c.changes = nil
				}
				if looks := typed[0] != "check-config" && s.name == "clean"; looks && c.read == before {
					t.Errorf("%v does not read through what the test sees", typed)
				}
			}
		})
	}
}

// While an agent stores, all commands that look run again and again.
func TestAnAgentStoresAndStopsAndStartsWhileOthersLook(t *testing.T) {
	d := newDepot(t)
	d.store(1500)
	d.srv.Stop()
	ctx, stop := context.WithCancel(t.Context())
	var looks atomic.Int64
	var all sync.WaitGroup
	for _, typed := range d.looking() {
		all.Go(func() {
			for ctx.Err() == nil {
				if code, _, stderr := ask(typed...); code != exitOK {
					t.Errorf("%v: exit %d, %q", typed, code, stderr)
				}
				looks.Add(1)
			}
		})
	}
	defer all.Wait()
	defer stop()
	k := &call{config: d.conf}
	cfg, err := k.pool()
	d.must(err)
	cfg.MinSenders, cfg.CloseFlushTimeout = 4, -1
	for range 12 {
		p, err := sfpool.Open(ctx, cfg)
		d.must(err)
		for range 4 {
			d.append(ctx, p)
		}
		d.must(p.Close(ctx))
	}
	until(t, "enough", func() string {
		if looks.Load() < 20 {
			return fmt.Sprint(looks.Load(), " looks")
		}
		return "enough"
	})
	stop()
	all.Wait()
	t.Logf("%d looks beside 12 lives of an agent", looks.Load())
	if r := tell[map[string]any](t, exitOK, "slots", "-config", d.conf); r["total"].(map[string]any)["pending_rows"] != float64(d.next) {
		t.Errorf("%v, stored %d", r["total"], d.next)
	}
}

// append stores a row. Nothing may keep it waiting: the deadline of an append is that of
// the configuration, and one that is missed is an error.
func (d *depot) append(ctx context.Context, p *sfpool.Pool) {
	d.t.Helper()
	s, err := p.Borrow(ctx)
	d.must(err)
	defer s.Return()
	b := p.NewBatch()
	r := b.Table("t").Int64Column("id", int64(d.next))
	d.must(r.At(time.UnixMicro(1700000000000000 + int64(d.next))))
	d.must(s.Flush(ctx, b))
	d.next++
}

// top looks again and again: the frames that it has read it does not read again. What
// else it reads, .qsf-state, does not grow with the backlog.
func TestTopReadsABacklogOnce(t *testing.T) {
	d := newDepot(t)
	d.store(1500)
	c := spy(t)
	reads := func(looks int) (all, frames int64) {
		all, frames = c.read, c.frames
		if code, _, stderr := ask("top", "-config", d.conf, "-every", "50ms", "-n", fmt.Sprint(looks)); code != exitOK {
			t.Fatal(stderr)
		}
		return c.read - all, c.frames - frames
	}
	all1, frames1 := reads(1)
	all6, frames6 := reads(6)
	more, size := (frames6-frames1)/5, int64(0)
	for _, file := range d.segments("default-0") {
		info, err := os.Stat(file)
		d.must(err)
		size += info.Size()
	}
	t.Logf("of %d bytes the first look reads %d of frames and %d in all, each that follows %d and %d", size, frames1, all1, more, (all6-all1)/5)
	if frames1 > 2*size || more > 64<<10 || all6-all1-(frames6-frames1) > 5*(4<<20) {
		t.Error("that is too much")
	}
}

// A user who may read, and no more, sees all there is: nothing is written by the way.
func TestWhoMayOnlyReadSeesTheStore(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run a command as another user")
	}
	d := newDepot(t)
	d.stock()
	d.must(os.Mkdir(d.path("locked-0"), 0))
	open := func(dir string) {
		d.must(filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil || path == d.path("locked-0") {
				return err
			}
			return os.Chmod(path, 0o755)
		}))
	}
	open(d.dir)
	for _, path := range []string{d.dir, d.conf} {
		for path = filepath.Dir(path); path != os.TempDir(); path = filepath.Dir(path) {
			d.must(os.Chmod(path, 0o755))
		}
	}
	d.must(os.Chmod(d.conf, 0o644))
	before := surface(t, d.dir)
	for typed, want := range map[string]ending{
		"slots": {exitFailed, "permission denied"}, "verify": {exitFailed, "1 slots or files could not be looked at"}, "dump": {exitFailed, "skipped: locked-0"},
		"top -n 1": {exitOK, "pending 60 rows"}, "dead-letter list": {exitOK, "1969 is before 1970"}, "dead-letter show": {exitOK, "old id=1i"},
		"doctor": {exitFailed, "permission denied"},
	} {
		code, text := d.asNobody(onStore(typed, "-config", d.conf))
		if code != want.code || !strings.Contains(text, want.says) {
			t.Errorf("%s: exit %d, %.600q does not say %q", typed, code, text, want.says)
		}
	}
	if !maps.Equal(before, surface(t, d.dir)) {
		t.Error("the store has changed")
	}
}

// asNobody runs the binary as a user without rights.
func (d *depot) asNobody(args []string) (code int, text string) {
	d.t.Helper()
	built, err := execd.Build()
	d.must(err)
	b, err := os.ReadFile(built)
	d.must(err)
	bin := filepath.Join(filepath.Dir(d.conf), "questdb_sf") // where everybody may go
	d.must(os.WriteFile(bin, b, 0o755))
	cmd := exec.Command(bin, args...)
	cmd.Dir = os.TempDir()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		d.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
