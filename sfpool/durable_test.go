// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// durableBed is a pool in durable-ack mode with one sender, and its server.
type durableBed struct {
	*testing.T
	srv *qwpserver.Server
	p   *sfpool.Pool
}

func newDurableBed(t *testing.T, when qwpserver.Durability) *durableBed {
	t.Parallel() // it mostly waits for PINGs
	srv := serve(t)
	srv.Configure(func(o *qwpserver.Options) { o.Durable = when })
	cfg := config(t, srv.URL())
	cfg.RequestDurableAck, cfg.MaxSenders = true, 1
	return &durableBed{t, srv, open(t, cfg)}
}

// flush stores n rows of a table and waits until the server has them, without their
// being durable.
func (b *durableBed) flush(table string, first, n int) {
	b.Helper()
	batch := b.p.NewBatch()
	for id := first; id < first+n; id++ {
		var r sfpool.Row
		r.Reset(table)
		r.Long("id", int64(id))
		r.At(1700000000000000 + int64(id))
		if err := batch.Add(&r); err != nil {
			b.Fatal(err)
		}
	}
	want := b.srv.State().Tables[table] + int64(n)
	flush(b.T, b.p, batch)
	b.wait(func(s *qwpserver.State) bool { return s.Tables[table] >= want })
}

func (b *durableBed) wait(f func(*qwpserver.State) bool) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if err := b.srv.Wait(ctx, f); err != nil {
		b.Fatal(err)
	}
}

// pinged waits for two more PINGs, the second of which is sent when all that came with
// the first has been looked at.
func (b *durableBed) pinged() {
	b.Helper()
	pings := b.srv.State().Pings
	b.wait(func(s *qwpserver.State) bool { return s.Pings >= pings+2 })
}

// acked waits until so many rows are acked, and fails if more are.
func (b *durableBed) acked(want int64) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	st := b.p.Stats()
	for ; st.Acked < want; st = b.p.Stats() {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			b.Fatalf("%d rows are acked, want %d", st.Acked, want)
		}
	}
	if st.Acked != want || st.Accepted != st.Acked+st.Pending {
		b.Fatalf("%d of %d rows are acked and %d pending, want %d acked", st.Acked, st.Accepted, st.Pending, want)
	}
}

// ids returns those that the server has of a table, sorted.
func (b *durableBed) ids(table string) (ids []int64) {
	for _, r := range b.srv.Rows(table) {
		ids = append(ids, r.Values["id"].(int64))
	}
	slices.Sort(ids)
	return ids
}

func upTo(n int64) (ids []int64) {
	for i := range n {
		ids = append(ids, i)
	}
	return ids
}

func TestNothingLeavesTheStoreBeforeItIsDurable(t *testing.T) {
	b := newDurableBed(t, qwpserver.DurableOnCall)
	b.flush("t", 0, 100)
	b.flush("u", 0, 10)
	b.flush("t", 100, 100)
	b.pinged()
	b.acked(0)
	b.srv.MakeDurable("t")
	b.acked(100)
	b.pinged()
	b.acked(100) // the rest stands behind what is not durable
	b.srv.MakeDurable()
	b.acked(210)
	if st := b.srv.State(); st.Connections != 1 || !slices.Equal(b.ids("t"), upTo(200)) {
		t.Errorf("%d connections, %v", st.Connections, b.ids("t"))
	}
}

func TestRowsGoOnBeforeThoseAheadOfThemAreDurable(t *testing.T) {
	b := newDurableBed(t, qwpserver.DurableOnCall)
	b.srv.Stop()
	for i := range 10 { // together more than is sent at once to a host nothing is known of
		flush(t, b.p, batch(t, b.p, i*4000, 4000))
	}
	if err := b.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	b.wait(func(s *qwpserver.State) bool { return s.Rows == 40_000 })
	b.acked(0)
	b.srv.MakeDurable()
	b.acked(40_000)
}

func TestRowsThatTheServerLosesBeforeTheyAreDurableAreSentAgain(t *testing.T) {
	b := newDurableBed(t, qwpserver.DurableOnCall)
	b.flush("t", 0, 100)
	b.srv.MakeDurable()
	b.acked(100)
	b.flush("t", 100, 100)
	b.pinged()
	b.srv.Stop()
	b.srv.LoseUndurable()
	b.acked(100)
	if err := b.srv.Restart(); err != nil {
		t.Fatal(err)
	}
	b.wait(func(s *qwpserver.State) bool { return s.Tables["t"] == 300 })
	b.pinged()
	b.acked(100) // what the first connection knew of the tables counts no more
	b.srv.MakeDurable()
	b.acked(200)
	if got := b.ids("t"); !slices.Equal(got, upTo(200)) {
		t.Errorf("the server has %v", got)
	}
}

func TestRowsWaitForAServerThatOffersDurableAcks(t *testing.T) {
	b := newDurableBed(t, qwpserver.NotOffered)
	flush(t, b.p, batch(t, b.p, 0, 10))
	b.wait(func(s *qwpserver.State) bool { return s.Attempts >= 3 })
	st := b.p.Stats()
	if err := st.Slots[0].LastError; st.Pending != 10 || err == nil || !strings.Contains(err.Error(), "does not offer durable acks") {
		t.Errorf("%d pending, %v", st.Pending, err)
	}
	if b.srv.State().Messages != 0 {
		t.Error("rows were sent")
	}
	b.srv.Configure(func(o *qwpserver.Options) { o.Durable = qwpserver.DurableAtOnce })
	b.acked(10)
}

func TestARefusedRowDoublesNoneThatAreAboutToBeDurable(t *testing.T) {
	b := newDurableBed(t, qwpserver.DurableAtOnce)
	poison := qwpserver.HasRow(func(r *qwpserver.Row) bool { return r.Values["id"] == int64(130) })
	b.srv.Script(qwpserver.Reject(qwp.StatusSchemaMismatch, "not this one").When(poison).Always())
	flush(t, b.p, batch(t, b.p, 0, 100))
	flush(t, b.p, batch(t, b.p, 100, 50))
	flush(t, b.p, batch(t, b.p, 150, 50))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := b.p.WaitAcked(ctx); err != nil {
		t.Fatal(err)
	}
	if st := b.p.Stats(); st.Acked != 199 || st.DeadLettered != 1 {
		t.Errorf("%d acked, %d dead letters", st.Acked, st.DeadLettered)
	}
	if got, want := b.ids("t"), slices.DeleteFunc(upTo(200), func(i int64) bool { return i == 130 }); !slices.Equal(got, want) {
		t.Errorf("the server has %v", got)
	}
}
