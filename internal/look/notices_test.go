// SPDX-License-Identifier: MIT

package look

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/holder"
	"github.com/questdb-sf/questdb_sf/internal/notice"
	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// house is a directory where pools are open, as far as their locks tell, and box-0 is in use.
type house struct {
	testing.TB
	Store
	now time.Time
}

func newHouse(t testing.TB, open ...string) *house {
	t.Helper()
	h := &house{TB: t, now: time.Now()}
	h.Store = Store{Dir: t.TempDir(), SenderID: "box", Senders: 4, Now: func() time.Time { return h.now }}
	s := filled(t, filepath.Join(h.Dir, "box-0"), 0, 10, 3)
	t.Cleanup(func() { closed(t, s) })
	for _, id := range open {
		h.lock(id)
	}
	return h
}

// lock holds the lock of a pool, until the test ends or release is called.
func (h *house) lock(id string) (release func()) {
	h.Helper()
	lock := holder.PoolLock(h.Dir, id)
	if err := os.MkdirAll(filepath.Dir(lock), 0o700); err != nil {
		h.Fatal(err)
	}
	f, err := vfs.OS.OpenFile(lock, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		err = f.Lock()
	}
	if err == nil {
		err = os.WriteFile(lock+".pid", fmt.Appendln(nil, os.Getpid()), 0o600)
	}
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { _ = f.Close() })
	return func() { _ = f.Unlock() }
}

// says has a pool say something, some time ago.
func (h *house) says(id string, ago time.Duration, n notice.Notice) {
	h.Helper()
	n.At = h.now.Add(-ago)
	if n.PID == 0 {
		n.PID = os.Getpid()
	}
	if err := notice.Write(vfs.OS, notice.Path(h.Dir, id), &n); err != nil {
		h.Fatal(err)
	}
}

func (h *house) report() (*Report, string) {
	h.Helper()
	r, err := h.Slots(h.Context(), 0)
	if err != nil || len(r.Slots) != 1 {
		h.Fatalf("%+v, %v", r, err)
	}
	return r, r.Slots[0].Why
}

// waitingFor is a notice of a slot that waits for the server.
func waitingFor(slot, words string, since time.Time) notice.Notice {
	return notice.Notice{ToFull: 60, Dropped: 7, Slots: []notice.Slot{{Name: slot, Since: since, Error: words}}}
}

func TestWhatTheOwnerOfASlotSaysIsToldWithItsAge(t *testing.T) {
	since := time.Date(2026, 11, 29, 0, 27, 45, 0, time.UTC)
	for _, c := range []struct {
		name  string
		ago   time.Duration
		says  notice.Notice
		want  string
		total bool // its forecast counts
	}{
		{"now", 0, waitingFor("box-0", "refused", since), "says: waiting for the server since 2026-11-29T00:27:45Z: refused", true},
		{"a while ago", time.Minute, waitingFor("box-0", "refused", since), "said 1m0s ago: waiting for the server since", true},
		{"five minutes ago", 5 * time.Minute, waitingFor("box-0", "refused", since), "and may hang; then it said: waiting for", false},
		{"by a clock that was set back", -5 * time.Hour, waitingFor("box-0", "refused", since), "and may hang; then it said: waiting for", false},
		{"of nothing in its way", 0, notice.Notice{ToFull: 60, Dropped: 7, Slots: []notice.Slot{{Name: "box-0"}}}, "is sending it", true},
		{"of another slot only", 0, waitingFor("box-3", "refused", since), "tells of nothing in the way", true},
		{"with what a terminal obeys", 0, waitingFor("box-0", "a\x1b[31mb\u009b2J\x07c", since), ": a [31mb 2J c", true},
	} {
		h := newHouse(t, "box")
		h.says("box", c.ago, c.says)
		r, why := h.report()
		if !strings.Contains(why, c.want) || strings.ContainsAny(why, "\x1b\x07\u009b") {
			t.Errorf("%s: %q does not say %q", c.name, why, c.want)
		}
		if told := r.Total.ToFull == 60 && strings.Contains(r.Total.Lost, "7 since the agent started"); told != c.total {
			t.Errorf("%s: %+v", c.name, r.Total)
		}
	}
}

func TestANoticeOfAnotherProcessIsNotBelieved(t *testing.T) {
	h := newHouse(t, "box")
	said := waitingFor("box-0", "refused", h.now)
	said.PID = os.Getpid() + 1
	h.says("box", 0, said)
	if r, why := h.report(); strings.Contains(why, "refused") || r.Total.ToFull != 0 {
		t.Errorf("%q, %+v", why, r.Total)
	}
}

func TestOfSeveralPoolsTheFirstThatIsFullCounts(t *testing.T) {
	h := newHouse(t, "box", "cab", "day")
	for i, id := range []string{"box", "cab", "day"} {
		h.says(id, 0, notice.Notice{ToFull: []float64{90, 30, 0}[i], ToEmpty: []float64{1, 5, 2}[i]})
	}
	if r, _ := h.report(); r.Total.ToFull != 30 || r.Total.ToEmpty != 5 || len(r.Pools) != 3 {
		t.Errorf("%+v, %v", r.Total, r.Pools)
	}
}

func TestAPoolThatIsNotSeenToRunAndWroteLatelyIsToldOf(t *testing.T) {
	h := newHouse(t)
	h.says0("box-0")
	if _, why := h.report(); !strings.Contains(why, "tells of nothing") { // its slot is in use here
		t.Errorf("%q", why)
	}
	h = newHouse(t)
	store := h.Store
	store.Dir = t.TempDir()
	closed(t, filled(t, filepath.Join(store.Dir, "box-0"), 0, 10, 3))
	h.Store = store
	if _, why := h.report(); !strings.Contains(why, "no agent runs in this directory: start it") {
		t.Errorf("%q", why)
	}
	h.says0("box-0")
	if _, why := h.report(); !strings.Contains(why, "no agent is seen to run") || !strings.Contains(why, "sender_id box wrote here 0s ago") {
		t.Errorf("%q", why)
	}
	h.now = h.now.Add(time.Hour)
	if _, why := h.report(); !strings.Contains(why, "no agent runs in this directory: start it") {
		t.Errorf("%q", why)
	}
}

// says0 leaves a notice as a pool does that was killed.
func (h *house) says0(slot string) {
	h.Helper()
	h.lock("box")()
	h.says("box", 0, waitingFor(slot, "refused", h.now))
}

func TestTheAgeOfASlotIsThatOfItsOwnerOnlyForTheFrameThatItSpeaksOf(t *testing.T) {
	for first, believed := range map[int64]bool{0: true, 5: false} {
		h := newHouse(t, "box")
		stored := h.now.Add(time.Minute).UTC().Truncate(time.Microsecond)
		h.says("box", 0, notice.Notice{Slots: []notice.Slot{{Name: "box-0", First: first, Stored: stored}}})
		if r, _ := h.report(); r.Slots[0].Oldest.Equal(stored) != believed {
			t.Errorf("frame %d: %s", first, r.Slots[0].Oldest)
		}
	}
}
