// SPDX-License-Identifier: MIT

package sender_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/questdb-sf/questdb_sf/internal/link"
	"github.com/questdb-sf/questdb_sf/internal/qwp"
	"github.com/questdb-sf/questdb_sf/internal/sender"
	"github.com/questdb-sf/questdb_sf/internal/vfs/vfstest"
)

// model watches a sender and a server that is told what to do by a script.
type model struct {
	*oracle
	bed *bed

	mu      sync.Mutex
	said    map[string]saying   // of each table, last
	frames  map[int64]int       // row -> its frame
	sizes   []int               // rows of each frame
	acked   map[int64]bool      // rows whose ack reached the sender
	done    map[int]int         // frame -> its rows that did
	went    map[int64]time.Time // when a row went out last
	last    []taken             // the request that went out last
	torn    map[int64]bool      // rows of requests whose sending failed: their ack names nothing the sender knows
	ill     *rand.Rand          // nil: the server is well
	faults  map[string]float64  // how often which
	alone   map[int64]int       // row -> how often it was refused in a request of its own
	letters map[int64]bool
	wrong   []string
}

type saying struct {
	ready, rowID bool
	since, at    time.Time
}

func (m *model) fail(format string, args ...any) {
	m.wrong = append(m.wrong, fmt.Sprintf(format, args...))
}

// hears notes an answer of the oracle, to know what the sender knows.
func (m *model) hears(table string, since time.Time, id bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said[table] = saying{err == nil, id, since, time.Now()}
}

// sent checks rows against what was said of their tables, and against acks.
func (m *model) sent(_ *conn, rows []taken) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last = rows
	for _, r := range rows {
		s := m.said[r.table]
		switch {
		case !s.ready:
			m.fail("row %d went out though %s waits", r.id, r.table)
		case s.rowID != r.rowID:
			m.fail("row %d of %s: id %t", r.id, r.table, r.rowID)
		case s.since.Before(m.went[r.id]) || time.Since(s.at) > time.Minute:
			m.fail("row %d went out on a verdict of %s ago", r.id, time.Since(s.at))
		case m.acked[r.id] && !m.torn[r.id]:
			m.fail("row %d was sent again after its ack", r.id)
		}
		m.went[r.id] = time.Now()
	}
}

// tear fails a request that was taken.
func (m *model) tear(int, int64) error {
	if !m.chance("break") {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.last {
		m.torn[r.id] = true
	}
	return errors.New("broken pipe")
}

func (m *model) gotAck(_ *conn, rows []taken) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range rows {
		if !m.acked[r.id] {
			m.acked[r.id] = true
			m.done[m.frames[r.id]]++
		}
	}
}

// check compares the ledger of the slot with the acks.
func (m *model) check() {
	st := m.bed.slot.Stats()
	m.mu.Lock()
	defer m.mu.Unlock()
	most := int64(0)
	for frame, n := range m.done {
		if n+m.lettersOf(frame) >= m.sizes[frame] {
			most += int64(n)
		}
	}
	if st.Acked > most {
		m.fail("%d rows are settled, %d of whole frames are acked", st.Acked, most)
	}
}

// lettersOf counts the rows of a frame that are dead letters.
func (m *model) lettersOf(frame int) (n int) {
	for id := range m.letters {
		if m.frames[id] == frame {
			n++
		}
	}
	return n
}

// chance says whether a fault of a kind happens now.
func (m *model) chance(kind string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ill != nil && m.ill.Float64() < m.faults[kind]
}

func (m *model) answer(_ int, seq int64) *link.Outcome {
	if m.bed.srv.window == 1 && m.chance("slow") { // verdicts grow old inside a frame
		time.Sleep(12 * time.Second)
	}
	if m.chance("silence") {
		return nil
	}
	return &link.Outcome{Seq: seq}
}

// judge refuses requests at random.
func (m *model) judge(rows []sentRow) *link.Refusal {
	if !m.chance("refuse") {
		return nil
	}
	if len(rows) == 1 {
		m.mu.Lock()
		m.alone[rows[0].id]++
		m.mu.Unlock()
	}
	return &link.Refusal{Host: "server", Status: qwp.StatusInternalError, Class: link.ServerState}
}

// Keep takes dead letters: rows that were refused alone, and more than once.
func (m *model) Keep(_ string, letters []sender.Letter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range letters {
		id := idOf(l.Data)
		if m.alone[id] < 4 {
			m.fail("row %d was refused alone %d times, and is a dead letter", id, m.alone[id])
		}
		m.letters[id] = true
	}
	return nil
}

func (m *model) store(tables []string) {
	m.mu.Lock()
	for range tables {
		m.frames[int64(len(m.frames))] = len(m.sizes)
	}
	m.sizes = append(m.sizes, len(tables))
	m.mu.Unlock()
	m.bed.storeIn(tables...)
}

// step is one line of the script.
type step struct {
	kind   int
	tables []string
	wait   time.Duration
}

var stepGen = rapid.Custom(func(t *rapid.T) step {
	table := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"})
	return step{
		kind:   rapid.SampledFrom([]int{0, 0, 0, 1, 1, 2, 3, 4}).Draw(t, "kind"),
		tables: rapid.SliceOfN(table, 1, 8).Draw(t, "tables"),
		wait:   rapid.SampledFrom([]time.Duration{0, 0, time.Second, 15 * time.Second, time.Minute + time.Second}).Draw(t, "wait"),
	}
})

func (m *model) play(s step) {
	switch s.kind {
	case 0:
		m.store(s.tables)
	case 1:
		m.hold(s.tables[1:]...)
	case 2:
		m.hold()
	case 3:
		m.bed.loop.Recycle()
	case 4:
		m.bed.srv.cut()
	}
	time.Sleep(s.wait)
	synctest.Wait()
	m.check()
}

// heal ends all faults and lets everything go out.
func (m *model) heal() {
	m.mu.Lock()
	m.ill = nil
	m.mu.Unlock()
	m.hold()
	m.bed.srv.cut()              // what was not answered never will be
	time.Sleep(15 * time.Minute) // a frame may be paused for ten
	synctest.Wait()
	m.check()
	if st := m.bed.slot.Stats(); st.PendingFrames != 0 || int(st.Acked)+len(m.letters) != len(m.frames) || int(st.DeadLettered) != len(m.letters) {
		m.fail("left: %+v; %+v", st, m.bed.loop.State())
	}
	for id := range m.frames {
		if !m.acked[id] && !m.letters[id] {
			m.fail("row %d is lost", id)
		}
	}
	if st := m.bed.loop.State(); st.Held != 0 || st.HeldFor != "" || !st.Since.IsZero() || sender.Stuck(st.LastError) {
		m.fail("at the end: %+v", st)
	}
}

// TestEveryRowArrivesUnlessItsTableWaitsAndNoneTwiceAfterItsAck plays scripts of
// frames, tables that begin and cease to wait, lost and refused requests.
func TestEveryRowArrivesUnlessItsTableWaitsAndNoneTwiceAfterItsAck(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		script := rapid.SliceOfN(stepGen, 5, 40).Draw(rt, "script")
		often := rapid.SampledFrom([]float64{0, 0.05, 0.3})
		srv := &server{
			window:  rapid.SampledFrom([]int{1, 2, 5}).Draw(rt, "window"),
			maxRows: rapid.SampledFrom([]int{0, 1, 3}).Draw(rt, "largest request"),
			frames:  rapid.SampledFrom([]int{1, 3}).Draw(rt, "parts of a request"),
			ilp:     rapid.Bool().Draw(rt, "ilp"),
		}
		m := &model{
			oracle: &oracle{ids: map[string]bool{"a": true, "d": true}},
			said:   map[string]saying{}, frames: map[int64]int{}, acked: map[int64]bool{}, alone: map[int64]int{}, letters: map[int64]bool{}, went: map[int64]time.Time{}, torn: map[int64]bool{}, done: map[int]int{},
			ill: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0)),
			faults: map[string]float64{
				"refuse": often.Draw(rt, "refuse"), "silence": often.Draw(rt, "silence"),
				"break": often.Draw(rt, "break"), "away": often.Draw(rt, "away"),
				"slow": often.Draw(rt, "slow"),
			},
		}
		m.oracle.heard = m.hears
		m.oracle.fails = func(string) error {
			if m.chance("away") {
				return errors.New("connection refused")
			}
			return nil
		}
		srv.sent, srv.acked, srv.answer, srv.judge = m.sent, m.gotAck, m.answer, m.judge
		srv.sendErr = m.tear
		synctest.Test(t, func(t *testing.T) {
			m.bed = startBed(t, vfstest.NewMem(), srv, sender.Config{Tables: m.oracle, Letters: m})
			for _, s := range script {
				m.play(s)
			}
			m.heal()
		})
		if len(m.wrong) > 0 {
			rt.Fatalf("%q", m.wrong[:min(5, len(m.wrong))])
		}
	})
}
