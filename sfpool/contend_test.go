// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"fmt"
	"sync"
	"testing"
	"time"
)

// Six goroutines for four slots, on the real disk with real locks: no slot is in
// two hands at once, and no index is lost, whatever is discarded in between.
func TestSixGoroutinesBorrow25TimesFromFourRealSlots(t *testing.T) {
	srv := serve(t)
	cfg := config(t, srv.URL())
	cfg.MinSenders, cfg.AcquireTimeout = -1, time.Minute
	p := open(t, cfg)
	var mu sync.Mutex
	held := map[string]bool{}
	take := func(name string, want bool) {
		mu.Lock()
		defer mu.Unlock()
		if held[name] != want {
			t.Errorf("%s: held %t", name, held[name])
		}
		held[name] = !want
	}
	var work sync.WaitGroup
	for g := range 6 {
		work.Go(func() {
			for n := range 25 {
				s, err := p.Borrow(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				take(s.Name(), false)
				if err := s.Flush(t.Context(), batch(t, p, 1000*g+10*n, 10)); err != nil {
					t.Error(err)
				}
				take(s.Name(), true)
				if n%10 == 9 {
					s.Discard()
				} else {
					s.Return()
				}
			}
		})
	}
	work.Wait()
	list := borrowed(t, p, 4)
	for i, name := range names(list) {
		if name != fmt.Sprintf("default-%d", i) {
			t.Errorf("slots %v", names(list))
		}
	}
	giveBack(list)
	if err := p.WaitAcked(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := p.Stats(); st.Accepted != 1500 || st.Acked != 1500 || st.Leaked != 0 {
		t.Errorf("stats %+v", st)
	}
}
