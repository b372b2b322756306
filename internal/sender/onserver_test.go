// SPDX-License-Identifier: MIT

package sender_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// ear hears how the server is, and what was pending then.
type ear struct {
	mu      sync.Mutex
	errs    []error
	pending []int64
	bed     *bed
}

func (e *ear) hear(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.errs = append(e.errs, err)
	e.pending = append(e.pending, e.bed.slot.Stats().Pending)
}

// listening is a bed that tells an ear; nothing is sent before it is stored.
func listening(t testing.TB, srv *server, tables sender.Tables) (*bed, *ear) {
	e := &ear{}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.bed = startSlot(t, vfstest.NewMem(), "/sf/default-0", srv, sender.Config{Tables: tables, OnServer: e.hear})
	return e.bed, e
}

func TestWhoListensHearsOfEachFailureAndOfAcksBeforeTheyAreSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b, e := listening(t, &server{refuseConnect: func(int) error {
			if time.Since(began) < 30*time.Second {
				return errors.New("connection refused")
			}
			return nil
		}}, nil)
		b.store(7)
		b.drained()
		synctest.Wait()
		n := len(e.errs) - 1
		for i, err := range e.errs {
			if (err != nil) != (i < n) || e.pending[i] != 7 {
				t.Errorf("%d: error %v with %d rows pending", i, err, e.pending[i])
			}
		}
		if n < 4 {
			t.Errorf("heard of %d failures", n)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(e.errs) != n+1 {
			t.Errorf("while idle: %v", e.errs[n+1:])
		}
	})
}

func TestARefusalIsNoTroubleOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, e := listening(t, &server{judge: func([]sentRow) *link.Refusal {
			return &link.Refusal{Class: link.Unclear, Message: "no"}
		}}, nil)
		b.store(1)
		time.Sleep(time.Minute)
		synctest.Wait()
		if slices.ContainsFunc(e.errs, func(err error) bool { return err != nil }) {
			t.Errorf("heard %v", e.errs)
		}
	})
}

func TestAServerThatIsBackForRowsWhichWaitForTheirTableIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oracle{}
		o.hold("t")
		began := time.Now()
		srv := &server{refuseConnect: func(int) error {
			if time.Since(began) < 30*time.Second {
				return errors.New("connection refused")
			}
			return nil
		}}
		b, e := listening(t, srv, o)
		b.store(2)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(e.errs); n < 2 || e.errs[0] == nil || e.errs[n-1] != nil {
			t.Errorf("heard %v", e.errs)
		}
	})
}
