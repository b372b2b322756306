// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/slot"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// forgetful is a pool of four slots that keeps what is acked for a day, and a server
// that forgets it.
type forgetful struct {
	t   *testing.T
	bed *bed
	srv *server
	w   *wall
	cfg Config
	p   *Pool
	all []int64
}

func forgets(t *testing.T, with func(*Config), test func(f *forgetful)) {
	synctest.Test(t, func(t *testing.T) {
		f := &forgetful{t: t, bed: newBed(t), srv: new(server), w: &wall{}}
		f.w.set(today())
		f.cfg = f.w.config(f.bed.config())
		f.cfg.RetainAcked, f.cfg.MaxSegmentBytes, f.cfg.CloseFlushTimeout = 24*time.Hour, 64<<10, time.Minute
		if with != nil {
			with(&f.cfg)
		}
		f.open()
		test(f)
		_ = f.p.Close(context.Background())
	})
}

func (f *forgetful) open() { f.p = f.srv.open(f.t, f.cfg) }

// store has the server take rows of 3 KiB, by all senders of the pool in turn.
func (f *forgetful) store(rows int) {
	f.t.Helper()
	senders := f.bed.take(f.p, f.cfg.MaxSenders)
	for i := range rows {
		s := senders[i%len(senders)]
		batch := f.p.NewBatch()
		var r Row
		r.Reset("t")
		r.Long("id", int64(len(f.all)))
		r.Varchar("fill", strings.Repeat("x", 3<<10))
		r.At(1700000000000000 + int64(len(f.all)))
		if err := errors.Join(batch.Add(&r), s.Flush(f.t.Context(), batch)); err != nil {
			f.t.Fatal(err)
		}
		f.all = append(f.all, int64(len(f.all)))
	}
	giveBack(senders...)
	if err := f.p.WaitAcked(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// reset has the server forget everything.
func (f *forgetful) reset() {
	f.srv.mu.Lock()
	defer f.srv.mu.Unlock()
	f.srv.ids = nil
}

func (f *forgetful) has(want ...int64) {
	f.t.Helper()
	time.Sleep(2 * time.Minute)
	if got := f.srv.took(); !slices.Equal(got, want) {
		f.t.Errorf("the server has %d rows, want %d: %v", len(got), len(want), got)
	}
}

// kept counts what a slot keeps.
func kept(t testing.TB, fsys vfs.FS, dir string) (n int) {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), ".sfa.acked.") {
			n++
		}
	}
	return n
}

func TestRewindSendsAgainWhatWasAcked(t *testing.T) {
	forgets(t, nil, func(f *forgetful) {
		f.store(400)
		st := f.p.Stats()
		if st.RetainedSegments < 12 || st.RetainedBytes != int64(st.RetainedSegments)*64<<10 || st.Acked != 400 {
			t.Errorf("%+v", st)
		}
		f.reset()
		r, err := f.p.Rewind(f.t.Context(), time.Time{})
		if err != nil || r.Rows != 400 || r.Frames != 400 || r.Sources != 4 || fmt.Sprint(r.Slots) != "[default-rewind-1]" ||
			r.Earliest != time.UnixMicro(1700000000000000).UTC() || r.Latest != time.UnixMicro(1700000000000399).UTC() || len(r.Skipped) > 0 {
			t.Fatalf("%+v %v", r, err)
		}
		f.has(f.all...)
		if f.bed.log.count("an orphan is drained") != 1 || kept(t, f.p.cfg.FS, f.p.path("default-0")) > 1 { // of the sender that was idle
			t.Errorf("%s", f.bed.log.String())
		}
		if n := kept(t, f.p.cfg.FS, f.p.path("default-rewind-1")); n < 15 {
			t.Errorf("only %d segments are kept for the next time", n)
		}
		f.reset()
		r, err = f.p.Rewind(f.t.Context(), time.Time{})
		if err != nil || fmt.Sprint(r.Slots) != "[default-rewind-2]" {
			t.Fatalf("%+v %v", r, err)
		}
		time.Sleep(time.Minute) // rows of segments that are in use come once more
		if got := slices.Compact(f.srv.took()); !slices.Equal(got, f.all) {
			t.Errorf("the server has %v", got)
		}
	})
}

// A row that is acked already may stand in a segment that is in use: its time is not
// known. What was done with before is left out.
func TestRewindTakesWhatWasDoneWithSinceAMoment(t *testing.T) {
	forgets(t, func(c *Config) { c.MaxSenders = 1 }, func(f *forgetful) {
		f.store(105)
		time.Sleep(time.Hour)
		since := f.w.now()
		time.Sleep(time.Minute)
		f.store(50)
		f.reset()
		r, err := f.p.Rewind(f.t.Context(), since)
		if err != nil || r.Rows > 50+20 {
			t.Errorf("%+v %v", r, err)
		}
		f.has(f.all[155-r.Rows:]...)
	})
}

// Another process rewinds while a pool has the slots: no byte of them changes but what
// is taken away, and the pool sends the rows even where it drains no orphans.
func TestRewindBesideAPoolThatIsOpen(t *testing.T) {
	forgets(t, nil, func(f *forgetful) {
		f.store(100)
		f.reset()
		before := sums(t, f.p.cfg.FS, f.p.path("default-0"))
		r, err := Rewind(f.t.Context(), f.cfg, time.Time{})
		if err != nil || r.Rows != 100 {
			t.Fatalf("%+v %v", r, err)
		}
		maps.DeleteFunc(before, func(name, _ string) bool { return strings.Contains(name, ".acked.") })
		if after := sums(t, f.p.cfg.FS, f.p.path("default-0")); !maps.Equal(before, after) {
			t.Errorf("before %v\nafter %v", slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)))
		}
		if _, err := f.p.cfg.FS.Stat(f.p.path("default-rewind-1")); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Hour)
		f.store(4)
		f.has(f.all...)
	})
}

// sums returns the content of every file of a slot.
func sums(t testing.TB, fsys vfs.FS, dir string) map[string]string {
	t.Helper()
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		f, err := fsys.OpenFile(filepath.Join(dir, e.Name()), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		size, _ := f.Size()
		b := make([]byte, size)
		_, _ = f.ReadAt(b, 0)
		_ = f.Close()
		all[e.Name()] = string(b)
	}
	return all
}

func TestAPoolThatKeepsNothingHasNothingToRewind(t *testing.T) {
	forgets(t, func(c *Config) { c.RetainAcked = 0 }, func(f *forgetful) {
		f.store(400)
		if st := f.p.Stats(); st.RetainedSegments != 0 {
			t.Errorf("%+v", st)
		}
		if err := f.p.Close(f.t.Context()); err != nil {
			t.Fatal(err)
		}
		r, err := Rewind(f.t.Context(), f.cfg, time.Time{})
		if err != nil || len(r.Slots) != 0 || r.Frames != 0 {
			t.Errorf("%+v %v", r, err)
		}
		if has, err := holdsSegments(f.p.cfg.FS, f.p.path("default-rewind-1")); has || err != nil {
			t.Errorf("a slot was made for nothing: %v", err)
		}
	})
}

// An idle pool removes what it keeps when the time is over, in slots that are closed
// too, and sleeps until then.
func TestWhatIsKeptIsRemovedInTime(t *testing.T) {
	forgets(t, nil, func(f *forgetful) {
		f.store(400)
		if err := f.p.Close(f.t.Context()); err != nil {
			t.Fatal(err)
		}
		f.open() // with no slot open
		time.Sleep(time.Second)
		if st := f.p.Stats(); st.RetainedSegments < 16 || st.Live != 0 {
			t.Fatalf("%+v", st)
		}
		time.Sleep(24*time.Hour - time.Minute)
		if st := f.p.Stats(); st.RetainedSegments < 16 {
			t.Errorf("%+v", st)
		}
		time.Sleep(2 * time.Minute)
		if st := f.p.Stats(); st.RetainedSegments != 0 || kept(t, f.p.cfg.FS, f.p.path("default-3")) != 0 {
			t.Errorf("%+v", st)
		}
	})
}

func TestNothingThatIsKeptIsRemovedByAClockThatJumps(t *testing.T) {
	forgets(t, nil, func(f *forgetful) {
		f.store(400)
		time.Sleep(10 * time.Minute) // no sender is open any more
		f.w.jump(100 * 24 * time.Hour)
		f.store(4)
		time.Sleep(40 * time.Minute)
		if st := f.p.Stats(); st.RetainedSegments < 20 || f.bed.log.count("the clock has jumped") != 1 {
			t.Errorf("%d segments are kept; %s", st.RetainedSegments, f.bed.log.String())
		}
		f.w.jump(-100 * 24 * time.Hour)
		time.Sleep(23 * time.Hour)
		if st := f.p.Stats(); st.RetainedSegments < 20 {
			t.Errorf("%d segments are kept", st.RetainedSegments)
		}
		time.Sleep(2 * time.Hour)
		if st := f.p.Stats(); st.RetainedSegments > 4 { // that were done with under the wrong time
			t.Errorf("%d segments are kept for more than a day", st.RetainedSegments)
		}
	})
}

func TestWhatIsKeptHasNoMoreBytesThanItMay(t *testing.T) {
	forgets(t, func(c *Config) { c.RetainAcked, c.RetainAckedBytes = 0, 300<<10 }, func(f *forgetful) {
		f.store(400)
		if st := f.p.Stats(); st.RetainedSegments != 4 || st.RetainedBytes != 256<<10 {
			t.Errorf("%+v", st)
		}
		time.Sleep(1000 * time.Hour)
		if st := f.p.Stats(); st.RetainedSegments != 4 {
			t.Errorf("%+v", st)
		}
	})
}

func TestNamesThatRewindMakesAreNoSenderIDs(t *testing.T) {
	cfg := newBed(t).config()
	for id, want := range map[string]string{"x-rewind": "rewind makes", "x-imported": "renamed", "rewind": ""} {
		cfg.SenderID = id
		if err := cfg.Validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", id, err)
		}
	}
	cfg.SenderID = ""
	for _, bad := range []Config{{RetainAcked: -1}, {RetainAckedBytes: -1}} {
		cfg.RetainAcked, cfg.RetainAckedBytes = bad.RetainAcked, bad.RetainAckedBytes
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), "sf_retain_acked") {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// A pool that drains orphans leaves alone what is another's, as long as that is open.
func TestOnlyThePoolOfItsSlotsSendsWhatWasRewound(t *testing.T) {
	b := newBed(t)
	cfg := b.config()
	owner := b.open(cfg)
	cfg.SenderID = "other"
	other := b.open(cfg)
	if err := owner.livingOwner("default-rewind-1"); err != nil {
		t.Errorf("its own pool: %v", err)
	}
	if err := other.livingOwner("default-rewind-1"); !errors.As(err, new(*ownedError)) {
		t.Errorf("another pool: %v", err)
	}
	if err := owner.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.livingOwner("default-rewind-1"); err != nil {
		t.Errorf("another pool, once its own is closed: %v", err)
	}
}

func TestTwoRewindsAtOnceAreRefused(t *testing.T) {
	forgets(t, nil, func(f *forgetful) {
		f.store(100)
		unlock, err := slot.LockName(f.cfg.FS, f.cfg.Dir, "default.rewind")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Rewind(f.t.Context(), f.cfg, time.Time{}); !errors.As(err, new(*LockedError)) {
			t.Errorf("%v", err)
		}
		if err := unlock(); err != nil {
			t.Error(err)
		}
	})
}
