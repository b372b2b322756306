// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/child"
)

// otherPool is a pool in a process of its own, which is this test binary again.
type otherPool struct {
	URL, Dir, SenderID string
	Max, Borrow        int // senders
	Rows               int // stored in each that is borrowed, with ids from 0 on
}

const otherEnv = "SFPOOL_TEST_OTHER"

// TestOtherProcess is that process; it does nothing in the ordinary one.
func TestOtherProcess(t *testing.T) {
	var o otherPool
	if json.Unmarshal([]byte(os.Getenv(otherEnv)), &o) != nil {
		return
	}
	p, err := sfpool.Open(context.Background(), offline(sfpool.Config{
		URLs: []string{o.URL}, Dir: o.Dir, SenderID: o.SenderID, MinSenders: -1, MaxSenders: o.Max, CloseFlushTimeout: -1,
	}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer closePool(t, p)
	senders := storeIn(t, p, o.Borrow, o.Rows)
	fmt.Println("holds", strings.Join(names(senders), " "))
	_, _ = io.Copy(io.Discard, os.Stdin)
	giveBack(senders)
}

// storeIn borrows senders and stores rows in each; the ids go on from one to the
// next. The caller gives them back.
func storeIn(t testing.TB, p *sfpool.Pool, senders, rows int) []*sfpool.Sender {
	t.Helper()
	list := borrowed(t, p, senders)
	for i, s := range list {
		if err := s.Flush(t.Context(), batch(t, p, i*rows, rows)); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func borrowed(t testing.TB, p *sfpool.Pool, n int) []*sfpool.Sender {
	t.Helper()
	list := make([]*sfpool.Sender, n)
	for i := range list {
		var err error
		if list[i], err = p.Borrow(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func giveBack(list []*sfpool.Sender) {
	for _, s := range list {
		s.Return()
	}
}

func names(list []*sfpool.Sender) []string {
	var out []string
	for _, s := range list {
		out = append(out, s.Name())
	}
	slices.Sort(out) // the recovery may have had one of them first
	return out
}

// offline keeps a pool from connecting, without a change of its destination.
func offline(cfg sfpool.Config) sfpool.Config {
	cfg.Auth = func() (sfpool.Auth, error) { return sfpool.Auth{}, errors.New("the test keeps it offline") }
	return cfg
}

// running is a started otherPool.
type running struct {
	*child.Process
	t     testing.TB
	stdin io.Closer
	said  string // its first line
}

func (o otherPool) start(t testing.TB) *running {
	t.Helper()
	env, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestOtherProcess$")
	cmd.Env = append(os.Environ(), otherEnv+"="+string(env), "GORACE=atexit_sleep_ms=0")
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	t.Cleanup(func() {
		_ = p.Kill()
		_ = r.Close()
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("the other process said %q: %v", line, err)
	}
	return &running{Process: p, t: t, stdin: stdin, said: strings.TrimSpace(line)}
}

// end has the other process close its pool.
func (r *running) end() {
	r.t.Helper()
	if err := r.stdin.Close(); err != nil {
		r.t.Error(err)
	}
	if err := r.Wait(r.t.Context()); err != nil {
		r.t.Error(err)
	}
}

// isHeld fails the test unless err names the first slot and the process that
// holds the pool.
func isHeld(t testing.TB, err error, dir string, pid int) {
	t.Helper()
	var locked *sfpool.LockedError
	if !errors.As(err, &locked) || locked.Dir != filepath.Join(dir, "default-0") || locked.PID != pid {
		t.Errorf("error %v, want default-0 in %s held by %d", err, dir, pid)
	}
	if text := fmt.Sprint(err); !strings.Contains(text, "default-0") || !strings.Contains(text, fmt.Sprint("pid=", pid)) {
		t.Errorf("text %q", text)
	}
}

func TestASecondPoolInTheProcessFailsFastBeforeAnySlotIsOpen(t *testing.T) {
	cfg := config(t, nowhere)
	cfg.MinSenders = -1
	open(t, cfg)
	for _, second := range []int{-1, 1} {
		cfg.MinSenders = second
		_, err := sfpool.Open(t.Context(), cfg)
		isHeld(t, err, cfg.Dir, os.Getpid())
	}
}

func TestASecondPoolBesideAnotherProcessFailsFastUntilThatEnds(t *testing.T) {
	cfg := config(t, nowhere)
	other := otherPool{URL: nowhere, Dir: cfg.Dir, SenderID: "default", Max: 4}.start(t)
	_, err := sfpool.Open(t.Context(), cfg)
	isHeld(t, err, cfg.Dir, other.PID())
	other.end()
	open(t, cfg)
}

func TestASecondPoolAsAnotherProcessFailsFast(t *testing.T) {
	cfg := config(t, nowhere)
	open(t, cfg)
	other := otherPool{URL: nowhere, Dir: cfg.Dir, SenderID: "default", Max: 4}.start(t)
	if !strings.Contains(other.said, "default-0") || !strings.Contains(other.said, fmt.Sprint("pid=", os.Getpid())) {
		t.Errorf("it said %q", other.said)
	}
}

func TestAKilledProcessHoldsNothing(t *testing.T) {
	cfg := config(t, nowhere)
	other := otherPool{URL: nowhere, Dir: cfg.Dir, SenderID: "default", Max: 4, Borrow: 4, Rows: 1}.start(t)
	if err := other.Kill(); err != nil {
		t.Fatal(err)
	}
	giveBack(borrowed(t, open(t, cfg), 4))
}

func TestDistinctBasesShareADirectory(t *testing.T) {
	cfg := config(t, nowhere)
	cfg.SenderID = "a"
	senders := borrowed(t, open(t, cfg), 4)
	defer giveBack(senders)
	cfg.SenderID = "b"
	others := borrowed(t, open(t, cfg), 4)
	defer giveBack(others)
	other := otherPool{URL: nowhere, Dir: cfg.Dir, SenderID: "a-0", Max: 2, Borrow: 2}.start(t)
	if got := append(names(senders), names(others)...); !slices.Equal(got, []string{
		"a-0", "a-1", "a-2", "a-3", "b-0", "b-1", "b-2", "b-3",
	}) || other.said != "holds a-0-0 a-0-1" {
		t.Errorf("slots %v; the other process %s", got, other.said)
	}
}

func TestFirstBorrowsOfTwoPoolsRaceForADirectoryThatIsNotThere(t *testing.T) {
	for range 10 {
		cfg := config(t, nowhere)
		cfg.Dir, cfg.MinSenders = filepath.Join(cfg.Dir, "deep", "down"), -1
		start := make(chan struct{})
		var all sync.WaitGroup
		for _, base := range []string{"a", "b"} {
			own := cfg
			own.SenderID = base
			all.Go(func() {
				<-start
				raceForSlots(t, own)
			})
		}
		close(start)
		all.Wait()
	}
}

// raceForSlots borrows all senders of a new pool at once.
func raceForSlots(t *testing.T, cfg sfpool.Config) {
	p, err := sfpool.Open(t.Context(), cfg)
	if err != nil {
		t.Error(err)
		return
	}
	defer closePool(t, p)
	senders := make([]*sfpool.Sender, 4)
	var all sync.WaitGroup
	for i := range senders {
		all.Go(func() {
			s, err := p.Borrow(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			senders[i] = s
		})
	}
	all.Wait()
	if !t.Failed() {
		giveBack(senders)
	}
}

func TestABadConfigurationFailsAtOpenWithoutMinimum(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*sfpool.Config){
		"create sf_dir":          func(c *sfpool.Config) { c.Dir = filepath.Join(file, "sf") },
		"sender_id":              func(c *sfpool.Config) { c.SenderID = "a/b" },
		"ftp":                    func(c *sfpool.Config) { c.URLs = []string{"ftp://x"} },
		"URL":                    func(c *sfpool.Config) { c.URLs = nil },
		"sender_pool_max":        func(c *sfpool.Config) { c.MaxSenders = -1 },
		"acquire_timeout":        func(c *sfpool.Config) { c.AcquireTimeout = -1 },
		"max_background_drainer": func(c *sfpool.Config) { c.MaxBackgroundDrainers = -1 },
		"sf_max_total_bytes":     func(c *sfpool.Config) { c.MaxTotalBytes = 1 << 20 },
	} {
		cfg := config(t, nowhere)
		cfg.MinSenders = -1
		change(&cfg)
		if _, err := sfpool.Open(t.Context(), cfg); err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
			t.Errorf("want %q in %v", want, err)
		}
	}
}

func TestAfterCloseAnotherProcessMayLockEverySlot(t *testing.T) {
	cfg := config(t, nowhere)
	p := open(t, cfg)
	giveBack(storeIn(t, p, 4, 10))
	closePool(t, p)
	other := otherPool{URL: nowhere, Dir: cfg.Dir, SenderID: "default", Max: 4, Borrow: 4}.start(t)
	if want := "holds default-0 default-1 default-2 default-3"; other.said != want {
		t.Errorf("the other process said %q, want %q", other.said, want)
	}
	other.end()
}
