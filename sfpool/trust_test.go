// SPDX-License-Identifier: MIT

//go:build linux || darwin || freebsd

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

const stranger = 4242 // a uid

// den is a pool of two slots on the real disk, with nobody to send to.
type den struct {
	testing.TB
	dir string
	cfg Config
	log logBuffer
}

func newDen(t testing.TB) *den {
	d := &den{TB: t, dir: filepath.Join(t.TempDir(), "sf")}
	d.cfg = Config{
		URLs: []string{"http://127.0.0.1:1"}, Dir: d.dir, MaxSenders: 2, MinSenders: 2, Durability: DurabilityFlush, MaxSegmentBytes: 64 << 10,
		InitialBackoff: time.Hour, MaxBackoff: time.Hour, CloseFlushTimeout: -1, MaxTotalBytes: 1 << 20,
		Logger: slog.New(slog.NewTextHandler(&d.log, nil)),
	}
	return d
}

// run opens the pool, stores rows over each sender that can be had, and a dead
// letter, and closes the pool. It returns the names of the slots.
func (d *den) run(letter bool) (slots []string, err error) {
	d.Helper()
	p, err := Open(context.Background(), d.cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.Close(context.Background())) }()
	for range d.cfg.MaxSenders {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s, err := p.Borrow(ctx)
		if err != nil {
			break
		}
		defer s.Return()
		b := oneRow(d, p)
		if letter {
			var r Row
			r.Reset("t")
			r.Long("id", 1)
			b.Reject(&r, "for the test")
		}
		if err := s.Flush(context.Background(), b); err != nil {
			return slots, err
		}
		slots = append(slots, s.Name())
	}
	return slots, nil
}

func (d *den) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// picture is all that is in a directory, with the content of files.
func picture(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		fmt.Fprintf(&b, "%s %x\n", path, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestFilesAreNobodyElsesWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0))
	d := newDen(t)
	if slots, err := d.run(true); err != nil || len(slots) != 2 {
		t.Fatal(slots, err)
	}
	seen := 0
	d.must(filepath.WalkDir(d.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		mode := info.Mode().Perm()
		if e.IsDir() && mode != 0o700 && mode != 0o750 || !e.IsDir() && mode != 0o600 && mode != 0o640 {
			t.Errorf("%s has mode %o", path, mode)
		}
		seen++
		return err
	}))
	t.Logf("%d files and directories, dead letters and locks among them", seen)
	if _, err := os.Stat(filepath.Join(d.dir, "default.dead-letter.lp")); err != nil || seen < 15 {
		t.Errorf("%d files and directories, %v", seen, err)
	}
}

// plants are links inside sf_dir, and what may still be done beside them.
var plants = []struct {
	name  string
	what  string // becomes a link to what it was, moved outside
	slots int    // that can be used
}{
	{"slot", "default-0", 1},
	{"segment", "default-0/sf-initial.sfa", 1},
	{"lock of a slot", "default-0/.lock", 1},
	{"target of a slot", "default-0/.target", 1},
	{"locks", ".slot-locks", 0},
	{"lock of the pool", ".slot-locks/default.pool.lock", 0},
}

func TestLinksInsideSfDirAreNotFollowedAndOtherSlotsGoOn(t *testing.T) {
	for _, plant := range plants {
		t.Run(plant.name, func(t *testing.T) {
			d := newDen(t)
			if _, err := d.run(false); err != nil {
				t.Fatal(err)
			}
			outside, link := filepath.Join(t.TempDir(), "moved"), filepath.Join(d.dir, plant.what)
			d.must(errors.Join(os.Rename(link, outside), os.Symlink(outside, link)))
			before := picture(t, filepath.Dir(outside))
			slots, err := d.run(false)
			if plant.slots == 0 && !errors.Is(err, vfs.ErrUntrusted) || plant.slots > 0 && err != nil || len(slots) != plant.slots {
				t.Errorf("slots %v, error %v", slots, err)
			}
			if said := fmt.Sprint(d.log.String(), err); !strings.Contains(said, link+" is a symbolic link") {
				t.Errorf("not said: %s", said)
			}
			if n := d.log.count("a slot cannot be used now"); n != plant.slots {
				t.Errorf("said %d times", n)
			}
			if after := picture(t, filepath.Dir(outside)); after != before {
				t.Error("what the link leads to has changed")
			}
			d.must(errors.Join(os.Remove(link), os.Rename(outside, link)))
			if slots, err := d.run(false); err != nil || len(slots) != 2 {
				t.Errorf("mended: slots %v, error %v", slots, err)
			}
		})
	}
}

// A side file is of no value to the rows: its link is set aside, and the slot goes on.
func TestALinkInThePlaceOfASideFileIsSetAsideAndNotFollowed(t *testing.T) {
	for _, name := range []string{".qsf-state", ".ack-watermark"} {
		t.Run(name, func(t *testing.T) {
			d := newDen(t)
			if _, err := d.run(false); err != nil {
				t.Fatal(err)
			}
			outside, link := filepath.Join(t.TempDir(), "moved"), filepath.Join(d.dir, "default-0", name)
			d.must(errors.Join(os.Rename(link, outside), os.Symlink(outside, link)))
			before := picture(t, filepath.Dir(outside))
			if slots, err := d.run(false); err != nil || len(slots) != 2 {
				t.Errorf("slots %v, error %v", slots, err)
			}
			if info, err := os.Lstat(link); err == nil && !info.Mode().IsRegular() {
				t.Errorf("%s is still %v", link, info.Mode())
			}
			if info, err := os.Lstat(link + ".corrupt"); err != nil || info.Mode()&fs.ModeSymlink == 0 {
				t.Errorf("the link was not set aside: %v, %v", info, err)
			}
			if after := picture(t, filepath.Dir(outside)); after != before {
				t.Error("what the link leads to has changed")
			}
		})
	}
}

func TestADeadLetterFileThatIsALinkIsNotWrittenThrough(t *testing.T) {
	d := newDen(t)
	if _, err := d.run(false); err != nil {
		t.Fatal(err)
	}
	victim, link := filepath.Join(t.TempDir(), "victim"), filepath.Join(d.dir, "default.dead-letter.lp")
	d.must(errors.Join(os.WriteFile(victim, []byte("keep"), 0o600), os.Symlink(victim, link)))
	if _, err := d.run(true); !errors.Is(err, vfs.ErrUntrusted) || !strings.Contains(err.Error(), link+" is a symbolic link") {
		t.Errorf("error %v", err)
	}
	if text, err := os.ReadFile(victim); err != nil || string(text) != "keep" {
		t.Errorf("the victim holds %q, %v", text, err)
	}
	if _, err := d.run(false); err != nil {
		t.Errorf("rows without dead letters: %v", err)
	}
}

func TestSfDirItselfMayBeALink(t *testing.T) {
	d := newDen(t)
	real := t.TempDir()
	d.must(os.Symlink(real, d.dir))
	if slots, err := d.run(true); err != nil || len(slots) != 2 {
		t.Errorf("slots %v, error %v", slots, err)
	}
}

func TestSlotsOfAnotherUserAreNotUsedAndOthersGoOn(t *testing.T) {
	for _, what := range []string{"default-0", "default-0/sf-initial.sfa", "default-0/.lock"} {
		t.Run(what, func(t *testing.T) {
			d, m := newDen(t), vfstest.NewMem()
			d.dir, d.cfg.Dir, d.cfg.FS = "/sf", "/sf", m
			if _, err := d.run(false); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(d.dir, what)
			m.SetOwner(path, stranger)
			if slots, err := d.run(false); err != nil || len(slots) != 1 || slots[0] != "default-1" {
				t.Errorf("slots %v, error %v", slots, err)
			}
			if !strings.Contains(d.log.String(), path+" belongs to the user with uid 4242") || d.log.count("a slot cannot be used now") != 1 {
				t.Errorf("said %s", &d.log.buf)
			}
		})
	}
}

// As root, which alone may give files away.
func TestAFileGivenToAnotherUserOnTheRealDiskIsNotUsed(t *testing.T) {
	d := newDen(t)
	if _, err := d.run(false); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d.dir, "default-0")
	if err := os.Chown(path, stranger, stranger); err != nil {
		t.Skipf("no right to give files away: %v", err)
	}
	if slots, err := d.run(false); err != nil || len(slots) != 1 || slots[0] != "default-1" {
		t.Errorf("slots %v, error %v", slots, err)
	}
	if !strings.Contains(d.log.String(), path+" belongs to the user with uid 4242") {
		t.Errorf("said %s", &d.log.buf)
	}
}
