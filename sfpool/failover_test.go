// SPDX-License-Identifier: MIT

package sfpool_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/questdb-sf/questdb_sf/sfpool"
	"github.com/questdb-sf/questdb_sf/testutil/qwpserver"
)

// hosts are several servers and one pool that knows them all.
type hosts struct {
	*testing.T
	srv []*qwpserver.Server
	cfg sfpool.Config
	p   *sfpool.Pool
	n   int // rows stored
}

func newHosts(t *testing.T, n int, prepare func(h *hosts)) *hosts {
	h := &hosts{T: t, cfg: config(t, nowhere)}
	h.cfg.URLs, h.cfg.MaxSenders = nil, 1
	for range n {
		s := serve(t)
		h.srv = append(h.srv, s)
		h.cfg.URLs = append(h.cfg.URLs, s.URL())
	}
	prepare(h)
	h.p = open(t, h.cfg)
	return h
}

// store puts the next n rows into the store.
func (h *hosts) store(n int) {
	h.Helper()
	flush(h.T, h.p, batch(h.T, h.p, h.n, n))
	h.n += n
}

// drained waits until all rows are acked.
func (h *hosts) drained() {
	h.Helper()
	ctx, cancel := context.WithTimeout(h.Context(), time.Minute)
	defer cancel()
	if err := h.p.WaitAcked(ctx); err != nil {
		h.Fatalf("%v; %+v", err, h.p.Stats().Slots[0])
	}
}

// ids returns which rows a server has, sorted, and how many came more than once.
func (h *hosts) ids(server int) (ids []int64, twice int) {
	for _, r := range h.srv[server].Rows("t") {
		ids = append(ids, r.Values["id"].(int64))
	}
	all := len(ids)
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids, all - len(ids)
}

// has fails unless a server has exactly the rows from first on, n of them.
func (h *hosts) has(server, first, n int) {
	h.Helper()
	ids, twice := h.ids(server)
	if twice > 0 || len(ids) != n || n > 0 && (ids[0] != int64(first) || ids[n-1] != int64(first+n-1)) {
		h.Errorf("server %d has %d rows, %d of them twice, want %d from %d on: %v", server, len(ids), twice, n, first, ids)
	}
}

func TestRowsGoOnAtAnotherHostWhenOneDiesInTheMiddle(t *testing.T) {
	h := newHosts(t, 2, func(h *hosts) {
		h.srv[0].Script(qwpserver.Cut().When(qwpserver.Number(20)))
	})
	for range 100 {
		h.store(10)
	}
	h.drained()
	first, _ := h.ids(0)
	second, twice := h.ids(1)
	both := slices.Concat(first, second)
	slices.Sort(both)
	if both = slices.Compact(both); len(both) != h.n || twice > 0 {
		t.Errorf("%d of %d rows have arrived; %d twice at one server", len(both), h.n, twice)
	}
	// The message that was cut off was stored and never acked.
	if len(first) < 210 || second[0] > 200 || h.srv[0].State().Connections != 1 {
		t.Errorf("the first server has %d rows, the second begins at %d", len(first), second[0])
	}
	if st := h.p.Stats(); st.Acked != int64(h.n) || st.Slots[0].Host != h.srv[1].Addr() {
		t.Errorf("%d acked at %s", st.Acked, st.Slots[0].Host)
	}
}

func TestHostThatComesBackIsFoundAgain(t *testing.T) {
	h := newHosts(t, 2, func(*hosts) {})
	h.store(10)
	h.drained()
	h.srv[0].Stop()
	h.store(10)
	h.drained()
	if err := h.srv[0].Restart(); err != nil {
		t.Fatal(err)
	}
	h.store(10) // the one that works is kept
	h.drained()
	h.srv[1].Stop()
	h.store(10)
	h.drained()
	h.has(1, 10, 20)
	if ids, twice := h.ids(0); twice > 0 || !slices.Equal(ids, slices.Concat(upTo(10), []int64{30, 31, 32, 33, 34, 35, 36, 37, 38, 39})) {
		t.Errorf("the one that came back has %v", ids)
	}
}

func TestReplicaIsPassedOverAndTakenWhenItIsThePrimary(t *testing.T) {
	h := newHosts(t, 3, func(h *hosts) {
		h.srv[0].Script(qwpserver.RejectRole("REPLICA").Always())
		h.srv[1].Script(qwpserver.RejectRole("PRIMARY_CATCHUP").Always())
	})
	h.store(10)
	h.drained()
	h.has(2, 0, 10)
	// A primary that is demoted closes in an orderly way and is a replica from then on.
	h.srv[2].Script(qwpserver.CloseBefore(websocket.CloseNormalClosure, "demoted"), qwpserver.RejectRole("REPLICA").Always())
	asked := h.srv[0].State().Attempts
	h.srv[1].Script()
	h.store(10)
	h.drained()
	h.has(0, 0, 0)
	h.has(1, 10, 10)
	h.has(2, 0, 10)
	if n := h.srv[0].State().Attempts; n != asked {
		t.Errorf("the replica was asked %d times more, before the one that was catching up", n-asked)
	}
}

func TestRowsWaitWhileNoHostTakesWrites(t *testing.T) {
	h := newHosts(t, 2, func(h *hosts) {
		h.srv[0].Script(qwpserver.RejectRole("REPLICA").Always())
		h.srv[1].Script(qwpserver.RejectRole("REPLICA").Always())
	})
	h.store(10)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := h.srv[1].Wait(ctx, func(s *qwpserver.State) bool { return s.Attempts >= 3 }); err != nil {
		t.Fatal(err)
	}
	if st := h.p.Stats(); st.Pending != 10 || st.Slots[0].LastError == nil || !strings.Contains(st.Slots[0].LastError.Error(), "role REPLICA") {
		t.Errorf("%d pending, %v", st.Pending, st.Slots[0].LastError)
	}
	h.srv[1].Script()
	h.drained()
	h.has(1, 0, 10)
}

// readOnlyILP answers everything as a replica does, SQL too, until it is promoted; then
// it has no SQL.
type readOnlyILP struct {
	mu       sync.Mutex
	promoted bool
	writes   int // with rows, that were taken
}

func (r *readOnlyILP) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.promoted {
		w.Header().Set("X-QuestDB-Role", "REPLICA")
		w.WriteHeader(http.StatusMisdirectedRequest)
		return
	}
	if req.URL.Path != "/write" {
		http.NotFound(w, req)
		return
	}
	if req.ContentLength > 0 { // one without rows only announces the connection
		r.writes++
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *readOnlyILP) taken() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.writes
}

func TestReplicaIsPassedOverOverILP(t *testing.T) {
	replica, primary := &readOnlyILP{}, &readOnlyILP{promoted: true}
	h := newHosts(t, 2, func(h *hosts) {
		for i, server := range []*readOnlyILP{replica, primary} {
			h.srv[i].Configure(func(o *qwpserver.Options) { o.NoQWP, o.Fallback = true, server })
		}
	})
	h.store(10)
	h.drained()
	if replica.taken() != 0 || primary.taken() != 1 {
		t.Errorf("the replica took %d requests, the primary %d", replica.taken(), primary.taken())
	}
	h.srv[1].Stop()
	replica.mu.Lock()
	replica.promoted = true
	replica.mu.Unlock()
	h.store(10)
	h.drained()
	if replica.taken() != 1 {
		t.Errorf("after its promotion it took %d requests", replica.taken())
	}
}

// sqlLog answers questions about tables and counts them.
type sqlLog struct {
	mu        sync.Mutex
	questions int
}

func (l *sqlLog) exec(sql string) (int, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.questions++
	columns := `[{"name":"column","type":"STRING"},{"name":"type","type":"STRING"},{"name":"designated","type":"BOOLEAN"},{"name":"upsertKey","type":"BOOLEAN"}]`
	rows := `[["timestamp","TIMESTAMP",true,true],["sf_row_id","LONG",false,true]]`
	return http.StatusOK, fmt.Sprintf(`{"query":%q,"columns":%s,"timestamp":-1,"dataset":%s,"count":2}`, sql, columns, rows)
}

func (l *sqlLog) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.questions
}

func TestQuestionsAboutTablesGoToTheHostOfTheRows(t *testing.T) {
	var logs [2]sqlLog
	h := newHosts(t, 2, func(h *hosts) {
		h.cfg.ExactlyOnce = true
		for i := range logs {
			h.srv[i].Configure(func(o *qwpserver.Options) { o.Exec, o.DedupKeys = logs[i].exec, []string{"sf_row_id"} })
		}
	})
	h.store(10)
	h.drained()
	if logs[0].count() == 0 || logs[1].count() != 0 {
		t.Errorf("questions to the host of the rows: %d, to the other: %d", logs[0].count(), logs[1].count())
	}
	h.srv[0].Stop()
	asked := logs[0].count()
	h.store(10)
	h.drained()
	if logs[1].count() == 0 || logs[0].count() != asked {
		t.Errorf("after the failover: %d to the one that died, %d to the other", logs[0].count()-asked, logs[1].count())
	}
	h.has(1, 10, 10)
	if row := h.srv[1].Rows("t")[0]; row.Values["sf_row_id"] == nil {
		t.Errorf("no row id: %v", row.Values)
	}
}
