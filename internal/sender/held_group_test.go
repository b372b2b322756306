// SPDX-License-Identifier: MIT

package sender_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/sender"
)

// waits waits until all that is pending waits for its tables.
func waits(t testing.TB, loop *sender.Sender, pending int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var held *sender.HeldError
	if err := loop.Drain(ctx); !errors.As(err, &held) || held.Pending != pending {
		t.Fatalf("drain: %v; %+v", err, loop.State())
	}
}

// TestAGroupWithATableThatWaitsWaitsWhole has that table in each place of a group.
func TestAGroupWithATableThatWaitsWaitsWhole(t *testing.T) {
	for at := range 8 {
		synctest.Test(t, func(t *testing.T) {
			c := &author{TB: t}
			before := int64(at / 4) // frames before the group
			if before > 0 {
				c.frame(false, "before")
			}
			for i := range 4 {
				c.frameIn([]string{"t", "b"}[b2i(i == at%4)], i < 3, "in")
			}
			c.frame(false, "behind")
			o := &oracle{}
			o.hold("b")
			srv := &server{window: 2, answer: func(_ int, seq int64) *link.Outcome {
				if seq >= before {
					return nil // of the group, as far as it came
				}
				return &link.Outcome{Seq: seq}
			}}
			loop := sender.Start(sender.Config{
				Slot: c.open(), Link: srv, Tables: o,
				InitialBackoff: time.Second, MaxBackoff: time.Second, Rand: func() float64 { return 1 },
			})
			defer loop.Stop()
			waits(t, loop, 5)
			connects := len(srv.connectTimes())
			if st := loop.State(); st.Held != 1 || !st.Since.IsZero() || connects > 2 {
				t.Errorf("at %d: %+v after %d connects", at, st, connects)
			}
			time.Sleep(10 * time.Minute)
			if n := len(srv.connectTimes()); n > connects+1 {
				t.Errorf("at %d: %d connects", at, n)
			}
			if got := srv.ids(); slices.Contains(got, before+4) {
				t.Errorf("at %d: what stands behind the group was sent: %v", at, got)
			}
		})
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestNoRowOfAGroupThatWaitsIsCommitted has a real connection.
func TestNoRowOfAGroupThatWaitsIsCommitted(t *testing.T) {
	c := &author{TB: t}
	c.frame(false, "before")
	c.frame(true, "in")
	c.frame(true, "in")
	c.frameIn("b", true, "in")
	c.frame(false, "in")
	c.frame(false, "behind")
	o := &oracle{}
	o.hold("b")
	srv := qwpServer(t)
	s := c.open()
	loop := forwardWith(t, sender.Config{Slot: s, Tables: o}, srv.URL(), link.QWP)
	waits(t, loop, 5)
	if got := rows(srv); !slices.Equal(got, []string{"0=before"}) {
		t.Errorf("the server has %q", got)
	}
	o.hold()
	loop.Stop()
	drain(t, forwardWith(t, sender.Config{Slot: s, Tables: o}, srv.URL(), link.QWP))
	if got := rows(srv); !slices.Equal(got, []string{"0=before", "1=in", "2=in", "4=in", "5=behind"}) || len(srv.Rows("b")) != 1 {
		t.Errorf("the server has %q", got)
	}
}

// TestOverILPOnlyTheTableOfAGroupWaits: there each request is committed by itself.
func TestOverILPOnlyTheTableOfAGroupWaits(t *testing.T) {
	c := &author{TB: t}
	c.frame(true, "in")
	c.frameIn("b", true, "in")
	c.frame(false, "in")
	o := &oracle{}
	o.hold("b")
	srv := newILPServer(t)
	s := c.open()
	loop := forwardWith(t, sender.Config{Slot: s, Tables: o}, srv.URL, link.ILP)
	waits(t, loop, 1)
	if got := srv.rows(); !slices.Equal(got, []string{"0=in", "2=in"}) {
		t.Errorf("the server has %q", got)
	}
}
