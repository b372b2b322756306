// SPDX-License-Identifier: MIT

package sfpool

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/vfs"
)

// inTime runs a test with a bed whose calls it steers, in simulated time.
func inTime(t *testing.T, f func(t *testing.T, b *bed, s *script)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		s := &script{t: t, fails: map[string]error{}, holds: map[string]chan struct{}{}, does: map[string]func(int){}}
		b.hook = s.hook
		f(t, b, s)
	})
}

// script says what the calls of fakes do; a key is a call and an index: "open 0".
type script struct {
	t  testing.TB
	mu sync.Mutex
	// fails and holds are by key, does is by call.
	fails map[string]error
	holds map[string]chan struct{}
	does  map[string]func(index int)
	calls []string // keys, in order
	times []time.Time
}

func (s *script) hook(call string, index int) error {
	key := fmt.Sprintf("%s %d", call, index)
	s.mu.Lock()
	s.calls, s.times = append(s.calls, key), append(s.times, time.Now())
	do, hold := s.does[call], s.holds[key]
	s.mu.Unlock()
	if do != nil {
		do(index)
	}
	if hold != nil {
		<-hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fails[key]
}

// fail makes a call fail from now on; with nil it works again.
func (s *script) fail(key string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[key] = err
}

// hold lets a call hang until the returned function is called.
func (s *script) hold(key string) (let func()) {
	hang := make(chan struct{})
	let = sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.holds, key)
		close(hang)
	})
	s.t.Cleanup(let)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds[key] = hang
	return let
}

// on runs f at each call of a kind.
func (s *script) on(call string, f func(index int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.does[call] = f
}

// when returns at what times a call was made.
func (s *script) when(key string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []time.Time
	for i, k := range s.calls {
		if k == key {
			list = append(list, s.times[i])
		}
	}
	return list
}

// count returns how many calls begin with a word, or all of them.
func (s *script) count(prefix string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, k := range s.calls {
		if strings.HasPrefix(k, prefix) {
			n++
		}
	}
	return n
}

// giveBack returns senders in the order given.
func giveBack(senders ...*Sender) {
	for _, s := range senders {
		s.Return()
	}
}

// holding fails the test unless exactly these slots are open.
func (b *bed) holding(want ...int) {
	b.t.Helper()
	synctest.Wait()
	if got := b.holds(); !slices.Equal(got, want) {
		b.t.Errorf("after %s slots %v are open, want %v", time.Since(epoch), got, want)
	}
}

// epoch is when the time of every synctest begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// put flushes a row through a sender, and returns its mark.
func put(t testing.TB, p *Pool, s *Sender) Mark {
	t.Helper()
	if err := s.Flush(context.Background(), oneRow(t, p)); err != nil {
		t.Fatal(err)
	}
	return s.Mark()
}

// seed leaves a slot of an earlier run: a segment, and rows that fakes see in it.
func seed(b *bed, fsys vfs.FS, index int, rows int64) {
	b.t.Helper()
	b.mu.Lock()
	b.pending[index] = rows
	b.mu.Unlock()
	dir := fmt.Sprintf("/sf/default-%d", index)
	if err := fsys.MkdirAll(dir, 0o750); err != nil {
		b.t.Fatal(err)
	}
	f, err := fsys.OpenFile(filepath.Join(dir, "sf-initial.sfa"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.t.Fatal(err)
	}
}

// seeded returns a configuration with slots of an earlier run, one row in each.
// As a real one, a slot that is closed empty leaves no segment.
func seeded(b *bed, s *script, slots ...int) Config {
	b.t.Helper()
	cfg := b.config()
	for _, index := range slots {
		seed(b, cfg.FS, index, 1)
	}
	s.on("close", func(index int) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.pending[index] == 0 {
			_ = cfg.FS.Remove(fmt.Sprintf("/sf/default-%d/sf-initial.sfa", index))
		}
	})
	return cfg
}

// opened fails the test unless the slots were opened in this order.
func (b *bed) opened(want ...int) {
	b.t.Helper()
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.opens, want) {
		b.t.Errorf("after %s slots %v were opened, want %v", time.Since(epoch), b.opens, want)
	}
}
